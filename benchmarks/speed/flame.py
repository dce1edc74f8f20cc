"""Flame graphs and shares by module of a process at work, sampled from outside by py-spy.

The sampler has to be allowed to look into processes (ptrace): in containers that is often forbidden, and then there is
nothing to show. Frames are named by package and file, never by a folder of this machine.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from pathlib import Path

from honeyguide_standalone.child import ends_with_parent

RATE_HZ = 200
FINISH_S = 30.0
OURS = re.compile(r"\((?:.*/)?(honeyguide\w*/[\w/]+\.py)\)$")
PACKAGE = re.compile(r"\((?:.*/)?([\w.-]+)/[^/()]+\)$")
FOLDERS = re.compile(r"\((?:[^()<>;]*?/)??((?:[^()/<>;]+/)?[^()/<>;]+\.(?:pyx?|pxi|so))\)")
"""A file named in parentheses, and what is kept of it: its package and its name."""

WAITING = "_worker ("
"""The innermost frame of a pool's thread that has nothing to do, which the sampler may take for busy."""


async def sampled(pid: int, seconds: int, form: str, path: Path) -> bool:
    """Samples a process for so long into a file, "flamegraph" or "raw"; False, and why, where that is not permitted."""
    py_spy = str(Path(sys.executable).parent / "py-spy")
    options = ["--duration", str(seconds), "--rate", str(RATE_HZ), "--nolineno", "--format", form]
    process = await asyncio.create_subprocess_exec(
        *ends_with_parent([py_spy, "record", "--pid", str(pid), *options, "--output", str(path)]),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, errors = await asyncio.wait_for(process.communicate(), seconds + FINISH_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        reason = errors.decode(errors="replace").strip().splitlines()[-1:]
        print(f"  no flame graph: py-spy may not sample here (ptrace), it says {' '.join(reason)!r}", flush=True)
    return process.returncode == 0


def without_folders(svg: str, title: str) -> str:
    """The graph with files named by package and name alone, and a title instead of the sampler's command line."""
    named = re.sub(r'(<text id="title"[^>]*>)[^<]*', lambda match: match[1] + title, svg)
    return FOLDERS.sub(r"(\1)", named)


def shares_by_module(raw: str) -> dict[str, float]:
    """Share of samples by the innermost of our modules at work, else by the innermost package; largest first.

    raw: py-spy's raw format, a stack a line, its frames from the outermost and separated by semicolons, and a count.
    """
    counts: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if frames[-1].startswith(WAITING):
            continue
        ours = [match[1] for frame in frames if (match := OURS.search(frame))]
        package = PACKAGE.search(frames[-1])
        counts[ours[-1] if ours else package[1] if package else "elsewhere"] += int(count)
    return {module: count / counts.total() for module, count in counts.most_common()}
