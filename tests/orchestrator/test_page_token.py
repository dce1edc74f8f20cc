import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.documents import Condition, Filter
from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.page_token import PageToken, PageTokens, scope_of

TOKENS = PageTokens(b"secret")


async def test_what_was_written_is_read() -> None:
    token = PageToken("d1", 20, "abc")
    assert await TOKENS.read(TOKENS.write(token)) == token


@given(st.text(max_size=200))
async def test_what_was_not_written_here_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="page_token"):
        await TOKENS.read(text)


async def test_a_token_of_another_secret_or_a_changed_one_is_refused() -> None:
    text = PageTokens(b"other").write(PageToken("d1", 20, "abc"))
    with pytest.raises(InvalidArgument):
        await TOKENS.read(text)
    good = TOKENS.write(PageToken("d1", 20, "abc"))
    with pytest.raises(InvalidArgument):
        await TOKENS.read(good[:-4] + ("AAAA" if not good.endswith("AAAA") else "BBBB"))


async def test_replicas_agree_again_after_the_shared_secret_was_lost() -> None:
    shared: list[bytes] = []

    async def share(ours: bytes) -> bytes:
        if not shared:
            shared.append(ours)
        return shared[0]

    token = PageToken("d1", 20, "abc")
    first, second = PageTokens(b"first", share), PageTokens(b"second", share)
    await first.agree()
    await second.agree()
    assert await second.read(first.write(token)) == token

    shared.clear()
    third = PageTokens(b"third", share)
    await first.agree()  # as it does again and again: what all have comes back
    await third.agree()
    assert await third.read(second.write(token)) == token

    shared[:] = [b"other"]
    fourth = PageTokens(b"fourth", share)
    await fourth.agree()
    assert await first.read(fourth.write(token)) == token
    assert await fourth.read(first.write(token)) == token


def test_the_scope_is_query_and_filter() -> None:
    everything = Filter()
    drama = Filter(conditions=(Condition("genre", frozenset(["drama"])),))
    assert scope_of("halo", everything) == scope_of("halo", Filter())
    assert len({scope_of("halo", everything), scope_of("halo", drama), scope_of("hallo", everything)}) == 3
