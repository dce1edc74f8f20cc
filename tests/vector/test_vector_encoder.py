"""The ONNX encoder on the model shipped, as it is and in int8."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.documents import Document
from honeyguide.errors import FailedPrecondition
from honeyguide_vector.encoder import unit
from honeyguide_vector.encoders import Encoders, _shipped, open_encoders
from honeyguide_vector.onnx_encoder import RUN_TOKENS, OnnxEncoder, runs_of
from honeyguide_vector.quantization import digest_of, quantized_copy
from honeyguide_vector.settings import VectorSettings


@pytest.fixture(scope="module")
def original(model_cache: Path) -> Encoders:
    return open_encoders(VectorSettings(encoder_quantize=False), model_cache)


@pytest.fixture(scope="module")
def titles(films: list[Document]) -> list[str]:
    return [film.title for film in films[:100]]


def test_an_embedding_does_not_depend_on_the_batch_or_its_padding(original: Encoders, titles: list[str]) -> None:
    texts = [*titles[:20], "a much longer text that makes all the others be padded " * 3]
    together = original.documents.encode(texts)
    alone = np.concatenate([original.documents.encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_in_int8_it_depends_on_the_batch_a_little(encoders: Encoders, titles: list[str]) -> None:
    together = encoders.documents.encode(titles)
    alone = np.concatenate([encoders.documents.encode([text]) for text in titles])
    cosines = (together * alone).sum(axis=1)
    assert cosines.mean() > 0.98
    assert cosines.min() > 0.9


def test_int8_gives_nearly_the_original_embeddings(encoders: Encoders, original: Encoders, titles: list[str]) -> None:
    cosines = (encoders.documents.encode(titles) * original.documents.encode(titles)).sum(axis=1)
    assert cosines.mean() > 0.985
    assert cosines.min() > 0.94


def test_embeddings_mean_something_and_have_unit_length(encoders: Encoders) -> None:
    vectors = encoders.queries.encode(["a film about dogs", "the puppy movie", "quarterly tax report"])
    assert vectors.shape == (3, encoders.queries.dimension) == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


@pytest.mark.parametrize("scale", [1e-45, 1e-38, 1e-30, 1.0, 1e20, 3e38])
def test_a_vector_of_any_length_is_brought_to_length_1(scale: float) -> None:
    vectors = np.array([[scale] * 16, [0] * 16], np.float32)
    assert unit(vectors)[0] == pytest.approx([0.25] * 16)
    assert not unit(vectors)[1].any()


@pytest.mark.parametrize("text", ["", " \n", "\ud800 lone", "x" * 3_000_000, "word " * 500_000, "日本語 🎬", "\x00"])
def test_any_text_has_an_embedding(encoders: Encoders, text: str) -> None:
    vector = encoders.queries.encode([text])[0]
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)


def test_no_texts_give_no_rows(encoders: Encoders) -> None:
    assert encoders.queries.encode([]).shape == (0, 384)


def test_tokens_beyond_the_limit_are_not_read(original: Encoders) -> None:
    text = "alpha beta gamma delta " * 100
    a, b = original.queries.encode([text + "horse", text + "submarine"])
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_pooling_and_prefix_are_part_of_embedding_and_identity() -> None:
    model, tokenizer = _shipped()
    mean = OnnxEncoder(model, tokenizer, name="x")
    first = OnnxEncoder(model, tokenizer, name="x", pooling="cls")
    prefixed = OnnxEncoder(model, tokenizer, name="x", prefix="query: ")
    assert len({encoder.identity for encoder in (mean, first, prefixed)}) == 3
    assert (mean.encode(["cat"]) @ first.encode(["cat"]).T).item() < 0.99
    np.testing.assert_allclose(prefixed.encode(["cat"]), mean.encode(["query: cat"]), atol=1e-6)


def test_the_int8_copy_is_made_once_and_leaves_nothing_else(model_cache: Path, encoders: Encoders) -> None:
    model, _ = _shipped()
    copy = quantized_copy(model, model_cache / "models", digest_of(model))
    made = copy.stat().st_mtime_ns
    assert quantized_copy(model, model_cache / "models", digest_of(model)) == copy
    assert copy.stat().st_mtime_ns == made
    assert list(copy.parent.iterdir()) == [copy]


def test_a_model_of_ones_own_needs_its_tokenizer_and_files_that_open(tmp_path: Path) -> None:
    model, tokenizer = _shipped()
    with pytest.raises(FailedPrecondition, match="TOKENIZER"):
        open_encoders(VectorSettings(encoder_model=model), tmp_path)
    with pytest.raises(FailedPrecondition, match="cannot be read"):
        open_encoders(VectorSettings(encoder_model=tmp_path / "none", encoder_tokenizer=tokenizer), tmp_path)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(FailedPrecondition, match="cannot be opened"):
        open_encoders(VectorSettings(encoder_model=broken, encoder_tokenizer=tokenizer), tmp_path)
    with pytest.raises(FailedPrecondition, match="tokenizer"):
        open_encoders(VectorSettings(encoder_model=model, encoder_tokenizer=broken), tmp_path)
    own = open_encoders(VectorSettings(encoder_model=model, encoder_tokenizer=tokenizer), tmp_path)
    assert "int8" not in own.queries.identity
    assert own.queries.encode(["x"]).shape == (1, 384)


def test_onnxruntime_survives_usearch_whatever_is_imported_first() -> None:
    # usearch loaded before onnxruntime crashes the process.
    code = "import honeyguide_vector.graph, onnxruntime, honeyguide_vector.service"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 9))
def test_every_text_is_in_one_run_and_padded_for_less_than_a_run(lengths: list[int], batch: int) -> None:
    runs = list(runs_of(lengths, batch))
    assert sorted(i for run in runs for i in run) == list(range(len(lengths)))
    assert [lengths[i] for run in runs for i in run] == sorted(lengths)
    assert all(1 <= len(run) <= batch for run in runs)

    def cost(runs: list[list[int]]) -> int:
        return sum(RUN_TOKENS + len(run) * max(lengths[i] for i in run) for run in runs)

    assert cost(runs) <= cost([[i] for i in range(len(lengths))])


def test_texts_of_nearly_one_length_share_a_run() -> None:
    assert list(runs_of([9, 30, 10, 10, 31], 8)) == [[0, 2, 3], [1, 4]]
    assert list(runs_of([5] * 5, 2)) == [[0, 1], [2, 3], [4]]
    assert list(runs_of([], 2)) == []
