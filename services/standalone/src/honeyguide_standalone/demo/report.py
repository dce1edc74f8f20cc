"""What the demo shows at the end: before and after, who gets what, and the same in report.json."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from honeyguide_standalone.commands.policy import bar
from honeyguide_standalone.demo.evaluation import Comparison, outcome

STRATEGIES_SHOWN = 5
DEPTH_SHOWN = 0.5
DESCRIPTIONS = {
    "title": "a film by its title, in part or misspelt",
    "person": "a person, or their films",
    "browse": "a genre with years or a language",
    "topic": "a mood or a topic",
    "ambiguous": "one word that can be several things",
}


def print_comparison(console: Console, comparison: Comparison) -> None:
    """The table of before (static) and after (learned), all together and by kind of wish."""
    table = Table(
        title=f"{len(comparison.learned)} fresh wishes of simulated users, each asked of both "
        "(static: all strategies at full depth, reciprocal-rank fusion)",
        title_justify="left",
        pad_edge=False,
    )
    for column in ("wish", "", "reward less cost", "MRR", "on page 1", "candidates", "calls"):
        table.add_column(column, justify="left" if column in {"wish", ""} else "right")
    for kind in ["all", *comparison.kinds]:
        part = comparison if kind == "all" else comparison.of_kind(kind)
        for name, searches in (("static", part.static), ("learned", part.learned)):
            now = outcome(searches)
            table.add_row(
                f"{kind} ({now.searches})" if name == "static" else "",
                name,
                f"{now.reward:+.3f}",
                f"{now.mrr:.3f}",
                f"{now.found_share:.0%}",
                f"{now.candidates:.0f}",
                f"{now.calls:.1f}",
                style="bold" if name == "learned" else "",
                end_section=name == "learned",
            )
    console.print(table)


def print_allocations(console: Console, comparison: Comparison) -> None:
    """Which strategies each kind of wish now gets, with their mean depth."""
    for kind in comparison.kinds:
        part = comparison.of_kind(kind)
        learned, static = outcome(part.learned), outcome(part.static)
        console.print(
            f"[bold]{kind}[/] ({DESCRIPTIONS[kind]}): {learned.candidates:.0f} candidates from {learned.calls:.1f} "
            f"calls, instead of {static.candidates:.0f} from {static.calls:.1f}"
        )
        depths = [(name, depth) for name, depth in part.depths().items() if depth >= DEPTH_SHOWN]
        for name, depth in depths[:STRATEGIES_SHOWN]:
            console.print(f"  {name:<20} {depth:5.1f} {bar(depth, depths[0][1])}")


def write_report(path: Path, searches: int, comparison: Comparison) -> None:
    """Writes report.json: the figures of all wishes, and under "kinds" those of every kind."""
    report: dict[str, object] = {"searches": searches, **comparison.figures()}
    report["kinds"] = {kind: comparison.of_kind(kind).figures() for kind in comparison.kinds}
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
