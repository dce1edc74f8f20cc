"""`honeyguide`: the command. Every error a user can cause is one line on standard error and exit code 2."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from typer.exceptions import Abort, Exit

from honeyguide.errors import HoneyguideError
from honeyguide_standalone.commands import (
    delete,
    demo,
    evaluate,
    feedback,
    get,
    index,
    policy,
    replay,
    report,
    search,
    stats,
    up,
)

USER_ERROR = 2
INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Search that learns which strategies to ask, for how much, and how to rank what they find.",
    epilog="Example: honeyguide up, then honeyguide index films.jsonl, then honeyguide search 'tom hanks' --explain",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"honeyguide {version('honeyguide-standalone')}")
        raise Exit


@app.callback()
def _options(
    show: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command(epilog="Example: honeyguide up --data-dir .honeyguide --port 50050")(up.up)
app.command(epilog="Example: honeyguide index films.jsonl --config films.yaml")(index.index)
app.command(epilog="Example: honeyguide delete film:heat film:rififi")(delete.delete)
app.command(epilog="Example: honeyguide get film:heat --json")(get.get)
app.command(epilog="Example: honeyguide search 'drama 1990s' --filter type=film --filter year=1990..1999 --explain")(
    search.search
)
app.command(epilog="Example: honeyguide suggest 'the god'")(search.suggest)
feedback.register(app)
app.command(epilog="Example: honeyguide stats --json")(stats.stats)
app.command(epilog="Example: honeyguide policy --kinds 3")(policy.policy)
app.command(epilog="Example: honeyguide report --json")(report.report)
app.add_typer(policy.decisions_app, name="decisions")
app.command(
    epilog="Example: honeyguide evaluate --policy greedy --policy squarecb:exploration_share=0.1 --ranker fusion"
)(evaluate.evaluate)
app.command("replay", epilog="Example: honeyguide replay clicks.jsonl --first 5 --json")(replay.replay_log)
app.command(epilog="Example: honeyguide demo --exit --searches 2000")(demo.demo)


def main() -> None:
    """Runs the command line; never shows a traceback for what a user did."""
    try:
        outcome = app(standalone_mode=False)
        code = outcome if isinstance(outcome, int) else 0
        sys.stdout.flush()
    except Exit as end:
        code = end.exit_code
    except HoneyguideError as error:
        print(f"honeyguide: {error.message}", file=sys.stderr)
        code = USER_ERROR
    except UnicodeEncodeError as error:  # bytes on the command line that are no text, above all
        print(f"honeyguide: {error.object[:80]!a} is no text in {error.encoding}: {error.reason}", file=sys.stderr)
        code = USER_ERROR
    except (Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except typer.TyperException as error:
        print(f"honeyguide: {_in_one_line(error)}", file=sys.stderr)
        code = USER_ERROR
    except BrokenPipeError:  # the reader (head, less) has gone: nothing more to say, and nowhere to say it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def _in_one_line(error: typer.TyperException) -> str:
    """What is wrong with the command line, with the range of the option at fault where it has one."""
    message = " ".join(getattr(error, "format_message", error.__str__)().split())
    option = getattr(error, "param", None)
    low, high = getattr(option, "min", None), getattr(option, "max", None)
    return message if low is None or high is None else f"{message}; {low:,} to {high:,} is allowed"
