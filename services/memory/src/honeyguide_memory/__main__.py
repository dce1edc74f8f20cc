"""`python -m honeyguide_memory`: runs the memory service."""

from __future__ import annotations

from honeyguide.config import CommonSettings, load
from honeyguide.server import run_service
from honeyguide_memory.service import open_service
from honeyguide_memory.settings import MemorySettings


def main() -> None:
    """Reads the environment and serves until told to stop."""
    settings = load(MemorySettings)
    run_service("honeyguide-memory", load(CommonSettings), settings, lambda: open_service(settings))


if __name__ == "__main__":
    main()
