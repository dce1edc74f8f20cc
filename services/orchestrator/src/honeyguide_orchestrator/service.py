"""Puts the orchestrator's parts together, for its own process and for an in-process engine."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog

from honeyguide.api.lexical.v1 import lexical_pb2_grpc
from honeyguide.api.memory.v1 import memory_pb2_grpc
from honeyguide.api.retrieval.v1 import indexing_pb2_grpc
from honeyguide.client import Connection
from honeyguide.errors import FailedPrecondition, HoneyguideError, InvalidArgument
from honeyguide.redis_store import RedisStore, open_redis
from honeyguide.retriever import Strategy
from honeyguide.server import Registration
from honeyguide_orchestrator.allocation_model import Costs
from honeyguide_orchestrator.attribution import Rewards
from honeyguide_orchestrator.catalog import Catalog
from honeyguide_orchestrator.catalog_servicer import register_catalog
from honeyguide_orchestrator.catalog_store import WIDEN, CatalogStore
from honeyguide_orchestrator.catalog_watch import CatalogWatch
from honeyguide_orchestrator.decision_log import LENGTHEN, DecisionLog
from honeyguide_orchestrator.event_stream import APPEND, EventStream
from honeyguide_orchestrator.fanout import Retrievers
from honeyguide_orchestrator.feedback import FeedbackIntake
from honeyguide_orchestrator.feedback_servicer import register_feedback
from honeyguide_orchestrator.foreground import Foreground
from honeyguide_orchestrator.keys import Keys
from honeyguide_orchestrator.learned import LearnedModels
from honeyguide_orchestrator.learner import Learner, LearnerOptions
from honeyguide_orchestrator.learning_servicer import register_learning
from honeyguide_orchestrator.lease import RELEASE, RENEW, Lease
from honeyguide_orchestrator.names import check_names
from honeyguide_orchestrator.off_policy.log_file import LogHead
from honeyguide_orchestrator.page_filler import PageFiller
from honeyguide_orchestrator.page_token import PageTokens
from honeyguide_orchestrator.policies import POLICIES
from honeyguide_orchestrator.policy import Policy, PolicyOptions
from honeyguide_orchestrator.prices import Prices
from honeyguide_orchestrator.ranker import RANKERS
from honeyguide_orchestrator.recognition import Recognizer
from honeyguide_orchestrator.report import Reports
from honeyguide_orchestrator.result_page import ResultPages
from honeyguide_orchestrator.retriever_file import watch_file
from honeyguide_orchestrator.search import Searcher, SearchLimits
from honeyguide_orchestrator.search_servicer import register_search
from honeyguide_orchestrator.settings import OrchestratorSettings
from honeyguide_orchestrator.snapshot import PUBLISH, Snapshot, SnapshotStore, follow
from honeyguide_orchestrator.suggest import Suggester
from honeyguide_orchestrator.trees import why_unavailable
from honeyguide_orchestrator.understanding import Understander

CORE = ("lexical", "vector", "memory")
"""Services that hold the catalogue."""

SCRIPTS = (APPEND, LENGTHEN, PUBLISH, RELEASE, RENEW, WIDEN)
"""What the orchestrator runs in Redis."""

REFRESH_S = 1.0
CANCEL_AGAIN_S = 0.2

Connect = Callable[[str], Connection]

log = structlog.get_logger("honeyguide.orchestrator")


@dataclass(frozen=True, slots=True)
class _Stores:
    redis: RedisStore
    keys: Keys
    decision_log: DecisionLog
    event_stream: EventStream
    snapshots: SnapshotStore


@asynccontextmanager
async def open_service(
    settings: OrchestratorSettings,
    connections: Mapping[str, Connection],
    connect: Connect | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Sequence[Registration]]:
    """The public API over the given services, ready for a server; with the learner inside if `settings.learner`.

    Args:
        settings: see `OrchestratorSettings`.
        connections: to the services by name; lexical, vector and memory are needed. They stay open.
        connect: opens connections to the further retrievers that `settings.retrievers_file` names.
        clock: seconds since 1970-01-01.

    Raises:
        FailedPrecondition: a service that is needed is missing, or a setting names what there is not.
        Unavailable: Redis does not answer.
    """
    _check(settings, connections)
    async with AsyncExitStack() as stack:
        stores = await _open_stores(stack, settings)
        retrievers = await _open_retrievers(stack, settings, connections, connect)
        lexical, memory = _core_stubs(connections)
        models = LearnedModels(settings.depths)
        newest = await stores.snapshots.fetch()
        if newest is not None:
            models.adopt(newest)
        _run(stack, lambda: follow(stores.snapshots, settings.refresh_interval_s, models.adopt))

        catalog_store = CatalogStore(stores.redis, settings.key_prefix)
        indexes: dict[str, Any] = {name: connections[name].stub(indexing_pb2_grpc.IndexingServiceStub) for name in CORE}
        catalog = Catalog(indexes, lexical, catalog_store)
        watch = CatalogWatch(catalog, catalog_store, time.monotonic)
        await watch.refresh()
        stack.push_async_callback(watch.close)

        page_tokens = await _page_tokens(stores, settings)
        _run(stack, lambda: _keep_agreed(page_tokens))
        policies, foreground = _policies(settings), Foreground()
        filler = PageFiller(retrievers)
        searcher = Searcher(
            understander=Understander(
                Recognizer(lexical, time.monotonic, settings.understand_timeout_s), watch.facts, clock
            ),
            retrievers=retrievers,
            lexical=lexical,
            memory=memory,
            models=models,
            policies=policies,
            live_policy=settings.policy,
            shadow_policy=settings.shadow_policy,
            rankers=RANKERS,
            live_ranker=settings.ranker,
            experiment=settings.experiment and settings.experiment.over(settings.policy, settings.ranker),
            decision_log=stores.decision_log,
            filler=filler,
            pages=ResultPages(
                lexical, stores.decision_log, page_tokens, filler, settings.fetch_timeout_s, settings.retrieve_timeout_s
            ),
            limits=SearchLimits(
                settings.understand_timeout_s,
                settings.retrieve_timeout_s,
                settings.log_timeout_s,
                settings.swap_share,
            ),
            rng=np.random.default_rng(settings.seed or None),
        )
        # LightGBM takes long to load: not while a search waits, and not before the service is ready.
        _run(stack, _load_lightgbm)
        if settings.learner:
            learner = _learner(settings, stores, lexical, memory, searcher.strategies, clock, foreground)
            _run(stack, learner.run)
        yield [
            register_search(searcher, Suggester(lexical, memory), clock, foreground),
            register_feedback(
                FeedbackIntake(stores.event_stream, clock, foreground.make_way), settings.feedback_stream_s
            ),
            register_catalog(catalog),
            register_learning(
                Reports(models, searcher.strategies, settings.policy, settings.ranker),
                stores.decision_log,
                lambda: _log_head(settings, searcher.strategies(), models.snapshot),
            ),
        ]


@asynccontextmanager
async def open_learner(
    settings: OrchestratorSettings,
    connections: Mapping[str, Connection],
    connect: Connect | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Sequence[Registration]]:
    """The learner alone; serves nothing but health. Arguments and errors as for `open_service`."""
    _check(settings, connections)
    async with AsyncExitStack() as stack:
        stores = await _open_stores(stack, settings)
        retrievers = await _open_retrievers(stack, settings, connections, connect)
        lexical, memory = _core_stubs(connections)
        learner = _learner(settings, stores, lexical, memory, lambda: retrievers.strategies, clock, Foreground())
        _run(stack, learner.run)
        yield []


def _check(settings: OrchestratorSettings, connections: Mapping[str, Connection]) -> None:
    missing = [name for name in CORE if name not in connections]
    if missing:
        raise FailedPrecondition(
            f"no address for {', '.join(missing)}: name them in HONEYGUIDE_ORCHESTRATOR_RETRIEVERS_FILE"
        )
    try:
        check_names(settings)
    except InvalidArgument as error:
        raise FailedPrecondition(error.message) from error


async def _load_lightgbm() -> None:
    await asyncio.to_thread(why_unavailable)


async def _open_stores(stack: AsyncExitStack, settings: OrchestratorSettings) -> _Stores:
    redis = await stack.enter_async_context(
        open_redis(
            settings.redis_url,
            cluster=settings.redis_cluster,
            connections_max=settings.redis_connections_max,
            timeout_s=settings.redis_timeout_s,
            wait_s=settings.redis_wait_s,
            scripts=SCRIPTS,
        )
    )
    keys = Keys(settings.key_prefix)
    return _Stores(
        redis,
        keys,
        DecisionLog(redis, keys, settings.decision_keep_s, settings.decisions_max),
        EventStream(redis, keys, settings.event_partitions, settings.events_max),
        SnapshotStore(redis, keys),
    )


async def _open_retrievers(
    stack: AsyncExitStack,
    settings: OrchestratorSettings,
    connections: Mapping[str, Connection],
    connect: Connect | None,
) -> Retrievers:
    retrievers = Retrievers()
    for name, connection in connections.items():
        await retrievers.connect(name, connection)
    path = settings.retrievers_file
    if path and connect:
        _run(stack, lambda: watch_file(path, retrievers, frozenset(connections), connect))
    _run(stack, retrievers.keep_listed)
    return retrievers


def _core_stubs(connections: Mapping[str, Connection]) -> tuple[Any, Any]:
    return (
        connections["lexical"].stub(lexical_pb2_grpc.LexicalServiceStub),
        connections["memory"].stub(memory_pb2_grpc.MemoryServiceStub),
    )


def _policies(settings: OrchestratorSettings) -> dict[str, Policy]:
    options = PolicyOptions(
        costs=Costs.of(settings.depths, settings.call_cost, settings.candidate_cost),
        exploration_share=settings.exploration_share,
        exploration_share_known=settings.exploration_share_known,
        gamma=settings.exploration_gamma,
        warm_up=settings.exploration_warm_up,
        epsilon=settings.epsilon,
    )
    return {name: factory(options) for name, factory in POLICIES.items()}


def _log_head(settings: OrchestratorSettings, strategies: tuple[Strategy, ...], snapshot: Snapshot) -> LogHead:
    names = ("exploration_share", "exploration_share_known", "exploration_gamma", "exploration_warm_up", "epsilon")
    options = {name: float(getattr(settings, name)) for name in names}
    prices = Prices(settings.call_cost, settings.candidate_cost)
    return LogHead(settings.depths, prices, options, settings.policy, settings.ranker, strategies, snapshot)


def _learner(
    settings: OrchestratorSettings,
    stores: _Stores,
    lexical: Any,
    memory: Any,
    strategies: Callable[[], Any],
    clock: Callable[[], float],
    foreground: Foreground,
) -> Learner:
    return Learner(
        decision_log=stores.decision_log,
        event_stream=stores.event_stream,
        snapshots=stores.snapshots,
        lease=Lease(stores.redis, stores.keys.lease, settings.lease_s),
        lexical=lexical,
        memory=memory,
        strategies=strategies,
        options=LearnerOptions(
            depths=settings.depths,
            rewards=Rewards(settings.rewards, settings.play_full_s),
            window_s=settings.attribution_window_s,
            open_max=settings.open_decisions_max,
            call_cost=settings.call_cost,
            candidate_cost=settings.candidate_cost,
            learn_interval_s=settings.learn_interval_s,
            snapshot_interval_s=settings.snapshot_interval_s,
            lease_s=settings.lease_s,
            trees=settings.trees,
        ),
        clock=clock,
        make_way=foreground.make_way,
    )


async def _page_tokens(stores: _Stores, settings: OrchestratorSettings) -> PageTokens:
    if settings.page_token_secret:
        return PageTokens(settings.page_token_secret.get_secret_value().encode())
    key = stores.keys.page_token_secret

    async def share(ours: bytes) -> bytes:
        _, shared = await stores.redis.run([("SET", key, ours, "NX"), ("GET", key)])
        return shared or ours

    page_tokens = PageTokens(secrets.token_bytes(32), share)
    await page_tokens.agree()
    return page_tokens


async def _keep_agreed(page_tokens: PageTokens) -> None:
    """A Redis that lost its data has the secret again before a replica that starts makes up another."""
    while True:
        await asyncio.sleep(REFRESH_S)
        try:
            await page_tokens.agree()
        except HoneyguideError as error:
            log.warning("page tokens: no secret", error=error.message)


def _run(stack: AsyncExitStack, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a task beside the service and ends it with the service; one that breaks is logged and begun again."""

    async def keep_running() -> None:
        while True:
            try:
                await work()
                return
            except Exception:
                log.exception("a background task broke and begins again")
                await asyncio.sleep(REFRESH_S)

    task = asyncio.create_task(keep_running())

    async def end() -> None:
        # redis-py writes to a cluster within asyncio.wait_for, which on Python 3.11 swallows a cancellation that comes
        # just as the write ends: asking once could wait forever.
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=CANCEL_AGAIN_S)
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
