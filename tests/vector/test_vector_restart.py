"""Nothing acknowledged is lost or encoded again, however the process ends."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide.api.retrieval.v1 import indexing_pb2, indexing_pb2_grpc
from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings
from honeyguide.documents import POPULARITY_MAX, Document, document_to_proto
from honeyguide.errors import FailedPrecondition, HoneyguideError
from honeyguide.journal import Journal
from honeyguide_vector.collection import Collection
from honeyguide_vector.encoder import Vectors
from honeyguide_vector.graph import GraphShape
from honeyguide_vector.record import record_from_bytes
from honeyguide_vector.saved_graph import Saved, load_graph, save_graph
from honeyguide_vector.segmented_graph import SegmentedGraph


async def found(client: Any, films: list[Document]) -> list[Any]:
    return [await client.ask("similar", session=[film.id], depth=20) for film in films[:5]]


def assert_same(after: list[Any], before: list[Any]) -> None:
    for a, b in zip(after, before, strict=True):
        assert list(a.document_ids) == list(b.document_ids)
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-6)


async def test_a_restart_neither_loses_nor_encodes(open_again: Any, tmp_path: Path) -> None:
    texts = [Document(id=f"d{i}", type="film", title=f"Film about the number {i}") for i in range(30)]
    async with open_again() as client:
        await client.put(*texts)
        await client.delete("d3")
        before = await client.ids(query="the number 7")
        assert len(client.encoder.texts) == 30
    shutil.rmtree(tmp_path / "data" / "cache")  # the journal alone must do
    async with open_again() as client:
        assert await client.ids(query="the number 7") == before
        await client.put(*texts[4:])
        assert client.encoder.texts == []
        assert (await client.stats()).document_count == 29


async def test_what_came_after_the_last_save_is_caught_up(
    open_again: Any, tmp_path: Path, films: list[Document]
) -> None:
    crashed = tmp_path / "crashed"
    async with open_again() as client:
        await client.put(*films[:200])
    async with open_again() as client:
        swapped = replace(films[10], embedding=films[300].embedding)
        await client.put(*films[200:260], swapped)
        await client.delete(films[20].id, films[21].id)
        await client.put(replace(films[22], type="other"))
        before = await found(client, [films[10], *films])
        # What a kill leaves: files as they are while the service runs.
        shutil.copytree(tmp_path / "data", crashed)
    for _ in range(2):  # the second time from the graph saved at the first close
        async with open_again(crashed) as client:
            assert_same(await found(client, [films[10], *films]), before)
            stats = await client.stats()
            assert stats.document_count == 258
            assert stats.documents_by_type["other"] == 1


async def test_only_graphs_that_changed_are_saved_again(open_again: Any, tmp_path: Path, films: list[Document]) -> None:
    def files() -> dict[str, tuple[int, int]]:
        (saved,) = (tmp_path / "data").glob("graph-*")
        return {path.name: (path.stat().st_ino, path.stat().st_size) for path in saved.glob("*.usearch")}

    async with open_again(segment_documents=1_024) as client:
        await client.put(*films[:1_000])
        await client.put(*films[1_000:1_300])
    first = files()
    assert sorted(first) == ["segment-00000.usearch", "segment-00001.usearch"]
    assert sum(size for _, size in first.values()) < 1_300 * 384 * 2  # each vector once, in eight bits
    async with open_again(segment_documents=1_024) as client:
        await client.put(replace(films[1_200], embedding=films[0].embedding), replace(films[3], popularity=7.0))
        moved = await found(client, [films[1_200], *films])
    second = files()
    assert second["segment-00000.usearch"] == first["segment-00000.usearch"]
    assert second["segment-00001.usearch"] != first["segment-00001.usearch"]
    async with open_again(segment_documents=1_024) as client:
        assert_same(await found(client, [films[1_200], *films]), moved)
        await client.delete(films[0].id)
    assert files()["segment-00000.usearch"] != first["segment-00000.usearch"]
    async with open_again() as client:  # with other segments they are built anew
        assert (await client.stats()).document_count == 1_299
    assert list(files()) == ["segment-00000.usearch"]


@pytest.mark.parametrize("damage", ["truncate", "segment", "rows", "columns", "empty", "remove", "shape"])
async def test_a_graph_that_cannot_be_read_is_built_anew(
    open_again: Any, tmp_path: Path, films: list[Document], damage: str
) -> None:
    async with open_again() as client:
        await client.put(*films[:150])
        before = await found(client, films)
    (saved,) = (tmp_path / "data").glob("graph-*")
    if damage == "truncate":
        os.truncate(saved / "segment-00000.usearch", 1_000)
    elif damage == "segment":
        (saved / "segment-00000.usearch").unlink()
    elif damage == "rows":
        (saved / "rows.json").write_text("{")
    elif damage in ("columns", "empty"):
        os.truncate(saved / "columns.npz", 1_000 if damage == "columns" else 0)
    elif damage == "remove":
        shutil.rmtree(saved)
    (tmp_path / "data" / "making-000").mkdir()
    more: dict[str, Any] = {"m": 8} if damage == "shape" else {}
    async with open_again(**more) as client:
        assert_same(await found(client, films), before)
        await client.put(films[160])
    assert [path.name for path in (tmp_path / "data").glob("making-*")] == []
    assert len(list((tmp_path / "data").glob("graph-*"))) == 1
    async with open_again(**more) as client:
        assert (await client.stats()).document_count == 151


def test_a_graph_is_never_made_of_parts_of_another(tmp_path: Path, films: list[Document]) -> None:
    def collection(m: int) -> Collection:
        return Collection(SegmentedGraph(GraphShape(384, m, 64, 100), 64, threads=1))

    ours, theirs = collection(m=8), collection(m=16)
    ours.put(films[:200])
    save_graph(tmp_path, ours._graph, Saved(1, ours.held()))
    theirs.put(films[300:500])
    other = tmp_path / "other"
    save_graph(other, theirs._graph, Saved(2, theirs.held()))
    (other / f"graph-{2:020d}").rename(tmp_path / f"graph-{2:020d}")  # left by a process that was killed
    ours.put([replace(films[3], embedding=films[250].embedding)])
    save_graph(tmp_path, ours._graph, Saved(3, ours.held()))
    again = collection(m=8)
    saved = load_graph(tmp_path, again._graph, newest=3)
    assert saved is not None
    again.restore(saved.held)
    np.testing.assert_array_equal(again.vectors([films[150].id])[1], ours.vectors([films[150].id])[1])


def test_a_full_disk_leaves_nothing_and_is_tried_again(tmp_path: Path, films: list[Document]) -> None:
    collection = Collection(SegmentedGraph(GraphShape(384, 8, 64, 100), 64, threads=1))
    collection.put(films[:200])
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, unlimited[1]))
    try:
        with pytest.raises(OSError, match="segment-00000"):
            save_graph(tmp_path, collection._graph, Saved(1, collection.held()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert list(tmp_path.iterdir()) == []
    save_graph(tmp_path, collection._graph, Saved(1, collection.held()))
    assert load_graph(tmp_path, collection._graph, newest=1) is not None


async def test_a_graph_of_a_journal_that_is_lost_is_not_used(
    open_again: Any, tmp_path: Path, films: list[Document]
) -> None:
    async with open_again() as client:
        await client.put(*films[:20])
    for path in (tmp_path / "data").glob("journal.sqlite*"):
        path.unlink()
    async with open_again() as client:
        assert (await client.stats()).document_count == 0


async def test_what_was_not_entered_is_entered_with_the_next_change(
    open_again: Any, films: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_again() as client:
        await client.put(*films[:20])
        with monkeypatch.context() as patch:
            patch.setattr(SegmentedGraph, "add", lambda *_: (_ for _ in ()).throw(MemoryError()))
            with pytest.raises(HoneyguideError):
                await client.put(films[20], films[21])
        assert (await client.stats()).document_count == 20
        await client.put(films[22])
        assert (await client.stats()).document_count == 23


async def test_what_the_encoder_makes_nothing_usable_of_has_no_embedding(
    open_again: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    documents = [Document(id=f"d{i}", type="film", title=f"Film {i}") for i in range(600)]
    async with open_again() as client:
        encode = client.encoder.encode

        def half(texts: Sequence[str]) -> Vectors:
            vectors = encode(texts)
            for i, text in enumerate(texts):
                if int(text.split()[1]) % 2:
                    vectors[i] = np.nan
            return vectors

        monkeypatch.setattr(client.encoder, "encode", half)
        await client.put(*documents)
        assert "nothing usable" in "".join(capfd.readouterr())
        assert (await client.stats()).document_count == 300
    async with asyncio.timeout(20), open_again() as client:
        assert (await client.stats()).document_count == 300


async def test_the_graph_is_saved_from_time_to_time_if_it_changed(
    open_again: Any, tmp_path: Path, films: list[Document]
) -> None:
    async with open_again(save_interval_s=0.05) as client:
        await client.put(*films[:20])
        async with asyncio.timeout(5):
            while not list((tmp_path / "data").glob("graph-*/rows.json")):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        (saved,) = (tmp_path / "data").glob("graph-*")
        made = saved.stat().st_mtime_ns
        await asyncio.sleep(0.3)
        assert saved.stat().st_mtime_ns == made


async def test_another_encoder_encodes_anew_what_was_encoded(open_again: Any) -> None:
    supplied = np.eye(384, dtype=np.float32)[0]
    texts = [
        Document(id="a", type="film", title="Dogs"),
        Document(id="b", type="film", title="Cats", embedding=supplied),
    ]
    async with open_again() as client:
        await client.put(*texts)
    async with open_again(identity="another") as client:
        assert client.encoder.texts == ["Dogs"]
        assert (await client.stats()).document_count == 2


@pytest.mark.parametrize("number", [0.0, np.nan, np.inf])
async def test_a_journalled_embedding_of_no_use_is_encoded_anew(
    open_again: Any, tmp_path: Path, number: float, capfd: Any
) -> None:
    supplied = np.eye(384, dtype=np.float32)[0]
    async with open_again() as client:
        await client.put(
            Document(id="a", type="film", title="Dogs"),
            Document(id="b", type="film", title="Cats", embedding=supplied),
            Document(id="c", type="film", embedding=supplied),
            Document(id="d", type="film", title="Birds", embedding=supplied),
        )
    journal = Journal(tmp_path / "data" / "journal.sqlite")
    for id, payload in journal.fetch(["a", "b", "c"]).items():
        record = record_from_bytes(payload)
        bad = replace(record.document, embedding=np.full(384, number, np.float32))
        journal.write([(id, replace(record, document=bad).to_bytes())])
    journal.close()
    async with open_again() as client:
        assert "of no use" in "".join(capfd.readouterr())
        assert client.encoder.texts == ["Cats"]  # that of dogs was still in the cache
        assert set(await client.ids(query="cats")) == {"a", "b", "d"}
        await client.put(Document(id="c", type="film", embedding=supplied))
    async with open_again() as client:
        assert "of no use" not in "".join(capfd.readouterr())
        assert client.encoder.texts == []
        assert (await client.ask(query="Cats", depth=1)).scores[0] > 0.9
        assert len(await client.ids(query="cats")) == 4


@pytest.mark.parametrize("number", [1e20, 1e-30])
async def test_a_supplied_embedding_of_any_length_is_there_after_a_kill(
    open_again: Any, tmp_path: Path, number: float
) -> None:
    async with open_again() as client:
        await client.put(Document(id="a", type="film", title="Dogs", embedding=np.full(384, number, np.float32)))
        await client.put(Document(id="b", type="film", title="Cats", embedding=np.ones(384, np.float32)))
        shutil.copytree(tmp_path / "data", tmp_path / "killed")
    async with open_again(tmp_path / "killed") as client:
        found = await client.ask("similar", session=["a"])
        assert list(found.document_ids) == ["b"]
        assert found.scores[0] == pytest.approx(1.0, abs=1e-3)


async def test_a_folder_has_one_owner(open_again: Any) -> None:
    async with open_again():
        with pytest.raises(FailedPrecondition, match="in use"):
            async with open_again():
                pass
    async with open_again() as client:
        assert (await client.stats()).document_count == 0


async def test_nothing_acknowledged_is_lost_to_a_kill(
    open_again: Any, tmp_path: Path, model_cache: Path, films: list[Document]
) -> None:
    environment = os.environ | {
        "HONEYGUIDE_VECTOR_DATA_DIR": str(tmp_path / "data"),
        "HONEYGUIDE_VECTOR_CACHE_DIR": str(model_cache),
        "HONEYGUIDE_VECTOR_SAVE_INTERVAL_S": "0.05",
    }
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "honeyguide_vector"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    acknowledged: list[str] = []
    try:
        assert process.stdout is not None
        port = int((await asyncio.to_thread(process.stdout.readline)).split()[1])
        connection = RemoteConnection(f"127.0.0.1:{port}", CommonSettings())
        index = connection.stub(indexing_pb2_grpc.IndexingServiceStub)

        async def put_all() -> None:
            for begin in range(0, len(films), 25):
                batch = [document_to_proto(film) for film in films[begin : begin + 25]]
                response = await index.IndexDocuments(indexing_pb2.IndexDocumentsRequest(documents=batch))
                assert not response.errors
                acknowledged.extend(film.id for film in films[begin : begin + 25])

        putting = asyncio.create_task(put_all())
        async with asyncio.timeout(20):
            while len(acknowledged) < 500:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        with pytest.raises(HoneyguideError):
            await putting
        await connection.close()
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
    async with open_again() as client:
        stats = await client.stats()
        assert len(acknowledged) <= stats.document_count <= len(acknowledged) + 25
        assert client.encoder.texts == []
        for id in acknowledged[::50]:
            assert await client.ids("similar", session=[id], depth=1) != []


async def test_a_popularity_that_was_taken_before_there_was_a_limit_is_cut_to_it(
    open_again: Any, tmp_path: Path
) -> None:
    async with open_again() as client:
        await client.put(Document(id="a", type="film", title="Dogs"))
    journal = Journal(tmp_path / "data" / "journal.sqlite")
    record = record_from_bytes(journal.fetch(["a"])["a"])
    journal.write([("a", replace(record, document=replace(record.document, popularity=1e39)).to_bytes())])
    journal.close()
    async with open_again() as client:
        found = await client.ask(query="dogs")
        np.testing.assert_allclose(found.features["popularity"], [POPULARITY_MAX], rtol=1e-6)
