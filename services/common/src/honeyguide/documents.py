"""Documents, filters and contexts as the domain knows them, and the way from and to the wire."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.timestamp_pb2 import Timestamp

from honeyguide.api.retrieval.v1 import document_pb2 as pb
from honeyguide.errors import InvalidArgument
from honeyguide.text import fold, has_forbidden_characters

Value = str | float | bool | datetime

ID_BYTES_MAX = 512
TITLE_CHARS_MAX = 2_000
TEXT_CHARS_MAX = 1_000_000
TYPE_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LINE_ENDS_AND_TABS = re.compile(r"[\t\r\n]")
ATTRIBUTES_MAX = 10_000
ATTRIBUTE_NAME_CHARS_MAX = 128
ATTRIBUTE_VALUES_MAX = 1_000
ATTRIBUTE_VALUE_CHARS_MAX = 32_768
RELATED_MAX = 1_000
FILTER_VALUES_MAX = 1_000
FILTER_EXCLUDED_MAX = 10_000
CONTEXT_ATTRIBUTES_MAX = 32
CONTEXT_CHARS_MAX = 256
FLOAT32_MAX = float(np.finfo(np.float32).max)
POPULARITY_MAX = 1e30
"""Far within float32, in which it is sent and computed with."""

DAY_S = 86_400.0
AHEAD_MAX_S = 300.0
"""How far ahead of the server's clock the time of a search or of an action may lie."""


@dataclass(frozen=True, slots=True)
class Document:
    """One searchable entity; see `honeyguide.retrieval.v1.Document` for the meaning of each part.

    `created_at_s` is seconds since 1970-01-01 UTC, None = unknown. `embedding` is float32 of any length, or None.
    `message` is what it was read from, if kept; it says the same, but for the embedding, and nobody may change it.
    """

    id: str
    type: str
    title: str = ""
    text: str = ""
    attributes: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    popularity: float = 0.0
    created_at_s: float | None = None
    related: tuple[str, ...] = ()
    embedding: npt.NDArray[np.float32] | None = None
    message: pb.Document | None = field(default=None, compare=False, repr=False)

    @property
    def created_day(self) -> float:
        """Days since 1970-01-01, 0 = unknown."""
        return 0.0 if self.created_at_s is None else self.created_at_s / DAY_S


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one attribute: one of `any_of`, or inside [`low`, `high`] where either may be open.

    Texts in `any_of` are folded; times are seconds since 1970-01-01. A flag equals the number 1 or 0, but lies in no
    range.
    """

    attribute: str
    any_of: frozenset[str | float | bool] | None = None
    low: float = -math.inf
    high: float = math.inf

    def matches(self, values: Iterable[Value]) -> bool:
        """True if at least one of the values satisfies the condition."""
        if self.any_of is not None:
            return any(comparable(value) in self.any_of for value in values)
        for value in values:
            number = comparable(value)
            if isinstance(number, float) and self.low <= number <= self.high:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Filter:
    """What a document must satisfy to be returned; an empty part always holds."""

    types: frozenset[str] = frozenset()
    conditions: tuple[Condition, ...] = ()
    excluded_ids: frozenset[str] = frozenset()
    excluded_conditions: tuple[Condition, ...] = ()

    def matches(self, id: str, type: str, attributes: Mapping[str, tuple[Value, ...]] | None) -> bool:
        """True if a document with this id, type and attributes may be returned.

        Where attributes are not known (None), no document may, if there are conditions on them.
        """
        if (self.types and type not in self.types) or id in self.excluded_ids:
            return False
        if attributes is None:
            return not (self.conditions or self.excluded_conditions)
        return all(c.matches(attributes.get(c.attribute, ())) for c in self.conditions) and not any(
            c.matches(attributes.get(c.attribute, ())) for c in self.excluded_conditions
        )

    @property
    def size(self) -> int:
        """Types, values and ids that it names."""
        conditions = (*self.conditions, *self.excluded_conditions)
        values = sum(len(condition.any_of or ()) for condition in conditions)
        return len(self.types) + len(conditions) + values + len(self.excluded_ids)

    def __bool__(self) -> bool:
        return bool(self.types or self.conditions or self.excluded_ids or self.excluded_conditions)


NO_FILTER = Filter()


@dataclass(frozen=True, slots=True)
class Context:
    """Who searches, where and when. `time_s` is seconds since 1970-01-01."""

    time_s: float
    user_id: str = ""
    session_id: str = ""
    segment: str = ""
    locale: str = ""
    device: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


def comparable(value: Value) -> str | float | bool:
    """The form in which values are compared: folded text, float, bool, or seconds since 1970-01-01."""
    if isinstance(value, str):
        return fold(value).strip()
    if isinstance(value, datetime):
        return value.timestamp()
    return value if isinstance(value, bool) else float(value)


# ---------------------------------------------------------------------------------------------- from and to the wire


def document_from_proto(message: pb.Document, *, keep_message: bool = False) -> Document:
    """Reads and checks a document; one that keeps its message can be written again at little cost.

    Raises:
        InvalidArgument: naming the first field that is wrong.
    """
    check_id("id", message.id)
    if not TYPE_PATTERN.fullmatch(message.type):
        raise InvalidArgument("type", f"{message.type[:80]!r} is not 1 to 64 characters of a-z, 0-9, _ and -")
    check_text("title", message.title, TITLE_CHARS_MAX)
    check_text("text", message.text, TEXT_CHARS_MAX)
    if not 0 <= message.popularity <= POPULARITY_MAX:  # which NaN is not either
        raise InvalidArgument("popularity", f"{message.popularity} is not a number of 0 to {POPULARITY_MAX:g}")
    if len(message.related) > RELATED_MAX:
        raise InvalidArgument("related", f"{len(message.related)} ids; at most {RELATED_MAX:,} are allowed")
    for related_id in message.related:
        check_id("related", related_id)
    if len(message.attributes) > ATTRIBUTES_MAX:
        raise InvalidArgument(
            "attributes", f"{len(message.attributes)} of them; at most {ATTRIBUTES_MAX:,} are allowed"
        )
    if len(message.embedding) % 4:
        raise InvalidArgument("embedding", f"{len(message.embedding)} bytes are not a whole number of float32")
    embedding = np.frombuffer(message.embedding, dtype="<f4") if message.embedding else None
    if embedding is not None and not (np.isfinite(embedding).all() and embedding.any()):
        raise InvalidArgument("embedding", "holds numbers that are not finite, or only zeros")
    created_at_s = None
    if message.HasField("created_at"):
        created_at_s = time_from_proto("created_at", message.created_at)
    return Document(
        id=message.id,
        type=message.type,
        title=message.title,
        text=message.text,
        attributes={name: _values_from_proto(name, values) for name, values in message.attributes.items()},
        popularity=message.popularity,
        created_at_s=created_at_s,
        related=tuple(message.related),
        embedding=embedding,
        message=message if keep_message else None,
    )


def cut_popularity(message: pb.Document) -> pb.Document:
    """The message itself, with a popularity that was taken before there was a limit cut to it.

    What a journal holds was acknowledged: it must not keep a service from starting, nor a document from being found.
    """
    message.popularity = min(message.popularity, POPULARITY_MAX)
    return message


def document_to_proto(document: Document) -> pb.Document:
    """Writes a document."""
    if document.message is not None:
        message = pb.Document()
        message.CopyFrom(document.message)
        message.ClearField("embedding")
    else:
        message = _written(document)
    if document.embedding is not None:
        message.embedding = document.embedding.astype("<f4").tobytes()
    return message


def _written(document: Document) -> pb.Document:
    message = pb.Document(
        id=document.id,
        type=document.type,
        title=document.title,
        text=document.text,
        popularity=document.popularity,
        related=document.related,
    )
    for name, values in document.attributes.items():
        add = message.attributes[name].values.add
        for value in values:
            _write_value(value, add())
    if document.created_at_s is not None:
        message.created_at.CopyFrom(time_to_proto(document.created_at_s))
    return message


def document_from_json(line: str, times: Collection[str] = (), numbers: Collection[str] = ()) -> pb.Document:
    """Reads one line of JSON Lines into a message that `document_from_proto` then checks.

    Known keys are id, type, title, text, attributes, popularity, created_at, related and embedding. Attribute values
    are a string, number, boolean or a list of them. `times` names the attributes that the catalogue's configuration
    calls times: their values are read by `parse_time`, and blank ones left out. Of all others a string that is an
    ISO 8601 date or time stays a string. `numbers` names those that it calls numbers: their strings are read by
    `number_of`, and blank ones left out.

    Raises:
        InvalidArgument: naming the first field that is wrong.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument("line", f"is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise InvalidArgument("line", f"is a JSON {type(record).__name__}; one object is wanted")
    unknown = sorted(set(record) - _JSON_KEYS)
    if unknown:
        raise InvalidArgument(unknown[0], f"is not a known key; known are {', '.join(sorted(_JSON_KEYS))}")
    message = pb.Document()
    for key in ("id", "type", "title", "text"):
        value = record.get(key)
        if value is not None:
            if not isinstance(value, str):
                raise InvalidArgument(key, f"is a JSON {type(value).__name__}; a string is wanted")
            if has_forbidden_characters(value):
                raise InvalidArgument(key, "holds control characters or lone surrogates")
            setattr(message, key, value)
    popularity = 0.0 if record.get("popularity") is None else record["popularity"]
    if isinstance(popularity, bool) or not isinstance(popularity, int | float):
        raise InvalidArgument("popularity", f"is a JSON {type(popularity).__name__}; a number is wanted")
    message.popularity = _finite("popularity", popularity)
    if record.get("created_at") is not None:
        message.created_at.CopyFrom(time_to_proto(parse_time("created_at", record["created_at"])))
    related = [] if record.get("related") is None else record["related"]
    if not isinstance(related, list) or not all(
        isinstance(r, str) and not has_forbidden_characters(r) for r in related
    ):
        raise InvalidArgument("related", "is not a list of ids (strings)")
    message.related.extend(related)
    attributes = {} if record.get("attributes") is None else record["attributes"]
    if not isinstance(attributes, dict):
        raise InvalidArgument("attributes", f"is a JSON {type(attributes).__name__}; an object is wanted")
    for name, raw in attributes.items():
        if has_forbidden_characters(name):
            raise InvalidArgument("attributes", "a name holds control characters or lone surrogates")
        for value in raw if isinstance(raw, list) else [raw]:
            path = f"attributes.{name}"
            if value is None or (_is_blank(value) and (name in times or name in numbers)):
                continue
            if name in times:
                read = pb.Value(time=time_to_proto(parse_time(path, value)))
            elif name in numbers and isinstance(value, str):
                read = _number_from_json(path, value)
            else:
                read = _value_from_json(path, value)
            message.attributes[name].values.append(read)
    embedding = record.get("embedding")
    if embedding is not None:
        if not isinstance(embedding, list) or not all(
            isinstance(x, int | float) and not isinstance(x, bool) for x in embedding
        ):
            raise InvalidArgument("embedding", "is not a list of numbers")
        numbers = np.array([_finite("embedding", x) for x in embedding])
        if (abs(numbers) > FLOAT32_MAX).any():
            raise InvalidArgument("embedding", "holds numbers that are beyond float32")
        message.embedding = numbers.astype("<f4").tobytes()
    return message


def document_to_json(document: Document) -> str:
    """Writes a document as the line that `document_from_json` reads, without what is empty; times are ISO 8601."""
    attributes = sorted(document.attributes.items())
    record: dict[str, Any] = {
        "id": document.id,
        "type": document.type,
        "title": document.title,
        "text": document.text,
        "attributes": {name: [_plain(value) for value in values] for name, values in attributes},
        "popularity": _plain(document.popularity),
        "related": list(document.related),
    }
    if document.created_at_s is not None:
        record["created_at"] = datetime.fromtimestamp(document.created_at_s, UTC).isoformat()
    if document.embedding is not None:
        record["embedding"] = document.embedding.tolist()
    return json.dumps({key: value for key, value in record.items() if value}, ensure_ascii=False)


def _plain(value: Value) -> str | float | bool:
    if isinstance(value, datetime):
        return value.isoformat()
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= INT_MAX else value


INT_MAX = 2.0**53
"""Up to where every whole number is one float."""

_JSON_KEYS = {"id", "type", "title", "text", "attributes", "popularity", "created_at", "related", "embedding"}


def filter_from_proto(message: pb.Filter, path: str = "filter") -> Filter:
    """Reads and checks a filter.

    Raises:
        InvalidArgument: naming the first field that is wrong.
    """
    if not (message.types or message.attributes or message.excluded_document_ids or message.excluded_attributes):
        return NO_FILTER  # of most searches
    for name in message.types:
        if not TYPE_PATTERN.fullmatch(name):
            raise InvalidArgument(f"{path}.types", f"{name[:80]!r} is not 1 to 64 characters of a-z, 0-9, _ and -")
    if len(message.excluded_document_ids) > FILTER_EXCLUDED_MAX:
        count = len(message.excluded_document_ids)
        raise InvalidArgument(f"{path}.excluded_document_ids", f"{count:,} ids; at most {FILTER_EXCLUDED_MAX:,}")
    conditions, excluded = (
        tuple(condition_from_proto(condition, f"{path}.{name}[{i}]") for i, condition in enumerate(given))
        for name, given in (
            ("attributes", message.attributes),
            ("excluded_attributes", message.excluded_attributes),
        )
    )
    return Filter(frozenset(message.types), conditions, frozenset(message.excluded_document_ids), excluded)


def filter_to_proto(filter: Filter) -> pb.Filter:
    """Writes a filter."""
    return pb.Filter(
        types=sorted(filter.types),
        attributes=[condition_to_proto(condition) for condition in filter.conditions],
        excluded_document_ids=sorted(filter.excluded_ids),
        excluded_attributes=[condition_to_proto(condition) for condition in filter.excluded_conditions],
    )


def condition_from_proto(message: pb.AttributeCondition, path: str) -> Condition:
    """Reads and checks a condition on an attribute.

    Raises:
        InvalidArgument: naming the first field that is wrong.
    """
    if not 1 <= len(message.attribute) <= ATTRIBUTE_NAME_CHARS_MAX:
        raise InvalidArgument(f"{path}.attribute", f"is not a name of 1 to {ATTRIBUTE_NAME_CHARS_MAX} characters")
    kind = message.WhichOneof("condition")
    if kind == "equals":
        value = value_from_proto(f"{path}.equals", message.equals)
        return Condition(message.attribute, frozenset([comparable(value)]))
    if kind == "any_of":
        if not 1 <= len(message.any_of.values) <= FILTER_VALUES_MAX:
            raise InvalidArgument(f"{path}.any_of", f"needs 1 to {FILTER_VALUES_MAX:,} values")
        values = (value_from_proto(f"{path}.any_of", value) for value in message.any_of.values)
        return Condition(message.attribute, frozenset(comparable(value) for value in values))
    if kind == "range":
        low, high = -math.inf, math.inf
        if message.range.HasField("min"):
            low = _bound(f"{path}.range.min", message.range.min)
        if message.range.HasField("max"):
            high = _bound(f"{path}.range.max", message.range.max)
        if low > high:
            raise InvalidArgument(f"{path}.range", f"its minimum {low:g} is above its maximum {high:g}")
        return Condition(message.attribute, None, low, high)
    raise InvalidArgument(path, "needs one of equals, any_of and range")


def condition_to_proto(condition: Condition) -> pb.AttributeCondition:
    """Writes a condition on an attribute."""
    message = pb.AttributeCondition(attribute=condition.attribute)
    if condition.any_of is not None:
        values = [value_to_proto(value) for value in sorted(condition.any_of, key=str)]
        if len(values) == 1:
            message.equals.CopyFrom(values[0])
        else:
            message.any_of.values.extend(values)
    else:
        message.range.SetInParent()
        if condition.low > -math.inf:
            message.range.min.number = condition.low
        if condition.high < math.inf:
            message.range.max.number = condition.high
    return message


def context_from_proto(message: pb.Context, now_s: float, path: str = "context") -> Context:
    """Reads and checks a context; one without a time is of now.

    Raises:
        InvalidArgument: naming the first field that is wrong.
    """
    texts = {name: text for name in _CONTEXT_TEXTS if (text := getattr(message, name))}
    for name, text in texts.items():
        check_text(f"{path}.{name}", text, CONTEXT_CHARS_MAX)
    attributes = dict(message.attributes)
    if len(attributes) > CONTEXT_ATTRIBUTES_MAX:
        raise InvalidArgument(f"{path}.attributes", f"at most {CONTEXT_ATTRIBUTES_MAX} are allowed")
    for name, value in attributes.items():
        check_text(f"{path}.attributes", name, CONTEXT_CHARS_MAX)
        check_text(f"{path}.attributes.{name}", value, CONTEXT_CHARS_MAX)
    return Context(
        time_s=time_from_proto(f"{path}.time", message.time) if message.HasField("time") else now_s,
        attributes=attributes,
        **texts,
    )


_CONTEXT_TEXTS = ("user_id", "session_id", "segment", "locale", "device")


def context_to_proto(context: Context) -> pb.Context:
    """Writes a context."""
    return pb.Context(
        user_id=context.user_id,
        session_id=context.session_id,
        segment=context.segment,
        locale=context.locale,
        device=context.device,
        attributes=dict(context.attributes),
        time=time_to_proto(context.time_s),
    )


def value_from_proto(path: str, message: pb.Value) -> Value:
    """Reads and checks one value.

    Raises:
        InvalidArgument: naming the path.
    """
    text = message.text  # of most values; asking for the kind costs as much as all the rest
    if text:
        check_text(path, text, ATTRIBUTE_VALUE_CHARS_MAX)
        return text
    kind = message.WhichOneof("kind")
    if kind == "text":
        return text
    if kind == "number":
        return _finite(path, message.number)
    if kind == "flag":
        return message.flag
    if kind == "time":
        return datetime.fromtimestamp(time_from_proto(path, message.time), UTC)
    raise InvalidArgument(path, "needs one of text, number, flag and time")


def value_to_proto(value: Value) -> pb.Value:
    """Writes one value."""
    message = pb.Value()
    _write_value(value, message)
    return message


def _write_value(value: Value, message: pb.Value) -> None:
    if isinstance(value, str):
        message.text = value
    elif isinstance(value, bool):
        message.flag = value
    elif isinstance(value, datetime):
        message.time.CopyFrom(time_to_proto(value.timestamp()))
    else:
        message.number = value


TIME_MIN_S = datetime(1, 1, 1, tzinfo=UTC).timestamp()
TIME_MAX_S = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def time_from_proto(path: str, message: Timestamp) -> float:
    """Seconds since 1970-01-01.

    Raises:
        InvalidArgument: if it lies outside the years 1 to 9999.
    """
    if not (TIME_MIN_S <= message.seconds <= TIME_MAX_S and 0 <= message.nanos < 1_000_000_000):
        raise InvalidArgument(path, f"{message.seconds} s {message.nanos} ns is not a time in the years 1 to 9999")
    return message.seconds + message.nanos / 1e9


def time_to_proto(time_s: float) -> Timestamp:
    """A timestamp, to the microsecond."""
    micros = round(time_s * 1e6)
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1_000)


def parse_time(path: str, raw: Any) -> float:
    """Seconds since 1970-01-01, from an ISO 8601 string (UTC unless it says otherwise) or a number of seconds.

    Raises:
        InvalidArgument: naming the path.
    """
    hint = ""
    try:
        if isinstance(raw, str):
            moment = datetime.fromisoformat(raw.strip())
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            if TIME_MIN_S <= raw <= TIME_MAX_S:
                return float(raw)
            hint = " (milliseconds?)" if TIME_MAX_S < raw <= 1_000 * TIME_MAX_S else ""
    except ValueError:
        pass
    raise InvalidArgument(
        path,
        f"{str(raw)[:80]!r} is not an ISO 8601 time, such as 2022-06-25 or 2022-06-25T18:30:00Z, or a number of "
        f"seconds since 1970-01-01{hint}",
    )


def number_of(text: str) -> float | None:
    """The finite number that a text is (12.99, -3, 1e6), None = it is none."""
    try:
        number = math.nan if "_" in text else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def check_id(path: str, id: str) -> None:
    """Raises InvalidArgument unless this can be a document's id."""
    if not 1 <= len(id.encode(errors="surrogatepass")) <= ID_BYTES_MAX:
        raise InvalidArgument(path, f"is {len(id.encode(errors='surrogatepass'))} bytes long; 1 to 512 are allowed")
    if not id.isprintable() and (has_forbidden_characters(id) or _LINE_ENDS_AND_TABS.search(id)):
        raise InvalidArgument(path, "holds control characters")


def check_text(path: str, text: str, chars_max: int) -> None:
    """Raises InvalidArgument if a text is too long or holds characters that no text may hold."""
    if len(text) > chars_max:
        raise InvalidArgument(path, f"is {len(text):,} characters long; at most {chars_max:,} are allowed")
    if not text.isprintable() and has_forbidden_characters(text):  # the first is quick, and says yes of most
        raise InvalidArgument(path, "holds control characters or lone surrogates")


def _values_from_proto(name: str, message: pb.Values) -> tuple[Value, ...]:
    if not 1 <= len(name) <= ATTRIBUTE_NAME_CHARS_MAX:
        raise InvalidArgument(
            "attributes", f"{name[:80]!r} is not a name of 1 to {ATTRIBUTE_NAME_CHARS_MAX} characters"
        )
    check_text("attributes", name, ATTRIBUTE_NAME_CHARS_MAX)
    path, values = f"attributes.{name}", message.values
    if len(values) > ATTRIBUTE_VALUES_MAX:
        raise InvalidArgument(path, f"has {len(values):,} values; at most 1,000 are allowed")
    return tuple([value_from_proto(path, value) for value in values])


def _is_blank(raw: Any) -> bool:
    return isinstance(raw, str) and not raw.strip()


def _number_from_json(path: str, raw: str) -> pb.Value:
    number = number_of(raw)
    if number is None:
        raise InvalidArgument(path, f"{raw[:80]!r} is not a number, such as 12.99")
    return pb.Value(number=number)


def _value_from_json(path: str, raw: Any) -> pb.Value:
    if isinstance(raw, bool):
        return pb.Value(flag=raw)
    if isinstance(raw, int | float):
        return pb.Value(number=_finite(path, raw))
    if isinstance(raw, str):
        if has_forbidden_characters(raw):
            raise InvalidArgument(path, "holds control characters or lone surrogates")
        return pb.Value(text=raw)
    raise InvalidArgument(
        path, f"is a JSON {type(raw).__name__}; a string, number, boolean or a list of them is wanted"
    )


def _bound(path: str, message: pb.Value) -> float:
    bound = comparable(value_from_proto(path, message))
    if not isinstance(bound, float):
        raise InvalidArgument(path, "is neither a number nor a time")
    return bound


def _finite(path: str, number: float) -> float:
    try:
        finite = float(number)
    except OverflowError:
        finite = math.inf
    if not math.isfinite(finite):
        raise InvalidArgument(path, f"{str(number)[:40]} is not a finite number")
    return finite
