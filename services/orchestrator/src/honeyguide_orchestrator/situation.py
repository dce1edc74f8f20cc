"""The context of a decision, as the numbers that policies see."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from honeyguide.documents import Context
from honeyguide.query import Taste, Understanding
from honeyguide_orchestrator.fanout import Outcome
from honeyguide_orchestrator.language import LATIN, shape
from honeyguide_orchestrator.query_evidence import NOTHING_REMEMBERED, Remembered

Floats = npt.NDArray[np.float32]

WORD_BUCKETS = 16
INTENT_BUCKETS = 8
ATTRIBUTE_BUCKETS = 4

_PLAIN = (
    "bias",
    "words",
    "characters",
    "digits",
    "question",
    "not_latin",
    "known",
    "entropy",
    "top_share",
    "near_similarity",
    "idf_max",
    "coverage",
    "confidence",
    "text_intent",
    "corrected",
    "named_documents",
    "has_user",
    "user_actions",
    "session_taste",
    "user_taste",
    "hour_sin",
    "hour_cos",
    "weekend",
    "season_sin",
    "season_cos",
    "filtered",
    "empty",
    "in_vain",
    "always_in_vain",
)

FEATURES: tuple[str, ...] = (
    *_PLAIN,
    *(f"word_{i}" for i in range(WORD_BUCKETS)),
    *(f"intent_{i}" for i in range(INTENT_BUCKETS)),
    *(f"locale_{i}" for i in range(ATTRIBUTE_BUCKETS)),
    *(f"device_{i}" for i in range(ATTRIBUTE_BUCKETS)),
    *(f"segment_{i}" for i in range(ATTRIBUTE_BUCKETS)),
)
"""Names of the context's features, in the order of `describe`."""


def named(x: Floats) -> dict[str, float]:
    """The context's features by name, those that are not 0; none where they are of another version."""
    if len(x) != len(FEATURES):
        return {}
    return {name: float(value) for name, value in zip(FEATURES, x, strict=True) if value}


_YEAR_S = 365.2425 * 86_400


@dataclass(frozen=True, slots=True)
class Recollection:
    """What memory knows of the query and the user; see `honeyguide.memory.v1.RecallResponse`.

    answers: by name, what strategies answered already.
    """

    actions: float = 0.0
    pages: float = 0.0
    entropy: float = 0.0
    top_share: float = 0.0
    near_similarity: float = 0.0
    user_actions: float = 0.0
    taste: Taste = Taste()
    remembered: Remembered = NOTHING_REMEMBERED
    answers: Mapping[str, Outcome] = field(default_factory=dict)


def describe(
    query: str, understanding: Understanding, recollection: Recollection, context: Context, filtered: bool
) -> Floats:
    """The context's features (float32, one for each name in `FEATURES`), all of order 1.

    Words, intents, locales, devices and segments are hashed into a few buckets (feature hashing, Weinberger et al.
    2009): cheap, bounded, and open to words never seen, where an embedding of the query would cost an encoding.
    """
    in_vain = max(math.log1p(recollection.pages) - math.log1p(recollection.actions), 0.0)
    words = understanding.normalized_query.split()
    look = shape(query)
    moment = datetime.fromtimestamp(context.time_s, UTC)
    day = (moment.hour + moment.minute / 60) / 24 * math.tau
    season = (context.time_s % _YEAR_S) / _YEAR_S * math.tau
    plain = (
        1.0,
        math.log1p(look.word_count) / 2,
        math.log1p(len(query)) / 4,
        float(look.has_digits),
        float(look.is_question),
        float(look.script not in ("", LATIN)),
        math.log1p(recollection.actions) / 2,
        recollection.entropy / 3,
        recollection.top_share,
        recollection.near_similarity,
        understanding.idf_max / 10,
        understanding.coverage,
        understanding.confidence,
        float(understanding.intent == "text"),
        float(understanding.corrected_query != understanding.normalized_query),
        float(any(interpretation.document_ids for interpretation in understanding.interpretations)),
        float(bool(context.user_id)),
        math.log1p(recollection.user_actions) / 3,
        float(bool(recollection.taste.session_document_ids)),
        float(bool(recollection.taste.user_document_ids)),
        math.sin(day),
        math.cos(day),
        float(moment.weekday() >= 5),
        math.sin(season),
        math.cos(season),
        float(filtered),
        float(not words),
        in_vain / 2,
        float(in_vain > 0 and not recollection.actions),
    )
    x = np.zeros(len(FEATURES), np.float32)
    x[: len(plain)] = plain
    at = len(plain)
    scale = 1 / math.sqrt(max(len(words), 1))
    for word in words[:32]:
        bucket, sign = _bucket(word, WORD_BUCKETS)
        x[at + bucket] += sign * scale
    at += WORD_BUCKETS
    x[at + _bucket(understanding.intent, INTENT_BUCKETS)[0]] = 1.0
    at += INTENT_BUCKETS
    for value in (context.locale, context.device, context.segment):
        if value:
            x[at + _bucket(value, ATTRIBUTE_BUCKETS)[0]] = 1.0
        at += ATTRIBUTE_BUCKETS
    return x


def _bucket(text: str, buckets: int) -> tuple[int, float]:
    number = zlib.crc32(text.encode("utf-8", "surrogatepass"))
    return number % buckets, 1.0 if (number >> 16) & 1 else -1.0
