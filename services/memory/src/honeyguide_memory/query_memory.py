"""All that memory holds of one query, asked in one batch and a second one for its near queries."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from honeyguide.text import words
from honeyguide_memory.batch import Batch, Pending
from honeyguide_memory.grams import gram_slots, nearest
from honeyguide_memory.layout import Layout, Owner, owner_id, prediction_id
from honeyguide_memory.mass import HalfLives, Masses, masses, masses_of_each
from honeyguide_memory.posterior import from_words
from honeyguide_memory.settings import MemorySettings

WORDS_ASKED_MAX = 8
_PAIR = struct.Struct("<HHH")


@dataclass(frozen=True, slots=True)
class PredictedPair:
    """A predicted pair: the document, its score (0 to 65,535) and the stamp of the document's version."""

    document: bytes
    score: int
    stamp: int


@dataclass(frozen=True, slots=True)
class NearLimits:
    """How far to look for near queries: how many, and how alike at least."""

    queries_max: int
    similarity_min: float


class QueryMemory:
    """What is known of one normalised query as of a time."""

    def __init__(self, query: str, now_s: float, layout: Layout, lives: HalfLives, limits: NearLimits) -> None:
        self._words = words(query)
        self._now_s, self._layout, self._lives, self._limits = now_s, layout, lives, limits
        self._owner = owner_id(Owner.QUERY, " ".join(self._words))
        self._slots = gram_slots(self._words)
        self._near: list[tuple[float, Pending[list[bytes]]]] = []
        self._nearest: list[tuple[bytes, float]] | None = None

    def ask_observed(self, batch: Batch) -> None:
        """Asks for observed pairs and for the names of near queries."""
        layout = self._layout
        self._observed = batch.ask(("HGETALL", layout.owner_key(self._owner)), self._masses)
        self._postings = [
            batch.ask(("ZRANGE", layout.gram_tag(slot) + b"%d" % slot, 0, -1), _as_is) for slot in self._slots
        ]

    def ask_prior(self, batch: Batch) -> None:
        """Asks for predicted pairs and for what is known of the words."""
        key = prediction_id(self._words)
        self._predicted = batch.ask(("HGET", self._layout.bucket_key(key), key), _predicted)
        self._by_word = [
            batch.ask(("HGETALL", self._layout.owner_key(owner_id(Owner.WORD, word))), _as_is)
            for word in dict.fromkeys(self._words[:WORDS_ASKED_MAX])
        ]

    def ask_near(self, batch: Batch) -> None:
        """Asks for the pairs of the near queries, once `ask_observed` is answered."""
        self._near = [
            (similarity, batch.ask(("HGETALL", self._layout.owner_key(owner)), _as_is))
            for owner, similarity in self.nearest()
            if similarity >= self._limits.similarity_min
        ]

    def nearest(self) -> list[tuple[bytes, float]]:
        """Other known queries, however little alike, and their similarity, most similar first."""
        if self._nearest is None:
            found = [posting.value for posting in self._postings]
            self._nearest = nearest(found, self._owner, len(self._slots), 0.0, self._limits.queries_max)
        return self._nearest

    @property
    def nearest_similarity(self) -> float:
        """Similarity of the nearest other known query, in [0, 1]; 0 = none."""
        found = self.nearest()
        return found[0][1] if found else 0.0

    @property
    def observed(self) -> Masses:
        """Observed pairs."""
        return self._observed.value

    @property
    def predicted(self) -> list[PredictedPair]:
        """Predicted pairs, those of deleted or changed documents among them."""
        return self._predicted.value

    @property
    def by_word(self) -> list[Masses]:
        """Pairs of each word."""
        return masses_of_each([pending.value for pending in self._by_word], self._now_s, self._lives)

    @property
    def near(self) -> list[tuple[float, Masses]]:
        """Near queries: similarity and observed pairs."""
        found = masses_of_each([pending.value for _, pending in self._near], self._now_s, self._lives)
        return [(similarity, pairs) for (similarity, _), pairs in zip(self._near, found, strict=True)]

    def sources(
        self, predicted: Mapping[bytes, float], near: Mapping[bytes, float], settings: MemorySettings
    ) -> list[tuple[float, Mapping[bytes, float]]]:
        """What the query's prior is mixed of (see `posterior.mix`): predicted pairs, near queries, words."""
        words_say = from_words(self.by_word)
        return [
            (settings.prior_predicted, predicted),
            (settings.prior_near, near),
            (settings.prior_words, words_say),
        ]

    def _masses(self, reply: list[bytes]) -> Masses:
        return masses(reply, self._now_s, self._lives)


def _as_is(reply: Any) -> Any:
    return reply


def _predicted(reply: bytes | None) -> list[PredictedPair]:
    pairs: list[PredictedPair] = []
    at = 0
    while reply and at < len(reply):
        score, stamp, length = _PAIR.unpack_from(reply, at)
        at += _PAIR.size
        pairs.append(PredictedPair(reply[at : at + length], score, stamp))
        at += length
    return pairs
