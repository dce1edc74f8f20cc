"""The journal: what was acknowledged is there, whatever happens to the process."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from honeyguide.journal import Change, Identity, Journal


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "deep" / "journal.sqlite")
    yield opened
    opened.close()


def test_changes_come_in_order_and_once_a_document(journal):
    assert journal.sequence == 0
    assert list(journal.since(0)) == []
    assert journal.write([("a", b"1"), ("b", b"1")]) == 2
    assert journal.write([("a", b"2")]) == 3
    assert list(journal.since(0)) == [Change(2, "b", b"1"), Change(3, "a", b"2")]
    assert list(journal.since(2)) == [Change(3, "a", b"2")]
    assert list(journal.since(3)) == []


def test_the_same_document_twice_in_one_write(journal):
    assert journal.write([("a", b"1"), ("a", b"2"), ("a", None)]) == 3
    assert list(journal.since(0)) == [Change(3, "a", None)]
    assert journal.fetch(["a"]) == {}


def test_deletions(journal):
    journal.write([("a", b"1"), ("b", b"1")])
    assert journal.write([("a", None), ("never", None)]) == 4
    assert journal.fetch(["a", "b", "never"]) == {"b": b"1"}
    assert list(journal.since(2)) == [Change(3, "a", None), Change(4, "never", None)]
    journal.write([("a", b"again")])
    assert journal.fetch(["a"]) == {"a": b"again"}


def test_empty_writes_and_fetches(journal):
    assert journal.write([]) == 0
    assert journal.fetch([]) == {}


def test_many(journal):
    journal.write((f"d{i}", str(i).encode()) for i in range(2_500))
    assert [change.sequence for change in journal.since(0, batch=700)] == list(range(1, 2_501))
    found = journal.fetch([f"d{i}" for i in range(0, 3_000, 2)])
    assert len(found) == 1_250
    assert found["d2000"] == b"2000"


def test_a_reader_may_be_overtaken_by_a_writer(journal):
    journal.write((f"d{i}", b"old") for i in range(10))
    changes = journal.since(0, batch=4)
    read = [next(changes) for _ in range(4)]
    journal.write([("d9", b"new"), ("d0", b"new")])
    read.extend(changes)
    last = {change.document_id: change.payload for change in read}
    assert last == {f"d{i}": b"old" for i in range(1, 9)} | {"d9": b"new", "d0": b"new"}


def test_everything_is_there_after_reopening(tmp_path):
    path = tmp_path / "journal.sqlite"
    first = Journal(path)
    first.write([("a", b"1"), ("b", b"1"), ("b", None)])
    first.store_setting("schema", b"7")
    first.close()
    second = Journal(path)
    assert second.sequence == 3
    assert second.write([("c", b"1")]) == 4
    assert [change.document_id for change in second.since(0)] == ["a", "b", "c"]
    assert second.setting("schema") == b"7"
    assert second.setting("other") is None
    second.store_setting("schema", b"8")
    assert second.setting("schema") == b"8"
    second.close()


def test_a_journal_of_a_version_before_is_read_and_written(tmp_path):
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as old:
        old.execute(
            "CREATE TABLE documents (id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, payload BLOB) WITHOUT ROWID"
        )
        old.execute("CREATE UNIQUE INDEX by_sequence ON documents (sequence)")
        old.execute("INSERT INTO documents VALUES ('b', 1, x'31'), ('a', 2, x'32'), ('c', 3, NULL)")
        old.commit()
    journal = Journal(path)
    assert journal.write([("b", b"3"), ("d", b"4")]) == 5
    assert journal.fetch(["a", "b", "c", "d"]) == {"a": b"2", "b": b"3", "d": b"4"}
    changes = [(change.sequence, change.document_id) for change in journal.since(0)]
    assert changes == [(2, "a"), (3, "c"), (4, "b"), (5, "d")]
    journal.close()


def test_a_write_that_fails_leaves_nothing(journal):
    journal.write([("a", b"1")])
    with pytest.raises(Exception, match="type"):
        journal.write([("b", b"1"), ("c", object())])
    assert journal.sequence == 1
    assert journal.fetch(["b"]) == {}
    assert journal.write([("b", b"2")]) == 2


def test_threads(journal):
    def write(name: str) -> None:
        for i in range(50):
            journal.write([(f"{name}{i}", b"x")])

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [change.sequence for change in journal.since(0)] == list(range(1, 201))


WRITER = """
import itertools, sys
from pathlib import Path
from honeyguide.journal import Journal
journal = Journal(Path(sys.argv[1]))
for i in itertools.count():
    journal.write([(f"d{i}", b"x" * 1000), (f"e{i}", b"y")])
    print(i, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path):
    path = tmp_path / "journal.sqlite"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    acknowledged = 0
    while acknowledged < 50:
        acknowledged = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    acknowledged = int((process.stdout.read().split() or [acknowledged])[-1])
    process.wait()
    journal = Journal(path)
    count = sum(1 for _ in journal.since(0))
    # All that was acknowledged, and of the write under way both documents or none.
    assert count in (2 * (acknowledged + 1), 2 * (acknowledged + 2))
    assert len(journal.fetch([f"d{i}" for i in range(acknowledged + 1)])) == acknowledged + 1
    assert journal.write([("next", b"1")]) == count + 1
    journal.close()


def copied(journal, folder, changes=None):
    """A copy of a journal, or of some of its changes, closed."""
    with closing(Journal(folder)) as copy:
        changes = list(journal.since(copy.sequence)) if changes is None else changes
        copy.copy(journal.identity.id, journal.identity.beginnings, changes, journal.sequence)


def test_a_copy_has_the_same_numbers(journal, tmp_path):
    journal.write([("a", b"1"), ("b", b"1"), ("c", b"1")])
    journal.write([("a", b"2"), ("b", None)])
    copied(journal, tmp_path / "copy")
    journal.write([("c", b"2"), ("b", b"2")])
    copied(journal, tmp_path / "copy")
    with closing(Journal(tmp_path / "copy")) as copy:
        assert copy.identity == Identity(journal.identity.id, {}, is_copy=True)
        assert copy.sequence == 7
        assert list(copy.since(0)) == list(journal.since(0))
        assert copy.fetch(["a", "b", "c"]) == {"a": b"2", "b": b"2", "c": b"2"}


def test_whether_a_copy_has_all_there_was(journal, tmp_path):
    journal.write([("a", b"1"), ("b", b"1"), ("c", b"1")])
    every = list(journal.since(0))
    told = []
    for changes in (every[:1], every[1:2], every[2:], []):
        copied(journal, tmp_path / "copy", changes)
        with closing(Journal(tmp_path / "copy")) as copy:
            told.append((copy.identity.level, copy.identity.whole))
    journal.write([("d", b"1"), ("e", b"1")])
    copied(journal, tmp_path / "copy", list(journal.since(3))[:1])
    with closing(Journal(tmp_path / "copy")) as copy:
        told.append((copy.identity.level, copy.identity.whole))
    assert told == [(False, False), (False, False), (True, True), (True, True), (False, True)]


def test_a_copy_that_is_written_to_is_a_journal_of_its_own(journal, tmp_path):
    journal.write([("a", b"1"), ("b", b"1")])
    first = journal.identity.id
    copied(journal, tmp_path / "copy")
    with closing(Journal(tmp_path / "copy")) as copy:
        assert copy.write([]) == 2
        assert copy.identity.is_copy
        assert copy.write([("c", b"1")]) == 3
        second = copy.identity.id
        assert second != first
        assert copy.identity == Identity(second, {first: 2})
        copied(copy, tmp_path / "third")
    with closing(Journal(tmp_path / "copy")) as copy:
        assert copy.identity == Identity(second, {first: 2})
        assert [copy.continues(second, n, True) for n in (0, 3, 4)] == [True, True, False]
        # Of the first, what came after the copy was made is not in it, whatever the numbers are.
        assert [copy.continues(first, n, True) for n in (0, 2, 3)] == [True, True, False]
        assert [copy.continues("another", n, True) for n in (0, 1)] == [True, False]
    with closing(Journal(tmp_path / "third")) as third:
        third.write([("d", b"1")])
        assert third.identity.beginnings == {first: 2, second: 3}


def test_what_lacks_changes_is_the_beginning_of_nothing_but_its_own(journal, tmp_path):
    journal.write([("a", b"1"), ("b", b"1")])
    copied(journal, tmp_path / "whole")
    some = list(journal.since(0))[:1]
    journal.write([("a", b"2")])
    copied(journal, tmp_path / "some", some)
    with closing(Journal(tmp_path / "some")) as copy:
        assert journal.continues(copy.identity.id, 1, copy.identity.level)
        with closing(Journal(tmp_path / "whole")) as promoted:
            promoted.write([("c", b"1")])
            assert not promoted.continues(copy.identity.id, 1, copy.identity.level)
            assert promoted.continues(copy.identity.id, 1, True)
        copy.write([("c", b"1")])
        assert copy.identity.beginnings == {}
