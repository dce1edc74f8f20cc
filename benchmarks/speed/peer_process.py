"""A peer's environment, made with pip where it is not there yet, and its process."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from benchmarks.speed import results
from benchmarks.speed.peer_programs.echo import ECHO
from honeyguide_standalone.child import ends_with_parent

INSTALL_S = 600.0
START_S = 900.0
LINE_BYTES_MAX = 2**26
SHOWN_OF_ERRORS = 2_000
ENVIRONMENTS = results.ROOT / ".bench" / "peers"
PROGRAMS = "benchmarks.speed.peer_programs"
SHARED = ("grpcio==1.85.1", "uvloop==0.23.0", "numpy==2.4.6")
"""What every program needs beside its engine; the server's are the versions that Honeyguide has."""

QUIET = {"LANCEDB_LOG": "error", "RUST_LOG": "error", "PYTHONWARNINGS": "ignore"}


@dataclass(frozen=True, slots=True)
class PeerEngine:
    """What is installed, and the program that runs in its environment: a module of `PROGRAMS`."""

    name: str
    packages: tuple[str, ...]
    program: str

    async def environment(self) -> Path | None:
        """The peer's interpreter; None, and why, where it cannot be installed."""
        folder = ENVIRONMENTS / self.program
        python = folder / "bin" / "python"
        wanted = "\n".join((*self.packages, *SHARED))
        installed = folder / "installed"
        if installed.exists() and installed.read_text() == wanted:
            return python
        shutil.rmtree(folder, ignore_errors=True)
        print(f"  {self.name}: installing into {folder.relative_to(results.ROOT)}", flush=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted.split("\n")]
        for command in ([sys.executable, "-m", "venv", str(folder)], pip):
            if await _code(command):
                print(f"  {self.name}: left out, it cannot be installed here", flush=True)
                return None
        installed.write_text(wanted)
        return python


class PeerProcess:
    """A peer's program at work; made by `running`. Its methods raise RuntimeError if it has ended."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, errors: Path) -> None:
        self._name = name
        self._process = process
        self._errors = errors

    async def serves(self) -> int:
        """Waits until all is indexed; returns the port of its server."""
        async with asyncio.timeout(START_S):
            port: int = (await self._told())["port"]
        return port

    async def by_vector(self, effort: int) -> list[list[str]]:
        """For every query what its vector search finds."""
        found: list[list[str]] = (await self._asked("vector", effort))["ids"]
        return found

    async def hybrid_ms(self, effort: int) -> list[float]:
        """For every query how long its hybrid search takes in its own process."""
        taken: list[float] = (await self._asked("hybrid", effort))["ms"]
        return taken

    async def _asked(self, mode: str, effort: int) -> Any:
        if self._process.stdin is not None:
            self._process.stdin.write(f"{mode} {effort}\n".encode())
        return await self._told()

    async def _told(self) -> Any:
        line = await self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise RuntimeError(f"{self._name} ended: {self._errors.read_text()[-SHOWN_OF_ERRORS:]}")
        return json.loads(line)


@dataclass(frozen=True, slots=True)
class RunningPeer:
    """A peer in its process, and its server. over_grpc: a hybrid search with the effort that was asked for last."""

    process: PeerProcess
    over_grpc: Callable[[str], Awaitable[bytes]]


@asynccontextmanager
async def running(peer: PeerEngine, python: Path, folder: Path, response_bytes: int) -> AsyncIterator[RunningPeer]:
    """The peer's program over a job's folder (see `peer_programs.answering`), until the block ends."""
    errors = folder / "errors"
    command = [str(python), "-m", f"{PROGRAMS}.{peer.program}", str(folder), str(response_bytes)]
    with errors.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *ends_with_parent(command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            limit=LINE_BYTES_MAX,
            cwd=results.ROOT,
            env={**os.environ, **QUIET},
        )
    try:
        told = PeerProcess(peer.name, process, errors)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{await told.serves()}") as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(ECHO)
            yield RunningPeer(told, lambda query: call(query.encode()))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _code(command: list[str]) -> int:
    process = await asyncio.create_subprocess_exec(*ends_with_parent(command))
    try:
        async with asyncio.timeout(INSTALL_S):
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()
