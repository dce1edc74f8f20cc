"""`python -m honeyguide_orchestrator [serve|learner]`: the orchestrator, or the learner on its own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings, load
from honeyguide.errors import InvalidArgument
from honeyguide.server import Registration, run_service
from honeyguide_orchestrator.names import check_names
from honeyguide_orchestrator.retriever_file import read_file
from honeyguide_orchestrator.service import CORE, open_learner, open_service
from honeyguide_orchestrator.settings import OrchestratorSettings

ROLES = {"serve": open_service, "learner": open_learner}


def main() -> None:
    """Runs the role named on the command line until SIGTERM."""
    role = sys.argv[1] if len(sys.argv) > 1 else "serve"
    if role not in ROLES or len(sys.argv) > 2:
        print("usage: python -m honeyguide_orchestrator [serve|learner]", file=sys.stderr)
        raise SystemExit(2)
    common, settings = load(CommonSettings), load(OrchestratorSettings)
    if settings.retrievers_file is None:
        print("HONEYGUIDE_ORCHESTRATOR_RETRIEVERS_FILE: is needed; it names the services' addresses", file=sys.stderr)
        raise SystemExit(2)
    try:
        check_names(settings)
        targets = read_file(settings.retrievers_file)
    except InvalidArgument as error:
        print(error.message, file=sys.stderr)
        raise SystemExit(2) from None

    @asynccontextmanager
    async def build() -> AsyncIterator[Sequence[Registration]]:
        async with AsyncExitStack() as stack:
            connections = {}
            for name in CORE:
                if name in targets:
                    connections[name] = RemoteConnection(targets[name], common)
                    stack.push_async_callback(connections[name].close)
            connect = lambda target: RemoteConnection(target, common)  # noqa: E731
            yield await stack.enter_async_context(ROLES[role](settings, connections, connect))

    run_service("orchestrator" if role == "serve" else role, common, settings, build)


if __name__ == "__main__":
    main()
