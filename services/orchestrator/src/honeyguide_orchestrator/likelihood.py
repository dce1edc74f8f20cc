"""How likely each kind of reading is right, learned from what people chose.

A reading is of a kind ("title"), has a signature ("title:film") and covers a span of words ("love"). Each level keeps
Beta counts and backs off to the one above, as many pseudo-observations strong as `BACK_OFF` says:

    p(span) = (BACK_OFF * p(signature) + successes) / (BACK_OFF + successes + failures)

and so on up to 1/2. A combination of readings backs off to the readings being independently right (their log-odds
added up). Older counts fade by `FADE` at every update of the same row, which needs no clock and replays exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from honeyguide.documents import Value
from honeyguide.query import Interpretation, Understanding
from honeyguide.text import words
from honeyguide_orchestrator.interpretation import explained

BACK_OFF = 5.0
FADE = 0.999
SIGNATURES_MAX = 2_000
SPANS_MAX = 10_000
SLACK = 1.1
PRIOR_MIN = 0.005
_SEPARATOR = "\t"

Counts = tuple[float, float]


class Likelihoods:
    """The learned table; a replica reads it from a snapshot, the learner alone changes it (`learn`)."""

    def __init__(self, signatures: Mapping[str, Counts] | None = None, spans: Mapping[str, Counts] | None = None):
        self._signatures: dict[str, Counts] = dict(signatures or {})
        self._spans: dict[str, Counts] = dict(spans or {})

    def prior(self, signature: str, span: str = "") -> float:
        """Probability in [0.005, 0.995] that a reading of this signature, covering this span, is what was meant."""
        mean = _mean(self._signatures.get(_kind(signature)), 0.5)
        mean = _mean(self._signatures.get(signature), mean)
        if span:
            mean = _mean(self._spans.get(signature + _SEPARATOR + span), mean)
        return min(max(mean, PRIOR_MIN), 1 - PRIOR_MIN)

    def log_odds(self, readings: Sequence[tuple[str, str]]) -> float:
        """Log-odds that all of these (signature, span) are what was meant together, in nats."""
        together = sum(_logit(self.prior(signature, span)) for signature, span in readings)
        counts = self._signatures.get(joint_signature(signature for signature, _ in readings))
        if len(readings) < 2 or counts is None:
            return together
        return _logit(min(max(_mean(counts, _sigmoid(together)), PRIOR_MIN), 1 - PRIOR_MIN))

    def learn(self, understanding: Understanding, satisfied_flags: Sequence[bool], weight: float = 1.0) -> None:
        """Takes in one choice: which interpretations of the search the chosen document satisfies.

        A satisfied interpretation counts as right unless a satisfied one says more (it then says nothing: whatever
        satisfies genre and year satisfies genre too). One that is not satisfied counts as wrong; that it combines
        several readings then says nothing of each. A kind counts as wrong once, however many readings of it are: a
        number is read as every attribute in whose range it lies, of which few can be meant.

        Args:
            understanding: of that search.
            satisfied_flags: one for each of its interpretations; see `satisfied`.
            weight: how much the choice says, in (0, 1].
        """
        interpretations = understanding.interpretations
        right = [i for i, flag in zip(interpretations, satisfied_flags, strict=True) if flag]
        successes: set[tuple[str, str]] = set()
        failures: set[tuple[str, str]] = set()
        for interpretation, flag in zip(interpretations, satisfied_flags, strict=True):
            readings = explained(understanding, interpretation)
            if flag and any(_says_more(other, interpretation) for other in right):
                continue
            if len(readings) > 1:
                (successes if flag else failures).add((interpretation.signature, ""))
            if flag:
                successes.update(readings)
            elif len(readings) == 1:
                failures.update(readings)
        failures -= successes
        for signature, span in sorted(successes):
            self._count(signature, span, 1.0, weight)
        for signature, span in sorted(failures):
            self._count(signature, span, 0.0, weight)
        for kind in _kinds(successes):
            _add(self._signatures, kind, 1.0, weight)
        for kind in dict.fromkeys(_kinds(failures)):
            _add(self._signatures, kind, 0.0, weight)
        self._bound()

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for a snapshot."""
        return {
            "signatures": {key: list(counts) for key, counts in self._signatures.items()},
            "spans": {key: list(counts) for key, counts in self._spans.items()},
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Likelihoods:
        """Reads what `to_dict` wrote; what is missing starts empty."""
        return cls(
            {key: (float(s), float(f)) for key, (s, f) in plain.get("signatures", {}).items()},
            {key: (float(s), float(f)) for key, (s, f) in plain.get("spans", {}).items()},
        )

    def _count(self, signature: str, span: str, success: float, weight: float) -> None:
        _add(self._signatures, signature, success, weight)
        if span:
            _add(self._spans, signature + _SEPARATOR + span, success, weight)

    def _bound(self) -> None:
        self._signatures = _most_used(self._signatures, SIGNATURES_MAX)
        self._spans = _most_used(self._spans, SPANS_MAX)


def satisfied(
    interpretation: Interpretation,
    document_id: str,
    type: str,
    attributes: Mapping[str, tuple[Value, ...]],
    title: str = "",
) -> bool:
    """True if a document is what an interpretation asks for; the words left as text are not looked at.

    With its `title` given, a document that an interpretation names but does not list (there are more of that name than
    an interpretation lists) is known by the words of its title.
    """
    if interpretation.types and type not in interpretation.types:
        return False
    if not all(condition.matches(attributes.get(condition.attribute, ())) for condition in interpretation.conditions):
        return False
    if not interpretation.document_ids or document_id in interpretation.document_ids:
        return True
    return bool(title and interpretation.rest) and set(words(interpretation.rest)) <= set(words(title))


def joint_signature(signatures: Iterable[str]) -> str:
    """The signature of several readings together."""
    return "+".join(sorted(signatures))


def _kind(signature: str) -> str:
    return signature.split(":", 1)[0]


def _kinds(readings: Iterable[tuple[str, str]]) -> list[str]:
    """The kind of each reading; what several readings are together is of none."""
    return sorted(_kind(signature) for signature, _ in readings if "+" not in signature)


def _says_more(other: Interpretation, than: Interpretation) -> bool:
    if other is than:
        return False
    return (
        set(than.conditions) <= set(other.conditions)
        and set(than.document_ids) <= set(other.document_ids)
        and (not than.types or set(than.types) == set(other.types))
        and other.signature.count("+") > than.signature.count("+")
    )


def _add(table: dict[str, Counts], key: str, success: float, weight: float) -> None:
    successes, failures = table.get(key, (0.0, 0.0))
    table[key] = (successes * FADE + success * weight, failures * FADE + (1.0 - success) * weight)


def _most_used(table: dict[str, Counts], rows_max: int) -> dict[str, Counts]:
    # Some slack, so that the sort is not paid at every update.
    if len(table) <= rows_max * SLACK:
        return table
    kept = sorted(table.items(), key=lambda row: (-sum(row[1]), row[0]))[:rows_max]
    return dict(kept)


def _mean(counts: Counts | None, prior: float) -> float:
    if counts is None:
        return prior
    successes, failures = counts
    return (BACK_OFF * prior + successes) / (BACK_OFF + successes + failures)


def _logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))


def _sigmoid(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(log_odds, -50.0), 50.0)))
