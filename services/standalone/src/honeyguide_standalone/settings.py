"""The settings of all parts, read before any of them starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from urllib.parse import urlsplit

from pydantic_settings import BaseSettings

from honeyguide.config import CommonSettings, load, variables_of
from honeyguide.errors import InvalidArgument
from honeyguide_lexical.settings import LexicalSettings
from honeyguide_memory.settings import MemorySettings
from honeyguide_orchestrator.settings import OrchestratorSettings
from honeyguide_vector.settings import VectorSettings

PREFIX = "HONEYGUIDE_"
SERVICES: tuple[type[BaseSettings], ...] = (LexicalSettings, VectorSettings, MemorySettings, OrchestratorSettings)
COMMANDS = ("HONEYGUIDE_DATA_DIR", "HONEYGUIDE_TARGET")
"""What the commands themselves read."""

LIKENESS_MIN = 0.85
"""Share of letters in common (by `difflib`) from which a variable that nobody reads is taken for a misspelt one."""

REDIS_SCHEMES = ("redis", "rediss", "unix")


def load_all(redis_url: str | None, told: Callable[[str], None]) -> CommonSettings:
    """Reads what all parts share, once the settings of every part have been found right.

    A wrong one ends the process as `load` does. `told` hears a line of every variable that looks like a setting and is
    none.

    Raises:
        InvalidArgument: `redis_url` is no address of a Redis, or a policy or ranker is none that there is.
    """
    if redis_url is not None:
        _check_redis_url(redis_url)
    common = load(CommonSettings)
    for settings in SERVICES:
        loaded = load(settings)
        if isinstance(loaded, OrchestratorSettings):
            from honeyguide_orchestrator.names import (
                check_names,  # with scipy: not for commands that only call a system
            )

            check_names(loaded)
    for line in unread(os.environ):
        told(line)
    return common


def unread(variables: Iterable[str]) -> Iterator[str]:
    """A line for each variable that looks like a setting of a service, and which no service reads."""
    read = set(COMMANDS)
    parts: tuple[type[BaseSettings], ...] = (CommonSettings, *SERVICES)
    for settings in parts:
        read.update(name for names in variables_of(settings).values() for name in names)
    short = [name.removeprefix(PREFIX) for name in read]
    prefixes = tuple(str(settings.model_config.get("env_prefix")) for settings in SERVICES)
    for name in sorted({variable.upper() for variable in variables} - read):
        if name.startswith(PREFIX):
            like = get_close_matches(name.removeprefix(PREFIX), short, 1, LIKENESS_MIN)
            if like or name.startswith(prefixes):
                yield f"{name} is no setting, and ignored" + (f"; did you mean {PREFIX}{like[0]}?" if like else "")


def _check_redis_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        known = parts.scheme in REDIS_SCHEMES and parts.port != 0
    except ValueError:  # a port that is no number
        known = False
    if not known:  # without the address, which may hold a password
        raise InvalidArgument("--redis-url", "is no address such as redis://127.0.0.1:6379/0, rediss:// or unix://")
