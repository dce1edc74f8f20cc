"""`honeyguide report`: what experiments, policies in shadow and exploration have shown so far."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict
from rich.markup import escape
from rich.table import Table

from honeyguide.api.search.v1 import learning_pb2 as pb
from honeyguide_standalone.commands.session import DataDirOption, TargetOption, connect, console, counted, run

FOOT = (
    "An interval holds the truth at all moments at once with probability 95%: look, and stop, whenever you like. "
    "A search counts once the time in which its clicks count is over. Net = reward less cost."
)
NOTHING = "nothing to report yet: a search counts once the time in which its clicks count is over"


def report(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    target: TargetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show which variant of an experiment won, how a policy in shadow would do, and what exploration costs."""

    async def ask() -> pb.GetEvidenceResponse:
        async with connect(target, data_dir) as (api, _, _):
            return await api.evidence()

    evidence = run(ask())
    if as_json:
        print(json.dumps(MessageToDict(evidence, preserving_proto_field_name=True), ensure_ascii=False, indent=2))
        return
    print_evidence(evidence)


def print_evidence(evidence: pb.GetEvidenceResponse) -> None:
    """All of it, for people."""
    for experiment in evidence.experiments:
        _print_experiment(experiment)
    for shadow in evidence.shadows:
        _print_shadow(shadow)
    for exploration in evidence.explorations:
        if exploration.explored_share:
            _print_exploration(exploration)
    console.print(FOOT if evidence.experiments or evidence.shadows or evidence.explorations else NOTHING)


def _print_experiment(experiment: pb.ExperimentEvidence) -> None:
    split = experiment.mode == pb.EXPERIMENT_MODE_SPLIT
    console.print(
        f"[bold]experiment {escape(experiment.name)}[/] ({'split' if split else 'interleaved'}): {_verdict(experiment)}"
    )
    table = Table(box=None, pad_edge=False)
    measures = ("searches", "reward", "cost", "net") if split else ("pages won",)
    for column in ("variant", "policy", "ranker", *measures):
        table.add_column(column, justify="right" if column in measures else "left")
    for name, one in (("a", experiment.a), ("b", experiment.b)):
        if split:
            means = (one.reward_mean, one.cost_mean, one.reward_mean - one.cost_mean)
            shown = [f"{one.searches:,}", *(f"{mean:.4f}" for mean in means)]
        else:
            shown = [f"{one.wins:,}"]
        table.add_row(name, escape(one.policy), escape(one.ranker), *shown)
    console.print(table)
    what = "net reward a search, b less a" if split else "share of decisive pages, b's less a's"
    console.print(f"{what}: {_interval(experiment.difference)}\n")


def _verdict(experiment: pb.ExperimentEvidence) -> str:
    searches = f"{counted(experiment.searches, 'search', 'es')} so far"
    if experiment.winner:
        return f"[bold]{experiment.winner} won[/] after {experiment.decided_after:,} searches; {searches}"
    if experiment.HasField("further_searches"):
        return f"not yet decided; {searches}, about {experiment.further_searches:,} more if it goes on like this"
    return f"not yet decided; {searches}, no telling how many more it takes"


def _print_shadow(shadow: pb.ShadowEvidence) -> None:
    console.print(
        f"[bold]{escape(shadow.policy)}[/] in shadow: asks the very same at {shadow.agreement:.1%} of "
        f"{counted(shadow.decisions, 'search', 'es')}"
    )
    table = Table(box=None, pad_edge=False)
    for column in ("a search", "calls", "candidates asked", "cost"):
        table.add_column(column, justify="left" if column == "a search" else "right")
    for name, means in (("shadow", shadow.shadow), ("obeyed", shadow.obeyed)):
        table.add_row(name, f"{means.calls:.2f}", f"{means.candidates:.1f}", f"{means.cost:.4f}")
    console.print(table)
    if not shadow.supported_share:
        console.print("its reward cannot be told: the policy obeyed never draws what it would\n")
        return
    console.print(
        f"net reward a search where the policy obeyed may draw the same ({shadow.supported_share:.1%} of searches): "
        f"{shadow.net_mean:.4f}, obeyed {shadow.obeyed_net_mean:.4f}\n"
        f"difference: {_interval(shadow.difference)}, from effectively {shadow.effective_decisions:,.0f} decisions\n"
    )


def _print_exploration(exploration: pb.ExplorationEvidence) -> None:
    console.print(
        f"[bold]{escape(exploration.policy)}[/] explored in {exploration.explored_share:.1%} of "
        f"{counted(exploration.decisions, 'search', 'es')}\n"
        f"net reward a search: {exploration.explored_net_mean:.4f} exploring, "
        f"{exploration.unexplored_net_mean:.4f} not, {exploration.net_mean:.4f} in all\n"
        f"cost of exploration a search: {_interval(exploration.loss)}; predicted {exploration.predicted_loss:.4f}\n"
    )


def _interval(estimate: pb.Estimate) -> str:
    if not estimate.HasField("low"):
        return f"{estimate.value:+.4f} (too little evidence for an interval)"
    return f"[bold]{estimate.value:+.4f}[/] ({estimate.low:+.4f} to {estimate.high:+.4f})"
