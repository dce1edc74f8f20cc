"""What the vector service promises, in process and over gRPC."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from honeyguide.api.retrieval.v1 import indexing_pb2, retriever_pb2
from honeyguide.api.vector.v1 import vector_pb2
from honeyguide.documents import Condition, Document, Filter
from honeyguide.errors import InvalidArgument

FILMS = [
    Document(id="f1", type="film", title="Dogs of the north", text="Huskies pull a sledge.", popularity=3),
    Document(id="f2", type="film", title="Puppy love", text="A small dog finds a home.", created_at_s=864_000),
    Document(id="f3", type="film", title="The tax inspector", text="Accounts are audited."),
    Document(id="f4", type="film", title="Balance sheet", text="An accountant cooks the books."),
    Document(id="f5", type="series", title="Star fleet", text="Ships fight in space.", attributes={"year": (1990.0,)}),
]
EMBEDDED = indexing_pb2.TypeConfiguration(name="film", embedded=True)
PLAIN = indexing_pb2.TypeConfiguration(name="film", embedded=False)


async def test_strategies_announce_themselves(client: Any) -> None:
    response = await client.retriever.ListStrategies(retriever_pb2.ListStrategiesRequest())
    needs = {strategy.name: list(strategy.needs) for strategy in response.strategies}
    query, taste = retriever_pb2.STRATEGY_NEED_QUERY, retriever_pb2.STRATEGY_NEED_TASTE
    assert needs == {"vector.dense": [query], "vector.personal": [query, taste], "vector.similar": [taste]}


async def test_dense_finds_by_meaning_and_at_once(client: Any) -> None:
    assert await client.ids(query="canine") == []
    assert await client.put(*FILMS) == []
    found = await client.ask(query="canine companions", depth=2)
    assert set(found.document_ids) == {"f1", "f2"}
    assert found.types == ["film", "film"]
    index = found.document_ids.index("f1")
    assert found.features["popularity"][index] == 3
    assert found.features["created_day"][1 - index] == 10
    assert len(await client.ids(query="canine", depth=100)) == 5
    assert await client.ids(query="   ") == []


async def test_a_document_is_replaced_and_deleted(client: Any) -> None:
    await client.put(*FILMS)
    await client.put(replace(FILMS[2], title="Wolves", text="Wild dogs of the forest.", type="series"))
    assert (await client.ids(query="wolf", depth=1)) == ["f3"]
    assert await client.ids(query="wolf", filter=Filter(types=frozenset(["film"])), depth=9) != []
    assert "f3" not in await client.ids(query="wolf", filter=Filter(types=frozenset(["film"])), depth=9)
    assert await client.delete("f3", "f3", "unknown") == 1
    assert "f3" not in await client.ids(query="wolf", depth=9)
    assert await client.delete("f3") == 0
    await client.put(FILMS[2])
    assert (await client.ids(query="taxation", depth=1)) == ["f3"]
    stats = await client.stats()
    assert dict(stats.documents_by_type) == {"film": 4, "series": 1}
    assert stats.document_count == 5
    assert stats.size_bytes > 0


async def test_of_two_in_one_call_the_last_stays(client: Any) -> None:
    await client.put(FILMS[0], replace(FILMS[0], title="Volcanoes", text="Lava."))
    assert (await client.ask(query="Volcanoes. Lava")).scores[0] > 0.95
    assert (await client.stats()).document_count == 1


async def test_filters_hold(client: Any) -> None:
    await client.put(*FILMS)
    nineties = Filter(conditions=(Condition("year", None, 1990, 1999),))
    assert await client.ids(query="dog", filter=nineties) == ["f5"]
    assert await client.ids("similar", session=["f1"], filter=nineties) == ["f5"]
    assert await client.ids("personal", query="dog", session=["f1"], filter=nineties) == ["f5"]
    assert "f1" not in await client.ids(query="dog", filter=Filter(excluded_ids=frozenset(["f1"])))


async def test_texts_are_encoded_once(client: Any) -> None:
    await client.put(*FILMS, replace(FILMS[0], id="copy"))
    assert len(client.encoder.texts) == 5
    await client.put(*(replace(film, popularity=9) for film in FILMS))
    await client.delete("f1", "copy")
    await client.put(FILMS[0])
    assert len(client.encoder.texts) == 5
    assert (await client.ask(query="x", filter=Filter(excluded_ids=frozenset(["f1"])))).features["popularity"][0] == 9
    await client.put(replace(FILMS[0], title="Dogs of the south"))
    assert client.encoder.texts[5:] == ["Dogs of the south. Huskies pull a sledge"]


async def test_a_supplied_embedding_is_used_as_it_is(client: Any) -> None:
    vector = np.zeros(384, np.float32)
    vector[7] = 4
    assert await client.put(*FILMS, Document(id="own", type="film", title="Dogs", embedding=vector)) == []
    assert len(client.encoder.texts) == 5
    near = await client.ask("similar", session=["own"], depth=9)
    expected = client.encoder.encode(["Balance sheet. An accountant cooks the books"])[0, 7]
    assert near.scores[near.document_ids.index("f4")] == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("size", [1, 383, 768])
async def test_an_embedding_of_a_wrong_size_is_refused_alone(client: Any, size: int) -> None:
    wrong = Document(id="wrong", type="film", title="Dogs", embedding=np.ones(size, np.float32))
    (error,) = await client.put(FILMS[0], wrong, FILMS[1])
    assert (error.index, error.document_id, error.field) == (1, "wrong", "embedding")
    assert "384" in error.description
    assert set(await client.ids(query="dog")) == {"f1", "f2"}


async def test_types_that_are_not_embedded_cost_nothing(client: Any) -> None:
    await client.configure(indexing_pb2.TypeConfiguration(name="person", embedded=False))
    people = [Document(id=f"p{i}", type="person", title=f"Person {i}") for i in range(200)]
    await client.put(*people, *FILMS)
    assert len(client.encoder.texts) == 5
    assert dict((await client.stats()).documents_by_type) == {"film": 4, "series": 1}
    assert set(await client.ids(query="Person 7", depth=100)) == {"f1", "f2", "f3", "f4", "f5"}
    assert await client.delete("p1", "p2", "p2") == 2


async def test_documents_without_any_text_are_not_found(client: Any) -> None:
    await client.put(Document(id="blank", type="film", attributes={"year": (1990.0,)}), FILMS[0])
    assert await client.ids(query="anything") == ["f1"]


async def test_configuration_brings_the_index_in_line(client: Any) -> None:
    await client.put(*FILMS)
    await client.configure(PLAIN)
    assert await client.ids(query="dog", depth=9) == ["f5"]
    await client.configure(EMBEDDED)
    assert len(await client.ids(query="dog", depth=9)) == 5
    assert len(client.encoder.texts) == 5  # the same texts as before
    await client.configure(
        indexing_pb2.TypeConfiguration(name="series", embedded=True, embedded_attributes=["year", "none"])
    )
    assert client.encoder.texts[5:] == ["Star fleet. 1990. Ships fight in space"]


async def test_a_supplied_embedding_outlives_a_change_of_configuration(client: Any) -> None:
    vector = np.eye(384, dtype=np.float32)[3]
    await client.put(Document(id="own", type="film", title="Dogs", embedding=vector), FILMS[0])
    before = await client.ask("similar", session=["own"])
    await client.configure(PLAIN)
    await client.configure(EMBEDDED)
    after = await client.ask("similar", session=["own"])
    np.testing.assert_allclose(after.scores, before.scores, atol=1e-6)


async def test_similar_looks_around_the_session_and_leaves_it_out(client: Any) -> None:
    await client.put(*FILMS)
    assert (await client.ids("similar", session=["f1"], depth=1)) == ["f2"]
    assert (await client.ids("similar", session=["f3", "unknown"], depth=1)) == ["f4"]
    assert (await client.ids("similar", user=["f3"], depth=1)) == ["f4"]
    assert (await client.ids("similar", session=["f1"], user=["f3"], depth=1)) == ["f2"]
    # The newest counts most, and nothing acted on comes back.
    assert set(await client.ids("similar", session=["f1", "f3"], user=["f5"], depth=9)) == {"f2", "f4"}
    assert await client.ids("similar", session=["unknown"], depth=9) == []
    assert await client.ids("similar", depth=9) == []


async def test_personal_blends_taste_into_the_query(client: Any) -> None:
    await client.put(*FILMS)
    plain = await client.ask(query="film", depth=9)
    dogs = await client.ask("personal", query="film", session=["f1"], depth=9)
    books = await client.ask("personal", query="film", user=["f3"], depth=9)
    assert dogs.document_ids.index("f2") < dogs.document_ids.index("f4")
    assert books.document_ids.index("f4") < books.document_ids.index("f2")
    without = await client.ask("personal", query="film", session=["unknown"], depth=9)
    assert list(without.document_ids) == list(plain.document_ids)
    np.testing.assert_allclose(without.scores, plain.scores)
    # This session outweighs older ones.
    both = await client.ask("personal", query="film", session=["f1"], user=["f3"], depth=9)
    assert both.document_ids.index("f2") < both.document_ids.index("f4")


async def test_searches_side_by_side_answer_each_their_own(client: Any) -> None:
    await client.put(*FILMS)
    queries = [f"{film.title}. {film.text.rstrip('.')}" for film in FILMS] * 4
    found = await asyncio.gather(*(client.ids(query=query, depth=1) for query in queries))
    assert [ids[0] for ids in found] == [film.id for film in FILMS] * 4


async def test_texts_are_encoded_for_others(client: Any) -> None:
    response = await client.vector.EncodeTexts(vector_pb2.EncodeTextsRequest(texts=["dog", "", "dog"]))
    vectors = np.frombuffer(response.embeddings, "<f4").reshape(3, response.dimension)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    empty = await client.vector.EncodeTexts(vector_pb2.EncodeTextsRequest())
    assert (empty.dimension, empty.embeddings) == (384, b"")
    for texts in (["x"] * 257, ["é" * 17_000]):
        with pytest.raises(InvalidArgument, match="allowed"):
            await client.vector.EncodeTexts(vector_pb2.EncodeTextsRequest(texts=texts))
