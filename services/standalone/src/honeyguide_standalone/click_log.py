"""A log of past searches on disk: JSON Lines in the order of time, each with what the user acted on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honeyguide.documents import AHEAD_MAX_S, CONTEXT_CHARS_MAX, check_id, check_text, parse_time
from honeyguide.errors import InvalidArgument

LINE_CHARS_MAX = 65_536
QUERY_CHARS_MAX = 2_000
IGNORED_MAX = 20
"""Keys that are none of ours and are named; there may be more."""

MILLISECONDS_MIN = 1e11
"""A number from which on a time is taken for one in milliseconds: as seconds it lies beyond the year 5100."""

ACTIONS = ("click", "play", "like", "favourite", "purchase", "skip", "dislike")
FIELDS = ("time", "query", "document_id", "user_id", "session_id", "action", "seconds")


@dataclass(frozen=True, slots=True)
class LoggedAction:
    """One line: at `time_s` (seconds since 1970-01-01) somebody searched `query` and acted on `document_id`.

    `seconds` is how long a play was, and 0 for every other action.
    """

    line: int
    time_s: float
    query: str
    document_id: str
    user_id: str = ""
    session_id: str = ""
    action: str = "click"
    seconds: float = 0.0


def read_click_log(path: Path, ignored: set[str] | None = None) -> Iterator[LoggedAction]:
    """The actions of a log, one line at a time; blank lines are left out.

    `ignored` gathers the keys of lines that are none of `FIELDS`.

    Raises:
        InvalidArgument: the file cannot be read, or a line is wrong: its number, what is wrong and what is allowed.
    """
    last_s = -math.inf
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, text in enumerate(iter(lambda: file.readline(LINE_CHARS_MAX + 1), ""), 1):
                where = f"{path}:{number}"
                if len(text) > LINE_CHARS_MAX:
                    raise InvalidArgument(where, f"is longer than {LINE_CHARS_MAX:,} characters")
                if not text.strip():
                    continue
                row = _row(where, text)
                if ignored is not None and len(ignored) < IGNORED_MAX:
                    ignored.update(row.keys() - set(FIELDS))
                action = _action(where, number, row)
                if action.time_s < last_s:
                    raise InvalidArgument(where, "is older than the line before it; sort the log by time")
                last_s = action.time_s
                yield action
    except UnicodeDecodeError as error:
        raise InvalidArgument(str(path), f"is not UTF-8 text: {error.reason} at byte {error.start:,}") from None
    except OSError as error:
        raise InvalidArgument(str(path), error.strerror or str(error)) from None


def count_actions(
    path: Path, told: Callable[[str], None] = lambda line: None, clock: Callable[[], float] = time.time
) -> int:
    """How many actions a log holds, none of which a system would refuse: of a bad log nothing is to be replayed.

    `told` hears a line if there are keys that are ignored.

    Raises:
        InvalidArgument: as `read_click_log` does, and if the log is empty or goes on into the future.
    """
    ignored: set[str] = set()
    count, ahead_s = 0, clock() + AHEAD_MAX_S
    for action in read_click_log(path, ignored):
        if action.time_s > ahead_s:
            raise InvalidArgument(f"{path}:{action.line}: time", "lies more than 5 minutes in the future")
        count += 1
    if not count:
        raise InvalidArgument(str(path), "holds no action; each line is an object with time, query and document_id")
    if ignored:
        names = ", ".join(sorted(repr(key[:80]) for key in ignored)[:IGNORED_MAX])
        told(f"{path}: {names} ignored; the keys are {', '.join(FIELDS)}")
    return count


def _row(where: str, text: str) -> dict[str, Any]:
    try:
        row: Any = json.loads(text)
    except ValueError as error:
        raise InvalidArgument(where, f"is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise InvalidArgument(where, "is not a JSON object with time, query and document_id")
    return row


def _action(where: str, number: int, row: Mapping[str, Any]) -> LoggedAction:
    for name in ("time", "query", "document_id"):
        if name not in row:
            raise InvalidArgument(where, f"has no {name}")
    for name in ("query", "document_id", "user_id", "session_id", "action"):
        if not isinstance(row.get(name, ""), str):
            raise InvalidArgument(f"{where}: {name}", "is not text")
    time_s = parse_time(f"{where}: time", row["time"])
    if not isinstance(row["time"], str) and time_s >= MILLISECONDS_MIN:
        raise InvalidArgument(f"{where}: time", f"{row['time']} s is beyond the year 5100 (milliseconds?)")
    if time_s < 0:
        raise InvalidArgument(f"{where}: time", "lies before 1970")
    check_text(f"{where}: query", row["query"], QUERY_CHARS_MAX)
    check_id(f"{where}: document_id", row["document_id"])
    for name in ("user_id", "session_id"):
        check_text(f"{where}: {name}", row.get(name, ""), CONTEXT_CHARS_MAX)
    action = row.get("action", "click")
    if action not in ACTIONS:
        raise InvalidArgument(f"{where}: action", f"{action[:80]!r} is not one of {', '.join(ACTIONS)}")
    seconds = row.get("seconds", 0.0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise InvalidArgument(f"{where}: seconds", "is not a number of 0 or more")
    return LoggedAction(
        number,
        time_s,
        row["query"],
        row["document_id"],
        row.get("user_id", ""),
        row.get("session_id", ""),
        action,
        float(seconds),
    )
