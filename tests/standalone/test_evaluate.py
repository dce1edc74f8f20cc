"""`honeyguide evaluate`, on files and on what a running engine exports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.api.search.v1 import feedback_pb2, learning_pb2
from honeyguide.documents import Document, time_to_proto
from honeyguide.errors import InvalidArgument
from honeyguide_standalone.api import new_event_id
from honeyguide_standalone.command import app
from honeyguide_standalone.engine import Engine

Ask = Callable[..., Awaitable[tuple[int, str, str]]]
BEGIN_S = 1_600_000_000.0
COMPLETE = learning_pb2.DECISION_FORMAT_COMPLETE


def evaluated(*arguments: str) -> dict[str, Any]:
    outcome = CliRunner().invoke(app, ["evaluate", *arguments, "--json"], standalone_mode=False)
    assert outcome.exception is None, outcome.exception
    told: dict[str, Any] = json.loads(outcome.output)
    return told


@pytest.fixture
def generic(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    rounds = [
        {"context": {"n": i % 3}, "action": "ab"[i % 2], "propensity": 0.5, "reward": int(i % 2 == 0), "target": 0.8}
        for i in range(200)
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in rounds))
    return path


def test_a_generic_log(generic: Path) -> None:
    told = evaluated("--log", str(generic))
    assert told["rounds"] == 200
    assert told["logged"][0] == 0.5
    names = [one["name"] for one in told["targets"]]
    assert names == ["target", "uniform", "best"]
    best = told["targets"][2]
    assert best["verdict"] == "better"
    assert [one["estimator"] for one in best["estimates"]] == ["ips", "snips", "dm", "dr", "drs"]
    only = evaluated("--log", str(generic), "--policy", "always:b", "--estimator", "snips", "--limit", "50")
    assert only["rounds"] == 50
    ((estimate,),) = [one["estimates"] for one in only["targets"]]
    assert (estimate["estimator"], estimate["value"]) == ("snips", 0.0)
    assert only["targets"][0]["verdict"] == "worse"


def test_a_table_for_people(generic: Path) -> None:
    outcome = CliRunner().invoke(app, ["evaluate", "--log", str(generic)], standalone_mode=False)
    assert outcome.exception is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--estimator", "guess"], "--estimator"),
        (["--clip", "0"], "--clip"),
        (["--policy", "greedy"], "policy"),
        (["--ranker", "fusion"], "--ranker"),
        (["--since", "2026-01-01"], "--since"),
        (["--since", "soon"], "--since"),
    ],
)
def test_errors_name_the_option(generic: Path, options: list[str], told: str) -> None:
    outcome = CliRunner().invoke(app, ["evaluate", "--log", str(generic), *options], standalone_mode=False)
    assert isinstance(outcome.exception, InvalidArgument)
    assert told in outcome.exception.message


def test_a_file_that_is_none(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    for path in (tmp_path / "nowhere", empty):
        outcome = CliRunner().invoke(app, ["evaluate", "--log", str(path)], standalone_mode=False)
        assert isinstance(outcome.exception, InvalidArgument), path


@pytest.mark.parametrize("format", ["json", "dsjson"])
async def test_an_export_for_other_tools_is_told_from_a_complete_one(
    served: Engine, ask: Ask, tmp_path: Path, format: str
) -> None:
    await served.api.search("lamp")
    path = tmp_path / "export"
    assert (await ask("decisions", "export", "--format", format, "--output", str(path)))[0] == 0
    code, out, err = await ask("evaluate", "--log", str(path))
    assert (code, out) == (2, "")
    assert err == (
        "honeyguide: --log: is an export for other tools; "
        "`honeyguide decisions export --format complete --output FILE` makes one to evaluate\n"
    )


async def test_a_complete_export_without_its_first_line_is_told(served: Engine, ask: Ask, tmp_path: Path) -> None:
    await served.api.search("lamp")
    path = tmp_path / "export"
    assert (await ask("decisions", "export", "--format", "complete", "--output", str(path)))[0] == 0
    path.write_text(path.read_text().partition("\n")[2])
    code, out, err = await ask("evaluate", "--log", str(path))
    assert (code, out) == (2, "")
    assert err.startswith("honeyguide: --log: looks like a complete export without its first line; ")


async def test_what_an_engine_exports_can_be_evaluated(tmp_path: Path, redis_url: str, key_prefix: str) -> None:
    documents = [Document(f"d{i}", "film", f"lamp number {i}", "a film of lamps", popularity=i) for i in range(1, 9)]

    async def search(time_s: float, clicked: bool) -> None:
        context = document_pb2.Context(time=time_to_proto(time_s))
        response = await engine.api.search("lamp", context=context, policy="full_depth", ranker="fusion", explain=True)
        event = feedback_pb2.FeedbackEvent(
            event_id=new_event_id(),
            decision_id=response.decision_id,
            document_id=response.results[1].document.id,
            action=feedback_pb2.ACTION_TYPE_CLICK,
            time=time_to_proto(time_s + 1.0),
        )
        if clicked:
            await engine.api.feedback([event])

    async with Engine(tmp_path / "data", redis_url, key_prefix) as engine:
        await engine.api.index(documents)
        await asyncio.sleep(1.0)
        for i in range(16):
            await search(BEGIN_S + i, clicked=i % 4 > 0)
        # Hours later two more, whose windows are open: one is credited at once, the other may be yet.
        for clicked in (True, False):
            await search(BEGIN_S + 9_999.0, clicked)
        for _ in range(100):
            plain = [json.loads(line) async for line in engine.api.decisions()]
            lines = [line async for line in engine.api.decisions(format=COMPLETE)]
            settled = [line for line in lines[1:] if json.loads(line)["rewards"] is not None]
            if plain[16]["reward"] and len(settled) == 16:
                break
            await asyncio.sleep(0.2)
        assert [one["reward"] is None for one in plain] == [False] * 17 + [True]
        assert len(lines) == 19
        newest = [line async for line in engine.api.decisions(format=COMPLETE, limit=3, newest=True)]
        assert [json.loads(line)["id"] for line in newest[1:]] == [json.loads(line)["id"] for line in lines[-3:]]
        later = [line async for line in engine.api.decisions(format=COMPLETE, since_s=4e9)]
        assert len(later) == 1
    path = tmp_path / "export.jsonl"
    path.write_text("\n".join(lines) + "\n")
    told = evaluated("--log", str(path), "--policy", "full_depth", "--policy", "safe", "--ranker", "fusion")
    assert told["rounds"] == 16
    assert told["left_out"] == {"not settled yet": 2}
    by_name = {one["name"]: one for one in told["targets"]}
    logged = told["logged"][0]
    for name in ("full_depth", "fusion"):
        for one in by_name[name]["estimates"]:
            if one["estimator"] != "dm":
                assert one["value"] == pytest.approx(logged, abs=1e-3), (name, one)
    # What a smaller allocation would have found is known from the larger one that was asked.
    assert by_name["safe"]["support"]["share"] == pytest.approx(1.0)
    assert by_name["safe"]["calls"] < by_name["full_depth"]["calls"] + 1e-9
    every = evaluated("--log", str(path), "--since", "2020-01-01")
    assert {"greedy", "squarecb", "prior", "linear"} <= {one["name"] for one in every["targets"]}
