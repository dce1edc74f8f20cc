"""`honeyguide search` and `honeyguide suggest`."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict
from rich.markup import escape
from rich.table import Table

from honeyguide.api.retrieval.v1 import document_pb2, retriever_pb2
from honeyguide.api.search.v1 import search_pb2
from honeyguide.errors import HoneyguideError, InvalidArgument
from honeyguide_standalone.api import Api
from honeyguide_standalone.commands.session import (
    DataDirOption,
    SessionOption,
    TargetOption,
    UserOption,
    connect,
    console,
    counted,
    run,
    warn,
)
from honeyguide_standalone.filters import FORMS, doubts, parse_filters
from honeyguide_standalone.last_catalog import read_last_catalog
from honeyguide_standalone.last_search import LastResult, LastSearch, known_page_tokens

PAGES_MAX = 100


def search(
    query: Annotated[str, typer.Argument(help="What to search for; empty asks for recommendations.")],
    filter: Annotated[list[str] | None, typer.Option("--filter", help=f"Repeatable: {FORMS}.")] = None,
    exclude: Annotated[list[str] | None, typer.Option("--exclude", help="Id of a document to leave out.")] = None,
    user: UserOption = "",
    session: SessionOption = "",
    page_size: Annotated[int, typer.Option(min=1, max=100, help="Results a page.")] = 10,
    page: Annotated[
        int,
        typer.Option(
            min=1,
            max=PAGES_MAX,
            help="Which page; from 2 on, of the last search if it asked the same, else of a new one.",
        ),
    ] = 1,
    explain: Annotated[bool, typer.Option("--explain", help="Show how the results came about.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole response as JSON.")] = False,
    policy: Annotated[str, typer.Option(help="Decide with this policy, for example full_depth.")] = "",
    ranker: Annotated[str, typer.Option(help="Rank with this ranker, for example fusion.")] = "",
    untracked: Annotated[
        bool, typer.Option("--untracked", help="A look that does not count: nothing is learned from it.")
    ] = False,
    target: TargetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Search the catalogue. What is shown counts as shown, unless --untracked."""
    context = document_pb2.Context(user_id=user, session_id=session)

    async def ask() -> tuple[search_pb2.SearchResponse, bool]:
        async with connect(target, data_dir) as (api, folder, name):
            catalog = read_last_catalog(folder, name)
            times, numbers = (catalog.times, catalog.numbers) if catalog else ((), ())
            wanted = parse_filters(filter or (), exclude or (), times, numbers)

            async def fetch(page_token: str) -> search_pb2.SearchResponse:
                return await api.search(
                    query,
                    context=context,
                    filter=wanted,
                    page_size=page_size,
                    page_token=page_token,
                    explain=True,
                    policy=policy,
                    ranker=ranker,
                    untracked=untracked,
                )

            asked = {
                "system": name,
                "query": query,
                "filter": MessageToDict(wanted, preserving_proto_field_name=True),
                "user": user,
                "session": session,
                "page_size": page_size,
                "policy": policy,
                "ranker": ranker,
                "untracked": untracked,
            }
            response, tokens = await _turn_to(page, fetch, known_page_tokens(folder, asked))
            LastSearch(query, response.decision_id, user, session, _results(response), asked, tokens).write(folder)
            names = catalog.attribute_names if catalog else None
            for line in doubts(wanted, names, found=bool(response.results)):
                warn(line)
            return response, not response.results and await _is_empty(api)

    response, empty = run(ask())
    if as_json:
        print(json.dumps(MessageToDict(response, preserving_proto_field_name=True), ensure_ascii=False, indent=2))
        return
    console.print(results_table(response, ids=explain))
    if explain:
        explain_response(response)
    for failure in response.failures:
        console.print(f"[yellow]without {failure.strategy}: {escape(failure.message)}[/]")
    if response.results:
        print_reading(response)
        count = response.candidate_count
        hint = f"; `honeyguide click {response.results[0].position}` tells it what you wanted" if not untracked else ""
        console.print(f"{counted(count, 'candidate')}{hint}", style="dim")
    elif empty:
        console.print("the catalogue is empty; `honeyguide index FILE.jsonl` fills it")
    elif filter:
        console.print("no document passes the filter; are its names, values and their kinds those of the documents?")


def print_reading(response: search_pb2.SearchResponse) -> None:
    """Says where words were corrected, and where results have none of the query's words, not even misspelt ones."""
    understanding = response.understanding
    by_words = any(one.strategy.startswith("lexical.") for result in response.results for one in result.provenance)
    if understanding.corrected_query != understanding.normalized_query:
        console.print(f"read as: {escape(understanding.corrected_query)}", style="dim")
    elif understanding.normalized_query and not (understanding.coverage or by_words or response.failures):
        console.print("no word of the query occurs in the catalogue: what stands here is near in meaning, or popular")


async def _turn_to(
    page: int, fetch: Callable[[str], Awaitable[search_pb2.SearchResponse]], known: Sequence[str]
) -> tuple[search_pb2.SearchResponse, list[str]]:
    """A page, and the tokens of the pages after the first up to the one behind it; `known` are those there are already.

    The first page is always a new search, and so is all of it once the system no longer has the old one.
    """
    tokens = list(known[: page - 1])
    while True:
        number = len(tokens) + 1
        try:
            response = await fetch(tokens[-1] if tokens else "")
        except InvalidArgument as error:
            if not known or error.violations[0].field != "page_token":
                raise
            return await _turn_to(page, fetch, ())
        if response.next_page_token:
            tokens.append(response.next_page_token)
        if number == page:
            return response, tokens
        if len(tokens) < number:
            raise InvalidArgument("--page", f"there {'is only 1 page' if number == 1 else f'are only {number} pages'}")


async def _is_empty(api: Api) -> bool:
    """True if it is certain that the catalogue holds no document."""
    try:
        services = (await api.stats()).services
    except HoneyguideError:
        return False
    return "lexical" in services and not services["lexical"].document_count


def suggest(
    prefix: Annotated[str, typer.Argument(help="What was typed so far.")],
    limit: Annotated[int, typer.Option(min=1, max=50, help="Most suggestions wanted.")] = 8,
    user: UserOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    target: TargetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Complete what is being typed."""

    async def ask() -> Sequence[search_pb2.Suggestion]:
        async with connect(target, data_dir) as (api, _, _):
            return await api.suggest(prefix, context=document_pb2.Context(user_id=user), limit=limit)

    suggestions = run(ask())
    if as_json:
        rows = [MessageToDict(one, preserving_proto_field_name=True) for one in suggestions]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    table = Table(box=None)
    for column in ("suggestion", "what", "score"):
        table.add_column(column, justify="right" if column == "score" else "left")
    for one in suggestions:
        table.add_row(escape(one.text), one.type or "remembered query", f"{one.score:.3f}")
    console.print(table if suggestions else "nothing to suggest")


def results_table(response: search_pb2.SearchResponse, *, ids: bool = False) -> Table | str:
    """The page: rank, title, id if wanted, type, score, and which strategies found it at which rank."""
    if not response.results:
        return "nothing found"
    table = Table(box=None, pad_edge=False)
    table.add_column("#", justify="right")
    table.add_column("title", ratio=3)
    if ids:
        table.add_column("id", ratio=2, overflow="fold")
    table.add_column("type")
    table.add_column("score", justify="right")
    table.add_column("found by (at its rank)", ratio=4)
    for result in response.results:
        found = sorted(result.provenance, key=lambda provenance: (provenance.rank, provenance.strategy))
        table.add_row(
            str(result.position),
            escape(title_of(result.document)),
            *([escape(result.document.id)] if ids else []),
            result.document.type,
            f"{result.score:.3f}",
            "  ".join(f"{one.strategy} {one.rank}" for one in found),
        )
    return table


def title_of(document: document_pb2.Document) -> str:
    """A title, with the year where there is one."""
    values = document.attributes["year"].values if "year" in document.attributes else ()
    year = f" ({values[0].number:.0f})" if values and values[0].WhichOneof("kind") == "number" else ""
    return f"{document.title or document.id}{year}"


def explain_response(response: search_pb2.SearchResponse) -> None:
    """Prints what was understood, the allocation with its propensities, and what moved the first scores."""
    understanding, explanation = response.understanding, response.explanation
    console.print(f"\n[bold]understood[/] {escape(understanding.normalized_query)!s}", end="")
    if understanding.corrected_query != understanding.normalized_query:
        console.print(f", corrected to {escape(understanding.corrected_query)}", end="")
    console.print(f"; intent {escape(understanding.intent)} ({understanding.confidence:.2f})")
    for reading in understanding.interpretations:
        parts = [f"{'|'.join(reading.types)}"] if reading.types else []
        parts += [_condition(condition) for condition in reading.conditions]
        parts += [", ".join(reading.document_ids[:3])] if reading.document_ids else []
        parts += [f"words {reading.rest!r}"] if reading.rest else []
        console.print(f"  {reading.likelihood:5.2f}  {escape(reading.signature)}: {escape('; '.join(parts))}")
    console.print(
        f"\n[bold]decided[/] by {explanation.policy}, snapshot {explanation.snapshot_version}; this allocation's "
        f"propensity is {explanation.propensity:.4f}{' (estimated)' if explanation.propensity_estimated else ''}"
    )
    console.print(allocation_table(explanation.strategies))
    timings = sorted(explanation.timings.items(), key=lambda pair: -pair[1].ToNanoseconds())
    console.print(
        f"[bold]ranked[/] by {explanation.ranker}; "
        + ", ".join(f"{stage} {elapsed.ToNanoseconds() / 1e6:.1f} ms" for stage, elapsed in timings)
    )
    if explanation.swapped_at:
        upper = explanation.swapped_at
        console.print(
            f"  positions {upper} and {upper + 1} are swapped, as on a small share of first pages, to learn how much a "
            "position counts in clicks (HONEYGUIDE_ORCHESTRATOR_SWAP_SHARE)"
        )
    for result in response.results[:3]:
        moved = ", ".join(f"{one.feature} {one.contribution:+.3f}" for one in result.contributions[:6])
        console.print(f"  {result.position}. {escape(title_of(result.document))}: {escape(moved)}")
    console.print()


def allocation_table(outcomes: Sequence[search_pb2.StrategyOutcome]) -> Table:
    """Per strategy its depth, propensity, what it returned and how long it took; those asked first."""
    table = Table(box=None, pad_edge=False)
    for column in ("strategy", "depth", "propensity", "returned", "ms", "status"):
        table.add_column(column, justify="left" if column in {"strategy", "status"} else "right")
    for outcome in sorted(outcomes, key=lambda outcome: (-outcome.depth, outcome.strategy)):
        asked = outcome.depth > 0
        status = retriever_pb2.StrategyStatus.Name(outcome.status).removeprefix("STRATEGY_STATUS_").lower()
        table.add_row(
            outcome.strategy,
            str(outcome.depth) if asked else "-",
            f"{outcome.propensity:.3f}",
            str(outcome.returned) if asked else "",
            f"{outcome.elapsed.ToNanoseconds() / 1e6:.1f}" if asked else "",
            (status if not outcome.message else f"{status}: {escape(outcome.message)}") if asked else "not asked",
            style="" if asked else "dim",
        )
    return table


def _condition(condition: document_pb2.AttributeCondition) -> str:
    kind = condition.WhichOneof("condition")
    if kind == "range":
        low = [_bound(condition.range.min, ">", -math.inf)] if condition.range.HasField("min") else []
        high = [_bound(condition.range.max, "<", math.inf)] if condition.range.HasField("max") else []
        return f"{condition.attribute} {' and '.join(low + high)}"
    values = condition.any_of.values if kind == "any_of" else [condition.equals]
    return f"{condition.attribute} = {' or '.join(_value(value) for value in values)}"


def _bound(value: document_pb2.Value, sign: str, beyond: float) -> str:
    """A bound as people write it: up to the number just below 30 is "< 30"."""
    outside = math.nextafter(value.number, beyond)
    if value.WhichOneof("kind") == "number" and len(repr(outside)) < len(repr(value.number)):
        return f"{sign} {outside:g}"
    return f"{sign}= {_value(value)}"


def _value(value: document_pb2.Value) -> str:
    kind = value.WhichOneof("kind")
    if kind == "time":
        return str(value.time.ToJsonString())
    return f"{value.number:g}" if kind == "number" else str(getattr(value, kind)) if kind else ""


def _results(response: search_pb2.SearchResponse) -> list[LastResult]:
    return [LastResult(one.position, one.document.id, one.document.title) for one in response.results]
