"""Candidates as columns, and the way from and to the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from honeyguide.api.retrieval.v1 import retriever_pb2 as pb
from honeyguide.documents import ID_BYTES_MAX, POPULARITY_MAX, check_id
from honeyguide.errors import InvalidArgument

Floats = npt.NDArray[np.float32]

POPULARITY = "popularity"
CREATED_DAY = "created_day"
Q2E = "q2e"
Q2E_ACTIONS = "q2e_actions"
RECENCY = "recency"
TREND = "trend"
Q2E_PRIOR = "q2e_prior"
Q2E_SHORT = "q2e_short"
Q2E_LONG = "q2e_long"
Q2E_SHOWN = "q2e_shown"

TYPES_MAX = 256
NUMBER_MAX = POPULARITY_MAX
"""Of scores and features: what is computed from them must stay within float32."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What one strategy returned, best first; entry i of every column belongs to candidate i.

    `scores` are the strategy's own, higher is better. `features` are float32 columns by name; the well-known names are
    the constants of this module. `total_matched` is 0 where the strategy does not know it.
    """

    document_ids: Sequence[str]
    scores: Floats
    types: Sequence[str]
    features: Mapping[str, Floats] = field(default_factory=dict)
    total_matched: int = 0

    def __len__(self) -> int:
        return len(self.document_ids)

    def first(self, count: int) -> Candidates:
        """What the strategy would have returned if asked for no more than `count`."""
        if count >= len(self):
            return self
        features = {name: column[:count] for name, column in self.features.items()}
        return Candidates(
            self.document_ids[:count], self.scores[:count], self.types[:count], features, self.total_matched
        )


NO_CANDIDATES = Candidates((), np.empty(0, np.float32), ())


def candidates_to_proto(strategy: str, candidates: Candidates) -> pb.StrategyCandidates:
    """Writes one strategy's candidates as columns; the status is OK.

    Those from the first of a 257th type on are left out: on the wire a type is one byte.
    """
    types = list(dict.fromkeys(candidates.types))
    if len(types) > TYPES_MAX:
        candidates = candidates.first(list(candidates.types).index(types[TYPES_MAX]))
        types = types[:TYPES_MAX]
    codes = {type: code for code, type in enumerate(types)}
    message = pb.StrategyCandidates(
        strategy=strategy,
        status=pb.STRATEGY_STATUS_OK,
        document_ids=candidates.document_ids,
        scores=np.asarray(candidates.scores, "<f4").tobytes(),
        types=types,
        type_indexes=bytes(map(codes.__getitem__, candidates.types)),
        total_matched=candidates.total_matched,
    )
    if candidates.features and len(candidates):
        message.feature_names.extend(candidates.features)
        message.features = np.array(list(candidates.features.values()), "<f4").tobytes("F")
    return message


def candidates_from_proto(message: pb.StrategyCandidates) -> Candidates:
    """Reads one strategy's candidates.

    Raises:
        ValueError: if columns differ in length, an id can be no document's or comes twice, or a number is not finite or
            above `NUMBER_MAX`.
    """
    document_ids = list(message.document_ids)
    type_indexes = message.type_indexes
    n = len(document_ids)
    scores = np.frombuffer(message.scores, "<f4")
    names = list(message.feature_names)
    matrix = np.frombuffer(message.features, "<f4")
    if len(scores) != n or (type_indexes and len(type_indexes) != n) or matrix.size != n * len(names):
        raise ValueError(
            f"{message.strategy}: {n} ids, {len(scores)} scores, {len(type_indexes)} types and {matrix.size} "
            f"feature values for {len(names)} names do not fit together"
        )
    _check_ids(message.strategy, document_ids)
    if len(set(document_ids)) != n:
        raise ValueError(f"{message.strategy}: a document comes twice")
    if not ((np.abs(scores) <= NUMBER_MAX).all() and (np.abs(matrix) <= NUMBER_MAX).all()):  # nor is NaN
        raise ValueError(f"{message.strategy}: a score or feature is not a number of -{NUMBER_MAX:g} to {NUMBER_MAX:g}")
    matrix = matrix.reshape(n, len(names))
    types = list(message.types)
    if type_indexes and (not types or max(type_indexes) >= len(types)):
        raise ValueError(f"{message.strategy}: a type index is beyond the {len(types)} types named")
    return Candidates(
        document_ids=document_ids,
        scores=scores,
        types=[types[i] for i in type_indexes] if type_indexes else [""] * n,
        features={name: matrix[:, i] for i, name in enumerate(names)},
        total_matched=message.total_matched,
    )


def _check_ids(strategy: str, document_ids: Sequence[str]) -> None:
    # A character has four bytes at most.
    short = all(document_ids) and max(map(len, document_ids), default=0) <= ID_BYTES_MAX // 4
    if short and "".join(document_ids).isprintable():  # as they nearly always are
        return
    for i, document_id in enumerate(document_ids):
        try:
            check_id(f"document_ids[{i}]", document_id)
        except InvalidArgument as error:
            raise ValueError(f"{strategy}: {error.message}") from None
