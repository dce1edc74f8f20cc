"""The `Understander` against a service that recognises spans by the contract of lexical.proto."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.api.lexical.v1 import lexical_pb2 as pb
from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.client import in_process
from honeyguide.errors import Unavailable
from honeyguide.query import understanding_from_proto, understanding_to_proto
from honeyguide.text import NORMALIZED_CHARS_MAX, normalize
from honeyguide_orchestrator.catalog_facts import CatalogFacts, NumericAttribute
from honeyguide_orchestrator.language import language, script, shape
from honeyguide_orchestrator.likelihood import Likelihoods
from honeyguide_orchestrator.recognition import Recognizer
from honeyguide_orchestrator.understanding import Understander

FACTS = CatalogFacts((NumericAttribute("year", low=1900, high=2026, count=1_000),), 1_000)


class NamesServicer:
    """Recognises exact names of a small catalogue, and corrects the words it is told to."""

    def __init__(self, names: Mapping[str, list[document_pb2.SpanReading]], corrections: Mapping[str, str]) -> None:
        self.names = names
        self.corrections = corrections
        self.calls: list[str] = []
        self.failure: Exception | None = None
        self.delay_s = 0.0

    async def RecognizeSpans(self, request: pb.RecognizeSpansRequest, context: object) -> pb.RecognizeSpansResponse:
        self.calls.append(request.normalized_query)
        if self.failure is not None:
            raise self.failure
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        typed = request.normalized_query.split(" ")
        words = [self.corrections.get(word, word) for word in typed]
        response = pb.RecognizeSpansResponse(corrected_words=words)
        known = {word for name in self.names for word in name.split(" ")}
        response.idfs.extend(6.0 if word in known else 0.0 for word in words)
        for begin in range(len(words)):
            for end in range(begin + 1, min(begin + 5, len(words)) + 1):
                for reading in self.names.get(" ".join(words[begin:end]), ()):
                    span = response.spans.add(begin=begin, end=end)
                    span.readings.append(reading)
        return response


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s


def servicer() -> NamesServicer:
    reading = document_pb2.SpanReading
    return NamesServicer(
        {
            "taylor love": [reading(type="person", value="Taylor Love", document_count=1, document_ids=["p"], edits=1)],
            "thriller": [reading(attribute="genre", value="thriller", document_count=300)],
            "film": [reading(type="film", value="film")],
        },
        {"tayler": "taylor"},
    )


def understander(service: NamesServicer, clock: Clock, **options: float) -> Understander:
    recognizer = Recognizer(in_process(service), clock, **options)  # type: ignore[arg-type]
    return Understander(recognizer, lambda: FACTS, clock)


async def test_a_query_is_understood_from_the_catalogue() -> None:
    service = servicer()
    understood = await understander(service, Clock()).understand("Thriller FILM, the 90s!", Likelihoods(), "en-GB")
    assert understood.normalized_query == "thriller film the 90s"
    assert understood.corrected_query == understood.normalized_query
    assert understood.intent == "attribute:genre+range:year+type:film"
    assert understood.confidence == understood.interpretations[0].likelihood > 0.5
    best = understood.interpretations[0]
    assert best.types == ("film",)
    assert best.rest == "the"
    assert understood.language == "en"
    assert understood.idf_max == 6.0
    assert understood.coverage == 0.5
    assert understanding_from_proto(understanding_to_proto(understood)) == understood


async def test_misspellings_are_corrected_and_lower_coverage() -> None:
    understood = await understander(servicer(), Clock()).understand("tayler love", Likelihoods())
    assert understood.corrected_query == "taylor love"
    assert understood.coverage == 0.5
    assert understood.interpretations[0].document_ids == ("p",)
    assert understood.intent == "title:person"


async def test_nothing_recognised_is_text() -> None:
    understood = await understander(servicer(), Clock()).understand("zebra crossing", Likelihoods())
    assert understood.intent == "text"
    assert understood.confidence == 1.0
    assert understood.interpretations == ()


async def test_an_empty_query_asks_nobody() -> None:
    service = servicer()
    for query in ("", " \t", "?!"):
        assert (await understander(service, Clock()).understand(query, Likelihoods())).interpretations == ()
    assert service.calls == []


async def test_answers_are_remembered_for_a_while_and_likelihoods_weighed_afresh() -> None:
    service, clock = servicer(), Clock()
    subject = understander(service, clock, cache_size=2, cache_ttl_s=10)
    first = await subject.understand("thriller", Likelihoods())
    never = Likelihoods({"attribute:genre": (0.0, 1_000.0)})
    second = await subject.understand("Thriller?", never)
    assert service.calls == ["thriller"]
    assert second.confidence != first.confidence
    assert second.intent == "text"
    clock.now_s += 10
    await subject.understand("thriller", never)
    assert len(service.calls) == 2
    await subject.understand("a", never)
    await subject.understand("thriller", never)
    await subject.understand("b", never)
    await subject.understand("thriller", never)
    assert service.calls == ["thriller", "thriller", "a", "b"]
    await subject.understand("a", never)
    assert service.calls[-1] == "a"


async def test_without_the_lexical_service_the_query_is_still_normalised() -> None:
    service, clock = servicer(), Clock()
    subject = understander(service, clock)
    service.failure = Unavailable("gone")
    for _ in range(10):
        understood = await subject.understand("Thriller 1994", Likelihoods(), "de")
        assert understood.normalized_query == understood.corrected_query == "thriller 1994"
        assert understood.language == "de"
        assert understood.interpretations == ()
    assert len(service.calls) == 3  # then it is left alone
    service.failure = None
    clock.now_s += 1
    assert (await subject.understand("Thriller 1994", Likelihoods())).interpretations
    service.failure = ValueError("a bug")
    assert (await subject.understand("thriller", Likelihoods())).interpretations == ()


async def test_a_late_lexical_service_does_not_hold_the_search_up() -> None:
    service = servicer()
    service.delay_s = 5.0
    begin = asyncio.get_running_loop().time()
    understood = await understander(service, Clock(), timeout_s=0.02).understand("thriller", Likelihoods())
    assert asyncio.get_running_loop().time() - begin < 1.0
    assert understood.interpretations == ()


async def test_an_answer_that_does_not_fit_the_query_is_not_trusted() -> None:
    class Odd(NamesServicer):
        async def RecognizeSpans(self, request: pb.RecognizeSpansRequest, context: object) -> pb.RecognizeSpansResponse:
            response = pb.RecognizeSpansResponse(corrected_words=["x", "y", "z"], idfs=[float("nan"), -1])
            response.spans.add(begin=3, end=9).readings.add(type="film", value="Far", document_ids=["f"])
            return response

    understood = await understander(Odd({}, {}), Clock()).understand("one two", Likelihoods())
    assert understood.corrected_query == "one two"
    assert understood.idf_max == 0
    assert understood.interpretations == ()


async def test_only_the_first_words_of_a_long_query_are_looked_up() -> None:
    service = servicer()
    understood = await understander(service, Clock()).understand("word " * 200 + "thriller", Likelihoods())
    assert len(service.calls[0].split()) == 32
    assert understood.normalized_query.endswith("word thriller")
    assert understood.corrected_query == understood.normalized_query


async def test_a_query_that_normalising_expands_is_cut_to_what_memory_takes() -> None:
    for query in ("ﷺ" * 2_000, "ﷺ " * 1_000 + "film 90s"):
        understood = await understander(servicer(), Clock()).understand(query, Likelihoods())
        assert understood.normalized_query == normalize(query)
        assert 1_990 < len(understood.normalized_query) <= NORMALIZED_CHARS_MAX


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
async def test_no_text_makes_it_fail(query: str) -> None:
    understood = await understander(servicer(), Clock()).understand(query + " film 90s", Likelihoods(), query)
    assert len(understood.interpretations) <= 8
    assert sum(i.likelihood for i in understood.interpretations) <= 1 + 1e-9
    assert 0 <= understood.confidence <= 1
    assert 0 <= understood.coverage <= 1
    understanding_from_proto(understanding_to_proto(understood))


@pytest.mark.parametrize(
    ("text", "locale", "expected"),
    [
        ("halo", "en-GB", "en"),
        ("halo", "", ""),
        ("halo", "ja-JP", ""),
        ("война и мир", "ru_RU", "ru"),
        ("война и мир", "en-US", ""),
        ("기생충", "en-US", "ko"),
        ("千と千尋の神隠し", "", "ja"),
        ("卧虎藏龙", "zh-Hans-CN", "zh"),
        ("1994", "fr", "fr"),
        ("halo", "x", ""),
    ],
)
def test_language_comes_from_script_and_locale(text: str, locale: str, expected: str) -> None:
    assert language(text, locale) == expected


def test_shape() -> None:
    assert script("abc") == "latin"
    assert script("é") == "latin"
    assert script("αβγ abc δ") == "greek"
    assert script("123 !") == ""
    seen = shape("what's on at 9؟")
    assert (seen.word_count, seen.has_digits, seen.is_question, seen.script) == (5, True, True, "latin")
    assert not shape("heat").is_question
