"""Experiments from the setting to the report, in one process."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.api.search.v1 import feedback_pb2, learning_pb2, search_pb2
from honeyguide.documents import Document, time_to_proto
from honeyguide.errors import FailedPrecondition
from honeyguide_standalone.api import Api, new_event_id
from honeyguide_standalone.commands.report import print_evidence
from honeyguide_standalone.engine import Engine

Until = Callable[..., Awaitable[Any]]
EXPERIMENT = "HONEYGUIDE_ORCHESTRATOR_EXPERIMENT"
BEGIN_S = 1_700_000_000.0
WINDOW_S = 60.0
DOCUMENTS = [
    Document(f"d{n}", "film", f"Park {place}", f"In a park there is a {place}.", popularity=100.0 - n)
    for n, place in enumerate(("gate", "bench", "lake", "swan", "keeper", "statue", "fountain", "path"))
]


@pytest.fixture(autouse=True)
def _short_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONEYGUIDE_ORCHESTRATOR_ATTRIBUTION_WINDOW_S", str(WINDOW_S))


async def indexed(api: Api, until: Until) -> None:
    assert not await api.index(DOCUMENTS)
    await until(
        lambda: api.search("park", untracked=True, explain=True, policy="full_depth"),
        lambda found: any(
            one.strategy == "lexical.bm25" and one.returned == len(DOCUMENTS) for one in found.explanation.strategies
        ),
    )


async def search(api: Api, number: int, **options: Any) -> search_pb2.SearchResponse:
    """The search of that number: each by another user, a second after the one before."""
    context = document_pb2.Context(user_id=f"u{number}", time=time_to_proto(BEGIN_S + number))
    return await api.search("park", context=context, explain=True, page_size=4, **options)


async def click(api: Api, response: search_pb2.SearchResponse, document_id: str, number: int) -> None:
    event = feedback_pb2.FeedbackEvent(
        event_id=new_event_id(),
        decision_id=response.decision_id,
        document_id=document_id,
        action=feedback_pb2.ACTION_TYPE_CLICK,
        time=time_to_proto(BEGIN_S + number),
    )
    (acknowledgement,) = await api.feedback([event])
    assert acknowledgement.status == feedback_pb2.EVENT_STATUS_ACCEPTED


async def close_windows(api: Api, number: int) -> None:
    """Time goes on: a search long after, by request of a policy, so that it is in no experiment."""
    await search(api, number + int(2 * WINDOW_S), policy="greedy")


async def logged(api: Api) -> dict[str, dict[str, Any]]:
    return {line["decision_id"]: line async for line in _lines(api)}


async def _lines(api: Api) -> Any:
    async for line in api.decisions():
        yield json.loads(line)


async def test_a_split_serves_each_user_one_variant_and_overrides_stay_outside(
    tmp_path: Path,
    redis_url: str,
    key_prefix: str,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(EXPERIMENT, '{"name": "depth", "a": {"policy": "safe"}, "b": {"policy": "greedy"}}')
    monkeypatch.setenv("HONEYGUIDE_ORCHESTRATOR_SHADOW_POLICY", "full_depth")
    async with Engine(tmp_path, redis_url, key_prefix) as engine:
        await indexed(engine.api, until)
        served: dict[str, int] = {}
        for number in range(20):
            response = await search(engine.api, number)
            assert (await search(engine.api, number)).explanation.policy == response.explanation.policy
            served[response.explanation.policy] = served.get(response.explanation.policy, 0) + 2
            if number < 10:
                await click(engine.api, response, response.results[0].document.id, number)
        assert set(served) == {"safe", "greedy"}
        outside = [
            await search(engine.api, 20, policy="full_depth"),
            await search(engine.api, 20, ranker="fusion"),
            await search(engine.api, 20, untracked=True),
        ]
        decisions = await logged(engine.api)
        assert all(decisions[one.decision_id]["experiment"] is None for one in outside[:2])
        assert outside[2].decision_id not in decisions
        assert outside[2].explanation.policy == "squarecb"
        await close_windows(engine.api, 20)
        report: learning_pb2.GetEvidenceResponse = await until(
            engine.api.evidence, lambda report: sum(one.decisions for one in report.shadows) >= 42
        )
        (experiment,) = report.experiments
        assert (experiment.name, experiment.mode) == ("depth", learning_pb2.EXPERIMENT_MODE_SPLIT)
        assert {experiment.a.policy: experiment.a.searches, experiment.b.policy: experiment.b.searches} == served
        assert experiment.a.reward_mean * served["safe"] + experiment.b.reward_mean * served["greedy"] == pytest.approx(
            10
        )
        assert experiment.a.cost_mean > experiment.b.cost_mean
        assert experiment.winner == ""
        (shadow,) = report.shadows
        assert shadow.policy == "full_depth"
        assert shadow.shadow.candidates > shadow.obeyed.candidates
        print_evidence(report)
        assert "experiment depth (split): not yet decided; 40 searches so far" in capsys.readouterr().out

    async with Engine(tmp_path, redis_url, key_prefix) as engine:  # what was found is kept, and counts once
        assert await engine.api.evidence() == report
        for number in (200, 201):
            await search(engine.api, number)
        await close_windows(engine.api, 201)
        await until(engine.api.evidence, lambda report: report.experiments[0].searches == 42)


@pytest.mark.parametrize("rival", ['{"ranker": "fusion"}', '{"policy": "greedy", "ranker": "fusion"}'])
async def test_interleaving_shows_both_and_credits_whose_documents_are_clicked(
    tmp_path: Path, redis_url: str, key_prefix: str, until: Until, monkeypatch: pytest.MonkeyPatch, rival: str
) -> None:
    monkeypatch.setenv(
        EXPERIMENT,
        f'{{"name": "mix", "mode": "interleave", "a": {{"policy": "safe", "ranker": "prior"}}, "b": {rival}}}',
    )
    policies = {"safe+greedy"} if "greedy" in rival else {"safe+squarecb"}
    async with Engine(tmp_path, redis_url, key_prefix) as engine:
        await indexed(engine.api, until)
        wins = {1: 0, 2: 0}
        for number in range(12):
            response = await search(engine.api, number)
            assert response.explanation.policy in policies
            line = (await logged(engine.api))[response.decision_id]
            teams = line["experiment"]["teams"]
            assert len(teams) == len(response.results) == 4
            assert abs(teams.count(1) - teams.count(2)) <= 1
            assert line["swapped_at"] == 0
            wanted = next((row for row, team in enumerate(teams) if team == 2), 0)
            await click(engine.api, response, response.results[wanted].document.id, number)
            if teams[wanted]:
                wins[teams[wanted]] += 1
            second = await engine.api.search("park", page_token=response.next_page_token, page_size=4)
            assert not {one.document.id for one in second.results} & {one.document.id for one in response.results}
        await close_windows(engine.api, 12)
        report = await until(
            engine.api.evidence, lambda report: report.experiments and report.experiments[0].searches >= 12
        )
        assert (report.experiments[0].a.wins, report.experiments[0].b.wins) == (wins[1], wins[2])
        assert report.experiments[0].searches == 12
        assert not report.explorations or "safe" not in {one.policy for one in report.explorations}


async def test_a_learner_that_comes_late_finds_the_same(
    tmp_path: Path, redis_url: str, key_prefix: str, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EXPERIMENT, '{"name": "late", "b": {"ranker": "fusion"}}')
    # It reads five searches and five actions at a time, but there are three actions on each search.
    monkeypatch.setattr("honeyguide_orchestrator.learner.BATCH", 5)
    async with Engine(tmp_path, redis_url, key_prefix, learner=False) as engine:
        await indexed(engine.api, until)
        for number in range(0, 600, 20):
            response = await search(engine.api, number)
            for row in (3, 2, 0):
                await click(engine.api, response, response.results[row].document.id, number)
        await close_windows(engine.api, 600)
        assert not (await engine.api.evidence()).experiments
    async with Engine(tmp_path, redis_url, key_prefix) as engine:
        report = await until(
            engine.api.evidence, lambda report: report.experiments and report.experiments[0].searches == 30
        )
        (experiment,) = report.experiments
        assert (experiment.a.reward_mean, experiment.b.reward_mean) == (1.0, 1.0)
        progress = await engine.api.progress(1)
        assert progress.points[0].reward_mean == pytest.approx(30 / 31)


async def test_an_experiment_with_what_there_is_not_does_not_start(
    tmp_path: Path, redis_url: str, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EXPERIMENT, '{"name": "x", "b": {"ranker": "magic"}}')
    with pytest.raises(FailedPrecondition, match="EXPERIMENT: 'magic' is not one of gated"):
        async with Engine(tmp_path, redis_url, key_prefix):
            pass
