"""The results on disk: rows that outlive a failed part, and tables and a plot made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.speed.bars import bar_of
from benchmarks.speed.measure import Row

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks" / "results"
IMAGE = ROOT / "docs" / "images" / "speed.png"


def read(path: Path) -> list[Row]:
    """The rows of a results file; none if there is no such file."""
    if not path.exists():
        return []
    return [Row(**row) for row in json.loads(path.read_text())["rows"]]


def merged(old: Iterable[Row], new: Sequence[Row], part: str) -> list[Row]:
    """Old rows of other parts, in their order, and the new ones of this part in the place of its old ones."""
    mine = f"{part}: "
    kept = list(old)
    first = next((i for i, row in enumerate(kept) if row.scenario.startswith(mine)), len(kept))
    others = [row for row in kept if not row.scenario.startswith(mine)]
    first = sum(not row.scenario.startswith(mine) for row in kept[:first])
    return [*others[:first], *new, *others[first:]]


def write(rows: Sequence[Row], folder: Path = FOLDER) -> None:
    """Writes speed.json and speed.md."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "speed.json.partial"
    partial.write_text(json.dumps({"rows": [row.to_dict() for row in rows]}, indent=1) + "\n")
    partial.replace(folder / "speed.json")
    (folder / "speed.md").write_text(markdown(rows))


def markdown(rows: Sequence[Row]) -> str:
    """A table for every scenario."""
    lines = [
        "Medians over repetitions. A ratio is the median of the ratios within each repetition, in parentheses the",
        "smallest and the largest. Bars have the numbers of the requirements that they come from.",
        "",
    ]
    for scenario in dict.fromkeys(row.scenario for row in rows):
        lines += [f"## {scenario}", "", "| metric | system | value | ratio | to | bar | met |"]
        lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
        lines += [_line(row) for row in rows if row.scenario == scenario]
        lines.append("")
    return "\n".join(lines)


def _line(row: Row) -> str:
    bar = bar_of(row)
    spread = "" if row.low is None or row.high is None else f" ({row.low:.3g} to {row.high:.3g})"
    value = f"{row.value:.4g} {row.unit}" + ("" if row.ratio is not None else spread)
    ratio = "" if row.ratio is None else f"{row.ratio:.3g}{spread}"
    limit = "" if bar is None else f"{row.item}: {bar}"
    met = "" if bar is None else "yes" if bar.met(row) else "**no**"
    return f"| {row.metric} | {row.system} | {value} | {ratio} | {row.ratio_to or ''} | {limit} | {met} |"


def plot(rows: Sequence[Row], path: Path = IMAGE) -> Path | None:
    """How far every requirement is from its bar: 1 is the bar, below is better."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    shown = []
    for row in rows:
        bar = bar_of(row)
        reached = row.value if row.ratio is None else row.ratio
        if bar is not None and reached > 0:
            share = reached / bar.most if bar.most is not None else (bar.least or 0.0) / reached
            shown.append((f"{row.item}  {row.system}, {row.metric} ({row.scenario.partition(': ')[2]})", share))
    if not shown:
        return None
    shown.reverse()
    figure, axis = plt.subplots(figsize=(10, 1.2 + 0.3 * len(shown)))
    colours = ["#2a7f62" if share <= 1 else "#c8102e" for _, share in shown]
    axis.barh([name for name, _ in shown], [share for _, share in shown], color=colours)
    axis.axvline(1.0, color="black", linewidth=1)
    axis.set(xlabel="share of the bar: below 1 it is met", xscale="log")
    axis.tick_params(axis="y", labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
