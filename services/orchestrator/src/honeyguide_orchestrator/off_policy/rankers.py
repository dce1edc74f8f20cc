"""What rankers would have earned, from the pages of our own decision log.

Each ranker orders the candidates whose features were logged; what people did on the page that was shown is carried over
by the position-based model (see `replay`). That is inverse propensity scoring of positions: no randomness of the ranker
is needed, as the click model says with what chance each position was looked at. It is right as far as that model is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.off_policy import support
from honeyguide_orchestrator.off_policy.decisions import LoggedDecision
from honeyguide_orchestrator.off_policy.empirical_likelihood import mean_interval
from honeyguide_orchestrator.off_policy.replay import Examination, judge, places_by_ranker
from honeyguide_orchestrator.off_policy.rounds import Estimate, Rounds, estimate_of
from honeyguide_orchestrator.off_policy.support import Support
from honeyguide_orchestrator.prices import Prices
from honeyguide_orchestrator.ranker import Ranker, RankerModel, order_of
from honeyguide_orchestrator.ranker_learner import looked_at


@dataclass(frozen=True, slots=True)
class RankerEstimate:
    """A ranker's estimate. support: share of the documents on its first page that were on the page shown."""

    estimate: Estimate
    support: Support


def estimate_ranker(
    log: Sequence[LoggedDecision],
    ranker: Ranker,
    model: RankerModel,
    prices: Prices,
    clip: float | None = None,
    examination: Examination = looked_at,
) -> RankerEstimate:
    """Reward net of cost, had another ranker ordered the same candidates.

    Args:
        log: decisions and what was credited to them; those without features of today's kind are left out.
        ranker: the target.
        model: what it goes by.
        prices: of calls and candidates, which are those of the log.
        clip: largest weight of an action, above 0; None = what `examination` allows.
        examination: probability that a position is looked at.

    Raises:
        InvalidArgument: no decision can be used, or a clip of 0 or below.
    """
    if clip is not None and not clip > 0:
        raise InvalidArgument("clip", f"{clip} wanted; above 0 is allowed")
    usable = [(record, rewards) for record, rewards in log if record.has_todays_features]
    if not usable:
        raise InvalidArgument("log", "holds no decision whose candidates can be ranked anew; at least 1 is needed")
    judged = [
        judge(record, rewards, places_by_ranker(record, rewards, ranker, model), examination)
        for record, rewards in usable
    ]
    weights = np.array([one.weight for one in judged])
    clipped = 0.0
    if clip is not None:
        clipped = float((weights > clip).mean())
        weights = np.minimum(weights, clip)
    costs = np.array([prices.of(record.calls, record.candidates_fetched) for record, _ in usable])
    earned = np.array([max(rewards.values(), default=0.0) for _, rewards in usable])
    graded = np.array([one.reward for one in judged])
    values = weights * graded - costs
    bounds = (-float(costs.max()), float(weights.max()) - float(costs.min()))
    rounds = Rounds(weights, graded - costs, earned - costs, -float(costs.max()), 1.0)
    estimate = estimate_of("ips", rounds, values, mean_interval(values, *bounds), bounds, clipped=clipped)
    return RankerEstimate(estimate, support.known(np.array([_seen(record, ranker, model) for record, _ in usable])))


def _seen(record: DecisionRecord, ranker: Ranker, model: RankerModel) -> float:
    """Share of the ranker's first page that was on the page shown."""
    if not len(record.features):
        return 1.0
    first = order_of(ranker.scores(record.features, record.answered, model))[: record.page_size]
    return float((first < record.page_size).mean())
