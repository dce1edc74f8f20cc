import json

import numpy as np
import pytest

from honeyguide.documents import Document
from honeyguide_orchestrator.candidate_features import called
from honeyguide_orchestrator.document_language import DOCUMENTS_MAX, FETCHED_MAX, DocumentLanguage, parts_of

IDS = ["halo", "gears", "fable"]


def language() -> DocumentLanguage:
    made = DocumentLanguage()
    for id, title in zip(IDS, ("Halo Reach", "Gears of War 3", "Fable III"), strict=True):
        made.meet(Document(id, "game", title))
    return made


def best(made: DocumentLanguage, query: str) -> str:
    likelihoods = made.likelihoods(IDS, query)
    assert likelihoods is not None
    return IDS[int(likelihoods.argmax())]


def test_a_text_is_its_words_and_trigrams_each_once() -> None:
    # "ab", " ab", "ab ".
    assert len(parts_of("Ab")) == 3
    assert parts_of("ab ab").tolist() == sorted({*parts_of("ab").tolist(), *parts_of("ab ab").tolist()})
    assert len(parts_of("")) == 0


@pytest.mark.parametrize(("query", "wanted"), [("haol reach", "halo"), ("gearsofwar", "gears"), ("fabel", "fable")])
def test_it_sees_through_misspellings_and_compounds(query: str, wanted: str) -> None:
    assert best(language(), query) == wanted


def test_what_people_typed_tells_what_a_document_is_called() -> None:
    made = language()
    for _ in range(3):
        made.learn("fable", "lionhead", 1.0)
    made.learn("halo", "lionhead", 0.0)
    made.learn("gears", "lionhead", -1.0)
    assert best(made, "lionhaed") == "fable"


def test_it_is_silent_where_too_few_candidates_were_met_or_nothing_is_known_of_the_query() -> None:
    made = language()
    assert made.likelihoods([*IDS, "new"], "halo") is not None
    assert made.likelihoods([*IDS, "new", "newer"], "halo") is None
    assert made.likelihoods(IDS, "zzzz") is None
    assert made.likelihoods([], "halo") is None
    assert DocumentLanguage().likelihoods(IDS, "halo") is None


def test_a_document_never_met_is_as_likely_as_the_others_in_the_mean() -> None:
    likelihoods = language().likelihoods([*IDS, "new"], "halo")
    assert likelihoods is not None
    assert likelihoods[3] == pytest.approx(likelihoods[:3].mean())


def test_the_likelihood_is_that_of_naive_bayes() -> None:
    made = DocumentLanguage()
    made.meet(Document("a", "game", "ab"))
    made.meet(Document("b", "game", "xy"))
    # Of the 6 parts of both titles 3 are those of "ab", one of each: shares 1/6; smoothed .1.
    likelihoods = made.likelihoods(["a", "b"], "ab")
    assert likelihoods is not None
    smoothed = np.array([1 + 0.1 / 6, 0.1 / 6]) / 3.1
    assert likelihoods.tolist() == pytest.approx((0.35 * 3 * np.log(smoothed)).tolist())


def test_of_a_catalogue_that_is_too_large_everything_is_forgotten() -> None:
    made = DocumentLanguage()
    ids = [f"d{i}" for i in range(DOCUMENTS_MAX + 5)]
    assert made.unmet(ids) == ids[:FETCHED_MAX]
    for id in ids[:DOCUMENTS_MAX]:
        made.meet(Document(id, "game", id))
    assert made.likelihoods(ids[:10], "d1") is not None
    assert made.unmet(ids) == ids[DOCUMENTS_MAX:]
    for id in ids[DOCUMENTS_MAX:]:
        made.meet(Document(id, "game", id))
    again = DocumentLanguage.from_state(json.loads(json.dumps(made.to_state())))
    for one in (made, again):
        assert one.closed
        assert one.bags == {}
        assert one.unmet(["new"]) == []
        assert one.likelihoods(ids[:10], "d1") is None


def test_restored_from_its_state_it_tells_the_same() -> None:
    made = language()
    made.learn("fable", "lionhead", 0.5)
    again = DocumentLanguage.from_state(json.loads(json.dumps(made.to_state())))
    assert again.likelihoods(IDS, "lion fable").tolist() == made.likelihoods(IDS, "lion fable").tolist()  # type: ignore[union-attr]
    again.learn("fable", "xbox", 1.0)
    assert best(again, "xbox") == "fable"
    assert DocumentLanguage.from_state(json.loads(json.dumps(DocumentLanguage().to_state()))).bags == {}


def test_the_feature_weighs_likelihood_by_popularity_relative_to_the_best() -> None:
    # Equal likelihoods, 0.2 + 0.8 and 0.2 + 1.8 actions: ln 2 apart, in fives.
    assert called(np.zeros(2), np.array([0.8, 1.8])).tolist() == pytest.approx([-np.log(2) / 5, 0.0])
    assert called(np.array([0.0, -100.0]), np.zeros(2)).tolist() == [0.0, -4.0]
