"""The service's folder: one process at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from honeyguide.errors import FailedPrecondition


class FolderLock:
    """Holds a folder for this process until closed; the system lets go of it when the process dies.

    Raises:
        FailedPrecondition: if another process, or another service in this one, has the folder open.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "lock"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise FailedPrecondition(f"{folder} is in use by another lexical service") from None

    def close(self) -> None:
        """Lets the folder go."""
        os.close(self._descriptor)
