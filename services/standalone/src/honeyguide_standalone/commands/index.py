"""`honeyguide index`: documents in."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from honeyguide.errors import InvalidArgument
from honeyguide_standalone import ingest
from honeyguide_standalone.api import Api
from honeyguide_standalone.catalog import Catalog, describe, infer_catalog, read_catalog
from honeyguide_standalone.commands.session import DataDirOption, TargetOption, connect, console, errors, run, warn
from honeyguide_standalone.ingest import Bookmark, Refusal
from honeyguide_standalone.last_catalog import read_last_catalog, write_last_catalog

REFUSALS_SHOWN = 20


def index(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="One document a line.")],
    config: Annotated[
        Path | None, typer.Option("--config", help="catalog.yaml; without it, inferred from the first 1,000 lines.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start over, even if the file was indexed before.")
    ] = False,
    target: TargetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Index a JSON Lines file. Interrupted, it goes on where it was; exit code 1 if any line was refused.

    The configuration, given or inferred, is that of the whole catalogue and replaces the one before.
    """
    if not file.is_file():
        raise InvalidArgument(str(file), "is not a file")
    raise typer.Exit(1 if run(_index(file, config, restart, target, data_dir)) else 0)


async def _index(file: Path, config: Path | None, restart: bool, target: str | None, data_dir: Path | None) -> int:
    sample = ingest.sample_documents(file)
    catalog = read_catalog(config) if config else infer_catalog(sample)
    if not config:
        console.print(f"no --config; inferred {describe(catalog)}", soft_wrap=True, markup=False)
    async with connect(target, data_dir) as (api, folder, name):
        before = read_last_catalog(folder, name)
        if not config and before is not None and not catalog.says_as(before):
            warn(f"this replaces the catalogue's configuration, which was {describe(before)} (--config sets all of it)")
        await configure(api, folder, name, catalog)
        bookmark = Bookmark(folder / "index", ingest.content_hash(file), name, catalog.times, catalog.numbers)
        if restart:
            bookmark.forget()
        return await index_file(api, file, bookmark, catalog.times, catalog.numbers)


async def configure(api: Api, folder: Path, name: str, catalog: Catalog) -> None:
    """Sets the configuration of the system of this name, and remembers it in the folder."""
    await api.configure(catalog.to_proto())
    write_last_catalog(folder, name, catalog)


async def index_file(
    api: Api,
    file: Path,
    bookmark: Bookmark,
    times: Collection[str] = (),
    numbers: Collection[str] = (),
    told: Console = console,
) -> int:
    """Indexes a file with a progress bar, from where its bookmark stands; returns how many lines were refused.

    `times` and `numbers` name the attributes that are such; `told` shows how it goes.
    """
    progress = bookmark.read()
    size_bytes = await asyncio.to_thread(os.path.getsize, file)
    if progress.offset >= size_bytes > 0:
        told.print(
            f"{file.name} is indexed already: {progress.indexed:,} documents, {progress.refused:,} refused "
            "(--restart starts over)"
        )
        return progress.refused
    if progress.lines:
        told.print(f"{file.name}: {progress.lines:,} lines were indexed before; going on (--restart starts over)")
    before, refused_before, begin = progress.indexed, progress.refused, time.monotonic()
    named = 0
    with Progress(
        TextColumn("indexing {task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}% {task.fields[indexed]:,} documents, {task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
        console=told,
        disable=not told.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task(file.name, total=size_bytes, completed=progress.offset, indexed=progress.indexed, rate=0.0)

        def acknowledged(now: ingest.Progress, refusals: Sequence[Refusal]) -> None:
            nonlocal named
            for refusal in refusals[: REFUSALS_SHOWN - named]:
                named += 1
                errors.print(
                    f"{file}:{refusal.line}: {refusal.field}: {refusal.description}", style="red", markup=False
                )
            bookmark.write(now)
            rate = (now.indexed - before) / max(1e-9, time.monotonic() - begin)
            bar.update(task, completed=now.offset, indexed=now.indexed, rate=rate)

        await ingest.ingest(file, api.upsert, progress, acknowledged, times, numbers)
    if progress.refused - refused_before > named:
        errors.print(f"and {progress.refused - refused_before - named:,} more", style="red")
    elapsed_s = time.monotonic() - begin
    rate = (progress.indexed - before) / max(1e-9, elapsed_s)
    told.print(
        f"{file.name}: {progress.indexed - before:,} documents indexed in {elapsed_s:.1f} s ({rate:,.0f}/s), "
        f"{progress.refused:,} refused"
    )
    return progress.refused
