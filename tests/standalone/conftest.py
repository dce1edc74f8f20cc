"""What the tests of standalone share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def encoder_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all vector services: the encoder is quantised once."""
    return tmp_path_factory.mktemp("encoder")


@pytest.fixture(scope="module", autouse=True)
def settings(encoder_cache: Path) -> Iterator[None]:
    """For each module, so that nothing of it reaches other folders. No exploration: results are certain."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HONEYGUIDE_VECTOR_CACHE_DIR", str(encoder_cache))
        patch.setenv("HONEYGUIDE_ORCHESTRATOR_EXPLORATION_SHARE", "0")
        patch.setenv("HONEYGUIDE_ORCHESTRATOR_EXPLORATION_SHARE_KNOWN", "0")
        patch.setenv("HONEYGUIDE_ORCHESTRATOR_SWAP_SHARE", "0")
        yield
