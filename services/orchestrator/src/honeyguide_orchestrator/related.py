"""related.entities: the documents that the best candidates are about (the artist of the song, the people of the film).

It needs what the other strategies found, so the orchestrator serves it itself, after them.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from honeyguide.api.lexical.v1 import lexical_pb2
from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.candidates import CREATED_DAY, NO_CANDIDATES, POPULARITY, Candidates
from honeyguide.documents import DAY_S, Filter, document_from_proto
from honeyguide.errors import DeadlineExceeded, HoneyguideError
from honeyguide.retriever import Strategy
from honeyguide_orchestrator.candidate_features import RECIPROCAL_RANK_K
from honeyguide_orchestrator.fanout import Outcome, Status
from honeyguide_orchestrator.merge import Merged

SEEDS_MAX = 10
RELATED_PER_SEED_MAX = 20
TEXT_BYTES_MAX = 2**14
"""Nothing is asked of texts, and up to 200 documents come in one message."""

RELATED = Strategy(
    name="related.entities",
    description="documents related to the best candidates of the other strategies",
    depth_max=50,
)


class RelatedEntities:
    """Expands candidates along the catalogue's `related` ids."""

    def __init__(self, lexical: Any) -> None:
        self._lexical = lexical

    async def expand(self, found: Merged, filter: Filter, depth: int, timeout_s: float) -> Outcome:
        """At most `depth` documents related to the best of `found`.

        The best are those of highest reciprocal-rank fusion; a related document scores the sum of its seeds' fused
        scores, each divided by one plus its place among that seed's related ids.
        """
        begin = time.perf_counter()
        try:
            candidates = await self._expand(found, filter, depth, timeout_s)
        except HoneyguideError as error:
            status = Status.LATE if isinstance(error, DeadlineExceeded) else Status.FAILED
            return Outcome(status, NO_CANDIDATES, time.perf_counter() - begin, f"related: {error.message}"[:500])
        return Outcome(Status.OK, candidates, time.perf_counter() - begin)

    async def _expand(self, found: Merged, filter: Filter, depth: int, timeout_s: float) -> Candidates:
        if not len(found):
            return NO_CANDIDATES
        fused = np.where(found.ranks > 0, 1 / (RECIPROCAL_RANK_K + found.ranks), 0).sum(axis=1)
        seeds = {found.document_ids[i]: float(fused[i]) for i in np.argsort(-fused, kind="stable")[:SEEDS_MAX]}
        scores: dict[str, float] = {}
        for seed in await self._fetch(list(seeds), timeout_s):
            for place, related_id in enumerate(seed.related[:RELATED_PER_SEED_MAX]):
                scores[related_id] = scores.get(related_id, 0.0) + seeds[seed.id] / (1 + place)
        # More than asked, where the filter may take some away.
        wanted = 2 * depth if filter else depth
        best = sorted(scores, key=lambda related_id: (-scores[related_id], related_id))[:wanted]
        related = [one for one in await self._fetch(best, timeout_s) if _matches(filter, one)][:depth]
        return Candidates(
            document_ids=[one.id for one in related],
            scores=np.array([scores[one.id] for one in related], np.float32),
            types=[one.type for one in related],
            features={
                POPULARITY: np.array([one.popularity for one in related], np.float32),
                CREATED_DAY: np.array([one.created_at.seconds / DAY_S for one in related], np.float32),
            },
        )

    async def _fetch(self, document_ids: list[str], timeout_s: float) -> list[document_pb2.Document]:
        if not document_ids:
            return []
        request = lexical_pb2.FetchDocumentsRequest(document_ids=document_ids, text_bytes_max=TEXT_BYTES_MAX)
        response = await self._lexical.FetchDocuments(request, timeout=timeout_s)
        return [fetched.document for fetched in response.documents]


def _matches(filter: Filter, message: document_pb2.Document) -> bool:
    if not filter:
        return True
    document = document_from_proto(message)
    return filter.matches(document.id, document.type, document.attributes)
