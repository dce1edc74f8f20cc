"""Runs the lexical service: `python -m honeyguide_lexical`."""

from __future__ import annotations

from honeyguide.config import CommonSettings, load
from honeyguide.server import run_service
from honeyguide_lexical.service import open_service
from honeyguide_lexical.settings import LexicalSettings


def main() -> None:
    """Reads the settings from the environment and serves until told to stop."""
    settings, common = load(LexicalSettings), load(CommonSettings)
    run_service("lexical", common, settings, lambda: open_service(settings, common))


if __name__ == "__main__":
    main()
