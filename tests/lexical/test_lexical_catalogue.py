"""Taking documents in: visible in time, replaced, deleted, and never lost."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import sys
import threading
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2, indexing_pb2_grpc
from honeyguide.documents import POPULARITY_MAX, Document, document_to_proto
from honeyguide.errors import FailedPrecondition, HoneyguideError, InvalidArgument
from honeyguide.journal import Journal
from honeyguide_lexical import catalogue as catalogue_module
from honeyguide_lexical import store as store_module
from honeyguide_lexical.catalogue import Catalogue
from honeyguide_lexical.fulltext import FullText
from honeyguide_lexical.layout import layout_from
from honeyguide_lexical.lexicon import Lexicon
from honeyguide_lexical.service import open_service
from honeyguide_lexical.settings import LexicalSettings
from honeyguide_lexical.store import Store


class HeldJournal:
    """Lets journals write, but not say so before it is let go."""

    def __init__(self) -> None:
        self._holding, self._written, self._let_go = False, threading.Event(), threading.Event()
        self._write = Journal.write

    def write(self, journal: Journal, changes: Iterable[tuple[str, bytes | None]]) -> int:
        sequence = self._write(journal, changes)
        if self._holding:
            self._written.set()
            self._let_go.wait(10)
        return sequence

    async def give_up(self, change: Any) -> None:
        """Goes away from a change when the journal has it; held until `let_go`."""
        self._holding = True
        self._written.clear()
        self._let_go.clear()
        call = asyncio.ensure_future(change)
        await asyncio.to_thread(self._written.wait, 10)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call

    def let_go(self) -> None:
        self._holding = False
        self._let_go.set()


@pytest.fixture
def held_journal(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldJournal]:
    held = HeldJournal()
    monkeypatch.setattr(Journal, "write", lambda journal, changes: held.write(journal, changes))
    yield held
    held.let_go()


async def test_an_upsert_is_found_within_a_second(client) -> None:
    await client.put(Document("new", "film", "Quetzalcoatl Rising"), settle=False)
    begin = time.monotonic()
    while await client.ids("lexical.bm25", "quetzalcoatl") != ["new"]:
        assert time.monotonic() - begin < 1.0
        await asyncio.sleep(0.01)
    while "Quetzalcoatl Rising" not in await client.complete("quetz"):
        assert time.monotonic() - begin < 1.0
        await asyncio.sleep(0.01)


async def test_a_document_is_fetchable_as_soon_as_it_is_acknowledged(client) -> None:
    await client.put(Document("new", "film", "Quetzalcoatl", "", {"x": ("y", 1.0, True)}), settle=False)
    [fetched] = await client.fetch("new")
    assert fetched.document.title == "Quetzalcoatl"
    assert len(fetched.document.attributes["x"].values) == 3


async def test_replacing_removes_what_was(client) -> None:
    await client.put(Document("f2", "film", "Delicatessen", "A butcher.", {"genre": ("Horror",)}, 10))
    assert await client.ids("lexical.bm25", "amelie") == []
    assert await client.ids("lexical.bm25", "delicatessen butcher") == ["f2"]
    assert not (await client.recognize("amelie")).spans
    assert (await client.recognize("horror")).spans[0].readings[0].document_count == 1
    assert (await client.recognize("comedy")).spans[0].readings[0].document_count == 1
    assert (await client.stats()).document_count == 12


async def test_the_last_of_several_versions_in_one_call_counts(client) -> None:
    await client.put(*(Document("twice", "film", f"Version{i}") for i in range(3)))
    assert await client.ids("lexical.bm25", "version2") == ["twice"]
    assert await client.ids("lexical.bm25", "version0") == []


async def test_deleting(client) -> None:
    assert await client.delete("f6", "f6", "unknown") == 1
    assert "f6" not in await client.ids("lexical.bm25", "love")
    assert await client.fetch("f6") == []
    assert not (await client.recognize("love")).spans
    assert await client.delete("f6") == 0
    stats = await client.stats()
    assert stats.documents_by_type == {"film": 6, "person": 2, "track": 3}


async def test_documents_of_each_type_are_counted_as_they_change(client) -> None:
    before = (await client.stats()).documents_by_type  # counted; from here on kept
    await client.put(Document("f6", "track", "Love"), Document("new", "song", "Song"), Document("new", "book", "Book"))
    await client.delete("f1", "unknown")
    wanted = {**before, "film": before["film"] - 2, "track": before["track"] + 1, "book": 1}
    assert (await client.stats()).documents_by_type == wanted
    await client.delete("new")
    del wanted["book"]
    assert (await client.stats()).documents_by_type == wanted


async def test_what_a_failed_transaction_did_is_not_counted(tmp_path: Path) -> None:
    lexicon = Lexicon(tmp_path / "lexicon.sqlite3")
    layout = layout_from(indexing_pb2.CatalogConfiguration())
    lexicon.apply({"a": Document("a", "film", "A")}, 1, layout)
    assert lexicon.documents_by_type() == {"film": 1}
    with pytest.raises(OverflowError):  # SQLite holds no such number
        lexicon.apply({"b": Document("b", "film", "B")}, 2**70, layout)
    lexicon.apply({"a": None, "c": Document("c", "song", "C")}, 2, layout)
    assert lexicon.documents_by_type() == {"song": 1}
    lexicon.close()


async def test_a_change_is_made_whole_though_its_caller_goes_away(
    tmp_path: Path, opener, held_journal: HeldJournal
) -> None:
    async with opener(tmp_path) as client:
        await client.put(Document("a", "film", "Alpha"), Document("b", "film", "Beta"))
        for change in (client.delete("a"), client.put(Document("c", "film", "Gamma"))):
            await held_journal.give_up(change)
            held_journal.let_go()
            await asyncio.wait_for(client.stats(), 5)
        assert await client.ids("lexical.bm25", "alpha beta gamma") == ["b", "c"]


async def test_deleting_everything_leaves_no_word_behind(client) -> None:
    await client.delete(*(f"f{i}" for i in range(1, 8)), "p1", "p2", "t1", "t2", "t3")
    stats = await client.stats()
    assert (stats.document_count, stats.figures["names"], stats.figures["words"]) == (0, 0, 0)
    assert list((await client.recognize("tayler")).corrected_words) == ["tayler"]


async def test_bad_documents_are_named_and_the_others_taken(client) -> None:
    errors = await client.put(Document("ok", "film", "Fine"), Document("bad", "No Type!", "x"))
    assert [(e.index, e.document_id, e.field) for e in errors] == [(1, "bad", "type")]
    assert await client.ids("lexical.bm25", "fine") == ["ok"]


async def test_the_embedding_is_not_kept(client) -> None:
    message = document_pb2.Document(id="e", type="film", title="E", embedding=b"\0\0\x80\x3f")
    await client.index.IndexDocuments(indexing_pb2.IndexDocumentsRequest(documents=[message]))
    assert (await client.fetch("e"))[0].document.embedding == b""


async def test_reopening_finds_everything_again(tmp_path: Path, opener) -> None:
    async with opener(tmp_path) as client:
        await client.put(Document("a", "film", "Alpha"), Document("b", "film", "Beta"), settle=False)
    async with opener(tmp_path) as client:
        assert await client.ids("lexical.bm25", "alpha") == ["a"]
        assert (await client.recognize("beta")).spans[0].readings[0].value == "Beta"


async def test_a_popularity_that_was_taken_before_there_was_a_limit_is_cut_to_it(tmp_path: Path, opener) -> None:
    async with opener(tmp_path) as client:
        await client.put(Document("a", "film", "Alpha"), Document("b", "film", "Alpha beta", popularity=5.0))
    with closing(Journal(tmp_path / "journal.sqlite3")) as journal:
        old = document_pb2.Document(id="a", type="film", title="Alpha", popularity=1e39)
        journal.write([("a", old.SerializeToString())])
    async with opener(tmp_path) as client:
        assert sorted(await client.ids("lexical.popular", "alpha")) == ["a", "b"]
        assert (await client.fetch("a"))[0].document.popularity == POPULARITY_MAX


async def test_a_folder_serves_one_process_at_a_time(tmp_path: Path, opener) -> None:
    async with opener(tmp_path):
        with pytest.raises(FailedPrecondition, match="in use"):
            async with open_service(LexicalSettings(data_dir=tmp_path)):
                pass


def index_folder(data_dir: Path) -> Path:
    [folder] = data_dir.glob("index-*")  # of which there is one
    return folder


def do_damage(data_dir: Path, damage: str) -> None:
    folder = index_folder(data_dir)
    if damage == "no folder":
        shutil.rmtree(folder)
    elif damage == "no meta":
        (folder / "meta.json").write_text("{")
    elif damage == "lexicon cut":
        os.truncate(data_dir / "lexicon.sqlite3", (data_dir / "lexicon.sqlite3").stat().st_size // 2)
    elif damage == "lexicon of something else":
        for name in ("lexicon.sqlite3", "lexicon.sqlite3-wal", "lexicon.sqlite3-shm"):
            (data_dir / name).write_bytes(b"something else " * 1_000)
    elif damage == "lexicon of an older layout":
        with closing(sqlite3.connect(data_dir / "lexicon.sqlite3")) as database, database:
            database.execute("UPDATE settings SET value = 'older' WHERE name = 'fingerprint'")
            database.execute("ALTER TABLE readings RENAME TO older")
            database.execute("CREATE TABLE readings (number INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    elif damage == "cut segment":
        for path in folder.glob("*.store"):
            os.truncate(path, 3)
        for path in folder.glob("*.term"):
            os.truncate(path, 3)
    else:
        for path in data_dir.glob("lexicon.sqlite3*"):
            path.unlink()


@pytest.mark.parametrize(
    "damage",
    [
        *("no folder", "no meta", "cut segment"),
        *("lexicon gone", "lexicon cut", "lexicon of something else", "lexicon of an older layout"),
    ],
)
async def test_a_damaged_index_is_rebuilt_from_the_journal(tmp_path: Path, damage: str, opener) -> None:
    async with opener(tmp_path) as client:
        await client.put(Document("a", "film", "Alpha"), Document("b", "film", "Beta"))
    do_damage(tmp_path, damage)
    async with opener(tmp_path) as client:
        assert await client.ids("lexical.bm25", "alpha") == ["a"]
        assert await client.complete("bet") == ["Beta"]
        assert (await client.recognize("alpha")).spans


async def test_what_a_full_disk_kept_out_of_the_index_is_in_it_when_there_is_room(
    tmp_path: Path, opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, refused = False, 0
    commit = FullText.commit

    def commit_if_there_is_room(index: FullText) -> None:
        nonlocal refused
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, unlimited[1]) if full else unlimited)
        try:
            commit(index)
        except ValueError:
            refused += 1
            raise
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)

    monkeypatch.setattr(FullText, "commit", commit_if_there_is_room)
    monkeypatch.setattr(catalogue_module, "RETRY_S", 0.02)
    async with opener(tmp_path) as client:
        await client.put(Document("a", "film", "Alpha"))
        full = True
        await client.put(*(Document(f"b{i}", "film", f"Beta {i}") for i in range(50)), settle=False)
        async with asyncio.timeout(10):
            while refused < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        full = False
        await client.put(Document("c", "film", "Gamma"))
        assert len(await client.ids("lexical.bm25", "beta", depth=100)) == 50
        assert await client.ids("lexical.bm25", "gamma") == ["c"]
        assert (await client.recognize("beta 7")).spans


async def test_large_documents_wait_by_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(1) as writing, ThreadPoolExecutor(1) as applying:
        store = Store(tmp_path, 16 * 2**20, 1, 0)
        catalogue = Catalogue(store, writing, applying, commit_interval_s=60, backlog_max=100, backlog_bytes_max=2**20)
        catalogue.start()
        committed: list[int] = []
        commit = store.commit
        monkeypatch.setattr(catalogue_module, "_AT_ONCE", catalogue_module._Amount(100, 2**20))
        monkeypatch.setattr(store, "commit", lambda sequence: (committed.append(sequence), commit(sequence)))
        async with asyncio.timeout(10):
            for i in range(6):
                await catalogue.upsert([Document(f"d{i}", "film", "Alpha", "x" * 600_000)])
        assert committed[:2] == [2, 4]
        await catalogue.close()
        store.close()


async def test_closing_waits_for_a_change_that_nobody_waits_for(tmp_path: Path, held_journal: HeldJournal) -> None:
    with ThreadPoolExecutor(1) as writing, ThreadPoolExecutor(1) as applying:
        store = Store(tmp_path, 16 * 2**20, 1, 0)
        catalogue = Catalogue(
            store, writing, applying, commit_interval_s=0.05, backlog_max=100, backlog_bytes_max=2**20
        )
        catalogue.start()
        await held_journal.give_up(catalogue.upsert([Document("a", "film", "Alpha")]))
        closed = asyncio.create_task(catalogue.close())
        await asyncio.sleep(0.1)
        held_journal.let_go()
        await closed
        assert store.index.searcher.num_docs == 1
        store.close()


def test_what_is_deleted_during_a_rebuild_stays_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Store(tmp_path, 16 * 2**20, 1, 0)) as store:
        changes = {id: Document(id, "film", "Alpha") for id in ("a", "b")}
        messages = [(id, document_to_proto(document).SerializeToString()) for id, document in changes.items()]
        store.shelf.write(messages)
        store.put(changes)
        put = FullText.put

        def put_and_delete(index: FullText, document: Document) -> None:
            monkeypatch.setattr(FullText, "put", put)
            put(index, document)
            store.shelf.write([(document.id, None)])

        monkeypatch.setattr(FullText, "put", put_and_delete)
        monkeypatch.setattr(store_module, "REBUILD_BATCH", 1)
        store.configure(indexing_pb2.CatalogConfiguration(language="de"))
        assert store.index.searcher.num_docs == 1
    with closing(Store(tmp_path, 16 * 2**20, 1, 0)) as store:  # nothing was left to catch up on
        assert store.index.searcher.num_docs == 1


async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path, opener) -> None:
    environment = {
        **os.environ,
        "HONEYGUIDE_LEXICAL_DATA_DIR": str(tmp_path / "data"),
        # Nothing is committed to the index before the kill.
        "HONEYGUIDE_LEXICAL_COMMIT_INTERVAL_S": "30",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "honeyguide_lexical", env=environment, stdout=PIPE, stderr=DEVNULL
    )
    try:
        assert process.stdout is not None
        line = await process.stdout.readline()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{int(line.split()[1])}") as channel:
            stub = indexing_pb2_grpc.IndexingServiceStub(channel)
            for i in range(20):
                documents = [document_to_proto(Document(f"d{i}-{j}", "film", f"Kept{i}x{j}")) for j in range(20)]
                await stub.IndexDocuments(indexing_pb2.IndexDocumentsRequest(documents=documents))
            await stub.DeleteDocuments(indexing_pb2.DeleteDocumentsRequest(document_ids=["d0-0"]))
    finally:
        process.kill()
        await process.wait()
    async with opener(tmp_path / "data") as client:
        assert (await client.stats()).document_count == 399
        assert await client.ids("lexical.bm25", "kept19x19") == ["d19-19"]
        assert await client.ids("lexical.bm25", "kept0x0") == []
        assert (await client.recognize("kept19x19")).spans


async def test_configuring_makes_attributes_searchable_and_survives_a_restart(tmp_path: Path, opener) -> None:
    attribute = indexing_pb2.AttributeConfiguration
    async with opener(tmp_path) as client:
        await client.put(
            Document("t", "track", "Halo", "", {"artist": ("Beyoncé",), "mood": ("calm",), "aka": ("Sasha's Song",)}),
            Document("u", "track", "Other", "sasha song " * 30, {"artist": ("Nobody",)}),
        )
        assert await client.ids("lexical.bm25", "beyonce") == []
        assert (await client.recognize("calm")).spans
        await client.configure(
            attribute(name="artist", searchable=True, boost=2),
            attribute(name="aka", alias=True),
            attribute(name="mood", kind=indexing_pb2.ATTRIBUTE_KIND_TEXT),
        )
        assert await client.ids("lexical.bm25", "beyonce") == ["t"]
        assert await client.ids("lexical.bm25", "calm") == ["t"]
        assert (await client.ids("lexical.bm25", "sasha song"))[0] == "t"
        assert not (await client.recognize("calm")).spans
        assert (await client.recognize("sasha s song")).spans[-1].readings[0].type == "track"
        assert sum(name.startswith("index-") for name in os.listdir(tmp_path)) == 1
    async with opener(tmp_path) as client:
        assert await client.ids("lexical.bm25", "beyonce") == ["t"]


@pytest.mark.parametrize(
    ("configuration", "field"),
    [
        ({"language": "english"}, "language"),
        ({"title_boost": -1.0}, "title_boost"),
        ({"title_boost": float("nan")}, "title_boost"),
        ({"attributes": [indexing_pb2.AttributeConfiguration(name="")]}, "name"),
        ({"attributes": [indexing_pb2.AttributeConfiguration(name="a")] * 2}, "name"),
        ({"attributes": [indexing_pb2.AttributeConfiguration(name="a", boost=-1)]}, "boost"),
    ],
)
async def test_a_wrong_configuration_is_refused(client, configuration, field: str) -> None:
    with pytest.raises(InvalidArgument, match=field):
        await client.index.Configure(
            indexing_pb2.ConfigureRequest(configuration=indexing_pb2.CatalogConfiguration(**configuration))
        )
    assert await client.ids("lexical.bm25", "amelie") == ["f2"]


@pytest.mark.parametrize(("part", "step"), [(FullText, "commit"), (Lexicon, "rebuild"), (FullText, "close")])
async def test_configuring_that_failed_goes_on_when_repeated(
    tmp_path: Path, opener, monkeypatch: pytest.MonkeyPatch, part: Any, step: str
) -> None:
    async def check(client: Any) -> None:
        assert await client.complete("moonl") == ["Running dogs"]
        [span] = (await client.recognize("moonlight")).spans
        assert [(reading.type, reading.attribute) for reading in span.readings] == [("film", "")]

    def fail(*args: Any) -> None:
        monkeypatch.undo()
        raise OSError(28, "No space left on device")

    alias = indexing_pb2.AttributeConfiguration(name="aka", alias=True)
    async with opener(tmp_path) as client:
        await client.put(Document("a", "film", "Running dogs", "", {"aka": ("Moonlight",)}))
        monkeypatch.setattr(part, step, fail)
        with pytest.raises(HoneyguideError):
            await client.configure(alias)
        await client.put(Document("b", "film", "Other"))
        await client.configure(alias)
        await check(client)
        await client.put(Document("c", "film", "Another"))
    async with opener(tmp_path) as client:
        await check(client)
        assert await client.complete("ot") == ["Other"]
    assert index_folder(tmp_path)


async def test_numbers_of_a_searchable_attribute_are_words_and_flags_are_not(empty) -> None:
    attribute = indexing_pb2.AttributeConfiguration(name="made", searchable=True)
    await empty.configure(attribute)
    await empty.put(Document("n", "film", "N", "", {"made": (1984.0, 2.5, "by hand", True)}))
    for query in ("1984", "2.5", "hand"):
        assert await empty.ids("lexical.bm25", query) == ["n"]
    assert await empty.ids("lexical.bm25", "true") == []


async def test_a_german_catalogue_is_stemmed_in_german(empty) -> None:
    await empty.put(Document("h", "film", "Häuser", "Die Kinder spielten"))
    await empty.configure(language="de")
    assert await empty.ids("lexical.bm25", "haus spielen") == ["h"]


async def test_another_title_boost_counts_at_once_for_queries_asked_before(empty) -> None:
    await empty.put(Document("a", "film", "Harbour"), Document("b", "film", "Other", "A harbour at night."))
    before = await empty.ask("lexical.bm25", "harbour")
    await empty.configure(title_boost=9.0)
    after = await empty.ask("lexical.bm25", "harbour")
    assert list(after.document_ids) == list(before.document_ids) == ["a", "b"]
    assert after.scores != before.scores
