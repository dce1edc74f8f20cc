"""`honeyguide evaluate`: what another policy or ranker would have earned, told from the log alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from honeyguide.api.search.v1 import learning_pb2
from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.off_policy import generic_log
from honeyguide_orchestrator.off_policy.decisions import LoggedDecision
from honeyguide_orchestrator.off_policy.estimators import ESTIMATORS
from honeyguide_orchestrator.off_policy.log_file import is_decision_log, read_decisions, read_head
from honeyguide_orchestrator.off_policy.report import (
    Evaluated,
    Evaluation,
    evaluate_decisions,
    evaluate_rounds,
    logged_reward,
)
from honeyguide_orchestrator.off_policy.target import target_policy
from honeyguide_orchestrator.policies import POLICIES
from honeyguide_orchestrator.ranker import RANKERS, Ranker, check_available
from honeyguide_standalone.commands.policy import time_of
from honeyguide_standalone.commands.session import DataDirOption, TargetOption, connect, console, run

LIMIT = 10_000
SLOW = "thompson"
"""Its probabilities take dozens of draws a decision: evaluated only if named."""


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
    limit: Annotated[int, typer.Option(min=0, help="Newest decisions to go by; 0 = all.")] = LIMIT,
    estimators: Annotated[
        list[str] | None, typer.Option("--estimator", help=f"{', '.join(ESTIMATORS)}; can be given again.")
    ] = None,
    clip: Annotated[float | None, typer.Option(help="Largest weight of a decision; without it, any.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is random in it.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    target: TargetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Estimate off-policy what policies and rankers would have earned, with 95% intervals."""
    since_s = None if since is None else time_of("--since", since)
    chosen = tuple(dict.fromkeys(estimators or ESTIMATORS))
    for name in chosen:
        if name not in ESTIMATORS:
            raise InvalidArgument("--estimator", f"{name[:80]!r} is not one of {', '.join(ESTIMATORS)}")
    if clip is not None and not clip > 0:
        raise InvalidArgument("--clip", f"{clip:g} wanted; above 0 is allowed")
    if log is None:
        lines: Iterable[str] = run(_export(target, data_dir, since_s, limit))
    else:
        lines = _read(log)
    first = next(iter_ := iter(lines), "")
    if log is None or is_decision_log(first):
        told = _of_decisions(first, iter_, policies, rankers, since_s, limit, chosen, clip, seed)
    else:
        if rankers or since:
            option = "--ranker" if rankers else "--since"
            raise InvalidArgument(option, f"{log} is not a complete export of decisions, to which alone it applies")
        told = _of_generic_log(chain([first], iter_), policies, limit, chosen, clip, seed)
    if as_json:
        print(json.dumps(asdict(told), ensure_ascii=False, indent=2))
    else:
        show(told)


async def _export(target: str | None, data_dir: Path | None, since_s: float | None, limit: int) -> list[str]:
    async with connect(target, data_dir) as (api, _, _):
        complete = learning_pb2.DECISION_FORMAT_COMPLETE
        return [line async for line in api.decisions(format=complete, since_s=since_s, limit=limit, newest=True)]


def _read(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument("--log", str(error)) from None


def _of_decisions(
    first: str,
    lines: Iterable[str],
    policies: list[str] | None,
    rankers: list[str] | None,
    since_s: float | None,
    limit: int,
    estimators: tuple[str, ...],
    clip: float | None,
    seed: int,
) -> Evaluation:
    head = read_head(first)
    if not policies and not rankers:
        policies = [name for name in POLICIES if name != SLOW]
        rankers = [name for name in RANKERS if _available(name)]
    targets = {text: target_policy(text, head) for text in policies or ()}
    ranking = {name: _ranker(name) for name in rankers or ()}
    decisions: list[LoggedDecision] = []
    left_out: dict[str, int] = {}
    for one in read_decisions(lines):
        if isinstance(one, str):
            left_out[one] = left_out.get(one, 0) + 1
        elif since_s is None or one[0].context.time_s >= since_s:
            decisions.append(one)
    if limit:
        decisions = decisions[-limit:]
    if not decisions:
        reasons = "; ".join(f"{count:,} are {reason}" for reason, count in left_out.items()) or "it is empty"
        raise InvalidArgument("log", f"holds no settled decision to go by: {reasons}")
    told = evaluate_decisions(
        decisions,
        head.learned,
        head.prices,
        policies=targets,
        rankers=ranking,
        known_rankers=RANKERS,
        estimators=estimators,
        clip=clip,
        seed=seed,
        examination=head.examination,
    )
    return replace(told, left_out={**left_out, **told.left_out})


def _of_generic_log(
    lines: Iterable[str],
    policies: list[str] | None,
    limit: int,
    estimators: tuple[str, ...],
    clip: float | None,
    seed: int,
) -> Evaluation:
    rounds = generic_log.read_log(lines, limit)
    names = policies or [*([generic_log.OWN] if rounds.own is not None else []), generic_log.UNIFORM, generic_log.BEST]
    targets = []
    for name in names:
        weighed, support = generic_log.rounds_for(rounds, name, seed)
        targets.append(evaluate_rounds("policy", name, weighed, support, estimators, clip))
    return Evaluation(logged_reward(rounds.rewards), len(rounds), tuple(targets))


def _ranker(name: str) -> Ranker:
    if name not in RANKERS:
        raise InvalidArgument("--ranker", f"{name[:80]!r} is not one of {', '.join(RANKERS)}")
    check_available(name, "--ranker")
    return RANKERS[name]


def _available(name: str) -> bool:
    try:
        check_available(name)
    except InvalidArgument:
        return False
    return True


def show(told: Evaluation) -> None:
    """A table with a line for each estimate, and what to make of each target."""
    value, low, high = told.logged
    console.print(
        f"the log: {told.rounds:,} decisions, reward [bold]{value:.4f}[/] ({low:.4f} to {high:.4f}) each, net of cost"
    )
    for reason, count in told.left_out.items():
        console.print(f"left out: {count:,} {reason}")
    table = Table(box=None, pad_edge=False)
    for column in ("target", "by", "reward", "95% interval", "over the log", "effective", "largest weight"):
        table.add_column(column, justify="left" if column in {"target", "by"} else "right", no_wrap=column != "target")
    for target in told.targets:
        for row, one in enumerate(target.estimates):
            weighed = one.estimator != "dm"
            table.add_row(
                escape(f"{target.kind} {target.name}") if row == 0 else "",
                one.estimator,
                f"{one.value:.4f}",
                f"{one.low:.4f} to {one.high:.4f}",
                f"{one.gain:+.4f} ({one.gain_low:+.4f} to {one.gain_high:+.4f})",
                f"{one.effective:,.0f}" if weighed else "",
                f"{one.weight_max:,.1f}" if weighed else "",
            )
    console.print(table)
    for target in told.targets:
        console.print(_words(target))
    if any(target.calls is not None for target in told.targets):
        console.print("All targets decide and rank by what is learned now, from this very log: see docs/evaluation.md.")


def _words(target: Evaluated) -> str:
    asked = (
        "" if target.calls is None else f", {target.calls:.1f} calls and {target.candidates:.0f} candidates a search"
    )
    notes = "; ".join(target.notes)
    return f"[bold]{escape(target.name)}[/]: {target.verdict.value}{asked}. {escape(notes)}."
