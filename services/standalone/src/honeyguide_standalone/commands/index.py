"""`honeyguide index`: documents in."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from honeyguide.errors import InvalidArgument
from honeyguide_standalone import ingest
from honeyguide_standalone.api import Api
from honeyguide_standalone.catalog import describe, infer_catalog, read_catalog
from honeyguide_standalone.commands.session import DataDirOption, TargetOption, connect, console, errors, run
from honeyguide_standalone.ingest import Bookmark, Refusal


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
    """Index a JSON Lines file. Interrupted, it goes on where it was; exit code 1 if any line was refused."""
    if not file.is_file():
        raise InvalidArgument(str(file), "is not a file")
    raise typer.Exit(1 if run(_index(file, config, restart, target, data_dir)) else 0)


async def _index(file: Path, config: Path | None, restart: bool, target: str | None, data_dir: Path | None) -> int:
    catalog = read_catalog(config) if config else infer_catalog(ingest.sample_documents(file))
    if not config:
        console.print(f"no --config; inferred {describe(catalog)}", soft_wrap=True)
    async with connect(target, data_dir) as (api, folder, name):
        await api.configure(catalog.to_proto())
        bookmark = Bookmark(folder / "index", ingest.content_hash(file), name)
        if restart:
            bookmark.forget()
        return await index_file(api, file, bookmark)


async def index_file(api: Api, file: Path, bookmark: Bookmark) -> int:
    """Indexes a file with a progress bar, from where its bookmark stands; returns how many lines were refused."""
    progress = bookmark.read()
    size_bytes = await asyncio.to_thread(os.path.getsize, file)
    if progress.offset >= size_bytes > 0:
        console.print(
            f"{file.name} is indexed already: {progress.indexed:,} documents, {progress.refused:,} refused "
            "(--restart starts over)"
        )
        return progress.refused
    if progress.lines:
        console.print(f"{file.name}: {progress.lines:,} lines were indexed before; going on (--restart starts over)")
    before, begin = progress.indexed, time.monotonic()
    with Progress(
        TextColumn("indexing {task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}% {task.fields[indexed]:,} documents, {task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task(file.name, total=size_bytes, completed=progress.offset, indexed=progress.indexed, rate=0.0)

        def acknowledged(now: ingest.Progress, refusals: Sequence[Refusal]) -> None:
            for refusal in refusals:
                errors.print(
                    f"{file}:{refusal.line}: {refusal.field}: {refusal.description}", style="red", markup=False
                )
            bookmark.write(now)
            rate = (now.indexed - before) / max(1e-9, time.monotonic() - begin)
            bar.update(task, completed=now.offset, indexed=now.indexed, rate=rate)

        await ingest.ingest(file, api.upsert, progress, acknowledged)
    elapsed_s = time.monotonic() - begin
    rate = (progress.indexed - before) / max(1e-9, elapsed_s)
    console.print(
        f"{file.name}: {progress.indexed - before:,} documents indexed in {elapsed_s:.1f} s ({rate:,.0f}/s), "
        f"{progress.refused:,} refused"
    )
    return progress.refused
