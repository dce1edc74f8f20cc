"""All that memory holds of one query, asked in one batch and a second one for its near queries."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from honeyguide.text import words
from honeyguide_memory.batch import Batch, Pending, as_is
from honeyguide_memory.grams import gram_slots, nearest
from honeyguide_memory.layout import Layout, Owner, owner_id, prediction_id
from honeyguide_memory.mass import HalfLives, Masses
from honeyguide_memory.nodes import Nodes
from honeyguide_memory.posterior import from_words
from honeyguide_memory.predicted_pairs import PredictedPair, kept_pairs
from honeyguide_memory.settings import MemorySettings

WORDS_ASKED_MAX = 8
KEPT_S, KEPT_MAX = 1.0, 1_000
NEAR_ACTIONS = 5.0
"""A query with this many times more actions than the prior counts as hardly gains from near queries: they are not
asked, which saves a round trip for the queries that come most often."""


@dataclass(frozen=True, slots=True)
class NearLimits:
    """How far to look for near queries: how many, and how alike at least."""

    queries_max: int
    similarity_min: float


class QueryMemory:
    """What is known of one normalised query as of a time."""

    def __init__(self, query: str, now_s: float, layout: Layout, nodes: Nodes, limits: NearLimits) -> None:
        self._words = words(query)
        self._layout, self._nodes, self._limits = layout, nodes, limits
        self.key = " ".join(self._words), now_s
        self._owner = owner_id(Owner.QUERY, self.key[0])
        self._slots = gram_slots(self._words)
        self.asked = self.near_asked = False
        self._near: list[tuple[float, Pending[Masses]]] = []
        self._nearest: list[tuple[bytes, float]] | None = None

    def ask(self, batch: Batch) -> None:
        """Asks for observed and predicted pairs, what was shown, the names of near queries, and what is known of the
        words."""
        self.asked = True
        layout = self._layout
        self._observed = batch.ask_owner(layout.owner_key(self._owner))
        self._shown = batch.ask_owner(layout.owner_key(owner_id(Owner.SHOWN, self.key[0])))
        self._postings = [batch.ask(("MGET", *keys), as_is) for keys in self._nodes.gram_keys(self._slots)]
        key = prediction_id(self._words)
        self._predicted = batch.ask(("HGET", layout.bucket_key(key), key), kept_pairs)
        self._by_word = [
            batch.ask_owner(layout.owner_key(owner_id(Owner.WORD, word)))
            for word in dict.fromkeys(self._words[:WORDS_ASKED_MAX])
        ]

    def gains_from_near(self, prior_strength: float) -> bool:
        """Whether it has so few actions of its own that near queries tell something."""
        return bool(np.maximum(self.observed.long, 0.0).sum() < NEAR_ACTIONS * prior_strength)

    def ask_near(self, batch: Batch) -> None:
        """Asks for the pairs of the near queries, once `ask` is answered."""
        self.near_asked = True
        self._near = [
            (similarity, batch.ask_owner(self._layout.owner_key(owner)))
            for owner, similarity in self.nearest()
            if similarity >= self._limits.similarity_min
        ]

    def nearest(self) -> list[tuple[bytes, float]]:
        """Other known queries, however little alike, and their similarity, most similar first."""
        if self._nearest is None:
            found = [posted for pending in self._postings for posted in pending.value if posted]
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
    def shown(self) -> Masses:
        """Documents shown, each time by how likely they were looked at; the target without a name counts pages."""
        return self._shown.value

    @property
    def predicted(self) -> list[PredictedPair]:
        """Predicted pairs, those of deleted or changed documents among them."""
        return self._predicted.value

    @cached_property
    def words_say(self) -> Mapping[bytes, float]:
        """What the words speak for, whatever the query: see `posterior.from_words`."""
        return from_words([pending.value for pending in self._by_word])

    @property
    def near(self) -> list[tuple[float, Masses]]:
        """Near queries: similarity and observed pairs."""
        return [(similarity, pairs.value) for similarity, pairs in self._near]

    def sources(
        self, predicted: Mapping[bytes, float], near: Mapping[bytes, float], settings: MemorySettings
    ) -> list[tuple[float, Mapping[bytes, float]]]:
        """What the query's prior is mixed of (see `posterior.mix`): predicted pairs, near queries, words."""
        return [
            (settings.prior_predicted, predicted),
            (settings.prior_near, near),
            (settings.prior_words, self.words_say),
        ]


class QueryMemories:
    """Makes query memories, and keeps those of searches under way: what was asked for the context of a decision serves
    retrieval a moment later, and saves it two round trips. Each serves once, and within `KEPT_S`."""

    def __init__(self, layout: Layout, nodes: Nodes, lives: HalfLives, limits: NearLimits) -> None:
        self.lives = lives
        self._layout, self._nodes, self._limits = layout, nodes, limits
        self._kept: OrderedDict[tuple[str, float], tuple[float, QueryMemory]] = OrderedDict()

    def new(self, query: str, now_s: float) -> QueryMemory:
        """One that asks anew."""
        return QueryMemory(query, now_s, self._layout, self._nodes, self._limits)

    def keep(self, memory: QueryMemory) -> None:
        """Keeps one whose questions were answered."""
        self._kept[memory.key] = time.monotonic(), memory
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    def take(self, query: str, now_s: float) -> QueryMemory:
        """The one kept for this query as of this time, or a new one."""
        kept_at_s, kept = self._kept.pop((" ".join(words(query)), now_s), (-KEPT_S, None))
        if kept is None or time.monotonic() - kept_at_s >= KEPT_S:
            return self.new(query, now_s)
        return kept
