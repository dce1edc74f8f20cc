"""Fetching with snippets, and completion."""

from __future__ import annotations

import pytest

from honeyguide.api.lexical.v1 import lexical_pb2
from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import Document
from honeyguide.errors import InvalidArgument
from honeyguide_lexical.analysis import Analysis
from honeyguide_lexical.snippets import SNIPPET_CHARS, Snippets, codes_of


async def test_documents_come_in_the_order_asked_and_unknown_ones_are_left_out(client) -> None:
    assert [f.document.id for f in await client.fetch("t1", "nope", "f1", "p2")] == ["t1", "f1", "p2"]


async def test_long_texts_are_cut_between_characters_and_that_is_told(client) -> None:
    await client.put(Document("x", "film", "X", "äbc" * 10 + " rebel"), Document("y", "film", "Y", "short"))
    [x, y] = await client.fetch("x", "y", query="rebel", text_bytes_max=9)
    assert (x.document.text, x.text_cut, x.snippet.endswith("<b>rebel</b>")) == ("äbcäbc", True, True)
    assert (y.document.text, y.text_cut) == ("short", False)
    [x] = await client.fetch("x")
    assert (len(x.document.text), x.text_cut) == (36, False)


async def test_snippets_mark_stems_and_escape_html(client) -> None:
    await client.put(Document("x", "film", "X", 'He said <script>alert("rebel")</script> & the rebels\' rebellion.'))
    [fetched] = await client.fetch("x", query="REBEL script")
    assert fetched.snippet == (
        "He said &lt;<b>script</b>&gt;alert(&quot;<b>rebel</b>&quot;)&lt;/<b>script</b>&gt; &amp; "
        "the <b>rebels</b>&#x27; rebellion."
    )


async def test_no_query_or_no_match_gives_no_snippet(client) -> None:
    assert [f.snippet for f in await client.fetch("f1", "f2")] == ["", ""]
    assert [f.snippet for f in await client.fetch("f1", query="waitress")] == [""]


async def test_words_of_most_documents_are_marked_only_if_there_are_no_others(client) -> None:
    for i in range(40):
        await client.put(Document(f"x{i}", "film", "X", f"The film of the year {'pear' if i % 2 else 'plum'}."))
    [fetched] = await client.fetch("x1", query="the film of the pear")
    assert fetched.snippet == "The film of the year <b>pear</b>."
    [fetched] = await client.fetch("x1", query="the film")
    assert fetched.snippet == "<b>The</b> <b>film</b> of <b>the</b> year pear."


def test_the_snippet_is_where_most_words_are() -> None:
    snippets = Snippets(Analysis("en"))
    text = "apple " + "filler words here " * 60 + "an apple and a pear together " + "more filler " * 60 + "pear"
    snippet = snippets.snippet(snippets.read(text), codes_of(snippets.terms("apple pear")))
    assert "an <b>apple</b> and a <b>pear</b> together" in snippet
    assert snippet.startswith("… ")
    assert snippet.endswith(" …")
    assert len(snippet.replace("<b>", "").replace("</b>", "")) <= SNIPPET_CHARS + 4


@pytest.mark.parametrize(
    ("text", "query", "snippet"),
    [
        ("Un cafe\u0301 noir", "café", "Un <b>caf\u00e9</b> noir"),
        ("Une e\u0301tude", "etude", "Une <b>\u00e9tude</b>"),
        ("A x\u0304y here", "xy", "A <b>x\u0304y</b> here"),
        ("यह हिन्दी किताब", "किताब हिन्दी", "यह <b>हिन्दी</b> <b>किताब</b>"),
    ],
)
def test_a_mark_stays_in_its_word(text: str, query: str, snippet: str) -> None:
    snippets = Snippets(Analysis("en"))
    assert snippets.snippet(snippets.read(text), codes_of(snippets.terms(query))) == snippet


@pytest.mark.parametrize(
    "text", ["a" * 5_000, "pear" * 900, "é" * 300 + " pear", "pear", " pear\n", "\U0001d52dear pear " * 200]
)
def test_odd_texts_give_bounded_snippets(text: str) -> None:
    snippets = Snippets(Analysis("en"))
    snippet = snippets.snippet(snippets.read(text), codes_of(snippets.terms("pear")))
    assert len(snippet.replace("<b>", "").replace("</b>", "")) <= max(SNIPPET_CHARS, 300) + 8


async def test_titles_complete_by_popularity(client) -> None:
    assert await client.complete("love") == ["Love", "Love Story", "Love Actually", "Lover", "Crazy in Love"]
    assert await client.complete("love a") == ["Love Actually"]
    assert await client.complete("ame") == ["Amélie"]
    assert await client.complete("AMÉ") == ["Amélie"]
    assert await client.complete("spider-m") == ["Spider-Man"]
    assert (await client.complete("t", limit=1)) == ["Taylor Swift"]
    assert await client.complete("") == []
    assert await client.complete("-") == []


@pytest.mark.parametrize(
    ("prefix", "titles"),
    [
        ("taylro", ["Taylor Swift", "Elizabeth Taylor"]),
        ("tailor swi", ["Taylor Swift"]),
        ("taylor swfi", ["Taylor Swift"]),
        ("taylor swfit ", ["Taylor Swift"]),
        ("taylor siwftly", []),  # too far
        ("tl", []),  # too short to tell
        ("stroy", ["Love Story"]),
        ("lover", ["Lover"]),  # and none of one edit less, as nothing is misspelt
    ],
)
async def test_a_misspelt_prefix_is_completed_where_nothing_else_is(client, prefix: str, titles: list[str]) -> None:
    assert await client.complete(prefix) == titles


@pytest.mark.parametrize("prefix", ["øde", "ode", "ØDEG", "martin øde", "martin ødegaard", "Martin Odegaard"])
async def test_letters_complete_in_every_form(client, prefix: str) -> None:
    await client.put(Document("o", "person", "Martin Ødegaard", popularity=5))
    assert await client.complete(prefix) == ["Martin Ødegaard"]


async def test_a_title_that_begins_with_the_prefix_counts_more_in_every_form_of_its_letters(client) -> None:
    await client.put(Document("b", "film", "Æon Flux", popularity=5), Document("i", "film", "The Æon", popularity=7))
    for prefix in ("æo", "aeo"):
        assert await client.complete(prefix) == ["Æon Flux", "The Æon"]
    for prefix in ("æon flux", "aeon flux"):
        request = lexical_pb2.CompleteTitlesRequest(prefix=prefix, limit=1)
        assert (await client.lexical.CompleteTitles(request)).completions[0].score == 1.0


async def test_completion_honours_the_filter(client) -> None:
    assert await client.complete("lov", filter=document_pb2.Filter(types=["track"])) == [
        "Love Story",
        "Lover",
        "Crazy in Love",
    ]


async def test_an_exact_title_is_completed_however_unpopular(client) -> None:
    await client.put(*(Document(f"l{i}", "film", f"Love {i}", popularity=1_000.0) for i in range(200)))
    assert (await client.complete("love", limit=3))[0] == "Love"


async def test_of_titles_that_nobody_knows_the_shortest_are_completed_first(client) -> None:
    chargers = [Document(f"c{i}", "product", f"Samsung Car Charger Number {i} in Black") for i in range(300)]
    cases = [Document(f"d{i}", "product", f"Case for Samsung Phones Number {i}") for i in range(300)]
    brand = [Document("b", "brand", "Samsung"), Document("s", "series", "Samsung Galaxy")]
    await client.put(*chargers[:150], *cases, *brand, *chargers[150:])
    for prefix in ("s", "sams", "samsung"):
        found = await client.complete(prefix, limit=8)
        assert [title for title in found if "Samsung" in title][:2] == ["Samsung", "Samsung Galaxy"]
    assert (await client.complete("samsung g", limit=1)) == ["Samsung Galaxy"]
    assert (await client.complete("sams", filter=document_pb2.Filter(types=["series"]))) == ["Samsung Galaxy"]
    await client.put(Document("p", "product", "Samsung Washing Machine with Dryer", popularity=1))
    assert (await client.complete("sams", limit=2)) == ["Samsung Washing Machine with Dryer", "Samsung"]


async def test_scores_lie_in_0_to_1_best_first(client) -> None:
    response = await client.lexical.CompleteTitles(lexical_pb2.CompleteTitlesRequest(prefix="l", limit=10))
    scores = [c.score for c in response.completions]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


@pytest.mark.parametrize("limit", [0, 51])
async def test_the_limit_is_checked(client, limit: int) -> None:
    with pytest.raises(InvalidArgument, match="limit"):
        await client.complete("a", limit=limit)


async def test_too_many_ids_are_refused(client) -> None:
    with pytest.raises(InvalidArgument, match="document_ids"):
        await client.fetch(*map(str, range(1_001)))
