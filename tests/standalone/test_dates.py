"""Dates in JSON Lines: taken as what the configuration says they are, and found by year, day and time."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import document_from_json, time_to_proto
from honeyguide_standalone.catalog import infer_catalog
from honeyguide_standalone.engine import Engine
from honeyguide_standalone.ingest import Bookmark, Progress

Ask = Callable[..., Awaitable[tuple[int, str, str]]]

DAYS = {"a": "2019-12-31", "b": "2020-01-01", "c": "2020-06-30", "d": "2020-12-31", "e": "2022-06-25"}
TIMES = {
    "a": "2019-12-31T23:59:59.999999",
    "b": "2020-01-01T00:00:00Z",
    "c": "2020-06-30T23:59:59",
    "d": "2021-01-01T00:59:59+01:00",
    "e": 1_656_158_400,
}
CONFIG = "types: [{name: note}]\nattributes: [{name: at, kind: time}]\n"
FILTERS = [
    ("at=2020", "bcd"),
    ("at=2020-06", "c"),
    ("at=2020-06-30", "c"),
    ("at=2020-01-01..2020-06-30", "bc"),
    ("at=2020-01-01..2020-06", "bc"),
    ("at=2020..2022", "bcde"),
    ("at=2020-07-01..", "de"),
    ("at=..2019", "a"),
    ("at=2023", ""),
    ("at=2020..9999", "bcde"),
]


def written(path: Path, values: dict[str, object]) -> Path:
    lines = [{"id": id, "type": "note", "title": f"note {id}", "attributes": {"at": at}} for id, at in values.items()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


async def found(ask: Ask, filter: str) -> str:
    code, out, err = await ask("search", "note", "--json", "--untracked", "--filter", filter)
    assert (code, err) == (0, "")
    return "".join(sorted(result["document"]["id"] for result in json.loads(out).get("results", [])))


@pytest.mark.parametrize("configured", [False, True])
async def test_days_are_found(served: Engine, ask: Ask, tmp_path: Path, configured: bool) -> None:
    (tmp_path / "catalog.yaml").write_text(CONFIG)
    config = ["--config", str(tmp_path / "catalog.yaml")] if configured else []
    code, out, err = await ask("index", str(written(tmp_path / "days.jsonl", DAYS)), *config)
    assert (code, err) == (0, ""), out
    assert {filter: await found(ask, filter) for filter, _ in FILTERS} == dict(FILTERS)
    assert (await served.api.get_document("c")).attributes["at"].values[0].HasField("time")


async def test_times_are_found_to_their_last_moment(served: Engine, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "catalog.yaml").write_text(CONFIG)
    file, config = written(tmp_path / "times.jsonl", TIMES), tmp_path / "catalog.yaml"
    assert (await ask("index", str(file), "--config", str(config)))[0] == 0
    exactly = [
        ("at=2020-06-30T23:59:59", "c"),
        ("at=2020-06-30T23:59:59..2020-12-31T23:59:59Z", "cd"),
        ("at=2020-06-30T23:59:58..2020-06-30T23:59:58", ""),
        ("at=1593561599..1656158400", "cde"),
    ]
    assert {filter: await found(ask, filter) for filter, _ in [*FILTERS, *exactly]} == dict([*FILTERS, *exactly])
    bounds = [time_to_proto(datetime(2020, month, 30, 23, 59, 59, tzinfo=UTC).timestamp()) for month in (6, 12)]
    low, high = (document_pb2.Value(time=bound) for bound in bounds)
    condition = document_pb2.AttributeCondition(attribute="at", range=document_pb2.Range(min=low, max=high))
    response = await served.api.search("note", filter=document_pb2.Filter(attributes=[condition]))
    assert [result.document.id for result in response.results] == ["c"]


async def test_what_is_no_time_is_refused_by_its_line(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "catalog.yaml").write_text(CONFIG)
    values = {"a": "2020-01-01", "b": "soon", "c": True, "d": 1_656_158_400_000, "e": "", "f": [None, "2020-01-02"]}
    file = written(tmp_path / "times.jsonl", values)
    code, out, err = await ask("index", str(file), "--config", str(tmp_path / "catalog.yaml"))
    assert code == 1
    assert "3 documents indexed" in out
    told = [
        f"{file}:{line}: attributes.at: {value} is not an ISO 8601 time, such as 2022-06-25 or 2022-06-25T18:30:00Z, "
        f"or a number of seconds since 1970-01-01{hint}"
        for line, value, hint in ((2, "'soon'", ""), (3, "'True'", ""), (4, "'1656158400000'", " (milliseconds?)"))
    ]
    assert err.splitlines() == told
    assert await found(ask, "at=2020") == "af"


async def test_the_same_file_is_indexed_again_once_its_dates_are_times(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text("attributes: [{name: at, kind: keyword}]\n")
    file = str(written(tmp_path / "days.jsonl", DAYS))
    assert (await ask("index", file, "--config", str(tmp_path / "words.yaml")))[0] == 0
    assert [await found(ask, filter) for filter in ("at=2020", "at=2020-06-30", "at=2020-01-01..")] == ["", "c", ""]
    assert (await ask("index", file))[0] == 0
    assert [await found(ask, filter) for filter in ("at=2020", "at=2020-06-30", "at=2020-01-01..")] == [
        "bcd",
        "c",
        "bcde",
    ]


def test_a_bookmark_of_before_there_were_times_is_kept(tmp_path: Path) -> None:
    Bookmark(tmp_path, "content", "local").write(Progress(lines=1, offset=50, indexed=1))
    assert Bookmark(tmp_path, "content", "local", []).read().lines == 1
    assert Bookmark(tmp_path, "content", "local", ["at"]).read().lines == 0


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["2020-01-01", "2020-01-01T10:00"], "time"),
        (["2020-01-01", ""], "time"),
        (["2020-01-01", 1_600_000_000], "time"),
        (["2020-01-01", True], "keyword"),
        (["2020-01-01", "soon"], "keyword"),
    ],
)
def test_what_is_inferred_takes_what_it_was_inferred_from(values: list[object], kind: str) -> None:
    lines = [json.dumps({"id": "a", "type": "note", "attributes": {"at": value}}) for value in values]
    catalog = infer_catalog([document_from_json(line) for line in lines])
    assert [entry.kind for entry in catalog.attributes] == [kind]
    for line in lines:
        document_from_json(line, catalog.times)
