"""What memory knows of a query and a user: the context of a decision, evidence to rank by, and the documents that were
acted on for this query.

One round trip; a second one if near queries help, or for the documents if there are any.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from honeyguide.candidates import Candidates
from honeyguide.documents import Context, Filter
from honeyguide.query import Taste
from honeyguide.redis_store import RedisStore
from honeyguide.retriever import Answer
from honeyguide_memory.batch import Batch, Pending
from honeyguide_memory.known import Known, known
from honeyguide_memory.layout import Layout, Owner, owner_id
from honeyguide_memory.mass import Masses
from honeyguide_memory.posterior import from_near, mix, told
from honeyguide_memory.query_memory import QueryMemories, QueryMemory
from honeyguide_memory.retriever import MemoryRetriever
from honeyguide_memory.settings import MemorySettings

TASTE_MAX = 50
PAGE = b""
"""The target that counts the pages shown for a query."""

NO_FILTER = Filter()


@dataclass(frozen=True, slots=True)
class Recollection:
    """What memory knows; see `honeyguide.memory.v1.RecallResponse` for the meaning of each part."""

    actions: float = 0.0
    entropy: float = 0.0
    top_share: float = 0.0
    near_similarity: float = 0.0
    user_actions: float = 0.0
    taste: Taste = Taste()
    pages: float = 0.0
    known: Known = field(default_factory=Known)
    answer: Answer | None = None


class Recall:
    """Recalls queries and users from Redis."""

    def __init__(
        self,
        store: RedisStore,
        layout: Layout,
        settings: MemorySettings,
        memories: QueryMemories,
        retriever: MemoryRetriever,
    ) -> None:
        self._store = store
        self._layout = layout
        self._lives = memories.lives
        self._settings = settings
        self._memories = memories
        self._retriever = retriever

    async def recall(
        self, normalized_query: str, context: Context, filter: Filter = NO_FILTER, depth: int = 0
    ) -> Recollection:
        """What is known as of the context's time; `depth` candidates that the filter lets pass, if people acted on this
        very query."""
        begin = time.perf_counter()
        batch = Batch(self._store, context.time_s, self._lives)
        query = None
        if normalized_query:
            query = self._memories.new(normalized_query, context.time_s)
            query.ask(batch)
        user = self._ask(batch, Owner.USER, context.user_id)
        session = self._ask(batch, Owner.SESSION, context.session_id)
        await batch.run()
        observed = query.observed if query else None
        answer: Callable[[], Candidates] | None = None
        if query and depth and query.observed.positive.any():
            answer = self._retriever.of_query(query, context, filter, depth, batch)
        if query and query.gains_from_near(self._settings.prior_strength):
            query.ask_near(batch)
        await batch.run()
        if query:
            self._memories.keep(query)
        entropy, top_share = spread(observed) if observed else (0.0, 0.0)
        impressions = dict(zip(query.shown.targets, query.shown.long.tolist(), strict=True)) if query else {}
        pages = impressions.pop(PAGE, 0.0)
        of_user, of_session = user.value if user else None, session.value if session else None
        return Recollection(
            actions=float(observed.positive.sum()) if observed else 0.0,
            entropy=entropy,
            top_share=top_share,
            near_similarity=query.nearest_similarity if query else 0.0,
            user_actions=float(of_user.positive.sum()) if of_user else 0.0,
            taste=Taste(
                newest_first(of_session, context.time_s - self._settings.session_s) if of_session else (),
                newest_first(of_user) if of_user else (),
            ),
            pages=pages,
            known=self._known(query, impressions, context.time_s) if query else Known(),
            answer=Answer(answer(), time.perf_counter() - begin) if answer else None,
        )

    def _known(self, query: QueryMemory, impressions: Mapping[bytes, float], now_s: float) -> Known:
        # Whether a predicted pair is of the document's present version is not looked up: a document that was found
        # otherwise and was once predicted for the query is no bad guess.
        predicted = {pair.document: float(pair.score) for pair in query.predicted}
        near = from_near(query.near, self._settings.prior_strength)
        sources = query.sources(predicted, near, self._settings)
        share = told(sources)
        prior = {document: share * probability for document, probability in mix(sources).items()}
        return known(query.observed, impressions, prior, now_s, self._lives)

    def _ask(self, batch: Batch, kind: Owner, name: str) -> Pending[Masses] | None:
        return batch.ask_owner(self._layout.owner_key(owner_id(kind, name))) if name else None


def spread(observed: Masses) -> tuple[float, float]:
    """Entropy in nats of how actions spread over documents, and the share of the most chosen one; 0, 0 = nothing."""
    wanted = np.maximum(observed.net, 0.0)
    total = wanted.sum()
    if total <= 0:
        return 0.0, 0.0
    shares = wanted[wanted > 0] / total
    return max(0.0, float(-(shares * np.log(shares)).sum())), float(shares.max())


def newest_first(acted: Masses, since_s: float = -np.inf) -> tuple[str, ...]:
    """Documents that were liked on the whole, those of the newest action first; at most 50."""
    rows = [
        (last_s, target)
        for target, net, last_s in zip(acted.targets, acted.net.tolist(), acted.last_s.tolist(), strict=True)
        if net > 0 and last_s >= since_s
    ]
    rows.sort(key=lambda row: (-row[0], row[1]))
    return tuple(target.decode() for _, target in rows[:TASTE_MAX])
