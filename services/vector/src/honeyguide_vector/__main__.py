"""Starts the vector service: `python -m honeyguide_vector`."""

from __future__ import annotations

from honeyguide.config import CommonSettings, load
from honeyguide.server import run_service
from honeyguide_vector.service import open_service
from honeyguide_vector.settings import VectorSettings


def main() -> None:
    """Reads the environment and serves until it is told to stop."""
    settings, common = load(VectorSettings), load(CommonSettings)
    run_service("vector", common, settings, lambda: open_service(settings, common))


if __name__ == "__main__":
    main()
