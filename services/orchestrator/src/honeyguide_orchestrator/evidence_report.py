"""Running evidence in readable form."""

from __future__ import annotations

import math

from honeyguide.api.search.v1 import learning_pb2 as pb
from honeyguide_orchestrator.comparisons import Comparisons
from honeyguide_orchestrator.confidence_sequence import Interval
from honeyguide_orchestrator.experiment import Mode
from honeyguide_orchestrator.experiment_evidence import ExperimentEvidence
from honeyguide_orchestrator.exploration_cost import ExplorationCost
from honeyguide_orchestrator.shadow_evidence import Asked, ShadowEvidence

MODES = {Mode.SPLIT: pb.EXPERIMENT_MODE_SPLIT, Mode.INTERLEAVE: pb.EXPERIMENT_MODE_INTERLEAVE}


def evidence_report(comparisons: Comparisons) -> pb.GetEvidenceResponse:
    """All of it; the experiment begun last first."""
    return pb.GetEvidenceResponse(
        experiments=[_experiment(one) for one in reversed(comparisons.experiments.values())],
        shadows=[_shadow(policy, one) for policy, one in comparisons.shadows.items()],
        explorations=[_exploration(policy, one) for policy, one in comparisons.explorations.items()],
    )


def _experiment(evidence: ExperimentEvidence) -> pb.ExperimentEvidence:
    further = None if evidence.decided else evidence.further
    return pb.ExperimentEvidence(
        name=evidence.trial.experiment,
        mode=MODES[evidence.trial.mode],
        a=_variant(evidence, 0),
        b=_variant(evidence, 1),
        searches=evidence.count,
        difference=_estimate(evidence.interval),
        winner=evidence.decided,
        decided_after=evidence.decided_after,
        further_searches=further,
    )


def _variant(evidence: ExperimentEvidence, side: int) -> pb.VariantEvidence:
    variant = (evidence.trial.a, evidence.trial.b)[side]
    searches = int(evidence.searches[side].sum())
    return pb.VariantEvidence(
        policy=variant.policy,
        ranker=variant.ranker,
        searches=searches if evidence.trial.mode is Mode.SPLIT else evidence.pages,
        reward_mean=evidence.rewards[side] / max(searches, 1),
        cost_mean=evidence.costs[side] / max(searches, 1),
        wins=evidence.wins[side],
    )


def _shadow(policy: str, evidence: ShadowEvidence) -> pb.ShadowEvidence:
    decisions = max(evidence.decisions, 1)
    return pb.ShadowEvidence(
        policy=policy,
        decisions=evidence.decisions,
        agreement=evidence.agreed / decisions,
        shadow=_asked(evidence.shadow, decisions),
        obeyed=_asked(evidence.obeyed, decisions),
        supported_share=evidence.supported / decisions,
        effective_decisions=evidence.difference.effective,
        net_mean=evidence.difference.other_mean,
        obeyed_net_mean=evidence.difference.mean,
        difference=_estimate(evidence.difference.interval),
    )


def _asked(asked: Asked, decisions: int) -> pb.AskedMeans:
    return pb.AskedMeans(
        calls=asked.calls / decisions, candidates=asked.candidates / decisions, cost=asked.cost / decisions
    )


def _exploration(policy: str, cost: ExplorationCost) -> pb.ExplorationEvidence:
    decisions = max(cost.decisions, 1)
    return pb.ExplorationEvidence(
        policy=policy,
        decisions=cost.decisions,
        explored_share=cost.explored / decisions,
        predicted_loss=cost.forgone / decisions,
        explored_net_mean=cost.explored_net / max(cost.explored, 1),
        unexplored_net_mean=(cost.difference.r - cost.explored_net) / max(cost.decisions - cost.explored, 1),
        net_mean=cost.difference.mean,
        loss=_estimate(cost.difference.interval),
    )


def _estimate(interval: Interval) -> pb.Estimate:
    return pb.Estimate(
        value=interval.estimate,
        low=interval.low if math.isfinite(interval.low) else None,
        high=interval.high if math.isfinite(interval.high) else None,
    )
