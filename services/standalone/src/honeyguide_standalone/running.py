"""What is running where: a file in the data folder that the supervisor writes and the commands read."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from honeyguide.errors import FailedPrecondition

FILE_NAME = "ports.json"


@dataclass(frozen=True, slots=True)
class Running:
    """A running system: the supervisor's process id, the public API's host:port, each service's, and Redis's URL."""

    pid: int
    target: str
    services: dict[str, str] = field(default_factory=dict)
    redis_url: str = ""

    def write(self, data_dir: Path) -> None:
        """Records it, atomically."""
        partial = data_dir / f"{FILE_NAME}.partial"
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        partial.replace(data_dir / FILE_NAME)


def read_running(data_dir: Path) -> Running | None:
    """What runs over a data folder, or None."""
    try:
        running = Running(**json.loads((data_dir / FILE_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return running if _alive(running.pid) else None


def find_running(data_dirs: list[Path]) -> tuple[Path, Running]:
    """The first of several data folders over which a system runs.

    Raises:
        FailedPrecondition: none does; the message says how to start one.
    """
    for data_dir in data_dirs:
        running = read_running(data_dir)
        if running is not None:
            return data_dir, running
    looked = " or ".join(str(folder) for folder in data_dirs)
    raise FailedPrecondition(
        f"nothing runs over {looked}; start it with `honeyguide up`, or name a server with --target host:port"
    )


def forget_running(data_dir: Path) -> None:
    """Takes the record away."""
    (data_dir / FILE_NAME).unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
