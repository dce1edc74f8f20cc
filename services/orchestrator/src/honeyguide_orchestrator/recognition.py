"""What the catalogue recognises in a query, asked of the lexical service, cached, and done without when it fails."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from honeyguide.api.lexical.v1 import lexical_pb2 as pb
from honeyguide.errors import HoneyguideError
from honeyguide.query import Span, span_from_proto

log = structlog.get_logger("honeyguide.orchestrator.recognition")

LOG_EVERY_S = 30.0
FAILURES_TOLERATED = 3
PAUSE_S = 1.0


class SpanService(Protocol):
    """The part of `honeyguide.lexical.v1.LexicalService` that is used here."""

    def RecognizeSpans(self, request: pb.RecognizeSpansRequest, timeout: float) -> Awaitable[pb.RecognizeSpansResponse]:
        """Finds the spans of a query that name something in the catalogue."""
        ...


@dataclass(frozen=True, slots=True)
class Recognition:
    """What the catalogue recognised: spans, and per word its corrected form and inverse document frequency (nats)."""

    spans: tuple[Span, ...] = ()
    corrected_words: tuple[str, ...] = ()
    idfs: tuple[float, ...] = ()


class Recognizer:
    """Asks the lexical service, remembers its answers for a while, and answers None when it fails or is late.

    After `FAILURES_TOLERATED` failures in a row it is left alone for `PAUSE_S`, so that searches do not all wait for
    the time-out.

    Args:
        lexical: the service, remote or in process.
        clock: seconds; only differences matter.
        timeout_s: how long a search waits.
        cache_size: queries remembered, the least recently asked leave first.
        cache_ttl_s: seconds after which a query is asked again, for the catalogue changes.
    """

    def __init__(
        self,
        lexical: SpanService,
        clock: Callable[[], float],
        timeout_s: float = 0.05,
        cache_size: int = 10_000,
        cache_ttl_s: float = 10.0,
    ) -> None:
        self._lexical = lexical
        self._clock = clock
        self._timeout_s = timeout_s
        self._cache_size = cache_size
        self._cache_ttl_s = cache_ttl_s
        self._cache: OrderedDict[str, tuple[float, Recognition]] = OrderedDict()
        self._failures = 0
        self._resume_at_s = 0.0
        self._logged_at_s: float | None = None

    async def recognize(self, normalized_query: str, limit_s: float = math.inf) -> Recognition | None:
        """What is recognised in a normalised query; None = the lexical service failed, was late or is left alone.

        limit_s: seconds that this search waits, where that is less than others do.
        """
        now_s = self._clock()
        cached = self._cache.get(normalized_query)
        if cached is not None and 0 <= now_s - cached[0] < self._cache_ttl_s:
            self._cache.move_to_end(normalized_query)
            return cached[1]
        if self._failures >= FAILURES_TOLERATED and now_s < self._resume_at_s:
            return None
        try:
            response = await self._lexical.RecognizeSpans(
                pb.RecognizeSpansRequest(normalized_query=normalized_query), timeout=min(self._timeout_s, limit_s)
            )
        except HoneyguideError as error:
            self._failed(error.message)
            return None
        self._failures = 0
        recognition = Recognition(
            tuple(span_from_proto(span) for span in response.spans),
            tuple(response.corrected_words),
            tuple(response.idfs),
        )
        self._cache[normalized_query] = (now_s, recognition)
        self._cache.move_to_end(normalized_query)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return recognition

    def _failed(self, message: str) -> None:
        now_s = self._clock()
        self._failures += 1
        self._resume_at_s = now_s + PAUSE_S
        if self._logged_at_s is None or now_s - self._logged_at_s >= LOG_EVERY_S:
            self._logged_at_s = now_s
            log.warning("queries are not understood: lexical service fails", error=message, failures=self._failures)
