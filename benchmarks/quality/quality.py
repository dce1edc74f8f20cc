"""`make bench-quality`: all learning curves, and the tables and plots made of them.

Runs the jobs of `learning` on all processors, writes benchmarks/results/quality.json (one row a figure), quality.md
(tables) and plots into docs/images. QUICK=1 runs one short stream of one collection.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import ir_measures
import numpy as np
import structlog
from ir_measures import RR, nDCG
from scipy import stats

from benchmarks.quality.ablations import ablations
from benchmarks.quality.baselines import FUSIONS
from benchmarks.quality.learning import TRACES, Hindsight, Outcome, Scenario, prepare, work
from benchmarks.quality.needs import COLLECTIONS, scene
from benchmarks.quality.simulation import CALL_COST, CANDIDATE_COST, Trace

RESULTS = Path(__file__).resolve().parents[1] / "results"
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
FIRST = 1_000
BUCKET = 500

AFTER = (("best_static", "best_static_per_collection", "equal_split"), ("linucb", "vw_squarecb"))


@dataclass(frozen=True, slots=True)
class Task:
    """Systems of one seed of a scenario, run one after the other; not before the tasks named in `after` are done."""

    scenario: Scenario
    seed: int
    systems: Sequence[str]
    after: frozenset[tuple[str, int, str]] = frozenset()

    @property
    def done(self) -> frozenset[tuple[str, int, str]]:
        """What others may wait for."""
        return frozenset((self.scenario.key, self.seed, name) for name in self.systems)


MIXED = Scenario("mixed", 16_000)
DRIFT = Scenario("mixed", 6_000, drift=True)
ABLATED = Scenario("mixed", 4_000, label="ablations")
ALONE = tuple(Scenario(name, 3_000) for name in COLLECTIONS)


def tasks(quick: bool) -> list[Task]:
    """What is run, what matters most first: the mixed stream at length, ablations, drift, each collection."""
    if quick:
        scenario = Scenario("scifact" if scene("scifact") else "films", 800)
        return _tasks(scenario, 1, [("full_depth",), ("honeyguide", "fallback")], [("best_static", "equal_split")])
    mixed = [
        _tasks(MIXED, seed, [("full_depth",), ("honeyguide", "greedy", "epsilon_greedy", "fallback")], AFTER)
        for seed in (1, 2, 3)
        if scene("mixed")
    ]
    alone = [
        [
            task
            for scenario in ALONE
            if scene(scenario.scene)
            for task in _tasks(scenario, seed, [("full_depth",), ("honeyguide",)], [("best_static",)])
        ]
        for seed in (1, 2, 3, 4, 5)
    ]
    # What exploring is worth is less than systems differ from run to run, and other bandits are not far.
    more = [
        Task(MIXED, seed, names)
        for seed in range(4, 11)
        if scene("mixed")
        for names in (("honeyguide", "greedy", "epsilon_greedy"), ("linucb", "vw_squarecb"))
    ]
    drift = [Task(DRIFT, seed, ("honeyguide", "greedy")) for seed in (1, 2, 3) if scene("mixed")]
    ablated = [
        Task(ABLATED, seed, names.tolist())
        for seed in (1, 2, 3)
        if scene("mixed")
        for names in np.array_split(list(ablations()), 4)
    ]
    return [*chain.from_iterable(mixed), *more, *ablated, *drift, *chain.from_iterable(alone)]


def _tasks(scenario: Scenario, seed: int, first: Sequence[Sequence[str]], then: Sequence[Sequence[str]]) -> list[Task]:
    begin = [Task(scenario, seed, names) for names in first]
    done = frozenset(one for task in begin for one in task.done)
    return [*begin, *(Task(scenario, seed, names, done) for names in then)]


def measures(trace: Trace, window: slice) -> dict[str, float]:
    """Every metric over a window of the stream."""
    position = np.array(trace.position[window], float)
    gain, cost = trace.gain()[window], np.array(trace.cost[window])
    shown = position > 0
    return {
        "reward": float((gain - cost).mean()),
        "reward_half_cost": float((gain - cost / 2).mean()),
        "reward_hit": float((shown - cost).mean()),
        "ndcg@10": float(gain.mean()),
        "mrr@10": float(np.where(shown, 1 / np.maximum(position, 1), 0).mean()),
        "recall_wanted": float(np.mean(trace.recalled[window])),
        "candidates_per_search": float(np.mean(trace.candidates[window])),
        "calls_per_search": float(np.mean(trace.calls[window])),
    }


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Mean and 95% interval over seeds (Student's t); without one for a single seed."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None, None
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return mean, mean - half, mean + half


Kept = dict[str, dict[int, Outcome]]


def read(scenario: Scenario) -> tuple[Kept, dict[int, Hindsight]]:
    """What the jobs of a scenario left: outcomes by system and seed."""
    outcomes: Kept = {}
    hindsights: dict[int, Hindsight] = {}
    for path in sorted((TRACES / scenario.key).glob("*/*.pickle")):
        found = pickle.loads(path.read_bytes())
        if isinstance(found, Hindsight):
            hindsights[int(path.parent.name)] = found
        else:
            outcomes.setdefault(path.stem, {})[int(path.parent.name)] = found
    return outcomes, hindsights


def rows_of(scenario: Scenario) -> list[dict[str, object]]:
    """All rows of a scenario."""
    outcomes, hindsights = read(scenario)
    quarter = slice(-(scenario.searches // 4), None)
    for kind in ("rrf", "dbsf"):
        names = [f"fusion {name}" for name in FUSIONS if name.startswith(kind) and f"fusion {name}" in outcomes]
        if names:
            outcomes[kind] = outcomes[max(names, key=lambda name: _mean(outcomes[name], quarter))]
    rows = []
    for system, by_seed in outcomes.items():
        if system.startswith(("fusion ", "static ")):
            continue
        windows = {scenario.name: quarter}
        whole = all(len(outcome.trace.position) == scenario.searches for outcome in by_seed.values())
        if whole and scenario.searches > 2 * FIRST:
            windows[f"{scenario.name}, first 1,000"] = slice(0, FIRST)
        for name, window in windows.items():
            figures = [measures(outcome.trace, window) for outcome in by_seed.values()]
            for metric in figures[0]:
                rows.append(_row(scenario, name, system, metric, [one[metric] for one in figures]))
        rows += [] if scenario.label else _held_out(scenario, system, by_seed)
    rows += [] if scenario.label else _alone(scenario, hindsights)
    return rows


def _mean(by_seed: Mapping[int, Outcome], window: slice) -> float:
    return float(np.mean([outcome.trace.reward()[window].mean() for outcome in by_seed.values()]))


def _row(
    scenario: Scenario, name: str, system: str, metric: str, values: Sequence[float], searches: int = 0
) -> dict[str, object]:
    return row_of(scenario.scene, name, system, metric, values, searches or scenario.searches)


def row_of(
    collection: str, scenario: str, system: str, metric: str, values: Sequence[float], searches: int
) -> dict[str, object]:
    """A row of results: the mean over seeds, with its interval."""
    mean, low, high = interval(values)
    return {
        "collection": collection,
        "scenario": scenario,
        "system": system,
        "metric": metric,
        "value": round(mean, 4),
        "low": None if low is None else round(low, 4),
        "high": None if high is None else round(high, 4),
        "seeds": len(values),
        "searches": searches,
    }


def _held_out(scenario: Scenario, system: str, by_seed: Mapping[int, Outcome]) -> list[dict[str, object]]:
    """nDCG@10 and MRR@10 on queries that were never searched with feedback, by collection and kind of query."""
    figures: dict[tuple[str, str], list[float]] = {}
    count = 0
    for seed, outcome in by_seed.items():
        if not outcome.held_out:
            continue
        found = scene(scenario.scene, fold=seed)
        groups: dict[str, dict[str, dict[str, int]]] = {}
        for need in found.held_out if found else ():
            group = f"{need.collection} {need.kind}".strip() if need.collection == "cpcd-music" else need.collection
            groups.setdefault(group, {})[need.id] = dict(need.grades)
            count += 1
        for group, qrels in groups.items():
            run = {id: outcome.held_out.get(id, {}) for id in qrels}
            values = ir_measures.calc_aggregate([nDCG @ 10, RR @ 10], qrels, run)
            figures.setdefault((group, "ndcg@10"), []).append(float(values[nDCG @ 10]))
            figures.setdefault((group, "mrr@10"), []).append(float(values[RR @ 10]))
    return [
        _row(scenario, f"held out: {group}", system, metric, values, count // len(by_seed))
        for (group, metric), values in figures.items()
    ]


def _alone(scenario: Scenario, hindsights: Mapping[int, Hindsight]) -> list[dict[str, object]]:
    """Each strategy alone at its best depth, and the oracle: the best of all static allocations, search by search."""
    if not hindsights:
        return []
    figures: dict[tuple[str, str], list[float]] = {}
    for hindsight in hindsights.values():
        by_name = {name: np.array(values) for name, values in hindsight.rewards.items()}
        alone: dict[str, list[str]] = {}
        for name in by_name:
            if name.startswith("only:"):
                alone.setdefault(name.partition("@")[0], []).append(name)
        for system, names in alone.items():
            best = max(names, key=lambda name: float(by_name[name].mean()))
            figures.setdefault((system, "reward"), []).append(float(by_name[best].mean()))
            figures.setdefault((system, "ndcg@10"), []).append(float(np.mean(hindsight.gains[best])))
        best_each = np.max(list(by_name.values()), axis=0)
        figures.setdefault(("oracle", "reward"), []).append(float(np.maximum(best_each, 0).mean()))
    sampled = len(next(iter(hindsights.values())).numbers)
    return [_row(scenario, scenario.name, *key, values, sampled) for key, values in figures.items()]


def ratios(scenario: Scenario) -> list[str]:
    """Honeyguide against the others, compared within each seed: the issue's questions, one line each."""
    outcomes, _ = read(scenario)
    if "honeyguide" not in outcomes:
        return []
    ours = outcomes["honeyguide"]
    quarter, first = slice(-(scenario.searches // 4), None), slice(0, FIRST)

    def against(other: str, metric: str, window: slice, how: Callable[[float, float], float]) -> str:
        seeds = sorted(set(ours) & set(outcomes.get(other, {})))
        if not seeds:
            return "not run"
        values = [
            how(measures(ours[s].trace, window)[metric], measures(outcomes[other][s].trace, window)[metric])
            for s in seeds
        ]
        mean, low, high = interval(values)
        return f"{mean:.3f}" + (f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else "")

    divide: Callable[[float, float], float] = lambda a, b: a / b  # noqa: E731
    subtract: Callable[[float, float], float] = lambda a, b: a - b  # noqa: E731
    lines = [
        "| honeyguide against | what | window | value |",
        "| --- | --- | --- | --- |",
    ]
    for other, metric, window, how, what in (
        ("full_depth", "reward", quarter, divide, "reward, times"),
        ("full_depth", "candidates_per_search", quarter, divide, "candidates, times"),
        ("full_depth", "calls_per_search", quarter, divide, "calls, times"),
        ("full_depth", "ndcg@10", quarter, divide, "nDCG@10, times"),
        ("best_static", "reward", quarter, divide, "reward, times"),
        ("best_static", "reward", first, divide, "reward, times"),
        ("best_static_per_collection", "reward", quarter, divide, "reward, times"),
        ("equal_split", "recall_wanted", quarter, subtract, "recall of the wanted document, more by"),
        ("greedy", "reward", quarter, subtract, "reward, more by"),
        ("epsilon_greedy", "reward", quarter, subtract, "reward, more by"),
        ("linucb", "reward", quarter, subtract, "reward, more by"),
        ("vw_squarecb", "reward", quarter, subtract, "reward, more by"),
        ("fallback", "reward", quarter, subtract, "reward, more by"),
    ):
        when = "last quarter" if window == quarter else "first 1,000"
        lines.append(f"| `{other}` | {what} | {when} | {against(other, metric, window, how)} |")
    return lines


def table(rows: Iterable[Mapping[str, object]], scenario: str, collection: str, metrics: Sequence[str]) -> list[str]:
    """Systems by metrics, best reward first."""
    chosen = [row for row in rows if row["scenario"] == scenario and row["collection"] == collection]
    systems = {str(row["system"]) for row in chosen}
    figures = {(str(row["system"]), str(row["metric"])): row for row in chosen}
    order = sorted(systems, key=lambda one: -_value(figures.get((one, metrics[0]))))
    lines = [f"| system | {' | '.join(metrics)} | seeds |", f"| --- |{' --- |' * (len(metrics) + 1)}"]
    for system in order:
        cells = [_cell(figures.get((system, metric))) for metric in metrics]
        seeds = next(row["seeds"] for row in chosen if row["system"] == system)
        lines.append(f"| `{system}` | {' | '.join(cells)} | {seeds} |")
    return lines


def _value(row: Mapping[str, object] | None) -> float:
    return float(str(row["value"])) if row else -math.inf


def _cell(row: Mapping[str, object] | None) -> str:
    if row is None:
        return ""
    half = "" if row["high"] is None else f" ±{float(str(row['high'])) - float(str(row['value'])):.3f}"
    return f"{float(str(row['value'])):.3f}{half}"


def plot(scenario: Scenario) -> Path | None:
    """Learning curves of reward and of candidates, means over seeds."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    outcomes, _ = read(scenario)
    shown = [
        name
        for name in ("honeyguide", "best_static", "greedy", "linucb", "vw_squarecb", "equal_split", "full_depth")
        if name in outcomes
    ]
    if not shown:
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    for name in shown:
        traces = [outcome.trace for outcome in outcomes[name].values()]
        for axis, column in ((left, lambda one: one.reward()), (right, lambda one: np.array(one.candidates, float))):
            curve = np.mean([column(trace) for trace in traces], axis=0)
            buckets = curve[: len(curve) // BUCKET * BUCKET].reshape(-1, BUCKET).mean(axis=1)
            style = {"linewidth": 2.4, "color": "#c8102e"} if name == "honeyguide" else {"linewidth": 1.2}
            axis.plot((np.arange(len(buckets)) + 0.5) * BUCKET, buckets, label=name, **style)
    left.set(xlabel="searches", ylabel="graded reward less cost", title=f"{scenario.scene}: reward")
    right.set(xlabel="searches", ylabel="candidates a search", title="candidates", yscale="log")
    left.legend(frameon=False, fontsize=8)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"quality_{scenario.scene}{'_drift' if scenario.drift else ''}.png"
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def run(every: Sequence[Task], workers: int) -> None:
    """Runs all tasks, as many at a time as there are processors, in their order as far as they can begin."""
    waiting = list(every)
    running: dict[Future[Mapping[str, float]], Task] = {}
    done: set[tuple[str, int, str]] = set()
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_quiet) as pool:
        # Jobs that begin together would make the same recordings.
        list(pool.map(prepare, dict.fromkeys(task.scenario.scene for task in every)))
        while waiting or running:
            for task in [one for one in waiting if one.after <= done][: workers - len(running)]:
                waiting.remove(task)
                running[pool.submit(work, task.scenario, task.seed, task.systems)] = task
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for one in finished:
                one.result()
                done |= running.pop(one).done


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))


def report(every: Sequence[Task]) -> None:
    """Writes rows, tables and plots of all that was run."""
    scenarios = list(dict.fromkeys(task.scenario for task in every))
    rows = [row for scenario in scenarios for row in rows_of(scenario)]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "quality.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    lines = [f"Costs: {CALL_COST} a call, {CANDIDATE_COST} a candidate returned. ± is a 95% interval over seeds.", ""]
    for scenario in scenarios:
        if not any((row["collection"], row["scenario"]) == (scenario.scene, scenario.name) for row in rows):
            continue
        lines += [f"## {scenario.scene}, {scenario.name}, {scenario.searches:,} searches: last quarter", ""]
        metrics = ("reward", "reward_hit", "ndcg@10", "recall_wanted", "candidates_per_search", "calls_per_search")
        lines += [*table(rows, scenario.name, scenario.scene, metrics), ""]
        if scenario == MIXED:
            lines += [*ratios(scenario), ""]
        held_out = () if scenario.label else rows
        groups = sorted({str(row["scenario"]) for row in held_out if str(row["scenario"]).startswith("held out")})
        for group in groups:
            held = table(rows, group, scenario.scene, ("ndcg@10", "mrr@10"))
            if len(held) > 2:
                lines += [f"{group}, never searched with feedback:", "", *held, ""]
        if not scenario.label:
            plot(scenario)
    (RESULTS / "quality.md").write_text("\n".join(lines))
    print("\n".join(lines))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", action="store_true", help="only write tables and plots of what was run before")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes at a time")
    arguments = parser.parse_args()
    every = tasks(bool(os.environ.get("QUICK")))
    if not arguments.report:
        run(every, arguments.workers)
    report(every)


if __name__ == "__main__":
    main()
