"""`honeyguide policy` and `honeyguide decisions`: what has been learned, and from what."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer
from google.protobuf.json_format import MessageToDict
from rich.markup import escape
from rich.table import Table

from honeyguide.api.search.v1 import learning_pb2
from honeyguide.errors import InvalidArgument
from honeyguide_standalone.commands.session import (
    LIMIT_MAX,
    DataDirOption,
    TargetOption,
    connect,
    console,
    counted,
    run,
)

BAR_CHARS = 20
WEIGHTS = 12

decisions_app = typer.Typer(no_args_is_help=True, help="The decision log.")


class Format(StrEnum):
    """How a decision is written."""

    JSON = "json"
    DSJSON = "dsjson"
    COMPLETE = "complete"


FORMATS = {
    Format.JSON: learning_pb2.DECISION_FORMAT_JSON,
    Format.DSJSON: learning_pb2.DECISION_FORMAT_DSJSON,
    Format.COMPLETE: learning_pb2.DECISION_FORMAT_COMPLETE,
}


def policy(
    kinds: Annotated[int, typer.Option(min=1, max=100, help="Kinds of query to show.")] = 6,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    target: TargetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show what has been learned: which strategies each kind of query gets, and what the ranker goes by."""

    async def ask() -> tuple[learning_pb2.GetPolicyResponse, learning_pb2.GetRankerResponse]:
        async with connect(target, data_dir) as (api, _, _):
            return await api.policy(), await api.ranker()

    learned, ranker = run(ask())
    if as_json:
        parts = {"policy": learned, "ranker": ranker}
        content = {name: MessageToDict(part, preserving_proto_field_name=True) for name, part in parts.items()}
        print(json.dumps(content, ensure_ascii=False, indent=2))
        return
    console.print(
        f"[bold]{learned.policy}[/], snapshot {learned.snapshot_version}: learned from "
        f"{counted(learned.decisions, 'decision')} and {counted(learned.events, 'event')}; depths "
        f"{', '.join(str(depth) for depth in learned.depths)}"
    )
    for kind in learned.kinds[:kinds]:
        print_kind(kind)
    console.print(
        f"\n[bold]{escape(ranker.ranker)}[/] ranks; the learned ranker's advantage over the prior, the ranker before "
        f"any feedback, is {ranker.advantage:+.4f} over {counted(ranker.events, 'event')} (after enough of them it "
        "serves while that is above 0)"
    )
    console.print(weights_table(ranker.weights[:WEIGHTS]))


def print_kind(kind: learning_pb2.QueryKind) -> None:
    """One kind of query in a line of words and a bar for every strategy, the longest (mean depth) first."""
    name = "all queries" if kind.intent == "all" else f"queries read as {kind.intent}"
    console.print(
        f"\n[bold]{escape(name)}[/]: {counted(kind.searches, 'search', 'es')} (older ones count less), reward "
        f"{kind.reward_mean:.3f}, {kind.candidates_mean:.0f} candidates from {kind.calls_mean:.1f} calls"
    )
    table = Table(box=None, pad_edge=False)
    for column in ("strategy", "mean depth", "", "asked", "found the wanted"):
        table.add_column(column, justify="left" if column in {"strategy", ""} else "right")
    deepest = max([one.depth_mean for one in kind.strategies], default=0.0)
    for one in sorted(kind.strategies, key=lambda one: -one.depth_mean):
        table.add_row(
            one.strategy,
            f"{one.depth_mean:.1f}",
            bar(one.depth_mean, deepest),
            f"{one.asked_share:.0%}",
            f"{one.success:.0%}",
        )
    console.print(table)


def weights_table(weights: list[learning_pb2.Weight]) -> Table:
    """Weights with bars."""
    table = Table(box=None, pad_edge=False)
    table.add_column("goes by")
    table.add_column("weight", justify="right")
    table.add_column("")
    largest = max([abs(weight.value) for weight in weights], default=0.0)
    for weight in weights:
        table.add_row(escape(weight.name), f"{weight.value:+.3f}", bar(abs(weight.value), largest))
    return table


def bar(value: float, largest: float) -> str:
    """A bar of up to 20 blocks."""
    return "█" * round(BAR_CHARS * value / largest) if largest > 0 else ""


@decisions_app.command("export", epilog="Example: honeyguide decisions export --format dsjson > decisions.dsjson")
def export(
    format: Annotated[
        Format, typer.Option(help="JSON Lines, Vowpal Wabbit's DSJSON, or complete, for evaluate.")
    ] = Format.JSON,
    since: Annotated[str | None, typer.Option(help="Only from this ISO 8601 time on.")] = None,
    limit: Annotated[
        int, typer.Option(min=0, max=LIMIT_MAX, help="Most decisions wanted, the oldest first; 0 = all.")
    ] = 0,
    output: Annotated[Path | None, typer.Option("--output", help="File to write; without it, standard output.")] = None,
    target: TargetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write the decision log, one decision a line, oldest first. A file that is there stays until all is written."""
    since_s = None if since is None else time_of("--since", since)

    async def write() -> None:
        async with connect(target, data_dir) as (api, _, _):
            with _replacing(output) if output else contextlib.nullcontext(sys.stdout) as file:
                async for line in api.decisions(format=FORMATS[format], since_s=since_s, limit=limit):
                    file.write(line + "\n")

    run(write())


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """A file that takes the place of another once the block ends well; what is no file (a pipe) is written itself.

    Raises:
        InvalidArgument: it can't be written.
    """
    wanted, path = path, path.resolve()
    partial = path.with_name(f"{path.name}.part") if path.is_file() or not path.exists() else None
    try:
        try:
            with (partial or path).open("w", encoding="utf-8") as file:
                yield file
            if partial is not None:
                partial.replace(path)
        except BaseException:
            if partial is not None:
                partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidArgument("--output", f"{wanted}: {error.strerror or error}") from None


def time_of(option: str, text: str) -> float:
    """Seconds since 1970 of an option's ISO 8601 time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(option, f"{text!r} is not an ISO 8601 time such as 2026-01-31T12:00:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
