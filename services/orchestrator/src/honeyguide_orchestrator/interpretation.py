"""Readings of a whole query, put together from what its spans may name.

Every span reading has a weight of evidence, the log-odds (nats) that it is meant rather than its words being plain
text. For a title or an attribute value v written in words w, of N documents, carried by n of them,

    evidence = ln(n / N) - sum(ln p(w)) = ln(n / N) + sum(idf(w))

compares picking a document and typing its v with typing these words one by one: many words that make up one rare title
are no chance, a single common word may well be. To it come constants for what else tells readings apart (below), and
the learned log-odds of the reading's signature and span.

A reading of the whole query is a set of readings that do not overlap and do not contradict each other; its odds against
plain text are the product of theirs, and the likelihoods are those odds over their sum, plain text having 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from honeyguide.documents import Condition, comparable
from honeyguide.query import Interpretation, Span, SpanReading, Understanding
from honeyguide.text import normalize
from honeyguide_orchestrator.catalog_facts import CatalogFacts, NumericAttribute
from honeyguide_orchestrator.quantities import Quantity

INTERPRETATIONS_MAX = 8
PARTS_MAX = 4  # readings in one interpretation
READINGS_MAX = 64  # readings looked at, the best by evidence
BEAM = 16
COMBINATIONS_MAX = 32
# Low enough that a reading which learning has all but ruled out is still listed, and so can be learned back.
LIKELIHOOD_MIN = 1e-4
DOCUMENT_COUNT_ASSUMED = 10_000
EVIDENCE_MIN = -3.0
EVIDENCE_MAX = 5.0
QUANTITY_EVIDENCE_MAX = 3.0
# Words that bound a number may be a title as well (Under 18), which comes first where the catalogue has it.
BOUND_IN_WORDS_EVIDENCE_MAX = 2.0
# A bare number that an attribute can have is meant as its value more often than as a word.
QUANTITY_EVIDENCE = 2.0
# "Under 2000" is said of prices, not of years, where an attribute of either fits.
AMOUNT_OF_YEARS_EVIDENCE = -7.0
# "Before 2000", "2000+": where an attribute of years and one of amounts fit, the year is meant 20 times as often.
BOUND_OF_YEARS_EVIDENCE = 3.0
# "Under 50 euro" is said of a price, hardly of an attribute named otherwise. What "50 to 60 euro" loses by the width of
# prices beside narrow attributes (5 nats of 0.95 to 40,000 beside inches) must not weigh more than that.
MONEY_EVIDENCE = 2.0
NOT_MONEY_EVIDENCE = -5.0
MONEY_NAMES = frozenset({"price", "cost", "amount", "preis", "kosten", "betrag", "prix", "precio", "prezzo", "prijs"})
# What bounds a number is hardly typed for another reason, and bounds are round: fewer than the values there are.
BOUND_EVIDENCE = 2.0
# Words that compare and are names as well (Air Max 90) may be either.
DOUBTFUL_EVIDENCE = -3.0
# Songs from 1985 are of that year more often than of any year since, those from the 80s nearly always of that decade;
# prices from 100 begin there.
FROM_YEAR_ALONE = 0.65
FROM_DECADE_ALONE = 0.9
FROM_AMOUNT_ALONE = 0.1
EDIT_EVIDENCE = -1.5
# A word for a type is hardly ever typed for another reason, whatever its idf.
TYPE_EVIDENCE = 1.0
# Words of a value are in the text of the documents that carry it: they are no less the value for being that usual.
ATTRIBUTE_EVIDENCE = 1.5
# People type a title alone, or with what tells it from others of its name: unexplained words speak against it.
TITLE_ALONE_EVIDENCE = 1.0
TITLE_AMONG_EVIDENCE = -3.0
# A title that names one document needs no condition to tell it from others: the condition is about something else.
TITLE_FURTHER_EVIDENCE = -1.5
# Of two titles that read the same, the wanted one is likelier the more popular one.
POPULARITY_EXPONENT = 0.5
POPULARITY_EVIDENCE_MIN = -1.0
DAY_S = 86_400.0

LogOdds = Callable[[Sequence[tuple[str, str]]], float]


@dataclass(frozen=True, slots=True)
class QueryWords:
    """The words of a query, corrected, with their inverse document frequencies (nats; 0 = not in the catalogue).

    `informations` says how much each word says, in nats: one that the catalogue does not know as much as the rarest.
    """

    corrected: tuple[str, ...]
    idfs: tuple[float, ...]
    informations: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        unknown = max(self.idfs, default=0.0) or 1.0
        object.__setattr__(self, "informations", tuple(idf if idf > 0 else unknown for idf in self.idfs))

    def text(self, begin: int, end: int) -> str:
        """The words of a span."""
        return " ".join(self.corrected[begin:end])

    def information(self, begin: int, end: int) -> float:
        """How much the words of a span say together, in nats."""
        return sum(self.informations[begin:end])


@dataclass(frozen=True, slots=True)
class Part:
    """One reading of one span as a constraint.

    Attributes:
        begin: first word of the span.
        end: one past its last word.
        signature: kind and name: "title:film", "number:year" for a bare number, "range:year" for what has bounds.
        text: the span's words, "" for a quantity (likelihoods are not learned per number).
        evidence: log-odds against plain text, in nats, before what was learned.
        named: the ids are all the documents of that name, so the words need not be matched as text any more.
    """

    begin: int
    end: int
    signature: str
    text: str
    evidence: float
    types: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    document_ids: tuple[str, ...] = ()
    named: bool = True

    @property
    def is_title(self) -> bool:
        """True if the part names documents outright."""
        return self.signature.startswith("title:")

    @property
    def reading(self) -> tuple[str, str]:
        """Under what its likelihood is learned."""
        return self.signature, self.text


def signature_of(reading: SpanReading) -> str:
    """The signature of a span reading: "attribute:<name>", "type:<type>" or "title:<type>"."""
    if reading.attribute:
        return f"attribute:{reading.attribute.replace('+', '_')}"
    return f"type:{reading.type}" if reading.value == reading.type else f"title:{reading.type}"


def parts_of_spans(spans: Sequence[Span], words: QueryWords, facts: CatalogFacts) -> list[Part]:
    """The readings of recognised spans as parts; spans that lie outside the query are left out."""
    parts: list[Part] = []
    for span in spans:
        if not 0 <= span.begin < span.end <= len(words.corrected):
            continue
        popularity_max = max((r.popularity for r in span.readings if not r.attribute), default=0.0)
        readings = [reading for reading in span.readings if reading.attribute or reading.type]
        found = [_part_of_reading(span, reading, words, facts, popularity_max) for reading in readings]
        for part, reading in zip(_bounded(found, EVIDENCE_MAX), readings, strict=True):
            parts.append(replace(part, evidence=part.evidence + EDIT_EVIDENCE * reading.edits))
    return parts


def parts_of_quantities(quantities: Sequence[Quantity], words: QueryWords, facts: CatalogFacts) -> list[Part]:
    """Each quantity as a condition on each numeric attribute in whose range it lies."""
    parts: list[Part] = []
    for quantity in quantities:
        if quantity.end > len(words.corrected):
            continue
        read = [(_part_of_quantity(quantity, attribute, words, facts), attribute) for attribute in facts.numeric]
        found = [(part, attribute) for part, attribute in read if part is not None]
        in_words = not quantity.explicit and (quantity.low < quantity.high or quantity.from_alone)
        evidence_max = BOUND_IN_WORDS_EVIDENCE_MAX if in_words else QUANTITY_EVIDENCE_MAX
        bounded = _bounded([part for part, _ in found], evidence_max)
        if quantity.doubtful or quantity.from_alone:
            said = [_said(quantity, attribute) for _, attribute in found]
            bounded = [replace(one, evidence=one.evidence + more) for one, more in zip(bounded, said, strict=True)]
        parts.extend(bounded)
    return parts


def _said(quantity: Quantity, attribute: NumericAttribute) -> float:
    """What the words beside a number say of this reading of them, in nats."""
    if quantity.doubtful:
        return DOUBTFUL_EVIDENCE
    alone = FROM_YEAR_ALONE if _is_of_years(attribute) else FROM_AMOUNT_ALONE
    if quantity.unit == "year":
        alone = FROM_DECADE_ALONE
    return math.log(1.0 - alone if math.isinf(quantity.high) else alone)


def _is_of_years(attribute: NumericAttribute) -> bool:
    return attribute.is_time or (attribute.low >= 1000 and attribute.high < 3000)


def _bounded(parts: Sequence[Part], evidence_max: float) -> list[Part]:
    # The best reading of a span is bounded, and the others with it, so that they still compare.
    above = max(0.0, max((part.evidence for part in parts), default=0.0) - evidence_max)
    return [replace(part, evidence=max(part.evidence - above, EVIDENCE_MIN)) for part in parts]


def interpret(parts: Sequence[Part], words: QueryWords, log_odds: LogOdds) -> tuple[tuple[Interpretation, ...], float]:
    """The likeliest interpretations, at most 8, and the likelihood in [0, 1] that the query is plain text.

    What is missing to 1 belongs to interpretations too unlikely to be listed.
    """
    alone = [(_score((part,), words, log_odds), part) for part in parts]
    alone.sort(key=lambda row: (-row[0], row[1].begin, row[1].end, row[1].signature))
    combinations = _combinations(alone[:READINGS_MAX], len(words.corrected))
    scored = [
        (score if len(combination) == 1 else _score(combination, words, log_odds), combination)
        for score, combination in combinations
    ]
    top = max([0.0, *(score for score, _ in scored)])
    plain = math.exp(-top)
    total = plain + sum(math.exp(score - top) for score, _ in scored)
    merged: dict[tuple[object, ...], Interpretation] = {}
    for score, combination in scored:
        likelihood = min(1.0, math.exp(score - top) / total)
        if likelihood < LIKELIHOOD_MIN:
            continue
        interpretation = _join(combination, words, likelihood)
        key = (interpretation.types, interpretation.conditions, interpretation.document_ids, interpretation.rest)
        other = merged.get(key)
        if other is not None:
            likelihood = min(1.0, interpretation.likelihood + other.likelihood)
            stronger = max(interpretation, other, key=lambda i: i.likelihood)
            interpretation = replace(stronger, likelihood=likelihood)
        merged[key] = interpretation
    listed = sorted(merged.values(), key=lambda i: (-i.likelihood, i.signature, i.rest))
    return tuple(listed[:INTERPRETATIONS_MAX]), plain / total


def explained(understanding: Understanding, interpretation: Interpretation) -> tuple[tuple[str, str], ...]:
    """The (signature, span) of every reading that went into an interpretation; the span of a quantity is ""."""
    query_words = understanding.corrected_query.split(" ")
    left = list(understanding.spans)
    readings = []
    for signature in interpretation.signature.split("+"):
        text = ""
        for span in left:
            if any(signature_of(r) == signature and _is_in(r, interpretation) for r in span.readings):
                text = " ".join(query_words[span.begin : span.end])
                left.remove(span)  # another reading of this signature is of another span
                break
        readings.append((signature, text))
    return tuple(readings)


def _is_in(reading: SpanReading, interpretation: Interpretation) -> bool:
    if reading.attribute:
        return _condition(reading) in interpretation.conditions
    if reading.value == reading.type:
        return reading.type in interpretation.types
    return reading.document_ids == interpretation.document_ids


def _condition(reading: SpanReading) -> Condition:
    return Condition(reading.attribute, frozenset([comparable(reading.value)]))


def _part_of_reading(
    span: Span, reading: SpanReading, words: QueryWords, facts: CatalogFacts, popularity_max: float
) -> Part:
    signature = signature_of(reading)
    text = words.text(span.begin, span.end)
    if signature.startswith("type:"):
        return Part(span.begin, span.end, signature, text, TYPE_EVIDENCE, types=(reading.type,))
    documents = max(facts.document_count or DOCUMENT_COUNT_ASSUMED, reading.document_count, 1)
    evidence = words.information(span.begin, span.end) + math.log(max(reading.document_count, 1) / documents)
    if reading.attribute:
        evidence += ATTRIBUTE_EVIDENCE
        return Part(span.begin, span.end, signature, text, evidence, conditions=(_condition(reading),))
    if popularity_max > 0:
        relative = POPULARITY_EXPONENT * math.log((1 + max(reading.popularity, 0.0)) / (1 + popularity_max))
        evidence += max(relative, POPULARITY_EVIDENCE_MIN)
    return Part(
        span.begin,
        span.end,
        signature,
        text,
        evidence,
        types=(reading.type,),
        document_ids=reading.document_ids,
        named=0 < reading.document_count <= len(reading.document_ids),
    )


def _part_of_quantity(
    quantity: Quantity, attribute: NumericAttribute, words: QueryWords, facts: CatalogFacts
) -> Part | None:
    low, high, unit = quantity.low, quantity.high, 1.0
    if attribute.is_time:
        times = quantity.times()
        if times is None:
            return None
        low, high, unit = *times, DAY_S
    elif quantity.unit == "second":
        return None
    if not any(attribute.low <= bound <= attribute.high for bound in (low, high)):
        return None  # a condition that all meet, or none
    evidence = 0.0
    if math.isfinite(attribute.low) and math.isfinite(attribute.high):
        # As for names: typing a value of the attribute (even over its range) against typing this word of all words.
        # A notation that only numbers have is not typed as a word at all.
        documents = max(facts.document_count or DOCUMENT_COUNT_ASSUMED, attribute.count, 1)
        width = (attribute.high - attribute.low) / unit + 1
        # Any value may be a bound, of a wide range no less than of a narrow one.
        one_sided = math.isinf(low) or math.isinf(high)
        overlap = width if one_sided else (min(high, attribute.high) - max(low, attribute.low)) / unit + 1
        share = min(1.0, overlap / width)
        carried = max(attribute.count, 1) / documents
        rarity = math.log(documents)
        if not quantity.explicit:
            rarity = sum(idf if idf > 0 else rarity for idf in words.idfs[quantity.begin : quantity.end])
        evidence = math.log(share * carried) + rarity + QUANTITY_EVIDENCE
        if one_sided or quantity.from_alone:
            evidence += BOUND_EVIDENCE
        if one_sided and not quantity.of_amount and _is_of_years(attribute):
            evidence += BOUND_OF_YEARS_EVIDENCE
    if quantity.of_amount and _is_of_years(attribute):
        evidence += AMOUNT_OF_YEARS_EVIDENCE
    if quantity.of_money:
        evidence += NOT_MONEY_EVIDENCE if MONEY_NAMES.isdisjoint(_name_words(attribute)) else MONEY_EVIDENCE
    begin, end = _with_name(quantity, attribute, words)
    evidence += words.information(begin, quantity.begin) + words.information(quantity.end, end)
    condition = Condition(attribute.name, None, low, high)
    # A number may be part of a name (Windows 10), a range hardly is: what is learned of one says nothing of the other.
    kind = "range" if quantity.explicit or quantity.low < quantity.high else "number"
    signature = f"{kind}:{attribute.name.replace('+', '_')}"
    return Part(begin, end, signature, "", evidence, conditions=(condition,))


def _with_name(quantity: Quantity, attribute: NumericAttribute, words: QueryWords) -> tuple[int, int]:
    """The words of a quantity, and the word before or behind it if that is one of the attribute's name: "under 30
    minutes", "price below 100"."""
    name = _name_words(attribute)
    begin, end = quantity.begin, quantity.end
    if end < len(words.corrected) and _singular(words.corrected[end]) in name:
        return begin, end + 1
    if begin and _singular(words.corrected[begin - 1]) in name:
        return begin - 1, end
    return begin, end


def _name_words(attribute: NumericAttribute) -> set[str]:
    return {_singular(word) for word in normalize(attribute.name.replace("_", " ")).split()}


def _singular(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 else word


def _combinations(alone: Sequence[tuple[float, Part]], last: int) -> list[tuple[float, tuple[Part, ...]]]:
    # Beam search from the first word to the last: at each, either leave it as text or take a part that begins there.
    # Scores of parts alone are added up, which is nearly what they score together.
    starting: dict[int, list[tuple[Part, float]]] = {}
    for score, part in alone:
        starting.setdefault(part.begin, []).append((part, score))
    beams: list[list[tuple[float, tuple[Part, ...]]]] = [[] for _ in range(last + 1)]
    beams[0].append((0.0, ()))
    for position in range(last):
        beam = sorted(beams[position], key=lambda state: -state[0])[:BEAM]
        beams[position + 1].extend(beam)
        for score, taken in beam:
            if len(taken) == PARTS_MAX:
                continue
            for part, gain in starting.get(position, ()):
                if _compatible(taken, part):
                    beams[part.end].append((score + gain, (*taken, part)))
    return [state for state in sorted(beams[last], key=lambda state: -state[0])[:COMBINATIONS_MAX] if state[1]]


def _compatible(taken: Sequence[Part], part: Part) -> bool:
    """False if the part wants another document, type or interval than the parts taken."""
    for other in taken:
        if part.is_title and other.is_title:
            return False
        if part.types and other.types and (part.types != other.types or not (part.is_title or other.is_title)):
            return False
        for condition in part.conditions:
            for earlier in other.conditions:
                if condition == earlier:
                    return False
                both_ranges = condition.any_of is None and earlier.any_of is None
                apart = max(condition.low, earlier.low) > min(condition.high, earlier.high)
                if condition.attribute == earlier.attribute and both_ranges and apart:
                    return False
    return True


def _score(parts: tuple[Part, ...], words: QueryWords, log_odds: LogOdds) -> float:
    score = sum(part.evidence for part in parts) + log_odds([part.reading for part in parts])
    for title in parts:
        if title.is_title:
            covered = [i for part in parts if part is not title for i in range(part.begin, part.end)]
            left = sum(words.informations) - sum(words.informations[i] for i in covered)
            share = words.information(title.begin, title.end) / left if left > 0 else 1.0
            score += TITLE_AMONG_EVIDENCE + (TITLE_ALONE_EVIDENCE - TITLE_AMONG_EVIDENCE) * share
            if title.named and len(title.document_ids) == 1 and any(part.conditions for part in parts):
                score += TITLE_FURTHER_EVIDENCE
    return score


def _join(parts: tuple[Part, ...], words: QueryWords, likelihood: float) -> Interpretation:
    covered = {i for part in parts if part.named for i in range(part.begin, part.end)}
    types = dict.fromkeys(type for part in parts for type in part.types)
    return Interpretation(
        likelihood=likelihood,
        types=tuple(types),
        conditions=_intersected(condition for part in parts for condition in part.conditions),
        document_ids=next((part.document_ids for part in parts if part.document_ids), ()),
        rest=" ".join(word for i, word in enumerate(words.corrected) if i not in covered),
        signature="+".join(sorted(part.signature for part in parts)),
    )


def _intersected(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    # ">1990 <2000" is one interval: two conditions on one attribute could be met by two of its values.
    kept: dict[object, Condition] = {}
    for condition in conditions:
        key: object = condition.attribute if condition.any_of is None else condition
        earlier = kept.get(key)
        if earlier is not None:
            low, high = max(condition.low, earlier.low), min(condition.high, earlier.high)
            condition = Condition(condition.attribute, None, low, high)
        kept[key] = condition
    return tuple(kept.values())
