"""Asking the retrievers: which strategies there are, and the fan-out of one search with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Any

import structlog

from honeyguide.api.retrieval.v1 import retriever_pb2 as pb
from honeyguide.api.retrieval.v1 import retriever_pb2_grpc
from honeyguide.candidates import NO_CANDIDATES, Candidates, candidates_from_proto
from honeyguide.client import Connection
from honeyguide.errors import DeadlineExceeded, HoneyguideError, InvalidArgument
from honeyguide.query import RetrievalQuery, query_to_proto
from honeyguide.retriever import Kind, Need, Strategy

LIST_TIMEOUT_S = 2.0

LIST_S = 1.0
"""Between two looks for the strategies of retrievers that did not tell them yet."""

LIST_ALL_TURNS = 5
"""Every so many looks, all retrievers are asked."""

LIST_PAUSE_S = 0.1
"""At least between two looks, however often retrievers refuse."""

log = structlog.get_logger("honeyguide.fanout")


class Status(Enum):
    """How a strategy fared."""

    NOT_ASKED = pb.STRATEGY_STATUS_UNSPECIFIED
    OK = pb.STRATEGY_STATUS_OK
    FAILED = pb.STRATEGY_STATUS_FAILED
    LATE = pb.STRATEGY_STATUS_LATE


@dataclass(frozen=True, slots=True)
class Outcome:
    """One strategy's answer; candidates are empty unless the status is OK."""

    status: Status
    candidates: Candidates
    elapsed_s: float
    message: str = ""


class Retrievers:
    """The retrievers connected now, and their strategies. The set may change while it runs."""

    def __init__(self) -> None:
        self._stubs: dict[str, Any] = {}
        self._strategies: dict[str, tuple[Strategy, ...]] = {}
        self._unlisted: set[str] = set()
        self._refused = asyncio.Event()
        self._owners: dict[str, str] = {}
        self.strategies: tuple[Strategy, ...] = ()

    async def connect(self, service: str, connection: Connection) -> None:
        """Adds a retriever, or replaces the one of that name, and lists its strategies.

        One that does not answer now is asked again by `keep_listed`.
        """
        self._stubs[service] = connection.stub(retriever_pb2_grpc.RetrieverServiceStub)
        self._unlisted.add(service)
        await self._list(service)

    def disconnect(self, service: str) -> None:
        """Removes a retriever."""
        self._stubs.pop(service, None)
        self._strategies.pop(service, None)
        self._unlisted.discard(service)
        self._rebuild()

    async def keep_listed(self) -> None:
        """Lists strategies again, until cancelled: of retrievers that did not tell them yet, of one that refuses to be
        asked at once, and of all now and then, as they may have been started anew with others."""
        for turn in count(1):
            with suppress(TimeoutError):
                async with asyncio.timeout(LIST_S):
                    await self._refused.wait()
            self._refused.clear()
            if turn % LIST_ALL_TURNS == 0:
                self._unlisted.update(self._stubs)
            await asyncio.gather(*map(self._list, self._unlisted))
            await asyncio.sleep(LIST_PAUSE_S)

    async def retrieve(self, query: RetrievalQuery, depths: Mapping[str, int], timeout_s: float) -> dict[str, Outcome]:
        """Asks strategies (by name, depth 1 or more), one call a service, all at once; an outcome for each."""
        by_service: dict[str, list[pb.StrategyDepth]] = {}
        gone: dict[str, Outcome] = {}
        for name, depth in depths.items():
            if name in self._owners:
                by_service.setdefault(self._owners[name], []).append(pb.StrategyDepth(strategy=name, depth=depth))
            else:  # its retriever was removed since the decision
                gone[name] = Outcome(Status.FAILED, NO_CANDIDATES, 0.0, "is not served any more")
        base = query_to_proto(query)
        answers = await asyncio.gather(
            *(self._ask(service, self._stubs[service], base, asked, timeout_s) for service, asked in by_service.items())
        )
        return {name: outcome for answer in (*answers, gone) for name, outcome in answer.items()}

    async def _ask(
        self, service: str, stub: Any, base: pb.RetrieveRequest, asked: Sequence[pb.StrategyDepth], timeout_s: float
    ) -> dict[str, Outcome]:
        request = pb.RetrieveRequest()
        request.CopyFrom(base)
        request.strategies.extend(asked)
        begin = time.perf_counter()
        try:
            response = await stub.Retrieve(request, timeout=timeout_s)
        except HoneyguideError as error:
            if isinstance(error, InvalidArgument):  # it may serve other strategies by now
                self._unlisted.add(service)
                self._refused.set()
            status = Status.LATE if isinstance(error, DeadlineExceeded) else Status.FAILED
            failed = Outcome(status, NO_CANDIDATES, time.perf_counter() - begin, f"{service}: {error.message}"[:500])
            return {one.strategy: failed for one in asked}
        answers = {result.strategy: result for result in response.results}
        return {one.strategy: outcome_of(answers.get(one.strategy), one.depth) for one in asked}

    async def _list(self, service: str) -> None:
        stub = self._stubs.get(service)
        if stub is None:  # removed while it was asked for candidates, and refused
            self._unlisted.discard(service)
            return
        try:
            response = await stub.ListStrategies(pb.ListStrategiesRequest(), timeout=LIST_TIMEOUT_S)
        except HoneyguideError as error:
            log.warning("retriever does not answer", retriever=service, error=error.message)
            return
        if self._stubs.get(service) is not stub:  # removed or replaced meanwhile
            return
        self._unlisted.discard(service)
        strategies = tuple(map(_strategy, response.strategies))
        if strategies != self._strategies.get(service):
            self._strategies[service] = strategies
            self._rebuild()

    def _rebuild(self) -> None:
        self._owners = {}
        known: dict[str, Strategy] = {}
        for service, strategies in self._strategies.items():
            for strategy in strategies:
                if strategy.name in known:
                    log.warning("strategy is served twice", strategy=strategy.name, ignored=service)
                    continue
                known[strategy.name] = strategy
                self._owners[strategy.name] = service
        self.strategies = tuple(known[name] for name in sorted(known))


def outcome_of(message: pb.StrategyCandidates | None, depth: int) -> Outcome:
    """How a strategy fared that was asked for `depth` candidates and sent this; None = nothing."""
    if message is None:
        return Outcome(Status.FAILED, NO_CANDIDATES, 0.0, "was asked but did not answer")
    elapsed_s = message.elapsed.ToNanoseconds() / 1e9
    status = Status(message.status) if message.status in {s.value for s in Status} else Status.FAILED
    if status in (Status.FAILED, Status.LATE):
        return Outcome(status, NO_CANDIDATES, elapsed_s, message.message[:500])
    try:
        candidates = candidates_from_proto(message)
    except ValueError as error:
        return Outcome(Status.FAILED, NO_CANDIDATES, elapsed_s, str(error)[:500])
    return Outcome(Status.OK, candidates.first(depth), elapsed_s)


def _strategy(message: pb.Strategy) -> Strategy:
    needs = {need.value: need for need in Need}
    return Strategy(
        name=message.name,
        description=message.description,
        kind=Kind.EXPLORE if message.kind == pb.STRATEGY_KIND_EXPLORE else Kind.EXPLOIT,
        depth_max=message.depth_max or 100,
        needs=tuple(needs[need] for need in message.needs if need in needs),
        dependable=message.dependable,
    )
