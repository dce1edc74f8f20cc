"""Folders: their lock, and their size while their files come and go."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from honeyguide.errors import FailedPrecondition
from honeyguide.folder import lock_folder, size_bytes


def test_a_file_removed_meanwhile_counts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "kept").write_bytes(b"12345")
    (tmp_path / "gone").write_bytes(b"123")
    assert size_bytes(tmp_path) == 8
    is_file = Path.is_file

    def then_removed(path: Path) -> bool:
        found = is_file(path)
        if path.name == "gone":
            path.unlink()
        return found

    monkeypatch.setattr(Path, "is_file", then_removed)
    assert size_bytes(tmp_path) == 5


def test_a_folder_removed_meanwhile_counts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kept").write_bytes(b"12345")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "file").write_bytes(b"123")
    is_file = Path.is_file

    def then_removed(path: Path) -> bool:
        if path.name == "kept":
            shutil.rmtree(tmp_path / "gone")
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", then_removed)
    assert size_bytes(tmp_path) == 5


def test_what_can_be_no_data_folder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below", Path("/proc/nope")):
        with pytest.raises(FailedPrecondition, match=f"^{path} can't be a data folder: [A-Z]"):
            lock_folder(path)
