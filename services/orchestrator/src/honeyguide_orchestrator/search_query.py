"""One search, as the domain knows it."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.documents import Context, Filter


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One search, checked. `policy` and `ranker` are empty for the live ones. `full`: with provenance and the decision.
    `ids_only`: without the documents, but for their ids and types. `patience_s`: seconds from its begin after which
    whoever searches waits no longer, None = as long as it takes."""

    text: str
    context: Context
    filter: Filter
    page_size: int = 10
    page_token: str = ""
    full: bool = False
    ids_only: bool = False
    policy: str = ""
    ranker: str = ""
    tracked: bool = True
    patience_s: float | None = None
