"""What the memory service promises, over gRPC and in process."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from honeyguide.api.memory.v1 import memory_pb2
from honeyguide.api.retrieval.v1 import indexing_pb2, retriever_pb2
from honeyguide.candidates import candidates_from_proto
from honeyguide.documents import DAY_S, Condition, Document, Filter
from honeyguide.errors import InvalidArgument

Memory = Any
NOW_S = 1_700_000_000.0
ALL = ["memory.query", "memory.near", "memory.user", "memory.popular", "memory.fresh"]


def film(id: str, title: str = "", **more: Any) -> Document:
    return Document(id=id, type=more.pop("type", "film"), title=title or id, **more)


async def test_strategies_are_listed_with_their_needs(memory: Memory) -> None:
    listed = (await memory.retriever.ListStrategies(retriever_pb2.ListStrategiesRequest())).strategies
    assert [strategy.name for strategy in listed] == ALL
    assert [list(strategy.needs) for strategy in listed] == [
        [retriever_pb2.STRATEGY_NEED_QUERY],
        [retriever_pb2.STRATEGY_NEED_QUERY],
        [retriever_pb2.STRATEGY_NEED_USER],
        [],
        [],
    ]
    assert listed[4].kind == retriever_pb2.STRATEGY_KIND_EXPLORE


async def test_a_new_document_is_predicted_for_its_title_and_what_follows_from_it(memory: Memory) -> None:
    await memory.put(
        film("f1", "The Long Night: Dawn", attributes={"artist": ("Ada Blue",)}, created_at_s=0.0),
        film("f2", "Something Else"),
        film("f3", "Another", attributes={"artist": ("Ada Red",)}, popularity=1.0),
    )
    assert await memory.ids("memory.query", "ada red film") == ["f3"]
    assert await memory.ids("memory.query", "ada blue film") == []  # many may be hers, and nobody knows which is meant
    for query in ("the long night dawn", "dawn", "long night dawn", "the long night dawn film", "night the long dawn"):
        assert await memory.ids("memory.query", query) == ["f1"], query
    for query in ("the long night dawn ada blue", "the long night dawn 1970", "The LONG night: dawn!"):
        assert await memory.ids("memory.query", query) == ["f1"], query
    assert await memory.ids("memory.query", "the long") == []


async def test_aliases_are_predicted_once_configured(memory: Memory) -> None:
    attribute = indexing_pb2.AttributeConfiguration(name="original_title", alias=True)
    configuration = indexing_pb2.CatalogConfiguration(attributes=[attribute])
    await memory.index.Configure(indexing_pb2.ConfigureRequest(configuration=configuration))
    await memory.put(film("f1", "Spirited Away", attributes={"original_title": ("Sen to Chihiro",)}))
    assert await memory.ids("memory.query", "sen to chihiro") == ["f1"]


async def test_of_documents_with_one_title_the_popular_one_leads(memory: Memory) -> None:
    await memory.put(film("a", "Halo"), film("b", "Halo", popularity=100.0), film("c", "Halo", popularity=3.0))
    assert await memory.ids("memory.query", "halo") == ["b", "c", "a"]


async def test_of_documents_with_one_word_in_their_titles_the_popular_ones_lead(memory: Memory) -> None:
    await memory.put(film("a", "Dark Water", popularity=30.0), film("b", "Thor: The Dark World", popularity=700.0))
    await memory.put(film("c", "Dark City"), film("d", "Dark", popularity=1.0))
    assert await memory.ids("memory.query", "dark") == ["b", "a", "d"]
    assert await memory.ids("memory.query", "dark city") == ["c"]


async def test_observed_actions_take_over_from_the_prediction(memory: Memory) -> None:
    await memory.put(film("predicted", "Halo"), film("chosen", "Glory"))
    assert await memory.ids("memory.query", "halo") == ["predicted"]
    for _ in range(4):
        await memory.act("halo", "chosen")
    assert await memory.ids("memory.query", "halo") == ["chosen", "predicted"]


async def test_what_was_acted_on_long_ago_is_not_left_out_for_what_was_predicted(memory: Memory) -> None:
    await memory.put(*(film(f"predicted{i:02d}", "Halo") for i in range(20)))
    chosen = [f"chosen{i}" for i in range(5)]
    await memory.put(*(film(id, "Glory") for id in chosen))
    for id in chosen:
        await memory.act("halo", id, time_s=NOW_S - 30 * DAY_S)
    assert sorted(await memory.ids("memory.query", "halo", depth=5)) == chosen


async def test_a_disliked_document_sinks(memory: Memory) -> None:
    await memory.put(film("a", "Halo"), film("b", "Halo"))
    await memory.act("halo", "a")
    await memory.act("halo", "b", weight=0.5)
    assert await memory.ids("memory.query", "halo") == ["a", "b"]
    for _ in range(2):
        await memory.act("halo", "a", weight=-0.4)
    assert await memory.ids("memory.query", "halo") == ["b", "a"]


async def test_a_changed_title_leaves_its_old_predictions(memory: Memory) -> None:
    await memory.put(film("f1", "Old Name"))
    await memory.put(film("f1", "New Title"))
    assert await memory.ids("memory.query", "old name") == []
    assert await memory.ids("memory.query", "new title") == ["f1"]


async def test_what_was_predicted_for_deleted_documents_makes_room_for_others(memory: Memory) -> None:
    await memory.put(*(film(f"old{i}", "Halo") for i in range(25)))
    assert len(await memory.ids("memory.query", "halo", depth=50)) == 20
    old = [f"old{i}" for i in range(25)]
    await memory.index.DeleteDocuments(indexing_pb2.DeleteDocumentsRequest(document_ids=old))
    await memory.put(*(film(f"new{i}", "Halo") for i in range(25)))
    found = await memory.ids("memory.query", "halo", depth=50)
    assert len(found) == 20
    assert all(id.startswith("new") for id in found)


async def test_what_was_predicted_for_an_old_title_makes_room_even_for_the_less_popular(memory: Memory) -> None:
    await memory.put(*(film(f"x{i}", "Moon", popularity=5.0) for i in range(20)))
    await memory.put(*(film(f"x{i}", f"Sun {i}", popularity=5.0) for i in range(20)))
    await memory.put(film("y", "Moon", popularity=4.0))
    assert await memory.ids("memory.query", "moon", depth=50) == ["y"]


async def test_whoever_is_displaced_takes_the_room_of_a_deleted_document(memory: Memory) -> None:
    await memory.put(*(film(f"x{i:02}", "Moon", popularity=5.0 + i) for i in range(20)))
    await memory.index.DeleteDocuments(indexing_pb2.DeleteDocumentsRequest(document_ids=["x07"]))
    await memory.put(film("y", "Moon", popularity=50.0))
    found = await memory.ids("memory.query", "moon", depth=50)
    assert found == ["y", *(f"x{i:02}" for i in range(19, -1, -1) if i != 7)]


async def test_features_of_a_candidate(memory: Memory) -> None:
    await memory.put(film("a", "Other", popularity=7.0, created_at_s=10 * DAY_S))
    await memory.act("halo", "a", NOW_S)
    later = NOW_S + 3 * DAY_S
    found = (await memory.ask("memory.query", "halo", time_s=later))["memory.query"]
    features = {name: column[0] for name, column in found.features.items()}
    short, long = 0.5, 2 ** (-3 / 42)
    assert features["q2e_actions"] == pytest.approx(0.5 * short + 0.5 * long, rel=1e-5)
    assert features["recency"] == pytest.approx(0.5, rel=1e-5)
    assert features["popularity"] == 7.0
    assert features["created_day"] == 10.0
    today, lasting = 1 / 8 * math.log(2), long * math.log(2) / 42
    assert features["trend"] == pytest.approx(math.log((today + 1) / (lasting + 1)), rel=1e-4)
    # It has all of the prior: words and popularity know no other document.
    assert features["q2e"] == pytest.approx(1.0, rel=1e-5)
    assert found.types == ["film"]


async def test_near_queries_tolerate_a_misspelling(memory: Memory) -> None:
    await memory.put(film("swift"), film("other"))
    await memory.act("taylor love", "swift")
    await memory.act("quite different", "other")
    found = (await memory.ask("memory.near", "tayler love"))["memory.near"]
    assert found.document_ids == ["swift"]
    # 12 grams each, 8 of them shared: 2/3 alike; of 1 action and 2 of the prior, 1/3 is the document's.
    assert found.scores[0] == pytest.approx(2 / 3 * 1 / 3, rel=1e-5)
    assert (await memory.recall("tayler love")).near_similarity == pytest.approx(2 / 3)
    assert (await memory.recall("love taylor")).near_similarity == pytest.approx(1.0)
    assert (await memory.recall("xyzzy")).near_similarity == 0.0


async def test_queries_of_other_numbers_are_not_near(memory: Memory) -> None:
    await memory.put(film("second"), film("third"))
    await memory.act("toy story 2", "second")
    await memory.act("films of tom hanks after 2005", "third")
    assert await memory.ids("memory.near", "toy stori 2") == ["second"]
    assert await memory.ids("memory.near", "toy story 3") == []
    assert await memory.ids("memory.near", "films of tom hanks before 1990") == []


async def test_recall_of_a_query(memory: Memory) -> None:
    for _ in range(3):
        await memory.act("halo", "a")
    await memory.act("halo", "b")
    await memory.act("halo", "c", weight=-1.0)
    known = await memory.recall("halo")
    assert known.actions == pytest.approx(4.0, rel=1e-5)
    assert known.top_share == pytest.approx(0.75, rel=1e-5)
    assert known.entropy == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), rel=1e-5)
    assert known.near_similarity == 0.0
    weeks = await memory.recall("halo", NOW_S + 42 * DAY_S)
    assert weeks.actions == pytest.approx(4 * (0.5 * 2**-14 + 0.5 * 0.5), rel=1e-5)
    nothing = await memory.recall("unheard of")
    assert (nothing.actions, nothing.entropy, nothing.top_share) == (0.0, 0.0, 0.0)


async def test_user_session_and_segment(memory: Memory) -> None:
    await memory.put(*(film(id) for id in "abcd"))
    who = {"user_id": "u1", "session_id": "s1", "segment": "gb"}
    for time_s, document in enumerate("abab"):
        await memory.act("", document, NOW_S + time_s, **who)
    await memory.act("", "c", NOW_S + 9, user_id="u1", session_id="s2")
    await memory.act("", "d", NOW_S, user_id="u2", segment="gb")
    known = await memory.recall("", NOW_S + 10, user_id="u1", session_id="s1")
    assert known.taste.user_document_ids == ["c", "b", "a"]
    assert known.taste.session_document_ids == ["b", "a"]
    assert known.user_actions == pytest.approx(5.0, rel=1e-3)
    assert await memory.ids("memory.user", time_s=NOW_S + 10, user_id="u1") == ["b", "a", "c"]
    assert await memory.ids("memory.user", time_s=NOW_S + 10, user_id="u1", segment="gb") == ["b", "a", "c", "d"]
    assert await memory.ids("memory.user", time_s=NOW_S + 10, segment="gb") == ["b", "a", "d"]
    assert await memory.ids("memory.user", time_s=NOW_S + 10) == []
    next_day = await memory.recall("", NOW_S + 10 + DAY_S, user_id="u1", session_id="s1")
    assert next_day.taste.session_document_ids == []


async def test_popular_as_of_long_ago_is_by_how_much_was_wanted_since(memory: Memory) -> None:
    await memory.put(film("a"), film("b"), film("c"))
    for document, actions in (("a", 1), ("b", 3), ("c", 2)):
        for _ in range(actions):
            await memory.act("", document)
    assert await memory.ids("memory.popular", time_s=NOW_S - 400 * DAY_S) == ["b", "c", "a"]


async def test_popular_is_what_many_want_today_then_what_the_catalogue_says(memory: Memory) -> None:
    await memory.put(film("known", popularity=50.0), film("famous", popularity=90.0), film("past"), film("today"))
    assert await memory.ids("memory.popular") == ["famous", "known"]
    for _ in range(3):
        await memory.act("", "past", NOW_S - 3 * DAY_S)
    await memory.act("", "today")
    found = (await memory.ask("memory.popular"))["memory.popular"]
    assert found.document_ids == ["today", "past", "famous", "known"]
    assert found.scores[:3] == pytest.approx([1.0, 3 / 8, 0.01], rel=1e-5)


async def test_fresh_is_newest_first_and_not_of_the_future(memory: Memory) -> None:
    dated = {"old": NOW_S - 9 * DAY_S, "new": NOW_S - DAY_S, "coming": NOW_S + DAY_S}
    await memory.put(*(film(id, created_at_s=time_s) for id, time_s in dated.items()), film("undated"))
    assert await memory.ids("memory.fresh") == ["new", "undated", "old"]
    assert await memory.ids("memory.fresh", time_s=NOW_S - 2 * DAY_S) == ["old"]


async def test_a_document_that_gets_or_loses_its_date_stays_among_the_fresh_once(memory: Memory) -> None:
    await memory.put(film("a"), film("b", created_at_s=NOW_S - 50))
    await memory.put(film("a", created_at_s=NOW_S - 100))
    assert await memory.ids("memory.fresh") == ["b", "a"]
    assert await memory.ids("memory.fresh", time_s=NOW_S - 60) == ["a"]
    await memory.put(film("a"), film("b", "Another title"))
    films = Filter(types=frozenset(["film"]))
    assert (
        sorted(await memory.ids("memory.fresh")) == sorted(await memory.ids("memory.fresh", filter=films)) == ["a", "b"]
    )
    assert await memory.ids("memory.fresh", time_s=NOW_S - 1) == []  # new is now when they were indexed


async def test_a_document_of_another_type_keeps_what_it_was_acted_on(memory: Memory) -> None:
    await memory.put(film("a"), film("b"))
    for document in "aab":
        await memory.act("", document)
    await memory.put(film("a", type="series"))
    before = (await memory.ask("memory.popular"))["memory.popular"]
    assert before.document_ids == ["a", "b"]
    assert before.scores == pytest.approx([2.0, 1.0], rel=1e-5)
    assert await memory.ids("memory.popular", filter=Filter(types=frozenset(["series"]))) == ["a"]
    assert await memory.ids("memory.popular", filter=Filter(types=frozenset(["film"]))) == ["b"]


async def test_lists_are_read_on_where_a_filter_leaves_few(memory: Memory) -> None:
    many = [film(f"d{i:04}", popularity=9_000.0 - i, created_at_s=NOW_S - i) for i in range(1_500)]
    rare = [film(f"r{i}", attributes={"genre": ("Rare",)}, popularity=9.0 - i, created_at_s=i) for i in range(3)]
    await memory.put(*many, *rare)
    excluded = Filter(excluded_ids=frozenset(f"d{i:04}" for i in range(1_200)))
    for strategy in ("memory.popular", "memory.fresh"):
        assert await memory.ids(strategy, filter=excluded, depth=5) == [f"d{i}" for i in range(1_200, 1_205)]
    conditions = Filter(conditions=(Condition("genre", frozenset(["rare"])),))
    assert await memory.ids("memory.popular", filter=conditions) == ["r0", "r1", "r2"]
    assert await memory.ids("memory.fresh", filter=conditions) == ["r2", "r1", "r0"]
    few = Filter(types=frozenset(["film", *"abcde"]), conditions=conditions.conditions)
    assert await memory.ids("memory.popular", filter=few, depth=1) == ["r0"]


async def test_a_deleted_document_leaves_every_answer(memory: Memory) -> None:
    await memory.put(film("a", "Halo", popularity=1.0, created_at_s=0.0), film("b", "Glory", created_at_s=0.0))
    await memory.act("halo", "a", user_id="u")
    await memory.act("halos", "a", user_id="u")
    before = await memory.ask(ALL, "halo", user_id="u")
    assert all("a" in found.document_ids for found in before.values())
    request = indexing_pb2.DeleteDocumentsRequest(document_ids=["a", "missing"])
    assert (await memory.index.DeleteDocuments(request)).deleted == 1
    after = await memory.ask(ALL, "halo", user_id="u")
    assert not any("a" in found.document_ids for found in after.values())
    stats = await memory.index.GetStats(indexing_pb2.GetStatsRequest())
    assert dict(stats.documents_by_type) == {"film": 1}
    assert stats.size_bytes > 0


@pytest.mark.parametrize("seed", range(3))
async def test_filters_hold_as_the_reference_has_it(memory: Memory, seed: int) -> None:
    random = np.random.default_rng(seed)
    documents = []
    for i in range(40):
        attributes: dict[str, tuple[Any, ...]] = {
            "genre": tuple(random.choice(["Drama", "comédie", "War"], size=random.integers(0, 3))),
            "year": (float(random.integers(1990, 2000)),),
            "seen": (bool(random.integers(2)),),
        }
        type = str(random.choice(["film", "series"]))
        documents.append(film(f"d{i}", "Halo", type=type, attributes=attributes, popularity=1.0 + i, created_at_s=i))
    await memory.put(*documents)
    for i in range(40):
        await memory.record(memory.action("halo", f"d{i}", user_id="u"), memory.action("halos", f"d{i}"))
    filters = [
        Filter(types=frozenset(["film"])),
        Filter(conditions=(Condition("genre", frozenset(["drama", "comedie"])),)),
        Filter(conditions=(Condition("year", None, 1992, 1996), Condition("genre", frozenset(["war"])))),
        Filter(conditions=(Condition("seen", frozenset([True])),)),
        Filter(conditions=(Condition("seen", frozenset([1.0])), Condition("year", frozenset([1994.0, 1995.0])))),
        Filter(conditions=(Condition("seen", None, 0, 1),)),
        Filter(conditions=(Condition("missing", frozenset(["x"])),)),
        Filter(types=frozenset(["series"]), excluded_ids=frozenset(f"d{i}" for i in range(20))),
        Filter(
            conditions=(Condition("year", None, 1992),),
            excluded_conditions=(Condition("genre", frozenset(["war"])), Condition("year", None, 1995, 1996)),
        ),
        Filter(excluded_conditions=(Condition("missing", frozenset(["x"])), Condition("seen", frozenset([True])))),
    ]
    for filter in filters:
        allowed = {d.id for d in documents if filter.matches(d.id, d.type, d.attributes)}
        found = await memory.ask(ALL, "halo", depth=100, filter=filter, user_id="u")
        for name, candidates in found.items():
            assert set(candidates.document_ids) == allowed, (name, filter)


async def test_completions(memory: Memory) -> None:
    for query, count in {"heat": 1, "heat wave": 3, "heather": 2, "cold": 5}.items():
        for _ in range(count):
            await memory.act(query, "x")
    await memory.act("heathen", "x", weight=-1.0)

    async def complete(prefix: str, limit: int = 9) -> list[str]:
        request = memory_pb2.CompleteQueriesRequest(prefix=prefix, limit=limit)
        return [each.query for each in (await memory.memory.CompleteQueries(request)).completions]

    assert await complete("h") == ["heat wave", "heather", "heat"]
    assert await complete("Hea") == ["heat wave", "heather", "heat"]
    assert await complete("heat ") == ["heat wave"]
    assert await complete("heat wav") == ["heat wave"]
    assert await complete("h", limit=1) == ["heat wave"]
    assert await complete("zzz") == []
    assert await complete("") == []


async def test_bad_input_is_named(memory: Memory) -> None:
    good = memory.action("q", "d")
    for change, field in [
        ({"event_id": ""}, "actions[0].event_id"),
        ({"event_id": "x" * 129}, "actions[0].event_id"),
        ({"document_id": ""}, "actions[0].document_id"),
        ({"weight": 10.5}, "actions[0].weight"),
        ({"weight": math.nan}, "actions[0].weight"),
        ({"normalized_query": "x" * 2_001}, "actions[0].normalized_query"),
    ]:
        bad = memory_pb2.Action()
        bad.CopyFrom(good)
        for name, value in change.items():
            setattr(bad, name, value)
        with pytest.raises(InvalidArgument) as caught:
            await memory.record(bad)
        assert caught.value.violations[0].field == field
    with pytest.raises(InvalidArgument, match="limit"):
        await memory.memory.CompleteQueries(memory_pb2.CompleteQueriesRequest(prefix="x", limit=0))
    with pytest.raises(InvalidArgument, match="actions"):
        await memory.record(*[good] * 1_001)


async def test_bad_pages_are_named_and_nothing_of_their_batch_is_taken(memory: Memory) -> None:
    good = memory.page("halo", ["a", "b"])
    for change, field in [
        ({"page_id": ""}, "pages[1].page_id"),
        ({"normalized_query": "x" * 2_001}, "pages[1].normalized_query"),
        ({"document_ids": ["a", ""]}, "pages[1].document_ids[1]"),
        ({"document_ids": ["a"] * 101}, "pages[1].document_ids"),
        ({"looked_at": [1.0]}, "pages[1].looked_at"),
        ({"looked_at": [1.0, math.nan]}, "pages[1].looked_at[1]"),
        ({"looked_at": [1.5, 1.0]}, "pages[1].looked_at[0]"),
    ]:
        bad = memory_pb2.Impressions()
        bad.CopyFrom(good)
        for name, value in change.items():
            if isinstance(value, list):
                del getattr(bad, name)[:]
                getattr(bad, name).extend(value)
            else:
                setattr(bad, name, value)
        with pytest.raises(InvalidArgument) as caught:
            await memory.show(good, bad)
        assert caught.value.violations[0].field == field
    with pytest.raises(InvalidArgument, match="pages"):
        await memory.show(*[good] * 1_001)
    assert (await memory.recall("halo")).pages == 0


async def test_recall_tells_what_was_shown_for_the_query_and_how_often(memory: Memory) -> None:
    then_s = NOW_S - 42 * DAY_S
    assert await memory.show(memory.page("halo", ["a", "b"], then_s), memory.page("Halo!", ["b"])) == 2
    assert await memory.show(memory.page("", ["a"]), memory.page("halos", ["c"])) == 1
    await memory.act("halo", "b")
    found = await memory.recall("halo")
    columns = np.frombuffer(found.features, "<f4").reshape(len(found.document_ids), len(found.feature_names))
    shown = dict(
        zip(found.document_ids, columns[:, list(found.feature_names).index("q2e_shown")].tolist(), strict=True)
    )
    assert shown == {"b": pytest.approx(1.25), "a": pytest.approx(0.5)}
    assert found.pages == pytest.approx(1.5)
    assert found.actions == pytest.approx(1.0)
    assert (await memory.recall("hallo")).pages == 0
    # What was only shown is no answer to any query.
    assert await memory.ids("memory.query", "halos") == []


async def test_recall_answers_for_a_query_that_people_acted_on(memory: Memory) -> None:
    await memory.put(film("a"), film("b"), Document(id="c", type="book", title="c"))
    for id in "abbccc":
        await memory.act("halo", id)
    await memory.act("halo", "gone")
    asked = (await memory.ask("memory.query", "halo"))["memory.query"]
    told = (await memory.recall("halo", depth=10)).answer
    assert (told.strategy, list(told.document_ids)) == ("memory.query", ["c", "b", "a"])
    assert candidates_from_proto(told).features["q2e"] == pytest.approx(asked.features["q2e"])
    assert list((await memory.recall("halo", depth=2)).answer.document_ids) == ["c", "b"]
    films = Filter(types=frozenset({"film"}))
    assert list((await memory.recall("halo", depth=10, filter=films)).answer.document_ids) == ["b", "a"]
    assert not (await memory.recall("halo")).HasField("answer")
    assert not (await memory.recall("unheard of", depth=10)).HasField("answer")
    # As where strategies are asked: a ladder may be deeper than a strategy answers.
    assert list((await memory.recall("halo", depth=500)).answer.document_ids) == ["c", "b", "a"]


async def test_recall_tells_what_is_tied_to_the_query(memory: Memory) -> None:
    await memory.put(Document(id="p", type="film", title="halo"), Document(id="a", type="film", title="glory"))
    await memory.act("halo", "a", NOW_S - 3 * DAY_S)
    await memory.act("halo", "b", NOW_S - 3 * DAY_S, weight=-0.5)
    await memory.act("hallo", "n", NOW_S)
    found = await memory.recall("halo")
    columns = np.frombuffer(found.features, "<f4").reshape(len(found.document_ids), len(found.feature_names))
    rows = {
        id: dict(zip(found.feature_names, row.tolist(), strict=True))
        for id, row in zip(found.document_ids, columns, strict=True)
    }
    assert set(rows) == {"a", "b", "n", "p"}
    assert rows["a"]["q2e_short"] == pytest.approx(0.5)
    assert rows["a"]["q2e_long"] == pytest.approx(2 ** (-3 / 42))
    assert rows["a"]["recency"] == pytest.approx(0.5)
    assert rows["b"]["q2e_short"] == pytest.approx(-0.25)
    # Predicted .5, near .25 and words .15 of .9 in all.
    assert rows["p"]["q2e_prior"] == pytest.approx(5 / 9)
    assert rows["n"]["q2e_prior"] == pytest.approx(2.5 / 9)
    assert rows["a"]["q2e_prior"] == pytest.approx(1.5 / 9)
    assert rows["n"]["q2e_long"] == 0.0
    assert not (await memory.recall("")).document_ids
