"""`honeyguide get`, ids in results, and what a search of an empty catalogue says."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from honeyguide.documents import Document, document_from_json, document_from_proto, document_to_json
from honeyguide_standalone.engine import Engine

Ask = Callable[..., Awaitable[tuple[int, str, str]]]

HEAT = Document(
    "film:heat",
    "film",
    "Heat [1995]",
    "A thief and a detective",
    {"genre": ("Crime", "Drama"), "year": (1995.0,), "released": (datetime(1995, 12, 15, tzinfo=UTC),)},
    popularity=12.5,
    created_at_s=86_400.0,
    related=("person:pacino",),
)


async def test_shows_documents_and_names_those_that_are_not_there(served: Engine, ask: Ask) -> None:
    await served.api.index([HEAT, Document("film:rififi", "film", "Rififi")])
    code, out, err = await ask("get", "film:heat", "film:rififi")
    assert (code, err) == (0, "")
    assert [line.strip().split(maxsplit=1) for line in out.splitlines()] == [
        ["id", "film:heat"],
        ["type", "film"],
        ["title", "Heat [1995]"],
        ["text", "A thief and a detective"],
        ["genre", "Crime, Drama"],
        ["released", "1995-12-15T00:00:00+00:00"],
        ["year", "1995"],
        ["popularity", "12.5"],
        ["created_at", "1970-01-02T00:00:00+00:00"],
        ["related", "person:pacino"],
        [],
        ["id", "film:rififi"],
        ["type", "film"],
        ["title", "Rififi"],
    ]
    code, out, err = await ask("get", "nowhere", "film:heat", "--json")
    assert (code, err) == (1, "not there: nowhere\n")
    (line,) = out.splitlines()
    assert document_from_proto(document_from_json(line, {"released"})) == HEAT
    assert await ask("get", "") == (2, "", "honeyguide: ID: is 0 bytes long; 1 to 512 are allowed\n")


async def test_ids_are_shown_by_explain(served: Engine, ask: Ask) -> None:
    await served.api.index([HEAT])
    assert "film:heat" not in (await ask("search", "heat"))[1]
    assert "film:heat" in (await ask("search", "heat", "--explain"))[1]


async def test_what_is_acted_on_after_an_untracked_search_teaches_nothing(served: Engine, ask: Ask) -> None:
    await served.api.index([HEAT])
    await ask("search", "heat", "--untracked")
    untracked = "click on Heat [1995] for 'heat' is noted, but nothing is learned from it: the search was --untracked\n"
    assert await ask("click", "1") == (0, untracked, "")
    await ask("search", "heat")
    assert await ask("click", "1") == (0, "click on Heat [1995] for 'heat' is noted\n", "")


async def test_a_filter_by_a_name_that_is_none_is_told_on_standard_error(
    served: Engine, ask: Ask, tmp_path: Path
) -> None:
    file = tmp_path / "films.jsonl"
    file.write_text(document_to_json(HEAT) + "\n")
    dates = ("search", "heat", "--json", "--filter", "released!=1995")
    await served.api.index([HEAT])
    code, out, err = await ask(*dates)
    assert (code, len(json.loads(out)["results"])) == (0, 1)
    assert err.endswith("if 'released' is a time, 'released!=1995-01-01..1995-12-31' works everywhere\n")
    assert (await ask("index", str(file)))[0] == 0
    code, out, err = await ask(*dates)
    assert (code, json.loads(out).get("results", []), err) == (0, [], "")
    code, _, err = await ask("search", "heat", "--filter", "genres!=Crime")
    told = "--filter: the catalogue's configuration names no attribute 'genres'; did you mean 'genre'?\n"
    assert (code, err) == (0, told)
    assert await ask("search", "heat", "--filter", "year=>1990") == (
        2,
        "",
        "honeyguide: --filter: '>1990' in 'year=>1990' is not a number\n",
    )


async def test_an_empty_catalogue_is_told(served: Engine, ask: Ask) -> None:
    empty = "nothing found\nthe catalogue is empty; `honeyguide index FILE.jsonl` fills it\n"
    for options in ((), ("--filter", "year=1995")):
        assert (await ask("search", "heat", *options))[:2] == (0, empty)
    await served.api.index([HEAT])
    code, out, _ = await ask("search", "heat", "--filter", "year=1996")
    assert code == 0
    assert out.endswith(
        "no document passes the filter; are its names, values and their kinds those of the documents?\n"
    )


async def test_one_is_told_in_the_singular(served: Engine, ask: Ask) -> None:
    out = (await ask("policy"))[1]
    assert "learned from 0 decisions and 0 events" in out
    assert "advantage over the prior, the ranker before any feedback, is +0.0000" in " ".join(out.split())
    await served.api.index([HEAT])
    await ask("search", "heat")
    await ask("click", "1")
    for _ in range(100):
        _, out, _ = await ask("policy")
        if "learned from 1 decision and 1 event; depths" in out:
            assert "all queries: 1 search (older ones count less)" in out
            told = " ".join((await ask("stats"))[1].split())
            assert "1 decision taken in; lately reward" in told
            assert "so far (actions may still come)" in told
            return
    raise AssertionError(out)
