from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.api.search.v1 import feedback_pb2
from honeyguide.documents import Document
from honeyguide.errors import FailedPrecondition, InvalidArgument, NotFound
from honeyguide_standalone.api import new_event_id
from honeyguide_standalone.engine import Engine

DOCUMENTS = [
    Document("f1", "film", "Jurassic Park", "Dinosaurs on an island", {"year": (1993.0,)}, popularity=900),
    Document("f2", "film", "The Godfather", "A mafia family", {"year": (1972.0,)}, popularity=800),
    Document("f3", "film", "Park Row", "Newspapers at war", {"year": (1952.0,)}, popularity=5),
]


async def test_the_whole_loop_in_one_process(tmp_path: Path, redis_url: str, key_prefix: str) -> None:
    async with Engine(tmp_path, redis_url, key_prefix) as engine:
        errors = await engine.api.index([*DOCUMENTS, Document("", "film", "without id")])
        assert [(error.index, error.field) for error in errors] == [(3, "id")]
        await asyncio.sleep(1.0)
        response = await engine.api.search(
            "jurassic park", context=document_pb2.Context(user_id="ann"), explain=True, page_size=2
        )
        assert response.results[0].document.title == "Jurassic Park"
        assert response.explanation.propensity > 0
        event = feedback_pb2.FeedbackEvent(
            event_id=new_event_id(),
            decision_id=response.decision_id,
            document_id="f1",
            action=feedback_pb2.ACTION_TYPE_CLICK,
        )
        (first,) = await engine.api.feedback([event])
        (second,) = await engine.api.feedback([event])
        assert first.status == feedback_pb2.EVENT_STATUS_ACCEPTED
        assert second.status == feedback_pb2.EVENT_STATUS_DUPLICATE
        assert [one.document_id for one in await engine.api.suggest("jur")] == ["f1"]
        assert (await engine.api.get_document("f2")).title == "The Godfather"
        assert (await engine.api.stats()).services["lexical"].document_count == 3
        assert (await engine.api.policy()).policy
        assert [line async for line in engine.api.decisions()]
        assert await engine.api.delete(["f3", "f9"]) == 1
        with pytest.raises(NotFound):
            await engine.api.get_document("f3")
        with pytest.raises(InvalidArgument, match="page_size"):
            await engine.api.search("park", page_size=1_000)

    async with Engine(tmp_path, redis_url, key_prefix) as engine:
        found = await engine.api.search("godfather", explain=True)
        assert [result.document.id for result in found.results][:1] == ["f2"], found


async def test_a_folder_belongs_to_one_engine(tmp_path: Path, redis_url: str, key_prefix: str) -> None:
    async with Engine(tmp_path, redis_url, key_prefix):
        with pytest.raises(FailedPrecondition, match="in use"):
            async with Engine(tmp_path, redis_url, key_prefix):
                pass


def test_a_closed_engine_says_so(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="not open"):
        _ = Engine(tmp_path).api
