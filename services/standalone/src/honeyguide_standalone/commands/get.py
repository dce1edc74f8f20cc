"""`honeyguide get`: documents as they are held."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from honeyguide.documents import Document, Value, check_id, document_from_proto, document_to_json
from honeyguide.errors import NotFound
from honeyguide_standalone.commands.session import DataDirOption, TargetOption, connect, console, run, warn


def get(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of the documents.")],
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON each, as `index` reads it.")] = False,
    target: TargetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show documents; ids that are not there are named, with exit code 1."""
    for id in ids:
        check_id("ID", id)

    async def ask() -> dict[str, Document | None]:
        async with connect(target, data_dir) as (api, _, _):
            found: dict[str, Document | None] = dict.fromkeys(ids)
            for id in found:
                try:
                    found[id] = document_from_proto(await api.get_document(id))
                except NotFound:
                    continue
            return found

    documents = run(ask())
    for number, document in enumerate(filter(None, documents.values())):
        if as_json:
            print(document_to_json(document))
        else:
            console.print(*([""] if number else []), _table(document), sep="\n")
    absent = [id for id, document in documents.items() if document is None]
    if absent:
        warn(f"not there: {', '.join(absent)}")
        raise typer.Exit(1)


def _table(document: Document) -> Table:
    """What a document holds, a part a line; its embedding by length alone."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    rows = [("id", document.id), ("type", document.type), ("title", document.title), ("text", document.text)]
    rows += [
        (name, ", ".join(_shown(value) for value in values)) for name, values in sorted(document.attributes.items())
    ]
    if document.popularity:
        rows.append(("popularity", _shown(document.popularity)))
    if document.created_at_s is not None:
        rows.append(("created_at", _shown(datetime.fromtimestamp(document.created_at_s, UTC))))
    rows.append(("related", ", ".join(document.related)))
    if document.embedding is not None:
        rows.append(("embedding", f"{len(document.embedding):,} numbers"))
    for name, shown in rows:
        if shown:
            table.add_row(escape(name), escape(shown))
    return table


def _shown(value: Value) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{value:.12g}" if isinstance(value, float) else str(value)
