"""`honeyguide demo`: everything at work on 17,472 films."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honeyguide_standalone.commands.session import DEMO_DIR, run


def demo(
    exit: Annotated[bool, typer.Option("--exit", help="End when it is done, do not stay up.")] = False,
    searches: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Simulated searches; 0 = 3,000 at first, 400 on later runs.")
    ] = 0,
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Where everything goes.")] = DEMO_DIR,
    seed: Annotated[int, typer.Option(help="Of the simulated users.")] = 1,
) -> None:
    """Start everything, index 17,472 films, let simulated users teach it, and show what it learned."""
    from honeyguide_standalone.demo.story import tell  # with films and simulated users: not for other commands

    run(tell(exit, searches, data_dir, seed))
