"""What was learned, in readable form, from a replica's snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from honeyguide.api.search.v1 import learning_pb2 as pb
from honeyguide.documents import time_to_proto
from honeyguide.retriever import Strategy
from honeyguide_orchestrator.candidate_features import feature_names
from honeyguide_orchestrator.comparisons import Comparisons
from honeyguide_orchestrator.evidence_report import evidence_report
from honeyguide_orchestrator.learned import LearnedModels
from honeyguide_orchestrator.progress import ALL, Progress, Stretch
from honeyguide_orchestrator.ranker import RANKERS
from honeyguide_orchestrator.situation import FEATURES

KINDS_MAX = 30
WEIGHTS_MAX = 200


class Reports:
    """Reads the newest snapshot for people."""

    def __init__(
        self, models: LearnedModels, strategies: Callable[[], tuple[Strategy, ...]], policy: str, ranker: str
    ) -> None:
        self._models = models
        self._strategies = strategies
        self._policy = policy
        self._ranker = ranker

    def policy(self) -> pb.GetPolicyResponse:
        """The policy: what each kind of query gets, and the weights of the first bin of each strategy."""
        learned = self._models.current(self._strategies())
        progress = self._progress()
        response = pb.GetPolicyResponse(
            policy=self._policy,
            snapshot_version=learned.version,
            events=sum(progress.events.values()),
            decisions=progress.decisions,
            depths=learned.allocation.depths,
        )
        if learned.version:
            response.published_at.CopyFrom(self._published_at())
        kinds = sorted(progress.kinds.items(), key=lambda kind: (kind[0] != ALL, -kind[1].decisions))
        response.kinds.extend(_kind(intent, stretch) for intent, stretch in kinds[:KINDS_MAX])
        weights = [
            (f"{strategy}:{feature}", float(learned.allocation.weights[s, 0, f]))
            for s, strategy in enumerate(learned.allocation.strategies)
            for f, feature in enumerate(FEATURES)
        ]
        response.weights.extend(_largest(dict(weights)))
        return response

    def ranker(self) -> pb.GetRankerResponse:
        """The ranker that serves, and its weights."""
        learned = self._models.current(self._strategies())
        names = feature_names([strategy.name for strategy in learned.strategies])
        weights = RANKERS[self._ranker].weights([strategy.name for strategy in learned.strategies], learned.ranker)
        serving = self._ranker
        if serving == "gated":
            new, known = (learned.ranker.serving(known) for known in (False, True))
            serving = f"gated: {new}" if new == known else f"gated: {new}, {known} for queries known to memory"
        return pb.GetRankerResponse(
            ranker=serving,
            snapshot_version=learned.version,
            weights=_largest(dict(zip(names, weights.tolist(), strict=True))),
            advantage=learned.ranker.advantage,
            events=learned.ranker.events,
        )

    def progress(self, points: int) -> pb.GetProgressResponse:
        """Means over stretches of decisions, at most `points` of them."""
        progress = self._progress()
        response = pb.GetProgressResponse(events=progress.events)
        done = 0.0
        step = max(1, -(-len(progress.history) // points))
        for begin in range(0, len(progress.history), step):
            stretch = Stretch()
            for part in progress.history[begin : begin + step]:
                stretch.absorb(part)
            done += stretch.decisions
            count = max(stretch.decisions, 1.0)
            response.points.add(
                decisions=round(done),
                time=time_to_proto(stretch.time_s),
                reward_mean=stretch.reward / count,
                cost_mean=stretch.cost / count,
                candidates_mean=stretch.candidates / count,
                calls_mean=stretch.calls / count,
                strategy_success={name: stretch.found.get(name, 0.0) / n for name, n in stretch.judged.items() if n},
            )
        return response

    def evidence(self) -> pb.GetEvidenceResponse:
        """What experiments, policies in shadow and exploration have shown so far."""
        return evidence_report(Comparisons.from_state(self._models.snapshot.content.get("comparisons", {})))

    def _progress(self) -> Progress:
        state = self._models.snapshot.content.get("progress")
        return Progress.from_state(state) if state else Progress()

    def _published_at(self) -> Timestamp:
        return time_to_proto(self._models.snapshot.time_s)


def _kind(intent: str, stretch: Stretch) -> pb.QueryKind:
    count = max(stretch.decisions, 1e-9)
    kind = pb.QueryKind(
        intent=intent,
        searches=round(stretch.decisions),
        reward_mean=stretch.reward / count,
        candidates_mean=stretch.candidates / count,
        calls_mean=stretch.calls / count,
    )
    for name in sorted(stretch.asked, key=lambda name: -stretch.asked[name]):
        kind.strategies.add(
            strategy=name,
            depth_mean=stretch.depth.get(name, 0.0) / count,
            asked_share=stretch.asked[name] / count,
            success=stretch.found.get(name, 0.0) / max(stretch.judged.get(name, 0.0), 1e-9),
        )
    return kind


def _largest(weights: Mapping[str, float]) -> list[pb.Weight]:
    named = sorted(((name, value) for name, value in weights.items() if value), key=lambda one: -abs(one[1]))
    return [pb.Weight(name=name, value=value) for name, value in named[:WEIGHTS_MAX]]
