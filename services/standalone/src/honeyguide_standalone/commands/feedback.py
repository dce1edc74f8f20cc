"""`honeyguide click`, `like`, `favourite`, `play`, `purchase`, `skip`, `dislike`: actions on the last search."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.api.search.v1 import feedback_pb2
from honeyguide.documents import time_to_proto
from honeyguide.errors import InvalidArgument
from honeyguide_standalone.api import new_event_id
from honeyguide_standalone.commands.session import DataDirOption, TargetOption, connect, console, run
from honeyguide_standalone.last_search import read_last_search

ACTIONS = {
    "click": "Tell that you opened a result of the last search.",
    "like": "Tell that you like a result of the last search.",
    "favourite": "Tell that you keep a result of the last search.",
    "play": "Tell that you played a result of the last search.",
    "purchase": "Tell that you bought a result of the last search.",
    "skip": "Tell that you passed over a result of the last search.",
    "dislike": "Tell that you don't like a result of the last search.",
}

ResultArgument = Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="Its # in the last search.")]


def register(app: typer.Typer) -> None:
    """Adds one command for each action."""
    for name, text in ACTIONS.items():
        if name == "play":
            app.command(name, help=text, epilog="Example: honeyguide play 1 --seconds 1800")(play)
        else:
            app.command(name, help=text, epilog=f"Example: honeyguide {name} 1")(_command(name))


def play(
    number: ResultArgument,
    seconds: Annotated[float, typer.Option(min=0, help="How long it played, in seconds.")] = 60.0,
    target: TargetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Tell that you played a result."""
    if not math.isfinite(seconds):
        raise InvalidArgument("--seconds", f"{seconds} wanted; any number of 0 or more is allowed")
    run(_send("play", number, seconds, target, data_dir))


def _command(name: str):  # type: ignore[no-untyped-def]  # Typer reads the inner signature
    def act(number: ResultArgument, target: TargetOption = None, data_dir: DataDirOption = None) -> None:
        run(_send(name, number, 0.0, target, data_dir))

    return act


async def _send(action: str, number: int, seconds: float, target: str | None, data_dir: Path | None) -> None:
    async with connect(target, data_dir) as (api, folder, _):
        last = read_last_search(folder)
        result = last.result(number)
        event = feedback_pb2.FeedbackEvent(
            event_id=new_event_id(),
            decision_id=last.decision_id,
            document_id=result.document_id,
            action=feedback_pb2.ActionType.Value(f"ACTION_TYPE_{action.upper()}"),
            seconds=seconds,
            time=time_to_proto(time.time()),
            context=document_pb2.Context(user_id=last.user_id, session_id=last.session_id),
        )
        (acknowledgement,) = await api.feedback([event])
        if acknowledgement.status == feedback_pb2.EVENT_STATUS_REJECTED:
            raise InvalidArgument(acknowledgement.field, acknowledgement.description)
        nothing = ", but nothing is learned from it: the search was --untracked" if last.asked.get("untracked") else ""
        console.print(f"{action} on {escape(result.title)} for {escape(last.query)!r} is noted{nothing}")
