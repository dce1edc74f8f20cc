"""`honeyguide replay`: a log of past searches, run through a system."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from honeyguide.errors import InvalidArgument
from honeyguide.telemetry import configure_logging
from honeyguide_standalone.api import Api
from honeyguide_standalone.catalog import infer_catalog
from honeyguide_standalone.click_log import count_actions, read_click_log
from honeyguide_standalone.commands.index import configure, index_file
from honeyguide_standalone.commands.session import (
    DATA_DIR,
    DataDirOption,
    TargetOption,
    connect,
    console,
    errors,
    run,
    warn,
)
from honeyguide_standalone.ingest import Bookmark, content_hash, sample_documents
from honeyguide_standalone.replay import Replayed, ReplayOptions, Standing, replay
from honeyguide_standalone.settings import load_all

PAUSE_S = 0.001
"""Between two looks of a learner of our own: where every action is waited for, longer ones only cost time."""


def replay_log(
    log: Annotated[
        Path,
        typer.Argument(
            metavar="LOG.jsonl",
            help="One action a line, in the order of time: time (ISO 8601 or seconds since 1970), query, document_id; "
            "optional user_id, session_id, action, seconds (of a play).",
        ),
    ],
    first: Annotated[int, typer.Option("--first", min=1, max=100, help="Results looked at: MRR@5, hit@5.")] = 5,
    page_size: Annotated[int, typer.Option(min=1, max=100, help="Results that a search shows.")] = 10,
    wait: Annotated[
        bool, typer.Option("--wait", help="Search on only when the last action was learned from: slower, repeatable.")
    ] = False,
    feedback: Annotated[
        bool, typer.Option("--feedback/--no-feedback", help="Send the actions, or only measure.")
    ] = True,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Search everything by static rank fusion too, and tell the difference: slower."),
    ] = False,
    policy: Annotated[str, typer.Option(help="Decide with this policy, for example full_depth.")] = "",
    ranker: Annotated[str, typer.Option(help="Rank with this ranker, for example fusion.")] = "",
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Run the system in this process, over the data folder.")
    ] = False,
    documents: Annotated[
        Path | None,
        typer.Option("--documents", metavar="FILE.jsonl", help="With --in-process: index this catalogue first."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    target: TargetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Replay a log of past searches: search as of then, see where what was acted on stands, send the action, next."""
    _check_names(policy, ranker)
    if documents and not in_process:
        raise InvalidArgument("--documents", "goes with --in-process; a running system is filled by `honeyguide index`")
    if in_process and target:
        raise InvalidArgument("--in-process", "runs a system of its own and has no --target")
    total = count_actions(log, warn)
    options = ReplayOptions(first, page_size, wait, feedback, policy, ranker, compare)

    async def work() -> Replayed:
        own = _own(data_dir or DATA_DIR, documents, wait, errors if as_json else console)
        async with own if in_process else _running(target, data_dir) as api:
            with _bar(as_json) as bar:
                task = bar.add_task(log.name, total=total, mrr=0.0)
                return await replay(
                    api,
                    read_click_log(log),
                    total,
                    options,
                    lambda now: bar.update(task, completed=now.whole.searches, mrr=now.whole.mrr),
                )

    replayed = run(work())
    if as_json:
        print(json.dumps(report(replayed, options), indent=2))
    else:
        _print(replayed, options)


@contextlib.asynccontextmanager
async def _running(target: str | None, data_dir: Path | None) -> AsyncIterator[Api]:
    async with connect(target, data_dir) as (api, _, _):
        yield api


@contextlib.asynccontextmanager
async def _own(folder: Path, documents: Path | None, wait: bool, told: Console) -> AsyncIterator[Api]:
    from honeyguide_standalone.engine import Engine  # all services at once: not for commands that only call them

    configure_logging(load_all(None, warn), "honeyguide")
    async with Engine(folder, intervals_s=PAUSE_S if wait else None) as engine:
        if documents:
            catalog = infer_catalog(sample_documents(documents))
            await configure(engine.api, folder, "local", catalog)
            bookmark = Bookmark(folder / "index", content_hash(documents), "local", catalog.times, catalog.numbers)
            await index_file(engine.api, documents, bookmark, catalog.times, catalog.numbers, told)
        yield engine.api


def report(replayed: Replayed, options: ReplayOptions) -> dict[str, object]:
    """A replay in plain values."""
    return {
        "searches": replayed.whole.searches,
        "first": options.first,
        "waited": options.wait,
        "feedback": options.feedback,
        "policy": options.policy,
        "ranker": options.ranker,
        "elapsed_s": round(replayed.elapsed_s, 3),
        "waited_s": round(replayed.waited_s, 3),
        "whole": _figures(replayed.whole),
        "absent": replayed.absent.searches,
        "present": _figures(replayed.present),
        "quarters": [_figures(quarter) for quarter in replayed.quarters],
        **(_compared(replayed) if options.compare else {}),
    }


def _compared(replayed: Replayed) -> dict[str, object]:
    gain, margin = replayed.gain
    return {"static": _figures(replayed.static), "gain": round(gain, 4), "gain_margin": round(margin, 4)}


def _figures(standing: Standing) -> dict[str, float]:
    count = max(standing.searches, 1)
    return {
        "searches": standing.searches,
        "mrr": round(standing.mrr, 4),
        "hit": round(standing.hit_rate, 4),
        "calls": round(standing.calls / count, 2),
        "candidates": round(standing.candidates / count, 1),
    }


def _bar(hidden: bool) -> Progress:
    return Progress(
        TextColumn("replaying {task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} of {task.total:,} searches, MRR {task.fields[mrr]:.3f}"),
        TimeRemainingColumn(),
        console=console,
        disable=hidden or not console.is_terminal,
        transient=True,
    )


def _print(replayed: Replayed, options: ReplayOptions) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("", "searches", f"MRR@{options.first}", f"hit@{options.first}", "calls", "candidates"):
        table.add_column(column, justify="left" if not column else "right")
    quarters = [(f"quarter {i}", quarter) for i, quarter in enumerate(replayed.quarters, 1) if quarter.searches]
    named = [*quarters, ("all", replayed.whole)]
    if options.compare:
        named.append(("static fusion", replayed.static))
    for name, standing in named:
        count = max(standing.searches, 1)
        table.add_row(
            name,
            f"{standing.searches:,}",
            f"{standing.mrr:.3f}",
            f"{standing.hit_rate:.3f}",
            f"{standing.calls / count:.1f}",
            f"{standing.candidates / count:.0f}",
        )
    console.print(table)
    if options.compare:
        gain, margin = replayed.gain
        verdict = "better" if gain > margin else "worse" if gain < -margin else "no clear difference"
        console.print(
            f"against every strategy at full depth, fused by rank, MRR@{options.first} is {gain:+.3f} ±{margin:.3f} "
            f"(95%, over searches): {verdict}"
        )
    if replayed.absent.searches:
        console.print(_of_absent(replayed, options.first), style="yellow")
    how = "each action learned from before the next search" if options.wait else "not waiting for the learner"
    if not options.feedback:
        how = "nothing sent, nothing learned"
    rate = replayed.whole.searches / max(replayed.elapsed_s, 1e-9)
    console.print(f"{replayed.elapsed_s:.1f} s, {rate:,.0f} searches/s; {how}")


def _of_absent(replayed: Replayed, first: int) -> str:
    present = replayed.present
    if not present.searches:
        return "no action names a document that is in the catalogue: is it another one's log?"
    return (
        f"{replayed.absent.searches:,} of {replayed.whole.searches:,} actions name documents that are not in the "
        f"catalogue; over the others MRR@{first} is {present.mrr:.3f} and hit@{first} {present.hit_rate:.3f}"
    )


def _check_names(policy: str, ranker: str) -> None:
    from honeyguide_orchestrator.names import check_policy, check_ranker  # with scipy: not for other commands

    if policy:
        check_policy(policy, "--policy")
    if ranker:
        check_ranker(ranker, "--ranker")
