"""A snippet against its plain definition: the words that a pattern finds, each stemmed by itself."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide_lexical.analysis import Analysis
from honeyguide_lexical.snippets import SNIPPET_CHARS, TEXT_CHARS_READ_MAX, Snippets, codes_of

WORD = re.compile(r"(?<![^\W_])[^\W_]+")
WORDS = st.sampled_from(
    [
        *("dying", "die", "runs", "Running", "ran", "the", "lying", "cats", "cat's", "x_y", "skies", "a", "&", "<b>"),
        *("\n", "İstanbul", "ﬁsh", "Straße", "½x", "映画", "cafe\N{COMBINING ACUTE ACCENT}", "x" * 250),
        "\N{MATHEMATICAL FRAKTUR SMALL P}ear",
    ]
)
ANALYSIS = Analysis("en")
SNIPPETS = Snippets(ANALYSIS)


def plain_snippet(text: str, terms: frozenset[str]) -> str:
    text = text[:TEXT_CHARS_READ_MAX]
    words = [(m.start(), m.end(), ANALYSIS.stem(m[0])) for m in WORD.finditer(text)]
    marks = [word for word in words if word[2] in terms]
    if not marks:
        return ""
    windows = []
    for last in range(len(marks)):
        first = next(i for i in range(last + 1) if i == last or marks[last][1] - marks[i][0] <= SNIPPET_CHARS)
        windows.append((len({stem for _, _, stem in marks[first : last + 1]}), last - first + 1, -last))
    _, count, last = max(windows)
    marks = marks[-last - count + 1 : -last + 1]
    low = max(0, marks[0][0] - max(0, SNIPPET_CHARS - (marks[-1][1] - marks[0][0])) // 2)
    high = low + max(SNIPPET_CHARS, marks[-1][1] - low)
    begin = next(b for b, _, _ in words if b >= low) if low > 0 else 0
    end = next(e for _, e, _ in reversed(words) if e <= high) if high < len(text) else len(text)
    made = "… " if begin > 0 else ""
    for mark_begin, mark_end, _ in marks:
        made += f"{html.escape(text[begin:mark_begin])}<b>{html.escape(text[mark_begin:mark_end])}</b>"
        begin = mark_end
    return (made + html.escape(text[begin:end]) + (" …" if end < len(text) else "")).replace("\n", " ")


@settings(max_examples=200, deadline=None)
@given(
    text=st.lists(WORDS, max_size=120).map(" ".join) | st.text(max_size=400),
    query=st.lists(WORDS, min_size=1, max_size=4).map(" ".join),
)
def test_a_snippet_is_as_defined(text: str, query: str) -> None:
    text = re.sub("[\x02\x03]", "", text)
    terms = SNIPPETS.terms(query)
    assert SNIPPETS.snippet(SNIPPETS.read(text), codes_of(terms)) == plain_snippet(text, terms)


@pytest.mark.parametrize("text", ["pear " * 6_000, "apple " * 3_333 + "pear pear", "pear" + " " * 30_000 + "pear"])
def test_only_the_beginning_of_a_long_text_is_read(text: str) -> None:
    terms = SNIPPETS.terms("pear")
    assert SNIPPETS.snippet(SNIPPETS.read(text), codes_of(terms)) == plain_snippet(text, terms)
