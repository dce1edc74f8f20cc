"""What must be reached, as limits on rows: by requirement and system, on the ratio or on the value."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.speed.measure import Row


@dataclass(frozen=True, slots=True)
class Bar:
    """A limit: at most `most`, or at least `least`; of the ratio, or of the value where a row has no ratio."""

    most: float | None = None
    least: float | None = None

    def met(self, row: Row) -> bool:
        """Whether the row is within the limit."""
        figure = row.value if row.ratio is None else row.ratio
        return (self.most is None or figure <= self.most) and (self.least is None or figure >= self.least)

    def __str__(self) -> str:
        return f"at most {self.most:g}" if self.most is not None else f"at least {self.least:g}"


BARS: dict[tuple[int, str, str], Bar] = {
    (1, "in process, full depth", "search"): Bar(most=1.5),
    (1, "in process, learned allocation", "search"): Bar(most=1.0),
    (1, "in process, full depth", "search against peers"): Bar(most=1.0),
    (1, "in process, learned allocation", "search against peers"): Bar(most=1.0),
    (2, "12 strategies", "understand to log"): Bar(most=1.0),
    (2, "40 strategies", "understand to log"): Bar(most=1.5),
    (2, "12 strategies, catalogue x100", "understand to log"): Bar(most=1.1),
    (3, "over gRPC", "search"): Bar(most=1.0),
    (3, "over gRPC, 16 clients", "throughput"): Bar(least=0.5),
    (4, "independent services", "search"): Bar(most=2.2),
    (4, "independent services, p99", "64 clients"): Bar(most=4.0),
    (4, "with a slow strategy", "search"): Bar(most=1.1),
    (5, "service", "encode a new query"): Bar(most=1.1),
    (5, "batched", "16 clients, new queries"): Bar(least=1.5),
    (6, "acknowledged feedback", "events"): Bar(least=0.7),
    (6, "acknowledged feedback over gRPC", "events"): Bar(least=0.7),
    (6, "p99 under feedback", "search"): Bar(most=1.5),
    (6, "learner", "events"): Bar(least=5_000),
    (7, "lexical", "index"): Bar(least=0.8),
    (7, "vector", "index"): Bar(least=0.9),
    (7, "all three", "index"): Bar(most=1.1),
    (7, "in process", "resident memory"): Bar(most=1.3),
    (8, "100,000 documents", "search"): Bar(most=2.5),
    (8, "1,000,000 documents", "search"): Bar(most=2.5),
    (8, "in process", "open"): Bar(most=10.0),
    (8, "in process", "indexing rate"): Bar(least=0.7),
    (9, "squarecb, 40 actions", "decide and update"): Bar(most=1.0),
}
"""By requirement, system and metric."""


def bar_of(row: Row) -> Bar | None:
    """The limit that holds for a row, None = none does."""
    return BARS.get((row.item, row.system, row.metric)) if row.item is not None else None
