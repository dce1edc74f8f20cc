"""Processes of the benchmark: begun, waited for, and ended with the block."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from benchmarks.speed import results
from honeyguide_standalone.child import ends_with_parent

START_S = 90.0
STOP_S = 30.0


@contextlib.asynccontextmanager
async def serving(*arguments: str | Path) -> AsyncIterator[dict[str, Any]]:
    """`benchmarks.speed.serve` with these arguments; gives what it printed when it served."""
    command = ends_with_parent([sys.executable, "-m", "benchmarks.speed.serve", *map(str, arguments)])
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=results.ROOT)
    try:
        output = process.stdout
        line = await asyncio.wait_for(output.readline(), START_S) if output else b""
        if not line:
            raise RuntimeError(f"{' '.join(map(str, arguments))} ended before it served")
        yield json.loads(line)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()
