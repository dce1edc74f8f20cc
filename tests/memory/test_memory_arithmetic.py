"""The arithmetic of memory, by hand."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.documents import DAY_S, Document
from honeyguide_memory.grams import gram_slots, nearest, posting
from honeyguide_memory.layout import digest, prediction_id
from honeyguide_memory.lists import newest, trending
from honeyguide_memory.mass import NOTHING, HalfLives, Masses, masses, masses_of_each
from honeyguide_memory.posterior import from_near, from_words, mix, posterior, told
from honeyguide_memory.predict import SCORE_TOP, UNPOPULAR, predict
from honeyguide_memory.recall import spread

LIVES = HalfLives(3 * DAY_S, 42 * DAY_S, 0.5)


def observed(**net: float) -> Masses:
    values = np.array(list(net.values()))
    return Masses([name.encode() for name in net], np.maximum(values, 0), values, values, values, 0 * values)


def test_mass_halves_at_each_half_life() -> None:
    stored = [b"a", struct.pack("<ffffd", 8, 4, 8, 2, 1_000.0)]
    now = masses(stored, 1_000.0, LIVES)
    assert (now.positive[0], now.short[0], now.long[0], now.net[0]) == (8, 4, 6, 5)
    later = masses(stored, 1_000.0 + 42 * DAY_S, LIVES)
    assert later.short[0] == pytest.approx(4 / 2**14)
    assert later.long[0] == pytest.approx(3)
    assert later.net[0] == pytest.approx(0.5 * 4 / 2**14 + 0.5 * 3)
    assert masses(stored, 0.0, LIVES).net[0] == 5
    first, nothing, second = masses_of_each([stored, [], stored], 1_000.0, LIVES)
    assert (first.targets, len(nothing), second.net[0]) == ([b"a"], 0, 5)


def test_posterior_is_the_mean_of_the_dirichlet() -> None:
    found = posterior(observed(a=3, b=1, c=-2), [(1.0, {b"a": 5.0, b"c": 5.0})], strength=2.0)
    # Prior a 1/2, c 1/2 of 2 pseudo actions; 4 observed.
    assert found == pytest.approx({b"a": 4 / 6, b"b": 1 / 6, b"c": 0.0})
    assert posterior(NOTHING, [(1.0, {b"a": 1.0})], 2.0) == {b"a": 1.0}
    assert posterior(NOTHING, [], 2.0) == {}


def test_prior_mixes_the_sources_that_have_something() -> None:
    sources = [(0.5, {b"a": 1.0, b"b": 3.0}), (0.25, {b"b": 2.0}), (0.25, {})]
    assert mix(sources) == pytest.approx({b"a": 2 / 3 * 1 / 4, b"b": 2 / 3 * 3 / 4 + 1 / 3})
    assert told(sources) == pytest.approx(0.75)
    assert told([]) == told([(0.0, {b"a": 1.0})]) == 0.0


def test_near_queries_speak_by_similarity_and_evidence() -> None:
    near = [(1.0, observed(a=2, b=-1)), (0.5, observed(a=6, c=12))]
    assert from_near(near, strength=2.0) == pytest.approx({b"a": 2 / 4 + 0.5 * 6 / 20, b"c": 0.5 * 12 / 20})


def test_words_are_multiplied() -> None:
    # Base rates a 1/8, b 7/8; two pseudo actions of them make P(a | first) (1 + 1/4) / 6, P(a | second) (0 + 1/4) / 7.
    a, b = 1.25 / 6 * (0.25 / 7) / 0.125, 4.75 / 6 * (6.75 / 7) / 0.875
    found = from_words([observed(a=1, b=3), NOTHING, observed(b=5)])
    assert found == pytest.approx({b"a": a / (a + b), b"b": b / (a + b)})
    assert from_words([observed(a=1, b=3)]) == pytest.approx({b"a": 0.25, b"b": 0.75})
    assert from_words([observed(a=-1)]) == from_words([]) == {}


def test_what_all_words_speak_for_leads_what_a_frequent_one_does() -> None:
    frequent, rare = observed(a=60, b=40), observed(b=4, c=1)
    found = from_words([frequent, rare])
    assert max(found, key=lambda document: found[document]) == b"b"


def test_entropy_and_top_share() -> None:
    assert spread(observed(a=1, b=1)) == pytest.approx((np.log(2), 0.5))
    assert spread(observed(a=2, b=-1)) == (0.0, 1.0)
    assert spread(NOTHING) == (0.0, 0.0)


def test_trending_decays_and_the_catalogue_breaks_ties() -> None:
    acted = [(b"a", np.log2(4.0) + 10.0), (b"b", 12.0)]
    found = trending(acted, [(b"b", 30.0), (b"c", 15.0)], now_s=13 * DAY_S, half_life_s=DAY_S)
    assert [document for document, _ in found] == [b"b", b"a", b"c"]
    assert [score for _, score in found] == pytest.approx([0.5 + 0.01, 0.5, 0.005])


def test_newest_takes_dated_and_undated_in_turns() -> None:
    found = newest([(b"a", 9.0), (b"b", 5.0), (b"c", 1.0)], [(b"x", 7.0)])
    assert found == [(b"a", 1.0), (b"x", 1 / 2), (b"b", 1 / 3), (b"c", 1 / 4)]


def test_newest_takes_a_document_that_is_dated_and_undated_once() -> None:
    found = newest([(b"a", 9.0), (b"b", 5.0)], [(b"b", 8.0), (b"a", 7.0), (b"x", 6.0)])
    assert found == [(b"a", 1.0), (b"b", 1 / 2), (b"x", 1 / 3)]


def test_similarity_is_dice_over_grams() -> None:
    known = gram_slots(["taylor", "love"])
    asked = gram_slots(["tayler", "love"])
    assert (len(known), len(asked), len(set(known) & set(asked))) == (12, 12, 8)
    entry = posting(b"12345678", 12)
    own = posting(b"owned-by", 12)
    assert nearest([entry + own] * 8, b"owned-by", 12, 0.3, 5) == [(b"12345678", pytest.approx(2 / 3))]
    assert nearest([entry] * 3, b"owned-by", 12, 0.3, 5) == []
    assert nearest([], b"owned-by", 0, 0.3, 5) == []


@given(
    queries=st.lists(
        st.lists(st.sampled_from(["love", "lover", "song", "sing", "ab"]), min_size=1, max_size=4), max_size=9
    ),
    asked=st.lists(st.sampled_from(["love", "lovr", "songs", "sing", "b"]), min_size=1, max_size=4),
    limit=st.integers(1, 5),
)
def test_the_nearest_are_those_of_the_plain_definition(queries: list[list[str]], asked: list[str], limit: int) -> None:
    grams = {digest(" ".join(query)): gram_slots(query) for query in queries}
    own, slots = digest(" ".join(asked)), gram_slots(asked)
    postings = [b"".join(posting(id, len(theirs)) for id, theirs in grams.items() if slot in theirs) for slot in slots]
    alike = {
        id: 2 * len(set(slots) & set(theirs)) / (len(slots) + len(theirs)) for id, theirs in grams.items() if id != own
    }
    ranked = sorted(alike.items(), key=lambda each: (-each[1], int.from_bytes(each[0], "little")))
    found = nearest(postings, own, len(slots), 0.2, limit)
    assert found == [(id, pytest.approx(similarity)) for id, similarity in ranked[:limit] if similarity >= 0.2]


def test_long_queries_have_a_bounded_number_of_grams() -> None:
    assert len(gram_slots([f"word{i}" for i in range(400)])) <= 64


def test_predictions_are_ranked_and_bounded() -> None:
    document = Document(
        id="f", type="film", title="Alien (1979) [cut]", attributes={"director": ("Ridley Scott",), "plot": ("long",)}
    )
    popular = replace(document, popularity=1.0)
    found = predict(document, aliases=frozenset(), running_texts={"plot"}, limit=100)
    by_query = {pair.query: pair.score for pair in found.pairs}
    assert by_query[prediction_id(["alien", "1979", "cut"])] == round(SCORE_TOP * UNPOPULAR)
    assert by_query[prediction_id(["alien"])] == round(SCORE_TOP * UNPOPULAR / 2)
    assert prediction_id(["film", "scott", "ridley"]) not in by_query
    popular_found = predict(popular, aliases=frozenset(), running_texts={"plot"}, limit=100)
    assert prediction_id(["film", "scott", "ridley"]) in {pair.query for pair in popular_found.pairs}
    assert not any(prediction_id(["long", "film"]) == query for query in by_query)
    few = predict(document, frozenset(), frozenset(), limit=2)
    assert [pair.query for pair in few.pairs] == [pair.query for pair in found.pairs[:2]]
    assert few.stamp != found.stamp


def test_pieces_of_a_title_are_predicted_for_what_is_popular() -> None:
    def predicted(title: str, popularity: float) -> dict[bytes, int]:
        document = Document(id="f", type="film", title=title, popularity=popularity)
        return {pair.query: pair.score for pair in predict(document, frozenset(), frozenset(), 100).pairs}

    known = predicted("Harry Potter", 1_000.0)
    assert known[prediction_id(["potter"])] == pytest.approx(0.6 * known[prediction_id(["harry", "potter"])], abs=1)
    assert known[prediction_id(["potter"])] > predicted("Potter", 0.0)[prediction_id(["potter"])]
    assert prediction_id(["chamber", "of"]) in predicted("Harry Potter and the Chamber of Secrets", 1.0)
    assert prediction_id(["potter"]) not in predicted("Harry Potter", 0.0)
    assert prediction_id(["nine"]) not in predicted("one two three four five six seven eight nine", 1.0)


def test_a_document_without_a_title_is_predicted_for_its_attributes_only() -> None:
    document = Document(id="x", type="track", attributes={"artist": ("Ada",)}, popularity=1.0)
    assert [pair.query for pair in predict(document, frozenset(), frozenset(), 9).pairs] == [
        prediction_id(["ada", "track"])
    ]
