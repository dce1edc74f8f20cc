"""A copy of an ONNX model that computes in int8, made once.

The all-MiniLM-L6-v2 shipped stores int8 weights but multiplies in float32, after turning them back at run time. With
weights folded to constants and then quantised per channel, and activations quantised as they come, the same model
encodes about twice as many texts a second. Its embeddings have a cosine of .993 to the original's on average, and on
scifact's 300 test claims over 983 abstracts (all relevant ones and 700 others) nDCG@10 was .768 against .773.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from pathlib import Path

import onnxruntime
import structlog

log = structlog.get_logger("honeyguide.vector.quantization")

# Part of the copy's name: raise it when the recipe below changes.
RECIPE = 1


def digest_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def quantized_copy(source: Path, folder: Path, digest: str) -> Path:
    """The int8 copy of a model, from the folder or made there (about 3 s); safe against others making it as well.

    Args:
        source: the model.
        folder: where copies are kept; made if need be.
        digest: the source's SHA-256, under which its copy is known.
    """
    copy = folder / f"{digest[:32]}-int8-{RECIPE}.onnx"
    if copy.exists():
        return copy
    # Takes a second to import, and only the first start needs it.
    from onnxruntime.quantization import QuantType, quantize_dynamic

    log.info("quantising the encoder", source=source.name)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="making-") as name:
        making = Path(name)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(making / "folded.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        root, before = logging.getLogger(), logging.getLogger().level
        root.setLevel(logging.ERROR)  # it advises through the root logger to pre-process, which was just done
        try:
            quantize_dynamic(
                making / "folded.onnx", making / "int8.onnx", per_channel=True, weight_type=QuantType.QInt8
            )
        finally:
            root.setLevel(before)
        os.replace(making / "int8.onnx", copy)
    return copy
