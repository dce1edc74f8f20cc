"""`honeyguide up`: everything on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from honeyguide.config import CommonSettings, ServerSettings, load
from honeyguide.heap import keep_heap, share_arenas
from honeyguide.server import Server
from honeyguide.telemetry import configure_logging
from honeyguide_standalone.commands.session import DATA_DIR, console, run, warn
from honeyguide_standalone.ports import LOOPBACK, check_free
from honeyguide_standalone.running import Running, forget_running
from honeyguide_standalone.settings import load_all
from honeyguide_standalone.supervisor import Status, Supervisor, supervise

PORT = 50_050
REFRESH_S = 1.0


def up(
    data_dir: Annotated[
        Path, typer.Option("--data-dir", envvar="HONEYGUIDE_DATA_DIR", help="Where data, logs and ports.json go.")
    ] = DATA_DIR,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of the public API; 0 = any free one.")] = PORT,
    redis_url: Annotated[
        str | None,
        typer.Option(envvar="HONEYGUIDE_REDIS_URL", help="A Redis that is there; without it, a Valkey of our own."),
    ] = None,
    in_process: Annotated[bool, typer.Option("--in-process", help="All services in this one process.")] = False,
) -> None:
    """Start everything on this machine: Valkey, the four services and the learner. Ctrl-C drains and ends it."""
    common = load_all(redis_url, warn)
    run((_in_process if in_process else _supervised)(data_dir, common, port, redis_url))


async def _supervised(data_dir: Path, common: CommonSettings, port: int, redis_url: str | None) -> None:
    stop = stop_on_signals()
    async with supervise(data_dir, common, port, redis_url, console.print) as supervisor:
        await watch(supervisor, stop)
        console.print("draining ...")
    console.print("stopped")


async def _in_process(data_dir: Path, common: CommonSettings, port: int, redis_url: str | None) -> None:
    from honeyguide_standalone.engine import Engine  # all services at once: not for commands that only call them

    share_arenas()
    check_free(port)
    configure_logging(common, "honeyguide")
    stop = stop_on_signals()
    async with Engine(data_dir, redis_url) as engine:
        server = Server("honeyguide", common, load(ServerSettings, host=LOOPBACK, port=port), engine.registrations)
        await server.start()
        keep_heap()
        Running(os.getpid(), f"{LOOPBACK}:{server.port}", redis_url=engine.redis_url).write(data_dir)
        try:
            console.print(f"serving on {LOOPBACK}:{server.port}, all in process {os.getpid()}; Ctrl-C drains and ends")
            await stop.wait()
            console.print("draining ...")
        finally:
            forget_running(data_dir)
            await server.stop()
    console.print("stopped")


def stop_on_signals() -> asyncio.Event:
    """An event that Ctrl-C and SIGTERM set."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def watch(supervisor: Supervisor, stop: asyncio.Event) -> None:
    """Shows the status table until `stop`: live on a terminal, else once and again whenever something changes."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            while not stop.is_set():
                live.update(_table(await supervisor.status(), supervisor.target), refresh=True)
                await _pause(stop)
        return
    shown: list[Status] = []
    while not stop.is_set():
        status = await supervisor.status()
        if status != shown:
            console.print(_table(status, supervisor.target))
            shown = status
        await _pause(stop)


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(REFRESH_S):
            await stop.wait()
    except TimeoutError:
        return


def _table(status: list[Status], target: str) -> Table:
    table = Table(title=f"Honeyguide on {target}", caption="Ctrl-C drains and ends", title_justify="left")
    for column in ("service", "state", "address", "pid", "restarts", "log"):
        table.add_column(column, overflow="fold")
    for row in status:
        colour = {"serving": "green", "running": "green", "ended": "red"}.get(row.state, "yellow")
        log = os.path.relpath(row.log_path)
        state = f"[{colour}]{row.state}[/]"
        table.add_row(row.name, state, row.address, str(row.pid), str(row.restarts), log)
    return table
