"""The catalogue's configuration last set from this folder: what another one, inferred from another file, would change.

The API takes a configuration and does not give it back.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from honeyguide_standalone.catalog import Catalog

FILE_NAME = "last_catalog.json"


def write_last_catalog(folder: Path, destination: str, catalog: Catalog) -> None:
    """Remembers, atomically, what was set on the system of this name."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{FILE_NAME}.partial"
    record = {"destination": destination, "catalog": catalog.model_dump()}
    partial.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(folder / FILE_NAME)


def read_last_catalog(folder: Path, destination: str) -> Catalog | None:
    """What was set last, None if that is not known or was on another system."""
    try:
        record = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        return Catalog.model_validate(record["catalog"]) if record["destination"] == destination else None
    except (OSError, ValueError, TypeError, KeyError, ValidationError):
        return None
