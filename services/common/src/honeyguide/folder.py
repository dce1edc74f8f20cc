"""Data folders: one process at a time, and their size."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from honeyguide.errors import FailedPrecondition


def lock_folder(folder: Path) -> IO[str]:
    """Locks a folder, making it if need be, until the file returned is closed or the process ends.

    Raises:
        FailedPrecondition: another process, or another service in this one, holds it; or it can't be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+")
    except OSError as error:
        raise FailedPrecondition(f"{folder} can't be a data folder: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise FailedPrecondition(f"{folder} is in use by another running Honeyguide") from None
    return file


def size_bytes(folder: Path) -> int:
    """Bytes of all files in a folder and below; what goes meanwhile, by a merge of segments for instance, counts 0."""
    return sum(_size_bytes(Path(within) / name) for within, _, names in os.walk(folder) for name in names)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0
