"""What every command shares: the options that say where the system is, and the way to it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings, load
from honeyguide.errors import FailedPrecondition, InvalidArgument, Unavailable
from honeyguide_standalone.api import Api
from honeyguide_standalone.process import is_serving
from honeyguide_standalone.running import find_running

DATA_DIR = Path(".honeyguide")
DEMO_DIR = Path(".demo")
PLAIN_CHARS = 120
PORT_MAX = 65_535
CLOSED = "Socket closed"
"""What gRPC says where a server ends the connection at once, as one does that waits for TLS."""

LIMIT_MAX = 1_000_000_000
"""Most decisions that can be asked for."""

WHERE = "Where the system is"

TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        envvar="HONEYGUIDE_TARGET",
        metavar="HOST:PORT",
        help="Public API to call; without it, the system that runs over the data folder.",
        rich_help_panel=WHERE,
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="HONEYGUIDE_DATA_DIR",
        help="Data folder; without it, .honeyguide, or .demo if only the demo runs.",
        rich_help_panel=WHERE,
    ),
]
UserOption = Annotated[str, typer.Option("--user", help="Who: a stable pseudonymous id.")]
SessionOption = Annotated[str, typer.Option("--session", help="Id of the visit.")]

T = TypeVar("T")

# Without a terminal, Rich would wrap at 80 characters.
console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_CHARS)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command's coroutine."""
    return asyncio.run(work)


def counted(count: int, noun: str, plural: str = "s") -> str:
    """1 decision, 2,000 decisions; `plural` is what is added for several."""
    return f"{count:,} {noun}{'' if count == 1 else plural}"


def warn(line: str) -> None:
    """Tells, on standard error, of something that is most likely a mistake and holds nothing up."""
    errors.print(line, style="yellow", markup=False)


@contextlib.asynccontextmanager
async def connect(target: str | None, data_dir: Path | None) -> AsyncIterator[tuple[Api, Path, str]]:
    """The API of a running system, the folder where commands keep what they remember, and the system's name there.

    Raises:
        InvalidArgument: the target's port is none.
        FailedPrecondition: nothing runs, or nothing answers; the message says how to start it.
    """
    if target:
        _check_ports(target)
        folder, address, name = data_dir or DATA_DIR, target, target
    else:
        folder, running = find_running([data_dir] if data_dir else [DATA_DIR, DEMO_DIR])
        address, name = running.target, "local"
    common = load(CommonSettings)
    connection = RemoteConnection(address, common)
    try:
        yield Api(connection), folder, name
    except Unavailable as error:
        if await is_serving(address, common):
            raise  # it is a part behind it that does not answer
        hint = "`honeyguide up` starts a system on this machine"
        if CLOSED in error.message and common.tls_ca is None:
            hint = "if it speaks TLS, HONEYGUIDE_TLS_CA names the PEM file of the authorities to trust"
        raise FailedPrecondition(f"{address} does not answer ({error.message}); {hint}") from None
    finally:
        await connection.close()


def _check_ports(target: str) -> None:
    """Raises InvalidArgument if an address of a gRPC target has a port that is none: gRPC would dial another one."""
    for address in () if target.startswith("unix") else target.split(","):
        port = address.rpartition(":")[2]
        if port.isdecimal() and not (len(port) <= len(str(PORT_MAX)) and 1 <= int(port) <= PORT_MAX):
            raise InvalidArgument("--target", f"{target[:80]!r} has a port that is none; 1 to {PORT_MAX:,} is allowed")
