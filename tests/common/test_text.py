"""The form under which queries and names are compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.text import fold, has_forbidden_characters, normalize, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" - !", ""),
        ("Beyoncé -  HALO!", "beyonce halo"),
        ("Straße", "strasse"),
        ("AC/DC", "ac dc"),
        ("snake_case", "snake case"),
        ("don't", "don t"),
        ("Ⅷ ﬁn", "viii fin"),
        ("千と千尋", "千と千尋"),
        ("İstanbul", "istanbul"),
        ("Москва́", "москва"),
        ("tabs\tand\nlines", "tabs and lines"),
        ("2001: A Space Odyssey", "2001 a space odyssey"),
        ("Halo℠", "halosm"),
        ("हिन्दी की किताब", "हिन्दी की किताब"),
        ("ที่นี่ กิน", "ที่นี่ กิน"),
        ("நான்", "நான்"),
        ("バス ﾊﾟｽ がくせい", "バス パス がくせい"),
        ("မြန်မာ", "မြန်မာ"),
        ("שָׁלוֹם", "שלום"),
        ("مُحَمَّد", "محمد"),
        ("1\ufe0f\u20e3 ❤\ufe0f", "1"),
    ],
)
def test_normalize(text, expected):
    assert normalize(text) == expected


@pytest.mark.parametrize("text", ["ﷺ" * 2_000, "a " * 1_999 + "a", "x" * 3_000, "word " * 399 + "four five"])
def test_what_characters_come_apart_into_is_cut(text):
    once = normalize(text)
    assert 1_998 <= len(once) <= 2_000
    assert " ".join(words(text)).startswith(once)
    assert normalize(once) == once


@given(st.text())
def test_normalizing_twice_changes_nothing(text):
    once = normalize(text)
    assert normalize(once) == once
    assert once == " ".join(words(text))
    assert fold(once) == once


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("", False),
        ("plain\ttext\r\n", False),
        ("\0", True),
        ("\x1b[0m", True),
        ("\x7f", True),
        ("\ud800", True),
        ("\U0001f41d", False),
    ],
)
def test_forbidden_characters(text, forbidden):
    assert has_forbidden_characters(text) is forbidden
