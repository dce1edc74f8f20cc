from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide_lexical import snippets
from honeyguide_lexical.analysis import Analysis
from honeyguide_lexical.snippets import Snippets

WORDS = st.sampled_from(
    ["dying", "die", "runs", "Running", "ran", "the", "lying", "cats", "cat's", "x_y", "skies", "a"]
)


@settings(max_examples=60, deadline=None)
@given(text=st.lists(WORDS, max_size=120).map(" ".join), query=st.lists(WORDS, min_size=1, max_size=4).map(" ".join))
def test_looking_at_likely_words_only_finds_the_same(text: str, query: str) -> None:
    made = Snippets(Analysis("en"))
    terms = made.terms(query)
    quick = made.snippet(text, terms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snippets, "_beginning_with", lambda beginnings: snippets._WORD)
        assert made.snippet(text, terms) == quick
