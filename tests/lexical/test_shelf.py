"""Documents kept in memory are never older than what was written last."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import Document
from honeyguide.journal import Journal
from honeyguide_lexical.analysis import Analysis
from honeyguide_lexical.shelf import Shelf
from honeyguide_lexical.snippets import Snippets, codes_of


def payload(id: str, title: str, text: str = "") -> bytes:
    return document_pb2.Document(id=id, title=title, text=text).SerializeToString()


class CountingJournal(Journal):
    """Counts the documents read, and calls `after_read` between reading and handing out."""

    read = 0

    def fetch(self, document_ids: Sequence[str]) -> dict[str, bytes]:
        found = super().fetch(document_ids)
        self.read += len(document_ids)
        self.after_read()
        return found

    def after_read(self) -> None:
        pass


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[CountingJournal]:
    opened = CountingJournal(tmp_path / "journal.sqlite3")
    yield opened
    opened.close()


def titles(shelf: Shelf, *ids: str) -> dict[str, str]:
    return {id: shelved.document.title for id, shelved in shelf.fetch(ids).items()}


def test_a_document_is_read_once_until_it_changes(journal: CountingJournal) -> None:
    shelf = Shelf(journal, 2**20)
    shelf.write([("a", payload("a", "old")), ("b", payload("b", "b"))])
    assert titles(shelf, "a", "b", "a", "c") == titles(shelf, "a", "b") == {"a": "old", "b": "b"}
    assert journal.read == 3
    shelf.write([("a", payload("a", "new"))])
    assert titles(shelf, "a", "b") == {"a": "new", "b": "b"}
    shelf.write([("a", None)])
    assert titles(shelf, "a", "b") == {"b": "b"}
    assert journal.read == 5


def test_what_was_read_before_a_write_is_not_kept_after_it(journal: CountingJournal) -> None:
    shelf = Shelf(journal, 2**20)
    shelf.write([("a", payload("a", "old"))])
    journal.after_read = lambda: shelf.write([("a", payload("a", "new"))])  # type: ignore[method-assign,assignment]
    assert titles(shelf, "a") == {"a": "old"}
    del journal.after_read
    assert titles(shelf, "a") == {"a": "new"}


def test_no_reader_sees_an_older_document_than_was_written(journal: CountingJournal) -> None:
    shelf = Shelf(journal, 2**20)
    acknowledged = 0
    shelf.write([("a", payload("a", "0"))])
    stale: list[tuple[int, int]] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            before = acknowledged
            seen = int(titles(shelf, "a")["a"])
            if seen < before:
                stale.append((before, seen))

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 200):
        shelf.write([("a", payload("a", str(number)))])
        acknowledged = number
    done.set()
    for reader in readers:
        reader.join()
    assert not stale


def test_memory_is_bounded_and_the_coldest_leave(journal: CountingJournal) -> None:
    shelf = Shelf(journal, 5_000)
    shelf.write([(id, payload(id, id, "x" * 300)) for id in "abcd"] + [("large", payload("large", "", "x" * 2_000))])
    shelf.fetch("ab")
    shelf.fetch("a")
    shelf.fetch("c")
    assert shelf.kept("abc").keys() == {"a", "c"}
    assert titles(shelf, "large") == {"large": ""}
    assert shelf.kept(["a", "c", "large"]).keys() == {"a", "c"}
    none = Shelf(journal, 0)
    assert titles(none, "a") == {"a": "a"}
    assert not none.kept("a")


def test_a_text_is_read_once_by_the_same_snippets(journal: CountingJournal) -> None:
    shelf = Shelf(journal, 2**20)
    shelf.write([("a", payload("a", "", "Running cats"))])
    [shelved] = shelf.fetch("a").values()
    english, french = Snippets(Analysis("en")), Snippets(Analysis("fr"))
    assert not shelved.is_read(english)
    read = shelved.text(english)
    assert shelved.is_read(english)
    assert shelved.text(english) is read
    assert read.stems.tolist() == codes_of(["run", "cat"]).tolist()
    assert shelved.text(french).stems.tolist() == codes_of(["running", "cat"]).tolist()
    assert not shelved.is_read(english)


async def test_a_fetch_from_memory_is_as_the_first_one_and_follows_changes(client) -> None:
    def film(title: str, text: str) -> Document:
        return Document("s", "film", title, text)

    await client.put(film("One", "Cats run."), settle=False)
    first = await client.fetch("s", "f1", query="cat rebel")
    assert await client.fetch("s", "f1", query="cat rebel") == first
    assert [one.snippet for one in first] == ["<b>Cats</b> run.", "A farm boy joins <b>rebels</b> against an empire."]
    assert [one.snippet for one in await client.fetch("s", query="running")] == ["Cats <b>run</b>."]
    await client.put(film("Two", "Dogs run."), settle=False)
    [changed] = await client.fetch("s", query="dog")
    assert (changed.document.title, changed.snippet) == ("Two", "<b>Dogs</b> run.")
    await client.configure(language="fr")
    assert [one.snippet for one in await client.fetch("s", query="dogs")] == ["<b>Dogs</b> run."]
    await client.delete("s")
    assert await client.fetch("s", query="dog") == []
