"""The catalogue, query understanding and suggestions with the real lexical service behind them."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import Any

from honeyguide.api.memory.v1 import memory_pb2
from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2
from honeyguide.client import in_process
from honeyguide.documents import Condition, Context, Filter, document_from_proto
from honeyguide.query import Interpretation, RetrievalQuery, Understanding, query_to_proto
from honeyguide.redis_store import RedisStore
from honeyguide_lexical.service import open_service
from honeyguide_lexical.settings import LexicalSettings
from honeyguide_orchestrator.catalog import Catalog
from honeyguide_orchestrator.catalog_store import CatalogStore
from honeyguide_orchestrator.catalog_watch import CatalogWatch
from honeyguide_orchestrator.likelihood import Likelihoods, satisfied
from honeyguide_orchestrator.recognition import Recognizer
from honeyguide_orchestrator.suggest import Suggester
from honeyguide_orchestrator.understanding import Understander

FILMS = [
    ("Pulp Fiction", 1994, ["Quentin Tarantino"], ["thriller", "crime"]),
    ("Jackie Brown", 1997, ["Quentin Tarantino"], ["crime"]),
    ("Speed", 1994, ["Jan de Bont"], ["thriller"]),
    ("Dune", 1984, ["David Lynch"], ["science fiction"]),
    ("Dune", 2021, ["Denis Villeneuve"], ["science fiction"]),
    ("Arrival", 2016, ["Denis Villeneuve"], ["science fiction"]),
    ("Love", 2015, ["Gaspar Noé"], ["drama"]),
]


class NoQueries:
    """A memory that remembers no query yet."""

    async def CompleteQueries(self, request: object, context: object) -> memory_pb2.CompleteQueriesResponse:
        return memory_pb2.CompleteQueriesResponse()


def documents() -> list[document_pb2.Document]:
    found = []
    for i, (title, year, directors, genres) in enumerate(FILMS):
        film = document_pb2.Document(id=f"f{i}", type="film", title=title, popularity=10 - i)
        film.attributes["year"].values.add(number=year)
        for name in directors:
            film.attributes["director"].values.add(text=name)
        for name in genres:
            film.attributes["genre"].values.add(text=name)
        found.append(film)
    for name in sorted({name for _, _, directors, _ in FILMS for name in directors}):
        found.append(document_pb2.Document(id=name, type="person", title=name))
    found.append(document_pb2.Document(id="band", type="band", title="Love"))
    # Enough of a catalogue that a word of a name is rare in it.
    for i in range(300):
        film = document_pb2.Document(id=f"x{i}", type="film", title=f"Untold story number {i + 2_000}")
        film.attributes["year"].values.add(number=1920 + i % 100)
        film.attributes["genre"].values.add(text=f"kind{i % 7}")
        found.append(film)
    return found


async def test_from_documents_to_understanding(store: RedisStore, key_prefix: str, tmp_path: Path) -> None:
    async with open_service(LexicalSettings(data_dir=tmp_path, commit_interval_s=0.05)) as registrations:
        stubs = {r.name: in_process(r.servicer) for r in registrations}
        lexical = stubs["honeyguide.lexical.v1.LexicalService"]
        kept = CatalogStore(store, key_prefix)
        catalog = Catalog({"lexical": stubs["honeyguide.retrieval.v1.IndexingService"]}, lexical, kept)
        year = indexing_pb2.AttributeConfiguration(name="year", kind=indexing_pb2.ATTRIBUTE_KIND_NUMBER)
        await catalog.configure(indexing_pb2.CatalogConfiguration(attributes=[year]))
        catalogued = documents()
        assert (await catalog.upsert(catalogued)).count == len(catalogued)
        assert (await catalog.get_document("f0")).title == "Pulp Fiction"
        await _until_recognised(lexical, "arrival")
        watch = CatalogWatch(catalog, kept, time.monotonic)
        await watch.refresh()
        assert watch.facts().document_count == len(catalogued)
        assert watch.facts().numeric[0].low == 1920
        understander = Understander(Recognizer(lexical, time.monotonic, timeout_s=5.0), watch.facts, time.time)

        understood = await understander.understand("Quentin Tarantino thriller 1994", Likelihoods())
        assert understood.intent == "attribute:director+attribute:genre+number:year"
        best = understood.interpretations[0]
        assert set(best.conditions) == {
            Condition("director", frozenset(["quentin tarantino"])),
            Condition("genre", frozenset(["thriller"])),
            Condition("year", None, 1994, 1994),
        }
        answers = []
        for message in catalogued:
            document = document_from_proto(message)
            if satisfied(best, document.id, document.type, document.attributes, document.title):
                answers.append(document.id)
        assert answers == ["f0"]

        misspelt = await understander.understand("quentin tarantinno", Likelihoods())
        assert misspelt.corrected_query == "quentin tarantino"
        assert misspelt.intent in ("attribute:director", "title:person")
        assert misspelt.coverage == 0.5

        remake = await understander.understand("dune 2021", Likelihoods())
        assert remake.intent == "number:year+title:film"
        assert set(remake.interpretations[0].document_ids) == {"f3", "f4"}
        assert (await understander.understand("science fiction film 2010-2019", Likelihoods())).intent == (
            "attribute:genre+range:year+type:film"
        )
        assert (await understander.understand("something else", Likelihoods())).intent == "text"
        before = (await understander.understand("science fiction before 2000", Likelihoods())).interpretations[0]
        assert (before.signature, before.rest) == ("attribute:genre+range:year", "")
        retriever = stubs["honeyguide.retrieval.v1.RetrieverService"]
        assert await _structured(retriever, before) == ["f3"]
        of_year, since = (await understander.understand("film from 2016", Likelihoods())).interpretations[:2]
        assert of_year.conditions == (Condition("year", None, 2016, 2016),)
        assert since.conditions == (Condition("year", None, 2016, math.inf),)
        found = await _structured(retriever, of_year, since)
        assert [id for id in found if id.startswith("f")] == ["f5", "f4"]
        assert found.index("x96") < found.index("f4")  # of 2016, though less popular than what came in 2021

        # An ambiguous word means what people choose for it.
        likelihoods = Likelihoods()
        for _ in range(10):
            understood = await understander.understand("love", likelihoods)
            flags = [satisfied(i, "band", "band", {}, "Love") for i in understood.interpretations]
            likelihoods.learn(understood, flags)
        assert (await understander.understand("love", Likelihoods())).interpretations[1].likelihood > 0.1
        assert (await understander.understand("love", likelihoods)).intent == "title:band"

        suggester = Suggester(lexical, in_process(NoQueries()), timeout_s=5.0)
        assert {s.text for s in await suggester.suggest("du")} == {"Dune"}
        people = await suggester.suggest("de", Filter(types=frozenset(["person"])))
        assert [s.text for s in people if s.text.startswith("De")] == ["Denis Villeneuve"]
        assert await suggester.suggest("") == ()

        assert await catalog.delete(["f0", "nobody"]) == 1
        stats = await catalog.stats()
        assert stats["lexical"].document_count == len(catalogued) - 1


async def _structured(retriever: Any, *interpretations: Interpretation) -> list[str]:
    query = RetrievalQuery("", Understanding(interpretations=interpretations), Context(time_s=0.0))
    request = query_to_proto(query)
    request.strategies.add(strategy="lexical.structured", depth=10)
    (result,) = (await retriever.Retrieve(request, timeout=5.0)).results
    return list(result.document_ids)


async def _until_recognised(lexical: object, word: str) -> None:
    recognizer = Recognizer(lexical, time.monotonic, timeout_s=5.0, cache_size=0)  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        while True:
            recognised = await recognizer.recognize(word)
            if recognised is not None and recognised.spans and recognised.idfs[0] > 0:
                return
            await asyncio.sleep(0.02)
