"""`honeyguide stats`: what is held and how it goes."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict
from rich.table import Table

from honeyguide.api.search.v1 import catalog_pb2, learning_pb2
from honeyguide_standalone.commands.session import DataDirOption, TargetOption, connect, console, counted, run

MIB = 2**20


def stats(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    target: TargetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show what every service holds, and the feedback taken in."""

    async def ask() -> tuple[catalog_pb2.GetCatalogStatsResponse, learning_pb2.GetProgressResponse]:
        async with connect(target, data_dir) as (api, _, _):
            return await api.stats(), await api.progress(10)

    held, progress = run(ask())
    if as_json:
        parts = {"catalog": held, "learning": progress}
        content = {name: MessageToDict(part, preserving_proto_field_name=True) for name, part in parts.items()}
        print(json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("service", "documents", "by type", "MiB", "figures"):
        table.add_column(column, justify="right" if column in {"documents", "MiB"} else "left", overflow="fold")
    for name, one in sorted(held.services.items()):
        by_type = ", ".join(f"{type} {count:,}" for type, count in sorted(one.documents_by_type.items()))
        figures = ", ".join(f"{key} {_figure(value)}" for key, value in sorted(one.figures.items()))
        table.add_row(name, f"{one.document_count:,}", by_type, f"{one.size_bytes / MIB:,.1f}", figures)
    console.print(table)
    console.print("events: " + (", ".join(f"{k} {v:,}" for k, v in sorted(progress.events.items())) or "none yet"))
    for point in progress.points[-1:]:
        console.print(
            f"{counted(point.decisions, 'decision')} taken in; lately reward {point.reward_mean:.3f} so far (actions "
            f"may still come), cost {point.cost_mean:.3f}, {point.candidates_mean:.0f} candidates and "
            f"{point.calls_mean:.1f} calls a search"
        )


def _figure(value: float) -> str:
    """Counts and large numbers in full, others to four digits."""
    return f"{value:,.0f}" if value.is_integer() or abs(value) >= 1_000 else f"{value:.4g}"
