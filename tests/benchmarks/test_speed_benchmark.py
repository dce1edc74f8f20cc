"""The speed benchmark's own arithmetic: ratios within repetitions, percentiles, bars, results that outlive a run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from benchmarks.speed import results
from benchmarks.speed.bars import Bar, bar_of
from benchmarks.speed.bench import environment
from benchmarks.speed.flame import shares_by_module, without_folders
from benchmarks.speed.measure import Against, Row, alternate, percentile, rows_of, together
from benchmarks.speed.scale import MadeCatalogue

FIELDS = ["scenario", "system", "metric", "value", "unit", "ratio", "ratio_to", "runs", "low", "high", "item"]


def test_ratio_is_the_median_of_the_ratios_within_each_repetition() -> None:
    values = {"bare": [1.0, 10.0, 2.0], "ours": [3.0, 10.0, 8.0]}
    bare, ours = rows_of("search: films", "search", "ms", values, {"ours": Against("bare", item=1)})
    assert (ours.value, ours.ratio, ours.low, ours.high) == (8.0, 3.0, 1.0, 4.0)  # not 8 / 2, the ratio of medians
    assert (ours.ratio_to, ours.runs, ours.item) == ("bare", 3, 1)
    assert (bare.value, bare.ratio, bare.low, bare.high) == (2.0, None, 1.0, 10.0)


def test_a_reference_may_be_a_sum() -> None:
    values = {"in process": [10.0, 20.0], "echo": [1.0, 2.0], "remote": [12.0, 24.0]}
    remote = rows_of("s: a", "search", "ms", values, {"remote": Against("in process", 3, "echo", 2.0)})[2]
    assert remote.ratio == pytest.approx(1.0)
    assert remote.ratio_to == "in process + 2 x echo"


async def test_systems_take_turns_and_the_order_turns_around() -> None:
    order: list[str] = []

    def noted(name: str, value: float):  # type: ignore[no-untyped-def]
        async def measurement() -> float:
            order.append(name)
            return value

        return measurement

    values = await alternate({"a": noted("a", 1.0), "b": noted("b", 2.0)}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert values == {"a": [1.0] * 3, "b": [2.0] * 3}


async def test_clients_ask_everything_once() -> None:
    asked: list[int] = []

    async def call(number: int) -> None:
        asked.append(number)

    rate, times = await together(call, range(100), 16)
    assert sorted(asked) == list(range(100))
    assert len(times) == 100
    assert rate > 0


def test_percentile_is_by_nearest_rank() -> None:
    values = [float(i) for i in range(100, 0, -1)]
    assert percentile(values, 0.99) == 100.0
    assert percentile(values, 0.5) == 51.0
    assert percentile([7.0], 0.99) == 7.0


def row(scenario: str, value: float = 1.0, ratio: float | None = None, item: int | None = None) -> Row:
    return Row(
        scenario, "batched", "16 clients, new queries", value, "ms", ratio, "unbatched" if ratio else None, item=item
    )


def test_results_of_parts_not_run_are_kept_in_their_place() -> None:
    old = [row("steps: a"), row("search: films"), row("search: scifact"), row("scale: 10,000")]
    new = [row("search: films", 2.0)]
    assert results.merged(old, new, "search") == [old[0], new[0], old[3]]
    assert results.merged([], new, "search") == new
    assert results.merged(old, [row("peers: x")], "peers") == [*old, row("peers: x")]
    assert results.merged(old, [], "sea") == old  # a part's name is compared as a whole


def test_rows_survive_the_file_and_have_the_fields_asked_for(tmp_path: Path) -> None:
    rows = [Row("s: a", "ours", "search", 1.25, "ms", 1.5, "bare", 5, 1.25, 2.0, 1), row("s: b")]
    results.write(rows, tmp_path)
    raw = json.loads((tmp_path / "speed.json").read_text())
    assert [list(one) for one in raw["rows"]] == [FIELDS, FIELDS]
    assert results.read(tmp_path / "speed.json") == rows
    assert results.read(tmp_path / "absent.json") == []


def test_numbers_keep_four_digits() -> None:
    assert Row("s: a", "x", "y", 1234.567, "ms", 0.123456).to_dict()["value"] == 1235.0
    assert Row("s: a", "x", "y", 1234.567, "ms", 0.123456).to_dict()["ratio"] == 0.1235


def test_bars_hold_for_the_ratio_or_else_the_value() -> None:
    assert Bar(most=1.5).met(row("s: a", value=9.0, ratio=1.4))
    assert not Bar(most=1.5).met(row("s: a", value=1.0, ratio=1.6))
    assert Bar(least=5_000).met(row("s: a", value=5_000.0))
    assert not Bar(least=5_000).met(row("s: a", value=4_999.0))
    assert bar_of(row("encoding: a", item=5)) == Bar(least=1.5)
    assert bar_of(row("encoding: a")) is None


def test_tables_say_the_bar_and_whether_it_is_met() -> None:
    lines = results.markdown([row("encoding: a", 2.0, 1.2, item=5), row("encoding: b", 2.0, 1.6, item=5)]).splitlines()
    assert [line for line in lines if line.endswith("| 5: at least 1.5 | **no** |")]
    assert [line for line in lines if line.endswith("| 5: at least 1.5 | yes |")]


def test_a_plot_is_made_of_rows_with_a_bar(tmp_path: Path) -> None:
    path = tmp_path / "speed.png"
    assert results.plot([row("encoding: a")], path) is None
    assert results.plot([row("encoding: a", 2.0, 1.2, item=5)], path) == path
    assert path.stat().st_size > 1_000


def test_samples_belong_to_the_innermost_module_of_ours() -> None:
    ours = "run (asyncio/runners.py);search (/a/b/honeyguide_orchestrator/search.py)"
    raw = f"{ours};merge (x/honeyguide/merge.py) 3\n{ours};_read (redis/connection.py) 4\nrun (asyncio/runners.py) 1"
    assert shares_by_module(raw) == {
        "honeyguide_orchestrator/search.py": 0.5,
        "honeyguide/merge.py": 0.375,
        "asyncio": 0.125,
    }


def test_flame_graphs_name_no_folders_of_the_machine() -> None:
    svg = '<text id="title" x="1">py-spy --output /a.svg</text><title>run (/a/b/redis/client.py) (3 samples, 1%)'
    named = '<text id="title" x="1">A search</text><title>run (redis/client.py) (3 samples, 1%)'
    assert without_folders(svg, "A search") == named


def test_a_made_catalogue_is_the_same_again_and_its_queries_differ() -> None:
    (first,), (again,) = list(MadeCatalogue(20).batches()), list(MadeCatalogue(20).batches())
    assert [one.text for one in first] == [one.text for one in again]
    assert len({one.id for one in first}) == 20
    vectors = np.stack([one.embedding for one in first])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (vectors == np.stack([one.embedding for one in again])).all()
    assert len(set(MadeCatalogue(20).queries(500))) == 500


def test_a_variable_is_as_before_after_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HONEYGUIDE_MADE_UP", raising=False)
    with environment("HONEYGUIDE_MADE_UP", "1"):
        with environment("HONEYGUIDE_MADE_UP", "2"):
            assert os.environ["HONEYGUIDE_MADE_UP"] == "2"
        assert os.environ["HONEYGUIDE_MADE_UP"] == "1"
    assert "HONEYGUIDE_MADE_UP" not in os.environ
