"""Feedback: how fast it is made durable, whether the learner keeps up, and whether searches notice.

Events go through StreamFeedback in requests of a thousand, as a collector of clicks would send them, and each is
acknowledged when the append-only file has it. The floor is redis-py's pipelined XADD, as many at a time, of the same
payloads to the same server. What memory learns from an action (the queries' documents, and more) is a few Lua calls:
their floor is those very calls, made beforehand, sent by themselves to a server of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np
import redis.asyncio

from benchmarks.speed.bench import Bench, batched
from benchmarks.speed.children import serving
from benchmarks.speed.measure import Against, Row, alternate, each_ms, percentile, rows_of
from honeyguide.api.memory.v1 import memory_pb2, memory_pb2_grpc
from honeyguide.api.search.v1 import feedback_pb2 as pb
from honeyguide.client import LocalConnection, RemoteConnection
from honeyguide.config import CommonSettings
from honeyguide.documents import Context, time_to_proto
from honeyguide.redis_store import RedisStore
from honeyguide.redis_transport import Command, ServerTransport
from honeyguide_memory.actions import Action, ActionRecorder
from honeyguide_memory.layout import Layout
from honeyguide_memory.nodes import Nodes
from honeyguide_memory.service import open_service as open_memory
from honeyguide_memory.settings import MemorySettings
from honeyguide_memory.store import SCRIPTS
from honeyguide_standalone.api import Api
from honeyguide_standalone.engine import Engine
from honeyguide_standalone.supervisor import supervise
from honeyguide_standalone.valkey import ValkeyServer

BATCH = 1_000
ACKNOWLEDGED, REMOTE, RAW = "acknowledged feedback", "acknowledged feedback over gRPC", "pipelined XADD"
LUA, RECORDED = "Lua calls alone", "memory service"
ACTIONS_BATCH = 250
ZIPF = 1.3
WORDS = 20_000
DOCUMENTS = 50_000
LOAD_PER_S = 5_000
BESIDE = f"feedback: {LOAD_PER_S:,} events/s beside searches"
LOAD_BATCH = 250
LEARNT_POLL_S = 0.1
LEARNT_WITHIN_S = 60.0


async def measure(bench: Bench, keep: Callable[[list[Row]], None]) -> None:
    """The part's rows."""
    keep(await _intake(bench))
    keep(await _remembered(bench))
    keep(await _beside_searches(bench))


async def _intake(bench: Bench) -> list[Row]:
    count = 5_000 if bench.quick else 20_000
    local_folder, served_folder = bench.folder / "feedback", bench.folder / "feedback-served"
    async with Engine(local_folder, learner=False) as engine, serving("engine", served_folder) as server:
        connection = RemoteConnection(f"127.0.0.1:{server['port']}", CommonSettings())
        client = redis.asyncio.Redis.from_url(engine.redis_url)
        values = await alternate(
            {
                RAW: lambda: _raw(client, count),
                ACKNOWLEDGED: lambda: _acknowledged(engine.api, clicks(count)),
                REMOTE: lambda: _acknowledged(Api(connection), clicks(count)),
            },
            bench.repetitions,
        )
        await client.aclose()
        await connection.close()
    against = {ACKNOWLEDGED: Against(RAW, 6), REMOTE: Against(RAW, 6)}
    return rows_of("feedback: made durable", "events", "events/s", values, against)


def clicks(
    count: int, decisions: Sequence[str] = ("",), documents: Sequence[str] = ("document:1",)
) -> list[pb.FeedbackEvent]:
    """New clicks, on these decisions and documents by turns; a decision "" = one that nobody knows."""
    now_s = int(time.time())
    events = []
    for i in range(count):
        event = pb.FeedbackEvent(
            event_id=uuid.uuid4().hex,
            decision_id=decisions[i % len(decisions)] or uuid.uuid4().hex,
            document_id=documents[i % len(documents)],
            action=pb.ACTION_TYPE_CLICK,
        )
        event.time.seconds = now_s
        events.append(event)
    return events


async def _acknowledged(api: Api, events: Sequence[pb.FeedbackEvent]) -> float:
    begin = time.perf_counter()
    acknowledgements = await api.feedback(events)
    seconds = time.perf_counter() - begin
    accepted = sum(one.status == pb.EVENT_STATUS_ACCEPTED for one in acknowledgements)
    if accepted != len(events):
        raise RuntimeError(f"{accepted:,} of {len(events):,} events accepted")
    return len(events) / seconds


async def _raw(client: redis.asyncio.Redis, count: int) -> float:
    payloads = [
        json.dumps(
            {
                "id": event.event_id,
                "decision_id": event.decision_id,
                "document_id": event.document_id,
                "action": "click",
                "time_s": float(event.time.seconds),
            },
            separators=(",", ":"),
        )
        for event in clicks(count)
    ]
    begin = time.perf_counter()
    for batch in batched(payloads, BATCH):
        pipeline = client.pipeline(transaction=False)
        for payload in batch:
            pipeline.xadd("raw", {"e": payload}, maxlen=1_000_000, approximate=True)
        await pipeline.execute()
    return count / (time.perf_counter() - begin)


async def _remembered(bench: Bench) -> list[Row]:
    """Actions that memory takes in, against the Lua calls alone."""
    count = 2_000 if bench.quick else 10_000
    with contextlib.ExitStack() as stack:
        servers = [ValkeyServer(bench.folder / name) for name in ("remembered", "remembered-bare")]
        for server in servers:
            stack.callback(server.stop)
        ours, bare = (MemorySettings(redis_url=server.url) for server in servers)
        layout = Layout(bare.key_prefix, bare.partitions)
        transport = ServerTransport(bare.redis_url, bare.connections_max, bare.call_timeout_s)
        for script in SCRIPTS:
            await transport.load_script(script.source)
        async with open_memory(ours) as registrations:
            stub: Any = LocalConnection(registrations).stub(memory_pb2_grpc.MemoryServiceStub)

            async def recorded() -> float:
                requests = [memory_pb2.RecordActionsRequest(actions=map(_action_to_proto, a)) for a in _actions(count)]
                begin = time.perf_counter()
                for request in requests:
                    await stub.RecordActions(request)
                return count / (time.perf_counter() - begin)

            async def called() -> float:
                noted = NotedCommands()
                recorder = ActionRecorder(RedisStore(noted, SCRIPTS), layout, Nodes(layout, cluster=False), bare)
                for actions in _actions(count):
                    await recorder.record(actions)
                begin = time.perf_counter()
                for commands in noted.batches:
                    await transport.send(commands)
                return count / (time.perf_counter() - begin)

            values = await alternate({LUA: called, RECORDED: recorded}, bench.repetitions)
        await transport.close()
    return rows_of("feedback: remembered", "actions", "actions/s", values, {RECORDED: Against(LUA)})


class NotedCommands:
    """A transport that sends nothing: what would have been sent is in `batches`."""

    keeps_order = True

    def __init__(self) -> None:
        self.batches: list[Sequence[Command]] = []

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """See `Transport`."""
        self.batches.append(commands)
        return [0] * len(commands)

    async def load_script(self, source: str) -> None:
        """See `Transport`."""

    async def size_bytes(self) -> int:
        """See `Transport`."""
        return 0

    async def close(self) -> None:
        """See `Transport`."""


def _actions(count: int) -> Iterator[Sequence[Action]]:
    """Likes of documents found by queries of three words, from a vocabulary as people's is; in batches, all new."""
    rng = np.random.default_rng(0)
    words = rng.zipf(ZIPF, (count, 3)) % WORDS
    documents = rng.zipf(ZIPF, count) % DOCUMENTS
    now_s = time.time()
    actions = [
        Action(
            uuid.uuid4().hex, " ".join(f"word{i}" for i in query), f"document:{document}", 1.0, Context(now_s), now_s, 1
        )
        for query, document in zip(words.tolist(), documents.tolist(), strict=True)
    ]
    return batched(actions, ACTIONS_BATCH)


def _action_to_proto(action: Action) -> memory_pb2.Action:
    return memory_pb2.Action(
        event_id=action.event_id,
        normalized_query=action.query,
        document_id=action.document_id,
        weight=action.weight,
        time=time_to_proto(action.time_s),
        position=action.position,
    )


async def _beside_searches(bench: Bench) -> list[Row]:
    """Searches beside feedback, in one process with the learner and with every service in a process of its own."""
    scene, common = bench.first_scene(), CommonSettings()
    queries = bench.queries(scene)
    async with bench.prepared(scene) as folder, serving("engine", folder, "--learner") as server:
        rows = await _loaded(bench, BESIDE, f"127.0.0.1:{server['port']}", queries)
    async with bench.prepared(scene) as folder, supervise(folder, common) as supervisor:
        return [*rows, *await _loaded(bench, f"{BESIDE}, independent services", supervisor.target, queries)]


async def _loaded(bench: Bench, scenario: str, target: str, queries: Sequence[str]) -> list[Row]:
    """Searches while the learner takes in `LOAD_PER_S` events a second on those very searches, and without."""
    seconds = 3 if bench.quick else 8
    connection = RemoteConnection(target, CommonSettings())
    api = Api(connection)
    shown = [await api.search(query) for query in queries]
    decisions = [response.decision_id for response in shown if response.results]
    documents = [response.results[0].document.id for response in shown if response.results]

    async def quiet() -> float:
        return percentile(await _searches(api, queries, seconds), 0.99)

    async def loaded() -> float:
        before = (await api.policy()).events
        events = clicks(LOAD_PER_S * seconds, decisions, documents)
        sending = asyncio.create_task(send_paced(api, events))
        times = await _searches(api, queries, seconds)
        await sending
        await _learnt(api, before + len(events))
        return percentile(times, 0.99)

    async def learnt_rate() -> float:
        """All at once, and no searches: paced ones could not be learned from faster than they come."""
        before = (await api.policy()).events
        events = clicks(LOAD_PER_S * seconds, decisions, documents)
        begin = time.perf_counter()
        await api.feedback(events)
        await _learnt(api, before + len(events))
        return len(events) / (time.perf_counter() - begin)

    values = await alternate({"p99 without feedback": quiet, "p99 under feedback": loaded}, bench.repetitions)
    rates = (await alternate({"learner": learnt_rate}, bench.repetitions))["learner"]
    await connection.close()
    rows = rows_of(scenario, "search", "ms", values, {"p99 under feedback": Against("p99 without feedback", 6)})
    learner = Row(
        scenario, "learner", "events", median(rates), "events/s", None, None, len(rates), min(rates), max(rates), 6
    )
    return [*rows, learner]


async def _searches(api: Api, queries: Sequence[str], seconds: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        times += await each_ms(lambda query: api.search(query, untracked=True), queries[:10])
        queries = [*queries[10:], *queries[:10]]
    return times


async def send_paced(api: Api, events: Sequence[pb.FeedbackEvent]) -> None:
    """Sends `LOAD_PER_S` events a second on one stream."""
    begin = time.perf_counter()

    async def requests() -> AsyncIterator[pb.StreamFeedbackRequest]:
        for number, batch in enumerate(batched(events, LOAD_BATCH)):
            await asyncio.sleep(begin + number * LOAD_BATCH / LOAD_PER_S - time.perf_counter())
            yield pb.StreamFeedbackRequest(events=batch)

    async for _ in api.stream_feedback(requests()):
        pass


async def _learnt(api: Api, events: int) -> None:
    end = time.perf_counter() + LEARNT_WITHIN_S
    while (await api.policy()).events < events:
        if time.perf_counter() > end:
            raise RuntimeError(f"the learner had not taken in {events:,} events {LEARNT_WITHIN_S:g} s later")
        await asyncio.sleep(LEARNT_POLL_S)
