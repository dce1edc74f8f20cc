"""Starts the vector service: `python -m honeyguide_vector`."""

from __future__ import annotations

from honeyguide.config import CommonSettings, load
from honeyguide.server import run_service
from honeyguide_vector.service import open_service
from honeyguide_vector.settings import VectorSettings


def main() -> None:
    """Reads the environment and serves until it is told to stop."""
    settings = load(VectorSettings)
    run_service("vector", load(CommonSettings), settings, lambda: open_service(settings))


if __name__ == "__main__":
    main()
