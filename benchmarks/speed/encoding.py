"""Encoding queries that were never seen: one after the other against the bare model; and sixteen at once as the service
does it, in batches on all its threads, against one at a time. Batches on one thread show what batching alone gives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from random import Random
from statistics import median

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from benchmarks.quality.needs import Scene, queries_of
from benchmarks.speed.bench import Bench
from benchmarks.speed.embeddings import Vectors, cache_folder
from benchmarks.speed.measure import Against, Row, alternate, each_ms, rows_of, together
from honeyguide_vector.encoders import _shipped, open_encoders
from honeyguide_vector.quantization import digest_of, quantized_copy
from honeyguide_vector.query_encoding import QueryEncoding
from honeyguide_vector.settings import VectorSettings

CLIENTS = 16
UNBATCHED = "unbatched, one thread"
QUEUE_MAX = 1_000


class BareModel:
    """The very model that the service runs, called directly: tokens in, mean of the token vectors out."""

    def __init__(self) -> None:
        model, tokenizer = _shipped()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        quantized = quantized_copy(model, cache_folder() / "models", digest_of(model))
        self._session = onnxruntime.InferenceSession(str(quantized), options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._inputs = [node.name for node in self._session.get_inputs()]

    def encode(self, text: str) -> Vectors:
        """The embedding, of unit length."""
        encoding = self._tokenizer.encode(text)
        feed = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        hidden = self._session.run(None, {name: np.array([feed[name]], np.int64) for name in self._inputs})[0]
        vector: Vectors = hidden[0].mean(axis=0)
        return vector / np.float32(np.linalg.norm(vector))


async def measure(bench: Bench, keep: Callable[[list[Row]], None]) -> None:
    """The part's rows."""
    scene = bench.first_scene()
    queries = _queries(bench, scene)
    bare, encoder = BareModel(), open_encoders(VectorSettings(), cache_folder()).queries

    async def directly(text: str) -> object:
        return bare.encode(text)

    async with AsyncExitStack() as stack:

        def encoding(batch_max: int, threads: int) -> Callable[[str], Awaitable[object]]:
            made = QueryEncoding(encoder, cache_max=0, batch_max=batch_max, queue_max=QUEUE_MAX, threads=threads)
            stack.push_async_callback(made.close)
            return made.encode

        settings = VectorSettings()
        batched, unbatched = encoding(settings.query_batch_max, settings.threads), encoding(1, 1)
        on_one_thread = encoding(settings.query_batch_max, 1)
        single = await alternate(
            {"bare session": lambda: _middle(directly, queries), "service": lambda: _middle(batched, queries)},
            bench.repetitions,
        )
        many = await alternate(
            {
                UNBATCHED: lambda: _rate(unbatched, queries),
                "batched": lambda: _rate(batched, queries),
                "batched, one thread": lambda: _rate(on_one_thread, queries),
            },
            bench.repetitions,
        )
    lengths = median(len(text.split()) for text in queries)
    keep(
        [
            *rows_of(
                f"encoding: {scene.name}", "encode a new query", "ms", single, {"service": Against("bare session", 5)}
            ),
            *rows_of(
                f"encoding: {scene.name}",
                "16 clients, new queries",
                "queries/s",
                many,
                {"batched": Against(UNBATCHED, 5), "batched, one thread": Against(UNBATCHED)},
            ),
            Row(f"encoding: {scene.name}", "queries", "words", lengths, "words"),
        ]
    )


def _queries(bench: Bench, scene: Scene) -> list[str]:
    texts = queries_of([*scene.held_out, *scene.learning])
    return Random(2).sample(texts, min(len(texts), 100 if bench.quick else 400))


async def _middle(call: Callable[[str], Awaitable[object]], queries: Sequence[str]) -> float:
    return median(await each_ms(call, queries))


async def _rate(call: Callable[[str], Awaitable[object]], queries: Sequence[str]) -> float:
    return (await together(call, queries, CLIENTS))[0]
