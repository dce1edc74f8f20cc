"""How searches went over time: blocks of searches, kept across runs, and the picture of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from honeyguide_standalone.demo.evaluation import Outcome, outcome
from honeyguide_standalone.demo.simulation import Search

BLOCK = 50
SMOOTHED_BLOCKS = 8


@dataclass(slots=True)
class Curve:
    """Outcomes of blocks of 50 searches, all searches simulated so far, and the simulated time they have come to."""

    searches: int = 0
    until_s: float = 0.0
    blocks: list[Outcome] = field(default_factory=list)
    _pending: list[Search] = field(default_factory=list)

    def add(self, search: Search) -> None:
        """Counts one search."""
        self.searches += 1
        self.until_s = max(self.until_s, search.time_s)
        self._pending.append(search)
        if len(self._pending) == BLOCK:
            self.blocks.append(outcome(self._pending))
            self._pending.clear()

    def write(self, path: Path) -> None:
        """Saves it, atomically."""
        record = {
            "searches": self.searches,
            "until_s": self.until_s,
            "blocks": [asdict(block) for block in self.blocks],
        }
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(record), encoding="utf-8")
        partial.replace(path)

    def draw(self, path: Path, static: Outcome) -> None:
        """Draws reward and MRR (against the static system's) and candidates over searches, as PNG."""
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot

        at = [BLOCK * (i + 1) for i in range(len(self.blocks))]
        figure, (quality, cost) = pyplot.subplots(2, 1, figsize=(9, 7), sharex=True, height_ratios=(2, 1))
        for label, colour, values, level in (
            ("reciprocal rank", "tab:blue", [block.mrr for block in self.blocks], static.mrr),
            ("reward less cost", "tab:green", [block.reward for block in self.blocks], static.reward),
        ):
            quality.plot(at, _smoothed(values), color=colour, label=f"{label}, learning")
            quality.axhline(level, color=colour, linestyle="--", label=f"{label}, static fusion at full depth")
        quality.set_ylabel(f"mean over {BLOCK * SMOOTHED_BLOCKS} searches")
        quality.legend(loc="center right", fontsize="small")
        quality.set_title("Simulated users teach Honeyguide")
        cost.plot(at, _smoothed([block.candidates for block in self.blocks]), color="tab:orange", label="learning")
        cost.axhline(static.candidates, color="tab:orange", linestyle="--", label="static")
        cost.set_ylabel("candidates a search")
        cost.set_xlabel("simulated searches")
        cost.set_ylim(bottom=0)
        cost.legend(loc="center right", fontsize="small")
        figure.tight_layout()
        figure.savefig(path, dpi=110)
        pyplot.close(figure)


def read_curve(path: Path) -> Curve:
    """The curve of earlier runs; an empty one if there are none."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        blocks = [Outcome(**block) for block in record["blocks"]]
        return Curve(int(record["searches"]), float(record["until_s"]), blocks)
    except (OSError, ValueError, TypeError, KeyError):
        return Curve()


def _smoothed(values: list[float]) -> list[float]:
    return [
        sum(values[max(0, i + 1 - SMOOTHED_BLOCKS) : i + 1]) / len(values[max(0, i + 1 - SMOOTHED_BLOCKS) : i + 1])
        for i in range(len(values))
    ]
