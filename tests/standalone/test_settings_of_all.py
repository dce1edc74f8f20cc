"""Variables that look like settings and are none."""

from __future__ import annotations

import pytest

from honeyguide_standalone.settings import unread


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("HONEYGUIDE_ORCHESTRATOR_POLCY", "did you mean HONEYGUIDE_ORCHESTRATOR_POLICY?"),
        ("honeyguide_lexical_prot", "did you mean HONEYGUIDE_LEXICAL_PORT?"),
        ("HONEYGUIDE_MEMORY_COLOUR", "HONEYGUIDE_MEMORY_COLOUR is no setting, and ignored"),
        ("HONEYGUIDE_LOGLEVEL", "did you mean HONEYGUIDE_LOG_LEVEL?"),
        ("HONEYGUIDE_TOKN", "did you mean HONEYGUIDE_TOKEN?"),
    ],
)
def test_a_misspelt_one_is_named(variable: str, told: str) -> None:
    (line,) = unread([variable])
    assert line.endswith(told)
    assert "\n" not in line


@pytest.mark.parametrize(
    "variable",
    [
        "HONEYGUIDE_REDIS_URL",
        "HONEYGUIDE_MEMORY_REDIS_URL",
        "HONEYGUIDE_DATA_DIR",
        "HONEYGUIDE_TARGET",
        "honeyguide_orchestrator_policy",
        "HONEYGUIDE_EDITORS_PORT",  # of a strategy of one's own
        "HONEYGUIDE_COLLECTIONS",
        "PATH",
    ],
)
def test_others_are_left_alone(variable: str) -> None:
    assert list(unread([variable])) == []
