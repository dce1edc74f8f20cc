"""What is remembered of attribute values changes nothing, and is bounded."""

from __future__ import annotations

import pytest

from honeyguide_lexical import text_values
from honeyguide_lexical.text_values import TextValue, name_of, text_value


def test_a_value_is_read_the_same_again():
    read = TextValue("sbeyonce - halo", "beyonce halo", "Beyoncé - Halo", "sbeyonce - halo")
    assert text_value("Beyoncé - Halo") == text_value("Beyoncé - Halo") == read
    assert text_value("HALO") == TextValue("shalo", "halo", "HALO", "")


def test_a_name_has_up_to_six_words_and_60_characters():
    assert text_value("one two three four five six").name == "one two three four five six"
    assert text_value("one two three four five six seven").name == ""
    assert text_value("x" * 60).name == "x" * 60
    assert text_value("x" * 61).name == ""
    assert name_of("x" * 61) == "x" * 61  # a title may be longer


def test_long_values_are_not_remembered_and_all_go_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(text_values, "REMEMBERED_MAX", 3)
    remembered = text_values._Remembered()
    for value in ("a", "b", "c", "a", "x" * 1_000):
        assert remembered[value] == text_value(value)
    assert set(remembered) == {"a", "b", "c"}
    assert remembered["d"] == text_value("d")
    assert set(remembered) == {"d"}
