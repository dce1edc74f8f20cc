"""The story of a search: understand, decide, fan out, merge, rank, log, show."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import structlog

from honeyguide.api.memory.v1 import memory_pb2
from honeyguide.candidates import NO_CANDIDATES
from honeyguide.documents import context_to_proto
from honeyguide.errors import HoneyguideError, InvalidArgument, Unavailable
from honeyguide.query import RetrievalQuery, Understanding, taste_from_proto
from honeyguide.retriever import Kind, Need, Strategy
from honeyguide.text import normalize
from honeyguide_orchestrator.allocation_model import Depths, Floats
from honeyguide_orchestrator.candidate_features import candidate_features
from honeyguide_orchestrator.decision_log import FEATURE_ROWS_MAX, DecisionLog, DecisionRecord, LoggedStrategy
from honeyguide_orchestrator.fanout import Outcome, Retrievers, Status
from honeyguide_orchestrator.learned import Learned, LearnedModels
from honeyguide_orchestrator.merge import Merged, merge
from honeyguide_orchestrator.page_token import scope_of
from honeyguide_orchestrator.policy import Draw, Policy, Situation
from honeyguide_orchestrator.ranker import RANKERS, Ranker, order_of
from honeyguide_orchestrator.related import RELATED, RelatedEntities
from honeyguide_orchestrator.result_page import ResultPages, SearchPage
from honeyguide_orchestrator.search_query import SearchQuery
from honeyguide_orchestrator.situation import FEATURES, Recollection, describe
from honeyguide_orchestrator.understanding import Understander

RANKED_MAX = 500
"""Ranked candidates kept for paging."""

log = structlog.get_logger("honeyguide.search")


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """Times that the stages get, in seconds, and how often neighbours are swapped."""

    understand_s: float
    retrieve_s: float
    swap_share: float


@dataclass(frozen=True, slots=True)
class _Decided:
    """What a policy drew, on which features of the context, and the depths that the shadow policy would have drawn."""

    policy: str
    x: Floats
    draw: Draw
    shadow: tuple[tuple[str, int], ...]


class Searcher:
    """Answers searches. Holds nothing of one search when it is over."""

    def __init__(
        self,
        *,
        understander: Understander,
        retrievers: Retrievers,
        lexical: Any,
        memory: Any,
        models: LearnedModels,
        policies: Mapping[str, Policy],
        live_policy: str,
        shadow_policy: str,
        live_ranker: str,
        decision_log: DecisionLog,
        pages: ResultPages,
        limits: SearchLimits,
        rng: np.random.Generator,
    ) -> None:
        self._understander = understander
        self._retrievers = retrievers
        self._related = RelatedEntities(lexical)
        self._memory = memory
        self._models = models
        self._policies = policies
        self._live_policy = live_policy
        self._shadow_policy = shadow_policy
        self._live_ranker = live_ranker
        self._decision_log = decision_log
        self._pages = pages
        self._limits = limits
        self._rng = rng
        self._strategies: tuple[Strategy, ...] = ()

    async def search(self, query: SearchQuery) -> SearchPage:
        """Answers one search.

        Raises:
            InvalidArgument: unknown policy or ranker, or a page token that is wrong, stale or of another search.
            Unavailable: no retriever is connected, or a page token cannot be looked up.
        """
        if query.page_token:
            return await self._pages.next_page(query, self._models.current(self.strategies()))
        timer = _Timer()
        policy, ranker = self._named(query)
        if not self._retrievers.strategies:
            raise Unavailable("no retriever answers")
        learned = self._models.current(self.strategies())

        understanding, recollection = await self._understand(query, learned)
        timer.lap("understand")

        decided = self._decide(policy, query, understanding, recollection, learned)
        timer.lap("decide")

        asked = RetrievalQuery(query.text, understanding, query.context, query.filter, recollection.taste)
        outcomes = await self._retrieve(asked, decided.draw.rungs, learned)
        timer.lap("retrieve")

        merged = merge({name: o.candidates for name, o in outcomes.items() if o.status is Status.OK})
        timer.lap("merge")

        record = self._rank(query, asked, decided, outcomes, merged, ranker, learned)
        timer.lap("rank")

        page, _ = await asyncio.gather(self._pages.page(query, record, 0, learned), self._log(record))
        timer.lap("fetch")
        return replace(page, timings_s=timer.laps)

    def strategies(self) -> tuple[Strategy, ...]:
        """All strategies there are now, by name; the same object while nothing changed."""
        known = self._retrievers.strategies
        if len(self._strategies) != len(known) + 1 or any(
            ours is not theirs
            for ours, theirs in zip((s for s in self._strategies if s is not RELATED), known, strict=True)
        ):
            self._strategies = tuple(sorted((*known, RELATED), key=lambda strategy: strategy.name))
        return self._strategies

    def _named(self, query: SearchQuery) -> tuple[Policy, Ranker]:
        policy = self._policies.get(query.policy or self._live_policy)
        if policy is None:
            raise InvalidArgument("policy", f"{query.policy[:80]!r} is not one of {', '.join(self._policies)}")
        ranker = RANKERS.get(query.ranker or self._live_ranker)
        if ranker is None:
            raise InvalidArgument("ranker", f"{query.ranker[:80]!r} is not one of {', '.join(RANKERS)}")
        return policy, ranker

    async def _understand(self, query: SearchQuery, learned: Learned) -> tuple[Understanding, Recollection]:
        understanding, recollection = await asyncio.gather(
            self._understander.understand(query.text, learned.likelihoods, query.context.locale, query.context.time_s),
            self._recall(query),
        )
        return understanding, recollection

    async def _recall(self, query: SearchQuery) -> Recollection:
        request = memory_pb2.RecallRequest(
            normalized_query=normalize(query.text), context=context_to_proto(query.context)
        )
        try:
            known = await self._memory.Recall(request, timeout=self._limits.understand_s)
        except HoneyguideError as error:
            log.warning("memory does not answer", error=error.message)
            return Recollection()
        return Recollection(
            known.actions,
            known.entropy,
            known.top_share,
            known.near_similarity,
            known.user_actions,
            taste_from_proto(known.taste),
        )

    def _decide(
        self,
        policy: Policy,
        query: SearchQuery,
        understanding: Understanding,
        recollection: Recollection,
        learned: Learned,
    ) -> _Decided:
        met = {
            Need.QUERY: bool(understanding.normalized_query),
            Need.TASTE: bool(recollection.taste),
            Need.USER: bool(query.context.user_id or query.context.session_id or query.context.segment),
            Need.INTERPRETATION: bool(understanding.interpretations),
        }
        strategies = learned.strategies
        situation = Situation(
            x=describe(query.text, understanding, recollection, query.context, bool(query.filter)),
            allowed=np.array([all(met[need] for need in strategy.needs) for strategy in strategies], bool),
            dependable=np.array([strategy.dependable for strategy in strategies], bool),
            exploring=np.array([strategy.kind is Kind.EXPLORE for strategy in strategies], bool),
        )
        draw = policy.draw(situation, learned.allocation, self._rng)
        shadow: dict[str, int] = {}
        if self._shadow_policy:
            shadow_draw = self._policies[self._shadow_policy].draw(situation, learned.allocation, self._rng)
            shadow = _depths(shadow_draw.rungs, learned)
        return _Decided(policy.name, situation.x, draw, tuple(sorted(shadow.items())))

    async def _retrieve(self, query: RetrievalQuery, rungs: Depths, learned: Learned) -> dict[str, Outcome]:
        depths = _depths(rungs, learned)
        related_depth = depths.pop(RELATED.name, 0)
        if not depths and not related_depth:
            return {}
        begin = time.perf_counter()
        outcomes = await self._retrievers.retrieve(query, depths, self._limits.retrieve_s)
        if related_depth:
            found = merge({name: o.candidates for name, o in outcomes.items() if o.status is Status.OK})
            left_s = max(self._limits.retrieve_s - (time.perf_counter() - begin), 0.01)
            outcomes[RELATED.name] = await self._related.expand(found, query.filter, related_depth, left_s)
        return outcomes

    def _rank(
        self,
        query: SearchQuery,
        asked: RetrievalQuery,
        decided: _Decided,
        outcomes: Mapping[str, Outcome],
        merged: Merged,
        ranker: Ranker,
        learned: Learned,
    ) -> DecisionRecord:
        affinity = learned.affinity.of(asked.understanding.intent)
        features = candidate_features(merged, asked.understanding, asked.taste, affinity, query.context.time_s)
        scores = ranker.scores(features, merged.strategies, learned.ranker)
        order = order_of(scores)[:RANKED_MAX]
        order, swapped_at = self._swap(order, query)
        return DecisionRecord(
            id=uuid.uuid4().hex,
            query=query.text,
            understanding=asked.understanding,
            context=query.context,
            scope=scope_of(query.text, query.filter),
            policy=decided.policy,
            snapshot_version=learned.version,
            propensity=decided.draw.propensity,
            propensity_estimated=decided.draw.estimated,
            strategies=_logged(decided.draw, outcomes, learned),
            x=decided.x,
            ranker=ranker.name,
            answered=merged.strategies,
            document_ids=tuple(merged.document_ids[i] for i in order),
            types=tuple(merged.types[i] for i in order),
            scores=scores[order],
            ranks=merged.ranks[order],
            features=features[order[:FEATURE_ROWS_MAX]],
            strategy_scores=merged.scores[order[:FEATURE_ROWS_MAX]],
            page_size=query.page_size,
            swapped_at=swapped_at,
            tracked=query.tracked,
            shadow=decided.shadow,
        )

    def _swap(self, order: Depths, query: SearchQuery) -> tuple[Depths, int]:
        """Swaps one pair of neighbours on a small share of first pages (FairPairs, Radlinski and Joachims 2006)."""
        pairs = min(query.page_size, len(order)) - 1
        if pairs < 1 or not query.tracked or self._rng.random() >= self._limits.swap_share:
            return order, 0
        upper = int(self._rng.integers(pairs))
        swapped = order.copy()
        swapped[[upper, upper + 1]] = order[[upper + 1, upper]]
        return swapped, upper + 1

    async def _log(self, record: DecisionRecord) -> None:
        try:
            await self._decision_log.append(record)
        except Unavailable as error:
            # The results are still good; what is lost is what could have been learned from them.
            log.error("decision not logged", decision=record.id, error=error.message)


def _depths(rungs: Depths, learned: Learned) -> dict[str, int]:
    """Depth by name of the strategies asked: the rung's, or the most that the strategy answers."""
    ladder = learned.allocation.depths
    return {
        strategy.name: min(ladder[rung - 1], strategy.depth_max)
        for strategy, rung in zip(learned.strategies, rungs.tolist(), strict=True)
        if rung
    }


def _logged(draw: Draw, outcomes: Mapping[str, Outcome], learned: Learned) -> tuple[LoggedStrategy, ...]:
    depths = _depths(draw.rungs, learned)
    nothing = Outcome(Status.NOT_ASKED, NO_CANDIDATES, 0.0)
    logged = []
    for strategy, propensity in zip(learned.strategies, draw.propensities.tolist(), strict=True):
        outcome = outcomes.get(strategy.name, nothing)
        logged.append(
            LoggedStrategy(
                strategy.name,
                depths.get(strategy.name, 0),
                propensity,
                outcome.status,
                len(outcome.candidates),
                outcome.elapsed_s,
                outcome.message,
            )
        )
    return tuple(logged)


def context_features(record: DecisionRecord) -> dict[str, float]:
    """The context's features by name, those that are not 0."""
    return {name: float(value) for name, value in zip(FEATURES, record.x, strict=True) if value}


class _Timer:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now
