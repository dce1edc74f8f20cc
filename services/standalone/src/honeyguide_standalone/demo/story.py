"""What `honeyguide demo` tells: everything at work on 17,472 films, before and after simulated users taught it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from pathlib import Path

from rich.markup import escape

from honeyguide.api.search.v1 import search_pb2
from honeyguide.client import RemoteConnection
from honeyguide_standalone import films, ingest
from honeyguide_standalone.api import Api
from honeyguide_standalone.catalog import read_catalog
from honeyguide_standalone.commands.index import configure, index_file
from honeyguide_standalone.commands.search import results_table, title_of
from honeyguide_standalone.commands.session import DEMO_DIR, console, warn
from honeyguide_standalone.commands.up import stop_on_signals
from honeyguide_standalone.demo.curve import Curve, read_curve
from honeyguide_standalone.demo.evaluation import Comparison, compare, outcome
from honeyguide_standalone.demo.report import print_allocations, print_comparison, write_report
from honeyguide_standalone.demo.simulation import Clock, Search, Simulation
from honeyguide_standalone.demo.users import SimulatedUser
from honeyguide_standalone.demo.view import View
from honeyguide_standalone.demo.world import read_world
from honeyguide_standalone.ingest import Bookmark
from honeyguide_standalone.settings import load_all
from honeyguide_standalone.supervisor import Supervisor, supervise

SEARCHES_FIRST = 3_000
SEARCHES_AGAIN = 400
EVALUATED_FIRST = 300
EVALUATED_AGAIN = 160
USERS = 3_000
STEP_S = 20.0
DAY_S = 86_400.0
TELLING = (
    ("a title with a typo", "jurasic prak"),
    ("a person", "tom hanks"),
    ("a mood or topic", "space adventure"),
    ("genre and year", "horror 1982"),
    ("a word with many meanings", "war"),
)


async def tell(exit: bool, searches: int, data_dir: Path, seed: int) -> None:
    """The whole story, top-down; see the command for what the arguments mean."""
    stop = stop_on_signals()
    story = asyncio.create_task(_story(exit, searches, data_dir, seed, stop))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([story, stopped], return_when=asyncio.FIRST_COMPLETED)
    if not story.done() and stop.is_set():
        console.print("ending ...")
        story.cancel()
    stopped.cancel()
    await asyncio.gather(story, return_exceptions=True)
    if not story.cancelled():
        story.result()


async def _story(exit: bool, searches: int, data_dir: Path, seed: int, stop: asyncio.Event) -> None:
    _headline("1  Starting Valkey, four services and the learner")
    common = load_all(None, warn)
    async with supervise(data_dir, common, told=lambda line: console.print(f"  {line}")) as supervisor:
        connection = RemoteConnection(supervisor.target, common)
        try:
            api = Api(connection)
            _headline("2  Indexing films, and their people, companies and genres")
            catalogue = await _index(api, data_dir)
            _headline("3  Five searches, before anybody has searched" if _is_new(data_dir) else "3  Five searches")
            before = await _telling_searches(api)
            curve = read_curve(data_dir / "simulation.json")
            count = searches or (SEARCHES_AGAIN if curve.searches else SEARCHES_FIRST)
            _headline(f"4  {count:,} searches by simulated users (nobody real) who click as people do")
            evaluated = EVALUATED_AGAIN if curve.searches else EVALUATED_FIRST
            comparison = await _teach_and_compare(api, catalogue, data_dir, seed, curve, count, evaluated)
            _headline("5  Before and after")
            _show(comparison, curve, data_dir)
            await _telling_again(api, before)
        finally:
            await connection.close()
        if not exit:
            _invite(supervisor, data_dir)
            await stop.wait()


async def _index(api: Api, data_dir: Path) -> Path:
    catalogue, configuration = data_dir / "films.jsonl", data_dir / "films.yaml"
    if not catalogue.exists():
        console.print("  writing the facts of the wheel bokeh-sampledata (Wikidata, CC0) as JSON Lines")
        await asyncio.to_thread(films.write_jsonl, catalogue)
    await asyncio.to_thread(films.write_configuration, configuration)
    catalog = read_catalog(configuration)
    await configure(api, data_dir, "local", catalog)
    content = await asyncio.to_thread(ingest.content_hash, catalogue)
    bookmark = Bookmark(data_dir / "index", content, "local", catalog.times)
    await index_file(api, catalogue, bookmark, catalog.times)
    return catalogue


async def _telling_searches(api: Api) -> dict[str, str]:
    """Shows five searches with their provenance; returns the first title that each found."""
    first: dict[str, str] = {}
    for what, query in TELLING:
        begin = time.perf_counter()
        response = await api.search(query, page_size=3, explain=True, untracked=True)
        elapsed_ms = 1e3 * (time.perf_counter() - begin)
        console.print(f"\n[bold]{query}[/]  ({what}; {elapsed_ms:.0f} ms, {response.candidate_count} candidates)")
        console.print(results_table(response))
        first[query] = _first(response)
    return first


async def _telling_again(api: Api, before: dict[str, str]) -> None:
    console.print("\nThe five searches again, and what they find first:")
    for query, first in before.items():
        response = await api.search(query, page_size=3, explain=True, untracked=True)
        now = _first(response)
        asked = [outcome for outcome in response.explanation.strategies if outcome.depth > 0]
        change = now if now == first else f"{first} -> [bold]{now}[/]"
        console.print(f"  {query:<16} {change}  ({response.candidate_count} candidates, {len(asked)} calls)")


def _first(response: search_pb2.SearchResponse) -> str:
    if not response.results:
        return "nothing"
    document = response.results[0].document
    return escape(f"{title_of(document)}, {document.type}")


async def _teach_and_compare(
    api: Api, catalogue: Path, data_dir: Path, seed: int, curve: Curve, count: int, evaluated: int
) -> Comparison:
    world = await asyncio.to_thread(read_world, catalogue)
    begin = curve.searches
    users = [SimulatedUser(world, number, seed, begin) for number in range(USERS)]
    clock = _clock(curve, count)
    console.print(f"  {USERS:,} simulated users; five kinds of habits; reward is that of the wanted document less cost")
    with View(console, count) as view:

        def told(search: Search) -> None:
            curve.add(search)
            view.add(search)

        await Simulation(api, users, seed, begin, clock, told).teach(count)
    curve.write(data_dir / "simulation.json")
    console.print(f"  asking {evaluated} fresh wishes of the learned system and of the static one")
    return await compare(api, users, seed, begin, clock.at(count), evaluated)


def _clock(curve: Curve, count: int) -> Clock:
    """Simulated time ends a day ago at first, goes on from there on later runs, and never gets ahead of the clock."""
    now_s = time.time()
    begin_s = curve.until_s + STEP_S if curve.searches else now_s - DAY_S - STEP_S * count
    return Clock(begin_s, min(STEP_S, max(0.0, now_s - begin_s) / (count + 1)))


def _show(comparison: Comparison, curve: Curve, data_dir: Path) -> None:
    write_report(data_dir / "report.json", curve.searches, comparison)
    curve.draw(data_dir / "learning_curve.png", outcome(comparison.static))
    print_comparison(console, comparison)
    console.print("\nWhat each kind of wish is now asked of (mean depth, in candidates):")
    print_allocations(console, comparison)
    learned, static = outcome(comparison.learned), outcome(comparison.static)
    console.print(
        f"\nAfter {curve.searches:,} simulated searches: MRR {static.mrr:.3f} -> {learned.mrr:.3f} and reward "
        f"{static.reward:+.3f} -> {learned.reward:+.3f}, with {learned.candidates / max(1e-9, static.candidates):.0%} "
        f"of the candidates and {learned.calls / max(1e-9, static.calls):.0%} of the calls.\n"
        f"The same in {_short(data_dir / 'report.json')}; the curve in {_short(data_dir / 'learning_curve.png')}"
    )


def _invite(supervisor: Supervisor, data_dir: Path) -> None:
    _headline("6  Yours now")
    where = "" if data_dir == DEMO_DIR else f" --data-dir {data_dir}"
    command = "honeyguide" if shutil.which("honeyguide") else _short(Path(sys.argv[0]))
    console.print(
        f"The public API serves on {supervisor.target}; logs are in {_short(data_dir / 'logs')}. Try, elsewhere:"
    )
    for example in ("search 'spielberg adventure' --explain", "click 2", "suggest 'the god'", "policy", "stats"):
        console.print(f"  {command} {example}{where}", highlight=False, soft_wrap=True)
    console.print("Ctrl-C ends everything; what was learned stays.")


def _is_new(data_dir: Path) -> bool:
    return not (data_dir / "simulation.json").exists()


def _headline(text: str) -> None:
    console.print(f"\n[bold cyan]{text}[/]")


def _short(path: Path) -> str:
    return os.path.relpath(path)
