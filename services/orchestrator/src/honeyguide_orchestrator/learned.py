"""Everything that is learned, as one replica holds it: read from a snapshot, shared by all its searches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from honeyguide.retriever import Kind, Need, Strategy
from honeyguide_orchestrator.allocation_learner import AllocationLearner, StrategyTraits
from honeyguide_orchestrator.allocation_model import AllocationModel
from honeyguide_orchestrator.document_actions import DocumentActions
from honeyguide_orchestrator.document_language import DocumentLanguage
from honeyguide_orchestrator.likelihood import Likelihoods
from honeyguide_orchestrator.ranker import RankerModel
from honeyguide_orchestrator.ranker_learner import RankerLearner
from honeyguide_orchestrator.snapshot import NO_SNAPSHOT, Snapshot
from honeyguide_orchestrator.type_affinity import TypeAffinity


@dataclass(frozen=True, slots=True)
class Learned:
    """The models of one snapshot for the strategies there are now."""

    version: int
    strategies: tuple[Strategy, ...]
    allocation: AllocationModel
    ranker: RankerModel
    likelihoods: Likelihoods
    affinity: TypeAffinity
    actions: DocumentActions
    language: DocumentLanguage


class LearnedModels:
    """Holds the newest snapshot, and the models made of it for the strategies there are now."""

    def __init__(self, depths: tuple[int, ...]) -> None:
        self._depths = depths
        self._learned: Learned | None = None
        self.snapshot: Snapshot = NO_SNAPSHOT

    def adopt(self, snapshot: Snapshot) -> None:
        """Takes a new snapshot over; searches under way keep the models they began with."""
        self.snapshot = snapshot
        if self._learned is not None:
            self._learned = self._make(self._learned.strategies)

    def current(self, strategies: tuple[Strategy, ...]) -> Learned:
        """The models for these strategies."""
        if self._learned is None or self._learned.strategies is not strategies:
            self._learned = self._make(strategies)
        return self._learned

    def _make(self, strategies: tuple[Strategy, ...]) -> Learned:
        content = self.snapshot.content
        allocation = allocation_learner(content, self._depths)
        for strategy in strategies:
            allocation.ensure(traits_of(strategy))
        return Learned(
            version=self.snapshot.version,
            strategies=strategies,
            allocation=allocation.model([one.name for one in strategies]).within([one.depth_max for one in strategies]),
            ranker=ranker_learner(content).model(),
            likelihoods=likelihoods(content),
            affinity=type_affinity(content),
            actions=document_actions(content),
            language=document_language(content),
        )


def traits_of(strategy: Strategy) -> StrategyTraits:
    """What the prior of a strategy goes by."""
    looks = Need.QUERY in strategy.needs or Need.INTERPRETATION in strategy.needs
    return StrategyTraits(strategy.name, strategy.dependable, strategy.kind is Kind.EXPLORE, blind=not looks)


def allocation_learner(content: Mapping[str, Any], depths: tuple[int, ...]) -> AllocationLearner:
    """The chain's learner as a snapshot has it."""
    state = content.get("allocation")
    return AllocationLearner.from_state(state, depths) if state else AllocationLearner(depths)


def ranker_learner(content: Mapping[str, Any]) -> RankerLearner:
    """The rankers' learner as a snapshot has it."""
    state = content.get("ranker")
    return RankerLearner.from_state(state) if state else RankerLearner()


def likelihoods(content: Mapping[str, Any]) -> Likelihoods:
    """The likelihoods of interpretations as a snapshot has them."""
    state = content.get("likelihoods")
    return Likelihoods.from_dict(state) if state else Likelihoods()


def type_affinity(content: Mapping[str, Any]) -> TypeAffinity:
    """The habits by type as a snapshot has them."""
    state = content.get("affinity")
    return TypeAffinity.from_state(state) if state else TypeAffinity()


def document_actions(content: Mapping[str, Any]) -> DocumentActions:
    """Actions by document as a snapshot has them."""
    state = content.get("actions")
    return DocumentActions.from_state(state) if state else DocumentActions()


def document_language(content: Mapping[str, Any]) -> DocumentLanguage:
    """What documents are called, as a snapshot has it."""
    state = content.get("language")
    return DocumentLanguage.from_state(state) if state else DocumentLanguage()
