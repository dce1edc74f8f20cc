"""Click logs: read with every mistake named, and replayed through a running system."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from honeyguide.documents import Document
from honeyguide.errors import InvalidArgument
from honeyguide_standalone.click_log import LoggedAction, count_actions, read_click_log
from honeyguide_standalone.command import app
from honeyguide_standalone.commands.replay import report
from honeyguide_standalone.engine import Engine
from honeyguide_standalone.replay import Replayed, Replayer, ReplayOptions, Seen, Standing, replay

Ask = Callable[..., Awaitable[tuple[int, str, str]]]
GOOD = '{"time": 1609459200, "query": "lamp", "document_id": "d1"}'


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_times_are_iso_8601_or_seconds(tmp_path: Path) -> None:
    log = written(
        tmp_path / "log.jsonl",
        GOOD,
        "",
        '{"time": "2021-01-01T01:00:00+01:00", "query": "", "document_id": "d2", "user_id": "u", "action": "purchase"}',
        '{"time": "2021-01-01T00:00:01Z", "query": "x", "document_id": "d3", "action": "play", "seconds": 40}',
    )
    first, second, third = read_click_log(log)
    assert (first.time_s, first.action, first.line) == (1_609_459_200.0, "click", 1)
    assert second == LoggedAction(3, 1_609_459_200.0, "", "d2", "u", "", "purchase")
    assert (third.time_s, third.seconds) == (1_609_459_201.0, 40.0)
    assert count_actions(log) == 3


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"time": 1609459201, "query": "x"}', "has no document_id"),
        ('{"time": 1609459201, "query": 7, "document_id": "d"}', "query: is not text"),
        ('{"time": "yesterday", "query": "x", "document_id": "d"}', "time"),
        ('{"time": 1609459201000, "query": "x", "document_id": "d"}', "since 1970-01-01 (milliseconds?)"),
        ('{"time": 100000000000, "query": "x", "document_id": "d"}', "is beyond the year 5100 (milliseconds?)"),
        ('{"time": -1, "query": "x", "document_id": "d"}', "time: lies before 1970"),
        ('{"time": 1609459201, "query": "x", "document_id": ""}', "document_id"),
        ('{"time": 1609459201, "query": "x", "document_id": "d", "action": "stare"}', "action: 'stare' is not"),
        ('{"time": 1609459201, "query": "x", "document_id": "d", "seconds": -1}', "seconds"),
        ('{"time": 1609459199, "query": "x", "document_id": "d"}', "is older than the line before"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    log = written(tmp_path / "log.jsonl", GOOD, line)
    with pytest.raises(InvalidArgument) as error:
        count_actions(log)
    assert error.value.message.startswith(f"{log}:2: ")
    assert says in error.value.message


def test_a_file_that_is_none_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="No such file"):
        count_actions(tmp_path / "none.jsonl")
    with pytest.raises(InvalidArgument, match="holds no action"):
        count_actions(written(tmp_path / "empty.jsonl", ""))
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidArgument, match="is not UTF-8"):
        count_actions(tmp_path / "bytes.jsonl")


def test_a_log_that_goes_on_into_the_future_is_refused_before_anything_is_replayed(tmp_path: Path) -> None:
    log = written(tmp_path / "log.jsonl", GOOD, "", GOOD.replace("1609459200", "1609459501"))
    with pytest.raises(InvalidArgument) as error:
        count_actions(log, clock=lambda: 1_609_459_200.0)
    assert error.value.message == f"{log}:3: time: lies more than 5 minutes in the future"
    assert count_actions(log, clock=lambda: 1_609_459_201.0) == 2


def test_a_byte_order_mark_is_no_part_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(f"{GOOD}\n", encoding="utf-8-sig")
    assert [action.line for action in read_click_log(log)] == [1]


def test_standing_by_hand() -> None:
    replayed = Replayed(total=8)
    for position in (1, 2, 0, 4, 1, 1, 0, 5):
        replayed.add(position, calls=2, candidates=10)
    assert replayed.whole.mrr == pytest.approx((1 + 1 / 2 + 1 / 4 + 1 + 1 + 1 / 5) / 8)
    assert replayed.whole.hit_rate == 6 / 8
    assert [quarter.searches for quarter in replayed.quarters] == [2, 2, 2, 2]
    assert [quarter.mrr for quarter in replayed.quarters] == pytest.approx([0.75, 0.125, 1.0, 0.1])
    replayed.absent.add(0, calls=6, candidates=40)
    told = report(replayed, ReplayOptions())
    assert told["whole"] == {"searches": 8, "mrr": 0.4938, "hit": 0.75, "calls": 2.0, "candidates": 10.0}
    assert told["absent"] == 1
    assert told["present"] == {"searches": 7, "mrr": 0.5643, "hit": 0.8571, "calls": 1.43, "candidates": 5.7}


def test_a_gain_by_hand() -> None:
    replayed = Replayed(3)
    for shown, static in (("ab", "ba"), ("ba", "cd"), ("cd", "cd")):
        replayed.compare(Seen("", tuple(shown), 2, 20), Seen("", tuple(static), 10, 200), "a")
    assert replayed.gains == [0.5, 0.5, 0.0]
    assert replayed.static == Standing(3, 0.5, 1, 30, 600)
    gain, margin = replayed.gain
    assert gain == pytest.approx(1 / 3)
    assert margin == pytest.approx(1.96 * (1 / 12) ** 0.5 / 3**0.5)


def test_keys_that_are_none_are_ignored_and_named_once(tmp_path: Path) -> None:
    more = GOOD[:-1] + ', "shop": "uk", "clicked": 1}'
    log, told = written(tmp_path / "log.jsonl", GOOD, more, more), list[str]()
    assert count_actions(log, told.append) == 3
    (line,) = told
    assert line.startswith(f"{log}: 'clicked', 'shop' ignored; the keys are time, query, document_id, ")
    count_actions(written(tmp_path / "good.jsonl", GOOD), told.append)
    assert len(told) == 1


def test_many_keys_that_are_none_are_not_all_named(tmp_path: Path) -> None:
    more = [json.dumps({**json.loads(GOOD), **{f"k{i}": 1 for i in range(j, j + 50)}}) for j in (0, 50)]
    told = list[str]()
    count_actions(written(tmp_path / "log.jsonl", *more), told.append)
    assert told[0].count("'k") == 20


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take its time."""
    for name in ("UNDERSTAND", "RETRIEVE"):
        monkeypatch.setenv(f"HONEYGUIDE_ORCHESTRATOR_{name}_TIMEOUT_S", "20")


@pytest.mark.usefixtures("patient")
async def test_a_past_log_teaches_the_system(tmp_path: Path, redis_url: str, key_prefix: str) -> None:
    documents = [Document(f"d{i}", "product", f"lamp number {i}") for i in range(30)]
    log = [LoggedAction(i, 1_609_459_200.0 + 3_600 * i, "lamp", "d17", f"u{i}") for i in range(12)]
    async with Engine(tmp_path, redis_url, key_prefix, intervals_s=0.005) as engine:
        await engine.api.index(documents)
        replayed = await replay(engine.api, log, len(log), ReplayOptions(wait=True))
        assert replayed.positions[-6:] == [1] * 6
        assert sum((await engine.api.progress(1)).events.values()) == len(log)
        measured = await replay(engine.api, log[-1:], 1, ReplayOptions(feedback=False))
        assert measured.positions == [1]
        assert sum((await engine.api.progress(1)).events.values()) == len(log)
        compared = await replay(engine.api, log[-2:], 2, ReplayOptions(feedback=False, compare=True))
        assert compared.whole.searches == compared.static.searches == len(compared.gains) == 2
        assert compared.static.calls > compared.whole.calls
        assert sum((await engine.api.progress(1)).events.values()) == len(log)
        with pytest.raises(InvalidArgument, match=r"^--policy: 'guess'"):
            await Replayer(engine.api, ReplayOptions(policy="guess")).search(log[2])
        ahead = LoggedAction(9, 4e9, "lamp", "d1")
        with pytest.raises(InvalidArgument, match="line 9"):
            await replay(engine.api, [ahead], 1, ReplayOptions())


async def test_actions_on_documents_that_are_not_there_are_told_apart(served: Engine, ask: Ask, tmp_path: Path) -> None:
    await served.api.index([Document("d1", "product", "lamp")])
    actions = [
        {"time": 1_609_459_200, "query": "lamp", "document_id": id} for id in ("d1", "gone", "d1", "gone", "old")
    ]
    log = written(tmp_path / "log.jsonl", *(json.dumps(action) for action in actions))
    code, out, err = await ask("replay", str(log), "--json", "--policy", "full_depth")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["absent"], told["whole"]["searches"], told["whole"]["mrr"]) == (3, 5, 0.4)
    assert (told["present"]["searches"], told["present"]["mrr"]) == (2, 1.0)
    assert told["present"]["calls"] == told["whole"]["calls"]
    _, out, _ = await ask("replay", str(log), "--no-feedback")
    assert [line.split()[:2] for line in out.splitlines()[1:5]] == [["quarter", str(i)] for i in range(1, 5)]
    assert "3 of 5 actions name documents that are not in the catalogue; over the others MRR@5 is 1.000" in out
    other = written(tmp_path / "other.jsonl", GOOD.replace("d1", "gone"))
    assert "no action names a document that is in the catalogue" in (await ask("replay", str(other)))[1]
    _, out, _ = await ask("replay", str(written(tmp_path / "good.jsonl", GOOD)), "--no-feedback")
    assert "catalogue" not in out
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["quarter", "all"]


@pytest.mark.parametrize("option", ["--policy", "--ranker"])
def test_a_name_that_there_is_not_is_the_options_fault(tmp_path: Path, option: str) -> None:
    log = written(tmp_path / "log.jsonl", "{}")
    outcome = CliRunner().invoke(app, ["replay", str(log), option, "nope"], standalone_mode=False)
    assert isinstance(outcome.exception, InvalidArgument)
    assert outcome.exception.message.startswith(f"{option}: 'nope' is not one of ")


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    runner = CliRunner()
    bad = written(tmp_path / "log.jsonl", GOOD, "{}")
    outcome = runner.invoke(app, ["replay", str(bad)], standalone_mode=False)
    assert isinstance(outcome.exception, InvalidArgument)
    assert "log.jsonl:2: has no time" in outcome.exception.message
    good = written(tmp_path / "good.jsonl", GOOD)
    outcome = runner.invoke(app, ["replay", str(good), "--documents", str(good)], standalone_mode=False)
    assert isinstance(outcome.exception, InvalidArgument)
    assert "--documents" in outcome.exception.message


@pytest.mark.usefixtures("patient")
def test_the_command_replays_in_process(tmp_path: Path) -> None:
    catalogue = written(
        tmp_path / "documents.jsonl",
        *(json.dumps({"id": f"d{i}", "type": "product", "title": f"lamp number {i}"}) for i in range(1, 4)),
    )
    log = written(tmp_path / "log.jsonl", GOOD, GOOD)
    arguments = [
        "replay",
        str(log),
        "--in-process",
        "--data-dir",
        str(tmp_path / "data"),
        "--documents",
        str(catalogue),
    ]
    line = [
        sys.executable,
        "-m",
        "honeyguide_standalone",
        *arguments,
        "--json",
        "--wait",
        "--ranker",
        "fusion",
        "--compare",
    ]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["searches"] == 2
    assert found["whole"]["hit"] == 1.0
    assert found["static"]["searches"] == 2
    assert set(found) >= {"gain", "gain_margin"}
    assert (found["waited"], found["ranker"]) == (True, "fusion")
    assert "3 documents indexed" in ended.stderr
    assert '"event": "learning"' in ended.stderr
