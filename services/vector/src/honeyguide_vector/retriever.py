"""Serves the strategies, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from honeyguide.query import RetrievalQuery
from honeyguide.retriever import Answer, Strategy, ask_each
from honeyguide_vector.strategies import VectorStrategy


class VectorRetriever:
    """The vector service's `honeyguide.retriever.Retriever`, over any strategies."""

    def __init__(self, strategies: Sequence[VectorStrategy]) -> None:
        self._by_name = {each.strategy.name: each for each in strategies}

    @property
    def strategies(self) -> Sequence[Strategy]:
        """The strategies served."""
        return [each.strategy for each in self._by_name.values()]

    async def retrieve(self, query: RetrievalQuery, depths: Mapping[str, int]) -> Mapping[str, Answer]:
        """Asks strategies for that many candidates each."""
        return await ask_each(
            {name: partial(self._by_name[name].candidates, query, depth) for name, depth in depths.items()}
        )
