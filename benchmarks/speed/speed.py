"""`make bench-speed`: what Honeyguide costs, as ratios measured side by side in one run.

    python -m benchmarks.speed.speed [part ...]

runs some parts, or all; QUICK=1 a smaller version. Results of parts that are not run are kept. Writes
benchmarks/results/speed.json and speed.md after every scenario, and docs/images/speed.png at the end.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import structlog
import uvloop

from benchmarks.speed import results
from benchmarks.speed.bench import CANDIDATE_CACHES, Bench
from benchmarks.speed.measure import Row

PARTS = ("steps", "search", "feedback", "ingest", "encoding", "services", "breakdown", "peers", "scale")
VECTOR_CACHE = results.ROOT / ".bench" / "vector"


def run(part: str, bench: Bench) -> str:
    """Measures one part, and keeps what it found even if it fails later; returns what went wrong."""
    path = results.FOLDER / "speed.json"
    before = results.read(path)
    found: list[Row] = []
    begin = time.perf_counter()
    failure = ""

    def keep(rows: list[Row]) -> None:
        found.extend(rows)
        results.write(results.merged(before, found, part))
        for row in rows:
            ratio = "" if row.ratio is None else f"  {row.ratio:.3g} x {row.ratio_to}"
            print(f"  {row.scenario}, {row.metric}, {row.system}: {row.value:.4g} {row.unit}{ratio}", flush=True)

    try:
        uvloop.run(importlib.import_module(f"benchmarks.speed.{part}").measure(bench, keep))
    except Exception:  # the other parts' figures must not be lost with one
        failure = traceback.format_exc()
        print(failure, flush=True)
    print(f"{part}: {time.perf_counter() - begin:.0f} s", flush=True)
    return failure


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], help="parts to run; none = all")
    parts = parser.parse_args().part or list(PARTS)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    # Documents need not be encoded anew by every part; where encoding is measured, this is set aside.
    os.environ.setdefault("HONEYGUIDE_VECTOR_CACHE_DIR", str(VECTOR_CACHE))
    # The same queries are asked over and over: every one is to be searched, but where kept candidates are measured.
    for name in CANDIDATE_CACHES:
        os.environ.setdefault(name, "0")
    os.environ.setdefault("HONEYGUIDE_LOG_LEVEL", "error")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that folders and servers end with it
    with tempfile.TemporaryDirectory(prefix="bench-speed-") as folder:
        bench = Bench(quick=bool(os.environ.get("QUICK")), folder=Path(folder))
        failed = [part for part in parts if run(part, bench)]
    results.plot(results.read(results.FOLDER / "speed.json"))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
