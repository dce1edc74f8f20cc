"""Scripts without blanks between words: pairs of characters, and all else as it is."""

from __future__ import annotations

import pytest

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide.documents import Document
from honeyguide_lexical.analysis import Analysis
from honeyguide_lexical.unspaced import paired, pieces


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("北京大学", ["北京", "京大", "大学"]),
        ("北京, 大学。学", ["北京", "大学", "学"]),
        ("iPhone手机x", ["iphone", "手机", "x"]),
        ("東京タワー", ["東京", "京タ", "タワ", "ワー"]),
        ("ガンダム", ["ガン", "ンダ", "ダム"]),
        ("ｶﾞﾝﾀﾞﾑ", ["ガン", "ンダ", "ダム"]),
        ("\U00020000\U00020001", ["\U00020000\U00020001"]),
        ("ภาษา", ["ภา", "าษ", "ษา"]),
        ("กิน", ["กิน"]),  # a mark belongs to its letter
        (
            "น้ำเป็น",
            ["น\u0e4d\u0e32", "\u0e4d\u0e32เ", "เป", "ปน"],
        ),  # tones do not count
        ("हिन्दी किताब", ["हिनदी", "किताब"]),
        ("서울대학교 Москва Ünï", ["서울대학교", "москва", "uni"]),
    ],
)
def test_terms_of_a_text(text: str, terms: list[str]) -> None:
    assert Analysis("en").plain(text) == terms


def test_other_text_stays_as_it_is() -> None:
    for text in ("", "plain text", "Él niño “sí” ·", "Москва 서울 हिन्दी", "…、。・"):
        assert paired(text) == text


def test_pieces_lie_where_they_begin() -> None:
    word = "x北京ガ\N{COMBINING KATAKANA-HIRAGANA VOICED SOUND MARK}y語"
    found = list(pieces(word))
    assert [piece for _, piece in found] == ["x", "北京", "京ガ\u3099", "y", "語"]
    assert all(word.startswith(piece, begin) for begin, piece in found)
    assert list(pieces("word")) == [(0, "word")]


async def test_a_part_of_a_run_finds_the_document(empty) -> None:
    await empty.configure(indexing_pb2.AttributeConfiguration(name="school", searchable=True, boost=2))
    await empty.put(
        Document("pku", "school", "北京大学计算机科学技术系", "我们在东京铁塔附近吃了非常好吃的拉面" * 4, {}, 5),
        Document("tower", "place", "東京タワー", "", {"school": ("清华大学附属中学",)}, 3),
        Document("thai", "place", "มหาวิทยาลัยเชียงใหม่"),
    )
    for query in ("北京大学", "大学计算机", "北京大学计算机科学技术系", "非常好吃的拉面"):
        assert (await empty.ids("lexical.bm25", query))[0] == "pku"
    assert (await empty.ids("lexical.bm25", "附属中学"))[0] == "tower"
    assert await empty.ids("lexical.bm25", "タワー") == ["tower"]
    assert await empty.ids("lexical.bm25", "เชียงใหม่") == ["thai"]
    assert (await empty.ids("lexical.fuzzy", "北大大学计算机"))[0] == "pku"
    assert (await empty.ids("lexical.fuzzy", "华大学附属"))[0] == "tower"
    for prefix in ("北", "北京大", "计算", "北京大学计算机科学技术系"):
        assert await empty.complete(prefix) == ["北京大学计算机科学技术系"]
    [fetched] = await empty.fetch("pku", query="好吃的 东京铁塔")
    assert fetched.snippet.startswith("我们在<b>东京铁塔</b>附近吃了非常<b>好吃的</b>拉面我们在<b>东京铁塔</b>")
