"""`honeyguide delete`: documents out."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from honeyguide.documents import check_id
from honeyguide_standalone.commands.session import DataDirOption, TargetOption, connect, console, counted, run


def delete(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of the documents.")],
    target: TargetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Delete documents; ids that are not there are named, and do no harm."""
    wanted = list(dict.fromkeys(ids))
    for id in wanted:
        check_id("ID", id)

    async def ask() -> list[str]:
        async with connect(target, data_dir) as (api, _, _):
            return [id for id in wanted if not await api.delete([id])]  # one by one, which tells of each

    absent = run(ask())
    rest = f"; not there: {', '.join(absent)}" if absent else ""
    console.print(f"{counted(len(wanted) - len(absent), 'document')} deleted{escape(rest)}", soft_wrap=True)
