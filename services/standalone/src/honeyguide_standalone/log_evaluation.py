"""What another policy or ranker would have earned, told from a log of decisions, or of any bandit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

from rich.console import Console
from rich.markup import escape
from rich.table import Table

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
from honeyguide_standalone.commands.session import counted

SLOW = "thompson"
"""Its probabilities take dozens of draws a decision: evaluated only if named."""


PLAIN_KEYS = ({"decision_id", "strategies"}, {"_label_cost", "_outcomes"})
"""By which a line of JSON, or of DSJSON, is told."""

DECISION_KEYS = {"id", "decision", "rewards"}
"""By which a decision of a complete export is told: every line but the first."""

COMPLETE_EXPORT = "`honeyguide decisions export --format complete --output FILE`"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to estimate, of which decisions, and how.

    Args:
        policies, rankers: targets by name; none of either = all there are.
        estimators: of `ESTIMATORS`.
        since_s: only decisions from then on, in seconds since 1970-01-01; None = all.
        limit: how many of the newest decisions to go by, 0 = all.
        clip: largest weight of a decision, above 0; None = any.
        seed: of what is random in it.

    Raises:
        InvalidArgument: an estimator that there is not, or a clip that is not above 0.
    """

    policies: tuple[str, ...]
    rankers: tuple[str, ...]
    estimators: tuple[str, ...]
    since_s: float | None
    limit: int
    clip: float | None
    seed: int

    def __post_init__(self) -> None:
        for name in self.estimators:
            if name not in ESTIMATORS:
                raise InvalidArgument("--estimator", f"{name[:80]!r} is not one of {', '.join(ESTIMATORS)}")
        if self.clip is not None and not self.clip > 0:
            raise InvalidArgument("--clip", f"{self.clip:g} wanted; above 0 is allowed")


def of_file(lines: Iterable[str], wanted: Wanted) -> Evaluation:
    """From a complete export of decisions, or from the log of any bandit.

    Raises:
        InvalidArgument: naming what can't be read, or what can't be told from such a log.
    """
    rest = iter(lines)
    first = next(rest, "")
    if is_decision_log(first):
        return of_decisions(chain([first], rest), wanted)
    keys = _keys(first)
    if any(plain <= keys for plain in PLAIN_KEYS):
        raise InvalidArgument("--log", f"is an export for other tools; {COMPLETE_EXPORT} makes one to evaluate")
    if keys >= DECISION_KEYS:
        raise InvalidArgument(
            "--log", f"looks like a complete export without its first line; {COMPLETE_EXPORT} makes a whole one"
        )
    if wanted.rankers or wanted.since_s is not None:
        option = "--ranker" if wanted.rankers else "--since"
        raise InvalidArgument(option, "applies to a complete export of decisions alone, which --log is not")
    return _of_generic_log(chain([first], rest), wanted)


def _keys(line: str) -> set[str]:
    """Keys of the JSON object that a line is, none if it is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return set()
    return set(row) if isinstance(row, dict) else set()


def of_decisions(lines: Iterable[str], wanted: Wanted) -> Evaluation:
    """From a complete export of decisions.

    Raises:
        InvalidArgument: naming what can't be read, or a target that there is not.
    """
    rest = iter(lines)
    head = read_head(next(rest, ""))
    policies, rankers = wanted.policies, wanted.rankers
    if not policies and not rankers:
        policies = tuple(name for name in POLICIES if name != SLOW)
        rankers = tuple(name for name in RANKERS if _available(name))
    targets = {text: target_policy(text, head) for text in policies}
    ranking = {name: _ranker(name) for name in rankers}
    decisions: list[LoggedDecision] = []
    left_out: dict[str, int] = {}
    for one in read_decisions(rest):
        if isinstance(one, str):
            left_out[one] = left_out.get(one, 0) + 1
        elif wanted.since_s is None or one[0].context.time_s >= wanted.since_s:
            decisions.append(one)
    if wanted.limit:
        decisions = decisions[-wanted.limit :]
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
        estimators=wanted.estimators,
        clip=wanted.clip,
        seed=wanted.seed,
        examination=head.examination,
    )
    return replace(told, left_out={**left_out, **told.left_out})


def _of_generic_log(lines: Iterable[str], wanted: Wanted) -> Evaluation:
    rounds = generic_log.read_log(lines, wanted.limit)
    own = [generic_log.OWN] if rounds.own is not None else []
    targets = []
    for name in wanted.policies or [*own, generic_log.UNIFORM, generic_log.BEST]:
        weighed, support = generic_log.rounds_for(rounds, name, wanted.seed)
        targets.append(evaluate_rounds("policy", name, weighed, support, wanted.estimators, wanted.clip))
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


def show(console: Console, told: Evaluation) -> None:
    """A table with a line for each estimate, and what to make of each target."""
    value, low, high = told.logged
    console.print(
        f"the log: {counted(told.rounds, 'decision')}, reward [bold]{value:.4f}[/] ({low:.4f} to {high:.4f}) each, "
        "net of cost"
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
