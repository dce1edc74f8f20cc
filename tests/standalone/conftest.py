"""What the tests of standalone share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for all vector services: the encoder is quantised once. No exploration: results are certain."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HONEYGUIDE_VECTOR_CACHE_DIR", str(tmp_path_factory.mktemp("encoder")))
        patch.setenv("HONEYGUIDE_ORCHESTRATOR_EXPLORATION_SHARE", "0")
        patch.setenv("HONEYGUIDE_ORCHESTRATOR_SWAP_SHARE", "0")
        yield
