"""`honeyguide evaluate`: what another policy or ranker would have earned, told from the log alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from honeyguide.api.search.v1 import learning_pb2
from honeyguide.errors import InvalidArgument
from honeyguide_standalone.commands.policy import time_of
from honeyguide_standalone.commands.session import LIMIT_MAX, DataDirOption, TargetOption, connect, console, run

LIMIT = 10_000


def evaluate(
    policies: Annotated[
        list[str] | None,
        typer.Option("--policy", metavar="NAME[:OPTION=VALUE,...]", help="Target policy; can be given again."),
    ] = None,
    rankers: Annotated[
        list[str] | None, typer.Option("--ranker", metavar="NAME", help="Target ranker; can be given again.")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option("--log", help="File to read: a complete export, or JSON Lines. Without it, the running system."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only decisions from this ISO 8601 time on.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=LIMIT_MAX, help="Newest decisions to go by; 0 = all.")] = LIMIT,
    estimators: Annotated[
        list[str] | None, typer.Option("--estimator", help="ips, snips, dm, dr or drs; can be given again.")
    ] = None,
    clip: Annotated[float | None, typer.Option(help="Largest weight of a decision; without it, any.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is random in it.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    target: TargetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Estimate off-policy what policies and rankers would have earned, with 95% intervals."""
    # All that learns comes with these: not for commands that only call it.
    from honeyguide_orchestrator.off_policy.estimators import ESTIMATORS
    from honeyguide_standalone import log_evaluation

    wanted = log_evaluation.Wanted(
        policies=tuple(policies or ()),
        rankers=tuple(rankers or ()),
        estimators=tuple(dict.fromkeys(estimators or ESTIMATORS)),
        since_s=None if since is None else time_of("--since", since),
        limit=limit,
        clip=clip,
        seed=seed,
    )
    if log is None:
        told = log_evaluation.of_decisions(run(_export(target, data_dir, wanted.since_s, limit)), wanted)
    else:
        told = log_evaluation.of_file(_read(log), wanted)
    if as_json:
        print(json.dumps(asdict(told), ensure_ascii=False, indent=2))
    else:
        log_evaluation.show(console, told)


async def _export(target: str | None, data_dir: Path | None, since_s: float | None, limit: int) -> list[str]:
    async with connect(target, data_dir) as (api, _, _):
        complete = learning_pb2.DECISION_FORMAT_COMPLETE
        return [line async for line in api.decisions(format=complete, since_s=since_s, limit=limit, newest=True)]


def _read(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument("--log", str(error)) from None
