"""The loop in one process: documents in, searches out, feedback in, better searches out, and all of it kept."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from honeyguide.api.retrieval.v1 import document_pb2, retriever_pb2
from honeyguide.api.search.v1 import feedback_pb2, learning_pb2, search_pb2
from honeyguide.client import Connection, LocalConnection
from honeyguide.documents import Document, time_to_proto
from honeyguide.errors import Unavailable
from honeyguide.server import Registration
from honeyguide_standalone.api import Api, new_event_id
from honeyguide_standalone.engine import Engine
from honeyguide_standalone.valkey import ValkeyServer
from honeyguide_vector.service import open_service as open_vector
from honeyguide_vector.settings import VectorSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

Until = Callable[..., Awaitable[Any]]
PLACES = ("gate", "bench", "lake", "swan", "keeper", "statue", "fountain", "path", "tree", "bridge", "kiosk", "hill")
DOCUMENTS = [
    Document(f"d{n}", "film", f"Park {place}", f"In a park there is a {place}.", popularity=100.0 - n)
    for n, place in enumerate(PLACES)
]
DAY_S = 86_400.0
YEARS_AGO_S = 1_577_836_800.0  # 2020-01-01


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, redis_url: str, until: Until) -> AsyncIterator[Api]:
    async with Engine(tmp_path_factory.mktemp("engine"), redis_url, "test-loop") as engine:
        await indexed(engine.api, until)
        yield engine.api


async def indexed(api: Api, until: Until) -> None:
    assert not await api.index(DOCUMENTS)
    await until(
        lambda: api.search("park", untracked=True, explain=True, policy="full_depth", page_size=50),
        lambda found: {"lexical.bm25": len(DOCUMENTS)}.items() <= returned(found).items(),
    )


def returned(response: search_pb2.SearchResponse) -> dict[str, int]:
    return {one.strategy: one.returned for one in response.explanation.strategies}


async def looked(api: Api, query: str, **options: Any) -> list[str]:
    """Ids of what is found, in order, seen by nobody."""
    given = {"untracked": True, "policy": "full_depth", "page_size": 50, **options}
    return ids_of(await api.search(query, **given))


def ids_of(response: search_pb2.SearchResponse) -> list[str]:
    return [result.document.id for result in response.results]


def click(response: search_pb2.SearchResponse, document_id: str, **fields: Any) -> feedback_pb2.FeedbackEvent:
    return feedback_pb2.FeedbackEvent(
        event_id=new_event_id(),
        decision_id=response.decision_id,
        document_id=document_id,
        action=feedback_pb2.ACTION_TYPE_CLICK,
        **fields,
    )


async def send(api: Api, *events: feedback_pb2.FeedbackEvent) -> None:
    for acknowledgement in await api.feedback(events):
        assert acknowledgement.status == feedback_pb2.EVENT_STATUS_ACCEPTED, acknowledgement


async def search_and_click(api: Api, query: str, document_id: str, times: int, **options: Any) -> None:
    for _ in range(times):
        response = await api.search(query, page_size=50, **options)
        assert document_id in ids_of(response)
        await send(api, click(response, document_id))


async def test_clicks_bring_a_document_to_the_top(api: Api, until: Until) -> None:
    before = await looked(api, "park")
    wanted = before[7]
    await search_and_click(api, "park", wanted, times=4)
    after = await until(lambda: looked(api, "park"), lambda ids: ids[0] == wanted)
    assert sorted(after) == sorted(before)
    explained = await api.search("park", explain=True, untracked=True, policy="full_depth")
    assert ("memory.query", 1) in [(one.strategy, one.rank) for one in explained.results[0].provenance]


async def test_a_known_query_still_fills_a_page_and_has_further_ones(api: Api, until: Until) -> None:
    """However surely memory knows what is wanted: a page is a page."""
    wanted = (await looked(api, "bench"))[0]
    await search_and_click(api, "bench", wanted, times=12)
    await until(lambda: looked(api, "bench"), lambda ids: ids[0] == wanted)
    page = await api.search("bench", explain=True, untracked=True, policy="greedy")
    assert len(page.results) == 10
    assert page.results[0].document.id == wanted
    fetched = sum(one.returned for one in page.explanation.strategies)
    if fetched < 10:
        assert page.explanation.fillers[0].strategy in {"lexical.bm25", "vector.dense"}
        assert page.results[-1].provenance[0].strategy in {"lexical.bm25", "vector.dense"}
    shown = ids_of(page)
    while page.next_page_token:
        page = await api.search("bench", page_token=page.next_page_token, untracked=True)
        shown += ids_of(page)
    assert sorted(shown) == sorted(document.id for document in DOCUMENTS)


async def test_where_a_filter_leaves_memory_nothing_the_others_are_asked(api: Api, until: Until) -> None:
    wanted = (await looked(api, "tree"))[0]
    await search_and_click(api, "tree", wanted, times=12)
    await until(lambda: looked(api, "tree"), lambda ids: ids[0] == wanted)

    def depths(response: search_pb2.SearchResponse) -> dict[str, int]:
        return {one.strategy: one.depth for one in response.explanation.strategies}

    others = document_pb2.Filter(types=["series"])
    # Before memory was told of the clicks it answers of itself for no such query, and may be asked.
    found = await until(
        lambda: api.search("tree", filter=others, explain=True, untracked=True, policy="greedy"),
        lambda response: not depths(response)["memory.query"],
    )
    assert depths(found)["lexical.bm25"] or depths(found)["vector.dense"]


async def test_a_click_on_what_fills_a_later_page_counts(api: Api, until: Until) -> None:
    page = await api.search("kiosk", page_size=4, policy="greedy")
    decisions = len(await exported(api))
    await until(api.policy, lambda policy: policy.decisions >= decisions)  # the learner knows the first page only
    results = list(page.results)
    while page.next_page_token:
        page = await api.search("kiosk", page_token=page.next_page_token, page_size=4)
        results += page.results
    assert len(results) == len(DOCUMENTS)
    await send(api, click(page, results[-1].document.id))

    async def reward() -> float | None:
        earned: dict[str, float | None] = {line["decision_id"]: line["reward"] for line in await exported(api)}
        return earned[page.decision_id]

    assert await until(reward, bool) == pytest.approx(1 / math.log2(1 + len(DOCUMENTS)), abs=1e-3)


async def test_an_empty_query_browses_what_passes_the_filter(api: Api) -> None:
    found = await api.search("", untracked=True, page_size=50)
    assert sorted(ids_of(found)) == sorted(document.id for document in DOCUMENTS)


async def test_a_page_token_continues_its_decision_whatever_was_learned_since(api: Api, until: Until) -> None:
    first = await api.search("park", page_size=4, policy="full_depth")
    whole = await api.search("park", page_size=len(DOCUMENTS), policy="full_depth", untracked=True)
    last = ids_of(whole)[-1]
    await search_and_click(api, "park", last, times=8)
    await until(lambda: looked(api, "park"), lambda ids: last in ids[:2])

    pages = [first]
    while pages[-1].next_page_token:
        page = await api.search("park", page_size=4, page_token=pages[-1].next_page_token)
        assert page.decision_id == first.decision_id
        pages.append(page)
    shown = [id for page in pages for id in ids_of(page)]
    positions = [result.position for page in pages for result in page.results]
    assert sorted(shown) == sorted(document.id for document in DOCUMENTS)
    assert positions == list(range(1, len(DOCUMENTS) + 1))
    assert shown.index(last) >= 4, "the pages are those of the decision, not of what was learned since"


async def test_nothing_is_learned_from_an_untracked_search(api: Api, until: Until) -> None:
    counted = await api.search("a lake that counts")
    known = await until(
        lambda: exported(api), lambda lines: counted.decision_id in {line["decision_id"] for line in lines}
    )
    untracked = await api.search("a lake that does not count", untracked=True)
    assert untracked.results
    counted = await api.search("another lake that counts")
    lines = await until(
        lambda: exported(api), lambda lines: counted.decision_id in {line["decision_id"] for line in lines}
    )
    assert len(lines) == len(known) + 1
    assert (await until(api.policy, lambda policy: policy.decisions >= len(lines))).decisions == len(lines)


async def exported(api: Api, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(line) async for line in api.decisions(**options)]


async def test_the_export_has_propensities_and_rewards(api: Api, until: Until) -> None:
    response = await api.search("swan", explain=True)
    position = ids_of(response).index("d3") + 1
    await send(api, click(response, "d3"))

    async def line() -> dict[str, Any]:
        return next(one for one in await exported(api) if one["decision_id"] == response.decision_id)

    decision = await until(line, lambda decision: decision["reward"] is not None)
    # 1 / log2(1 + position): the click's own reward of 1, less the lower the document stood
    assert decision["reward"] == pytest.approx({1: 1.0, 2: 0.6309, 3: 0.5}[position], abs=1e-3)
    assert decision["query"] == "swan"
    told = {one.strategy: (one.depth, pytest.approx(one.propensity)) for one in response.explanation.strategies}
    assert {one["strategy"]: (one["depth"], one["propensity"]) for one in decision["strategies"]} == told
    for one in await exported(api):
        for propensity in (one["propensity"], *(strategy["propensity"] for strategy in one["strategies"])):
            assert 0 < propensity <= 1


async def test_the_dsjson_export_is_one_of_slates(api: Api) -> None:
    await api.search("bridge")
    lines = await exported(api, format=learning_pb2.DECISION_FORMAT_DSJSON)
    plain = await exported(api)
    assert len(lines) == len(plain) > 0
    depths = [0, *(await api.policy()).depths]
    for line, decision in zip(lines, plain, strict=True):
        assert line["EventId"] == decision["decision_id"]
        assert line["_label_cost"] == -(decision["reward"] or 0.0)
        slots = decision["strategies"]
        assert len(line["_outcomes"]) == len(line["c"]["_slots"]) == len(slots)
        for slot, outcome in zip(slots, line["_outcomes"], strict=True):
            assert outcome["_p"] == [slot["propensity"]]
            assert depths[outcome["_a"][0]] >= slot["depth"]
        assert [one["_slot_id"] for one in line["c"]["_multi"]] == [n for n in range(len(slots)) for _ in depths]


async def test_the_export_can_be_cut(api: Api) -> None:
    lines = await exported(api)
    assert await exported(api, limit=2) == lines[:2]
    assert await exported(api, since_s=4_000_000_000.0) == []


async def test_what_documents_are_called_is_learned_from_titles_and_clicks(api: Api, until: Until) -> None:
    await search_and_click(api, "park hill", "d11", times=1)

    def called(response: search_pb2.SearchResponse) -> dict[str, float]:
        return {
            result.document.id: sum(one.value for one in result.contributions if one.feature == "called")
            for result in response.results
        }

    found = await until(
        lambda: api.search("prak hlil", explain=True, untracked=True, policy="full_depth", page_size=50),
        lambda response: any(called(response).values()),
    )
    assert called(found)["d11"] > called(found)["d10"], "the hill rather than the kiosk"


async def test_a_restart_keeps_documents_memory_and_what_was_learned(tmp_path: Path, until: Until) -> None:
    async with Engine(tmp_path) as engine:
        await indexed(engine.api, until)
        wanted = (await looked(engine.api, "park"))[9]
        await search_and_click(engine.api, "park", wanted, times=4)
        await until(lambda: looked(engine.api, "park"), lambda ids: ids[0] == wanted)
        # No wait for a snapshot: what it lacks is in the streams.
        last = await engine.api.search("park", page_size=50)
        await send(engine.api, click(last, wanted))
    async with Engine(tmp_path) as engine:
        assert (await looked(engine.api, "park"))[0] == wanted
        assert (await engine.api.get_document("d3")).title == "Park swan"
        assert [one.text for one in await engine.api.suggest("park sw")] == ["Park swan"]
        restored = await until(engine.api.policy, lambda policy: policy.events == 5)
        assert restored.decisions == 5
        response = await engine.api.search("lake", page_size=50)
        await send(engine.api, click(response, ids_of(response)[0]))
        later = await until(engine.api.policy, lambda policy: policy.events == 6)
        assert later.snapshot_version > restored.snapshot_version > 0
        assert len(await exported(engine.api)) == 6


class Troubled:
    """The vector service's retriever, which can be made to fail, or to answer only when nobody waits any more."""

    def __init__(self, servicer: Any) -> None:
        self._servicer = servicer
        self.trouble = ""

    async def ListStrategies(self, request: Any, context: Any) -> Any:
        return await self._servicer.ListStrategies(request, context)

    async def Retrieve(self, request: Any, context: Any) -> Any:
        if self.trouble == "failed":
            raise Unavailable("out of order")
        if self.trouble == "broken":
            raise ZeroDivisionError
        if self.trouble == "late":
            await asyncio.Event().wait()
        return await self._servicer.Retrieve(request, context)


class TroubledEngine(Engine):
    """An engine whose vector service has troubles."""

    troubled: Troubled

    async def _open_retrievers(self, stack: AsyncExitStack) -> dict[str, Connection]:
        connections = await super()._open_retrievers(stack)
        settings = VectorSettings(data_dir=self._data_dir / "troubled")
        registrations = list(await stack.enter_async_context(open_vector(settings)))
        at = next(i for i, one in enumerate(registrations) if one.name.endswith(".RetrieverService"))
        self.troubled = Troubled(registrations[at].servicer)
        registrations[at] = replace(registrations[at], servicer=self.troubled)
        return {**connections, "vector": LocalConnection(registrations)}


async def test_strategies_that_fail_or_are_late_are_named_and_missed_by_nobody(
    tmp_path: Path, redis_url: str, key_prefix: str, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HONEYGUIDE_ORCHESTRATOR_RETRIEVE_TIMEOUT_S", "1.5")
    async with TroubledEngine(tmp_path, redis_url, key_prefix) as engine:
        await indexed(engine.api, until)
        for trouble, status, told in (
            ("failed", retriever_pb2.STRATEGY_STATUS_FAILED, "out of order"),
            ("broken", retriever_pb2.STRATEGY_STATUS_FAILED, "ZeroDivisionError"),
            ("late", retriever_pb2.STRATEGY_STATUS_LATE, "in time"),
        ):
            engine.troubled.trouble = trouble
            response = await engine.api.search("park", policy="full_depth", page_size=50, explain=True)
            failures = {failure.strategy: failure for failure in response.failures}
            assert set(failures) == {"vector.dense"}
            assert failures["vector.dense"].status == status
            assert told in failures["vector.dense"].message
            assert len(response.results) == len(DOCUMENTS)
            # It is no evidence against the strategy: a click counts for those that answered alone.
            await send(engine.api, click(response, ids_of(response)[0]))
        engine.troubled.trouble = ""
        assert not (await engine.api.search("park", policy="full_depth")).failures
        policy = await until(engine.api.policy, lambda policy: policy.events == 3)
        assert "vector.dense" in {one.strategy for one in policy.kinds[0].strategies}
        for point in (await engine.api.progress()).points:
            assert "vector.dense" not in point.strategy_success
            assert point.strategy_success["lexical.bm25"] == 1


async def test_who_waits_shortly_gets_what_is_there_by_then(
    tmp_path: Path, redis_url: str, key_prefix: str, until: Until
) -> None:
    async with TroubledEngine(tmp_path, redis_url, key_prefix) as engine:
        await indexed(engine.api, until)
        engine.troubled.trouble = "late"
        response = await engine.api.search("park", policy="full_depth", page_size=50, timeout_s=2.0)
        assert [failure.strategy for failure in response.failures] == ["vector.dense"]
        assert len(response.results) == len(DOCUMENTS)


async def replayed(folder: Path, redis_url: str, key_prefix: str, until: Until) -> tuple[Sequence[Any], ...]:
    """A log of years ago, played in at once: the first month wants one film, the last day another."""
    async with Engine(folder, redis_url, key_prefix) as engine:
        await indexed(engine.api, until)
        sent = 0
        for day, wanted, times in ((0.0, "d8", 6), (60.0, "d9", 3)):
            for number in range(times):
                moment = time_to_proto(YEARS_AGO_S + day * DAY_S + number)
                context = document_pb2.Context(time=moment, user_id=f"u{number}")
                response = await engine.api.search("park", context=context, policy="full_depth", page_size=50)
                await send(engine.api, click(response, wanted, time=moment))
                sent += 1
        await until(engine.api.policy, lambda policy: policy.events == sent)
        progress = await engine.api.progress()
        found = []
        for day in (1.0, 61.0):
            context = document_pb2.Context(time=time_to_proto(YEARS_AGO_S + day * DAY_S))
            response = await engine.api.search(
                "", context=context, untracked=True, explain=True, policy="full_depth", ranker="fusion", page_size=50
            )
            assert not response.failures
            ranks = {
                (one.strategy, result.document.id): (one.rank, round(one.score, 4))
                for result in response.results
                for one in result.provenance
            }
            found.append((ids_of(response), ranks))
        return dict(progress.events), *found


async def test_a_past_log_is_replayed_by_its_own_times_and_twice_the_same(
    tmp_path: Path, redis_url: str, key_prefix: str, until: Until
) -> None:
    once = await replayed(tmp_path / "once", redis_url, key_prefix, until)
    twice = await replayed(tmp_path / "twice", redis_url, f"{key_prefix}-twice", until)
    assert once == twice
    events, _, (_, ranks) = once
    assert events == {"attributed": 9}
    # Two months later three clicks of the day outweigh six of long ago, though all were sent within seconds.
    assert ranks["memory.popular", "d9"][0] == 1
    assert ranks["memory.popular", "d9"][0] < ranks["memory.popular", "d8"][0]


async def test_a_search_long_before_everything_learned_is_answered_with_finite_numbers(api: Api) -> None:
    context = document_pb2.Context(time=time_to_proto(YEARS_AGO_S))
    page = await api.search("park", context=context, untracked=True, explain=True, policy="full_depth", page_size=6)
    second = await api.search("park", page_token=page.next_page_token, page_size=6, explain=True)
    assert not page.failures
    for result in (*page.results, *second.results):
        assert math.isfinite(result.score)
        assert all(math.isfinite(one.score) for one in result.provenance)


async def test_the_policy_can_be_read(api: Api, until: Until) -> None:
    policy: learning_pb2.GetPolicyResponse = await api.policy()
    assert policy.policy == "squarecb"
    assert policy.kinds[0].intent == "all"
    assert (await api.ranker()).weights


class Mute:
    """The lexical service, which finds documents but does not hand them out."""

    def __init__(self, servicer: Any) -> None:
        self._servicer = servicer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._servicer, name)

    async def FetchDocuments(self, request: Any, context: Any) -> Any:
        raise Unavailable("no documents today")


class MuteEngine(Engine):
    """An engine that cannot fetch documents."""

    async def _open_retrievers(self, stack: AsyncExitStack) -> dict[str, Connection]:
        connections = await super()._open_retrievers(stack)
        registrations = [
            Registration(
                f"honeyguide.{name}", lambda *_: None, Mute(servicer) if name == "LexicalService" else servicer
            )
            for name, servicer in connections["lexical"]._servicers.items()  # type: ignore[attr-defined]
        ]
        return {**connections, "lexical": LocalConnection(registrations)}


async def test_results_come_bare_where_documents_cannot_be_fetched(
    tmp_path: Path, redis_url: str, key_prefix: str, until: Until
) -> None:
    async with MuteEngine(tmp_path, redis_url, key_prefix) as engine:
        await indexed(engine.api, until)
        response = await engine.api.search("park", policy="full_depth", page_size=50)
        assert {result.document.id for result in response.results} == {document.id for document in DOCUMENTS}
        assert {(result.document.type, result.document.title) for result in response.results} == {("film", "")}
        # Related entities need the documents of the best candidates.
        assert {failure.strategy for failure in response.failures} == {"lexical", "related.entities"}
        assert all("no documents today" in failure.message for failure in response.failures)


async def test_a_shadow_policy_is_logged_but_not_obeyed_and_swaps_are_logged(
    tmp_path: Path, redis_url: str, key_prefix: str, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HONEYGUIDE_ORCHESTRATOR_POLICY", "full_depth")
    monkeypatch.setenv("HONEYGUIDE_ORCHESTRATOR_SHADOW_POLICY", "greedy")
    monkeypatch.setenv("HONEYGUIDE_ORCHESTRATOR_SWAP_SHARE", "1")
    async with Engine(tmp_path, redis_url, key_prefix) as engine:
        await indexed(engine.api, until)
        found = await engine.api.search("park", page_size=5, explain=True)
        (decision,) = await exported(engine.api)
        asked = {one["strategy"]: one["depth"] for one in decision["strategies"] if one["depth"]}
        assert decision["policy"] == "full_depth"
        assert set(asked.values()) <= {50, 100}
        assert decision["shadow"]
        assert sum(decision["shadow"].values()) < sum(asked.values())
        assert 1 <= decision["swapped_at"] <= 4
        upper = found.explanation.swapped_at
        assert upper == decision["swapped_at"]
        assert found.results[upper - 1].score <= found.results[upper].score


async def test_a_redis_that_freezes_holds_no_search_up(
    tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("UNDERSTAND", "RETRIEVE", "LOG"):
        monkeypatch.setenv(f"HONEYGUIDE_ORCHESTRATOR_{stage}_TIMEOUT_S", "0.2")
    valkey = ValkeyServer(tmp_path / "valkey")
    try:
        async with Engine(tmp_path / "engine", valkey.url, learner=False) as engine:
            await indexed(engine.api, until)
            os.kill(valkey.pid, signal.SIGSTOP)
            try:
                async with asyncio.timeout(4):  # redis-py alone would wait for 5 s
                    found = await engine.api.search("park gate")
            finally:
                os.kill(valkey.pid, signal.SIGCONT)
            assert found.results[0].document.id == "d0"
    finally:
        valkey.stop()
