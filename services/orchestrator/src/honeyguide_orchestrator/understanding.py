"""Query understanding: what a query may mean, from the catalogue itself and from what people chose before."""

from __future__ import annotations

import math
from collections.abc import Callable

from honeyguide.query import Understanding
from honeyguide.text import normalize
from honeyguide_orchestrator.catalog_facts import CatalogFacts
from honeyguide_orchestrator.interpretation import QueryWords, interpret, parts_of_quantities, parts_of_spans
from honeyguide_orchestrator.language import language
from honeyguide_orchestrator.likelihood import Likelihoods
from honeyguide_orchestrator.quantities import find_quantities
from honeyguide_orchestrator.recognition import Recognition, Recognizer

WORDS_MAX = 32  # words of a query that are looked up and interpreted; the rest is text
TEXT = "text"


class Understander:
    """Understands queries; never fails one.

    Args:
        recognizer: finds spans of the query in the catalogue.
        facts: tells the catalogue's numeric attributes and size; asked at every query, so it must be cheap.
        clock: seconds since 1970-01-01, for searches that give no time.
    """

    def __init__(self, recognizer: Recognizer, facts: Callable[[], CatalogFacts], clock: Callable[[], float]) -> None:
        self._recognizer = recognizer
        self._facts = facts
        self._clock = clock

    async def understand(
        self,
        query: str,
        likelihoods: Likelihoods,
        locale: str = "",
        time_s: float | None = None,
        limit_s: float = math.inf,
    ) -> Understanding:
        """What was understood of a query.

        Args:
            query: as typed; may be empty.
            likelihoods: learned so far.
            locale: BCP 47 tag of whoever asks, may be empty.
            time_s: when the search happens, seconds since 1970-01-01; None = now.
            limit_s: seconds that it may take, where that is less than the recognizer waits.

        When the lexical service is down or late, all that is known is the normalised query and its language.
        """
        normalized = normalize(query)
        typed = tuple(normalized.split())
        if not typed:
            return Understanding(language=language(query, locale))
        recognition = await self._recognizer.recognize(" ".join(typed[:WORDS_MAX]), limit_s)
        if recognition is None:
            return Understanding(normalized, normalized, language(query, locale))
        corrected = _known_words(typed, recognition)
        facts = self._facts()
        quantities = find_quantities(query, self._clock() if time_s is None else time_s)
        parts = parts_of_spans(recognition.spans, corrected, facts) + parts_of_quantities(quantities, corrected, facts)
        interpretations, text_likelihood = interpret(parts, corrected, likelihoods.log_odds)
        best = interpretations[0] if interpretations else None
        understood = best is not None and best.likelihood > text_likelihood
        return Understanding(
            normalized_query=normalized,
            corrected_query=" ".join(corrected.corrected),
            language=language(query, locale),
            intent=best.signature if best is not None and understood else TEXT,
            confidence=best.likelihood if best is not None and understood else text_likelihood,
            spans=recognition.spans,
            interpretations=interpretations,
            idf_max=max(corrected.idfs),
            coverage=_coverage(typed, corrected),
        )


def _known_words(typed: tuple[str, ...], recognition: Recognition) -> QueryWords:
    # The service may look at fewer words than were sent; what does not fit them at all is not trusted.
    corrected, idfs = recognition.corrected_words, recognition.idfs
    if len(corrected) > len(typed) or any(not word or " " in word for word in corrected):
        corrected = ()
    if len(idfs) > len(typed) or not all(math.isfinite(idf) and idf >= 0 for idf in idfs):
        idfs = ()
    return QueryWords(corrected + typed[len(corrected) :], idfs + (0.0,) * (len(typed) - len(idfs)))


def _coverage(typed: tuple[str, ...], words: QueryWords) -> float:
    known = sum(
        idf > 0 and word == corrected for word, corrected, idf in zip(typed, words.corrected, words.idfs, strict=True)
    )
    return known / len(typed)
