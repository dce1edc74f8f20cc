"""Watching simulated users: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from honeyguide_standalone.demo.evaluation import outcome
from honeyguide_standalone.demo.simulation import Search

LATELY = 400
LINES = 8


class View:
    """Shows how searches go while they are made; a context manager."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._done = 0
        self._begin = time.monotonic()
        self._lately: deque[Search] = deque(maxlen=LATELY)
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._shown_at = 0.0

    def __enter__(self) -> View:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def add(self, search: Search) -> None:
        """Counts one search, and shows it now and then."""
        self._done += 1
        self._lately.append(search)
        if self._live is not None:
            if time.monotonic() - self._shown_at > 0.25:
                self._shown_at = time.monotonic()
                self._live.update(self._table(), refresh=True)
        elif self._done == self._total or self._done % max(1, self._total // LINES) == 0:
            self._console.print(self._line())

    def _line(self) -> str:
        now = outcome(self._lately)
        return (
            f"  {self._done:>6,} searches: reward {now.reward:+.3f}, MRR {now.mrr:.3f}, "
            f"{now.candidates:.0f} candidates, {now.calls:.1f} calls  (last {now.searches}; {self._rate():.0f}/s)"
        )

    def _rate(self) -> float:
        return self._done / max(1e-9, time.monotonic() - self._begin)

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False)
        for column in ("simulated users", "searches", "MRR", "reward", "first page", "candidates", "calls"):
            table.add_column(column, justify="left" if column == "simulated users" else "right")
        kinds = sorted({search.wish.kind for search in self._lately})
        rows = [(kind, [search for search in self._lately if search.wish.kind == kind]) for kind in kinds]
        for name, searches in [*rows, ("all", list(self._lately))]:
            now = outcome(searches)
            table.add_row(
                name,
                str(now.searches),
                f"{now.mrr:.3f}",
                f"{now.reward:+.3f}",
                f"{now.found_share:.0%}",
                f"{now.candidates:.0f}",
                f"{now.calls:.1f}",
                style="bold" if name == "all" else "",
            )
        head = Text(f"{self._done:,} of {self._total:,} simulated searches, {self._rate():.0f}/s; the last {LATELY}:")
        return Group(head, ProgressBar(total=self._total, completed=self._done, width=60), table)
