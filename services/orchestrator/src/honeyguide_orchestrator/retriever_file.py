"""The file that names the retrievers: adding a strategy to a running system is a line in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
import yaml

from honeyguide.client import Connection
from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.fanout import Retrievers

LOOK_S = 0.5

log = structlog.get_logger("honeyguide.retrievers")


def read_file(path: Path) -> dict[str, str]:
    """Service names and gRPC targets, for example `lexical: 127.0.0.1:50051`.

    Raises:
        InvalidArgument: if the file cannot be read, or is not such a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidArgument(str(path), f"cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(target, str) for name, target in content.items()
    ):
        raise InvalidArgument(
            str(path), "is not a mapping of service names to gRPC targets, like lexical: localhost:50051"
        )
    return dict(content)


async def watch_file(
    path: Path, retrievers: Retrievers, fixed: frozenset[str], connect: Callable[[str], Connection]
) -> None:
    """Keeps the retrievers as the file says, until cancelled; those in `fixed` stay as they are.

    A file that is wrong is logged, and changes nothing until it is mended.
    """
    connected: dict[str, tuple[str, Connection]] = {}
    seen: dict[str, str] | None = None
    wrong = ""
    while True:
        try:
            content = await asyncio.to_thread(read_file, path)
            if content != seen:
                seen = content
                wanted = {name: target for name, target in content.items() if name not in fixed}
                for name in [name for name, (target, _) in connected.items() if wanted.get(name) != target]:
                    retrievers.disconnect(name)
                    await connected.pop(name)[1].close()
                for name, target in wanted.items():
                    if name not in connected:
                        connected[name] = (target, connect(target))
                        await retrievers.connect(name, connected[name][1])
                        log.info("retriever added", retriever=name, target=target)
            wrong = ""
        except InvalidArgument as error:
            if error.message != wrong:
                log.error("retrievers file ignored", error=error.message)
            seen, wrong = None, error.message
        await asyncio.sleep(LOOK_S)
