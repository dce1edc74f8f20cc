"""A sentence encoder from an ONNX file: BERT-like inputs, token vectors out, pooled to one vector a text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Encoding, Tokenizer

from honeyguide.errors import FailedPrecondition
from honeyguide_vector.encoder import Vectors, unit

# Longer texts are cut before the tokenizer sees them: it would read megabytes only to drop them again.
CHARS_PER_TOKEN_MAX = 32
RUN_TOKENS = 14
"""What a run of the model costs beside its tokens, in tokens: more padding than that is dearer than another run.

Measured on the model shipped in int8: 1.4 ms a run and .11 ms a token, on one thread.
"""


class OnnxEncoder:
    """Mean or first-token pooling over an ONNX model's first output, [n, tokens, dimension], or its [n, dimension].

    The model takes int64 `input_ids`, `attention_mask` and, where it has it, `token_type_ids`. Texts are sorted by
    length, and those of nearly one length share a run. Runs may overlap, in threads.

    Where the model quantises activations as it runs (see `quantization`), their scale is shared by a run, so a text's
    embedding moves a little with its company: cosine .992 on average against encoding it alone, with the model shipped.
    With unquantised activations it does not move at all.
    """

    def __init__(
        self,
        model: Path,
        tokenizer: Path,
        *,
        name: str,
        threads: int = 1,
        batch: int = 32,
        tokens_max: int = 256,
        pooling: Literal["mean", "cls"] = "mean",
        prefix: str = "",
    ) -> None:
        """Opens a model.

        Args:
            model: the ONNX file that runs.
            tokenizer: its tokenizer.json.
            name: names the model in `identity`: equal for files that should share embeddings, so with a digest in it.
            threads: threads of one run.
            batch: texts of one run, at most.
            tokens_max: tokens of a text that are read, special tokens included.
            pooling: mean over the text's tokens, or the first token's vector.
            prefix: put before every text.

        Raises:
            FailedPrecondition: a file is missing or is not what it should be.
        """
        self._batch = batch
        self._pooling = pooling
        self._prefix = prefix
        self._chars_max = tokens_max * CHARS_PER_TOKEN_MAX
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning threads burn the cores that the rest of the service needs between runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no error type that covers all it raises here
            raise FailedPrecondition(f"the encoder's model {model} cannot be opened: {error}") from error
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
            digest = hashlib.sha256(tokenizer.read_bytes()).hexdigest()[:16]
        except Exception as error:  # tokenizers raises bare Exception
            raise FailedPrecondition(f"the encoder's tokenizer {tokenizer} cannot be opened: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(tokens_max)
        self._inputs = {node.name for node in self._session.get_inputs()}
        unknown = self._inputs - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown or "input_ids" not in self._inputs:
            raise FailedPrecondition(
                f"the encoder's model {model} wants the inputs {', '.join(sorted(self._inputs))}; only input_ids,"
                " attention_mask and token_type_ids can be given"
            )
        self._output = self._session.get_outputs()[0].name
        self.identity = f"{name} tokenizer={digest} tokens={tokens_max} pooling={pooling} prefix={prefix!r}"
        self.dimension: int = self._run([self._tokenizer.encode("dimension")]).shape[1]

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embeddings of unit length, one row a text, in the order given."""
        encodings = self._tokenizer.encode_batch([self._prefix + self._readable(text) for text in texts])
        vectors = np.empty((len(encodings), self.dimension), np.float32)
        for rows in runs_of([len(encoding.ids) for encoding in encodings], self._batch):
            vectors[rows] = self._run([encodings[i] for i in rows])
        return vectors

    def _readable(self, text: str) -> str:
        text = text[: self._chars_max]
        # Lone surrogates are no text: the tokenizer refuses them.
        return text if text.isascii() else text.encode("utf-8", "ignore").decode()

    def _run(self, encodings: Sequence[Encoding]) -> Vectors:
        length = max(len(encoding.ids) for encoding in encodings)
        ids = np.zeros((len(encodings), length), np.int64)
        mask: npt.NDArray[np.int64] = np.zeros((len(encodings), length), np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        given = {name: value for name, value in feed.items() if name in self._inputs}
        hidden: Vectors = self._session.run([self._output], given)[0]
        if hidden.ndim == 2:
            return unit(hidden)
        if self._pooling == "cls":
            return unit(hidden[:, 0])
        weights = mask[:, :, None].astype(np.float32)
        return unit((hidden * weights).sum(axis=1))  # a mean, but for its length, and nothing of no tokens


def runs_of(lengths: Sequence[int], batch: int) -> Iterator[list[int]]:
    """Texts, given by their tokens, in runs of up to `batch`: the shortest first, none padded for more than a run."""
    run: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if run and (len(run) == batch or len(run) * (lengths[i] - lengths[run[-1]]) > RUN_TOKENS):
            yield run
            run = []
        run.append(i)
    if run:
        yield run
