"""The last search made from this folder: what `honeyguide click 3` refers to, and `--page 2` continues."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from honeyguide.errors import FailedPrecondition, InvalidArgument

FILE_NAME = "last_search.json"


@dataclass(frozen=True, slots=True)
class LastResult:
    """One result: its position over all pages, from 1, and its document."""

    position: int
    document_id: str
    title: str


@dataclass(frozen=True, slots=True)
class LastSearch:
    """One search, and the page that was shown of it.

    asked: all that the results depend on, in plain values. page_tokens: of the pages after the first, as far as known.
    """

    query: str
    decision_id: str
    user_id: str
    session_id: str
    results: list[LastResult]
    asked: Mapping[str, object]
    page_tokens: list[str]

    def write(self, folder: Path) -> None:
        """Remembers it, atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{FILE_NAME}.partial"
        partial.write_text(json.dumps(asdict(self), ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(folder / FILE_NAME)

    def result(self, position: int) -> LastResult:
        """The result at a position. Raises InvalidArgument with those there are."""
        for result in self.results:
            if result.position == position:
                return result
        if not self.results:
            raise InvalidArgument("result", f"the last search, {self.query!r}, found nothing")
        first, last = self.results[0].position, self.results[-1].position
        raise InvalidArgument("result", f"{position} was not shown; the last search showed {first} to {last}")


def known_page_tokens(folder: Path, asked: Mapping[str, object]) -> list[str]:
    """Page tokens of the last search, if it asked the very same; else none."""
    try:
        last = read_last_search(folder)
    except FailedPrecondition:
        return []
    return last.page_tokens if last.asked == asked else []


def read_last_search(folder: Path) -> LastSearch:
    """The last search. Raises FailedPrecondition if there was none."""
    try:
        record = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        return LastSearch(**{**record, "results": [LastResult(**result) for result in record["results"]]})
    except (OSError, ValueError, TypeError, KeyError):
        raise FailedPrecondition('no search was made yet; make one with `honeyguide search "..."`') from None
