import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.documents import Condition, Filter
from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.page_token import PageToken, PageTokens, scope_of

TOKENS = PageTokens(b"secret")


def test_what_was_written_is_read() -> None:
    token = PageToken("d1", 20, "abc")
    assert TOKENS.read(TOKENS.write(token)) == token


@given(st.text(max_size=200))
def test_what_was_not_written_here_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="page_token"):
        TOKENS.read(text)


def test_a_token_of_another_secret_or_a_changed_one_is_refused() -> None:
    text = PageTokens(b"other").write(PageToken("d1", 20, "abc"))
    with pytest.raises(InvalidArgument):
        TOKENS.read(text)
    good = TOKENS.write(PageToken("d1", 20, "abc"))
    with pytest.raises(InvalidArgument):
        TOKENS.read(good[:-4] + ("AAAA" if not good.endswith("AAAA") else "BBBB"))


def test_the_scope_is_query_and_filter() -> None:
    everything = Filter()
    drama = Filter(conditions=(Condition("genre", frozenset(["drama"])),))
    assert scope_of("halo", everything) == scope_of("halo", Filter())
    assert len({scope_of("halo", everything), scope_of("halo", drama), scope_of("hallo", everything)}) == 3
