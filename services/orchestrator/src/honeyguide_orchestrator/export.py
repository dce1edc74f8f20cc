"""Decisions as lines of text, for analysis elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.situation import named

DOCUMENTS_MAX = 100


def json_line(record: DecisionRecord, reward: float | None) -> str:
    """One decision as a JSON object; `reward` is null while it is not settled."""
    return _dump(
        {
            "decision_id": record.id,
            "time": _time(record),
            "query": record.query,
            "normalized_query": record.understanding.normalized_query,
            "intent": record.understanding.intent,
            "user_id": record.context.user_id,
            "session_id": record.context.session_id,
            "policy": record.policy,
            "snapshot_version": record.snapshot_version,
            "ranker": record.ranker,
            "propensity": record.propensity,
            "propensity_estimated": record.propensity_estimated,
            "context": _features(record),
            "strategies": [
                {
                    "strategy": one.name,
                    "depth": one.depth,
                    "propensity": one.propensity,
                    "status": one.status.name.lower(),
                    "returned": one.returned,
                }
                for one in record.strategies
            ],
            "shadow": dict(record.shadow.depths) if record.shadow else {},
            "experiment": record.trial.to_plain() if record.trial else None,
            "swapped_at": record.swapped_at,
            "documents": [
                {"document_id": id, "found_by": _found_by(record, row)}
                for row, id in enumerate(record.document_ids[:DOCUMENTS_MAX])
            ],
            "reward": reward,
        }
    )


def dsjson_line(record: DecisionRecord, reward: float | None, ladder: Sequence[int]) -> str:
    """One decision as Vowpal Wabbit's DSJSON in its slates form: a slot a strategy, whose actions are the depths.

    `_label_cost` is the negative reward, as Vowpal Wabbit minimises; a decision not settled yet costs 0. Each slot's
    `_p` is the marginal propensity of the depth drawn.
    """
    depths = [0, *ladder]
    return _dump(
        {
            "_label_cost": -(reward or 0.0),
            "_outcomes": [{"_a": [_rung(one.depth, depths)], "_p": [one.propensity]} for one in record.strategies],
            "EventId": record.id,
            "Timestamp": _time(record),
            "Version": "1",
            "c": {
                "Context": _features(record),
                "_multi": [
                    {"_slot_id": slot, "Depth": {f"{one.name}={depth}": 1}}
                    for slot, one in enumerate(record.strategies)
                    for depth in depths
                ],
                "_slots": [{"Strategy": {one.name: 1}} for one in record.strategies],
            },
            "VWState": {"m": f"{record.policy}/{record.snapshot_version}"},
        }
    )


def _rung(depth: int, depths: Sequence[int]) -> int:
    """The rung that was drawn: a strategy's own limit may have cut its depth."""
    return next((i for i, rung in enumerate(depths) if rung >= depth), len(depths) - 1)


def _features(record: DecisionRecord) -> dict[str, float]:
    return {name: round(value, 6) for name, value in named(record.x).items()}


def _found_by(record: DecisionRecord, row: int) -> dict[str, int]:
    return {name: rank for name, rank in zip(record.answered, record.ranks[row].tolist(), strict=True) if rank}


def _time(record: DecisionRecord) -> str:
    return datetime.fromtimestamp(record.context.time_s, UTC).isoformat().replace("+00:00", "Z")


def _dump(plain: dict[str, Any]) -> str:
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
