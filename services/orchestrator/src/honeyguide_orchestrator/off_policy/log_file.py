"""The decision log as a file that can be evaluated anywhere: first what is learned now, then a decision a line.

The first line is a JSON object with what targets decide and rank by: depth ladder, costs, the policies' options,
strategies, and the newest snapshot. Each further line holds one decision exactly as it was logged (compressed, in
base64: features are most of it), and what was credited to it, null while its window is open, acted on or not.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from honeyguide.errors import InvalidArgument
from honeyguide.retriever import Kind, Need, Strategy
from honeyguide_orchestrator.decision_log import BROKEN, decode
from honeyguide_orchestrator.learned import Learned, LearnedModels, ranker_learner
from honeyguide_orchestrator.off_policy.decisions import LoggedDecision
from honeyguide_orchestrator.off_policy.replay import Examination
from honeyguide_orchestrator.prices import Prices
from honeyguide_orchestrator.snapshot import Snapshot

MARK = "honeyguide_decisions"
VERSION = 2

NOT_SETTLED = "not settled yet"
OTHER_VERSION = "of another version"

NOT_FOR_TARGETS = ("attribution", "positions", "progress", "comparisons")
"""What a snapshot holds that no policy and no ranker goes by."""


@dataclass(frozen=True, slots=True)
class LogHead:
    """The first line.

    options: what policies are tuned with, by the name of its setting. policy, ranker: those that are live.
    """

    depths: tuple[int, ...]
    prices: Prices
    options: Mapping[str, float]
    policy: str
    ranker: str
    strategies: tuple[Strategy, ...]
    snapshot: Snapshot

    @property
    def learned(self) -> Learned:
        """The models."""
        models = LearnedModels(self.depths)
        models.adopt(self.snapshot)
        return models.current(self.strategies)

    @property
    def examination(self) -> Examination:
        """Probability that a position is looked at, as learned."""
        return ranker_learner(self.snapshot.content).looked_at


def head_line(head: LogHead) -> str:
    """The first line of a file."""
    content = {name: part for name, part in head.snapshot.content.items() if name not in NOT_FOR_TARGETS}
    return _dump(
        {
            MARK: VERSION,
            "depths": head.depths,
            "call_cost": head.prices.call,
            "candidate_cost": head.prices.candidate,
            "options": dict(head.options),
            "policy": head.policy,
            "ranker": head.ranker,
            "strategies": [
                {
                    "name": one.name,
                    "kind": one.kind.name.lower(),
                    "depth_max": one.depth_max,
                    "needs": [need.name.lower() for need in one.needs],
                    "dependable": one.dependable,
                }
                for one in head.strategies
            ],
            "snapshot_version": head.snapshot.version,
            "snapshot_time_s": head.snapshot.time_s,
            "snapshot": base64.b64encode(zlib.compress(_dump(content).encode())).decode(),
        }
    )


def decision_line(id: str, encoded: bytes, rewards: Mapping[str, float] | None) -> str:
    """A further line: a decision as `decision_log.encode` made it; `rewards` None = not settled."""
    return _dump({"id": id, "decision": base64.b64encode(encoded).decode(), "rewards": rewards})


def is_decision_log(first_line: str) -> bool:
    """Whether a file that begins so is one of these."""
    return first_line.lstrip().startswith("{") and f'"{MARK}"' in first_line


def read_head(line: str) -> LogHead:
    """Reads the first line.

    Raises:
        InvalidArgument: it is none, or of another version.
    """
    try:
        plain = json.loads(line)
        if plain[MARK] != VERSION:
            raise InvalidArgument("log", f"is of version {plain[MARK]}; this Honeyguide reads version {VERSION}")
        content = json.loads(zlib.decompress(base64.b64decode(plain["snapshot"])))
        return LogHead(
            depths=tuple(plain["depths"]),
            prices=Prices(plain["call_cost"], plain["candidate_cost"]),
            options=plain["options"],
            policy=plain["policy"],
            ranker=plain["ranker"],
            strategies=tuple(_strategy(one) for one in plain["strategies"]),
            snapshot=Snapshot(plain["snapshot_version"], plain["snapshot_time_s"], content),
        )
    except _BROKEN as error:
        raise InvalidArgument("log", f"its first line can't be read: {_what(error)}") from None


def read_decisions(lines: Iterable[str]) -> Iterator[LoggedDecision | str]:
    """Reads the lines after the first; in place of a decision that can't be used, why not.

    Raises:
        InvalidArgument: a line is none of such a file; the message says which.
    """
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        try:
            plain = json.loads(line)
            rewards, encoded = plain["rewards"], base64.b64decode(plain["decision"], validate=True)
            credited = None if rewards is None else {str(id): float(reward) for id, reward in rewards.items()}
        except _BROKEN as error:
            raise InvalidArgument("log", f"line {number:,} can't be read: {_what(error)}") from None
        if credited is None:
            yield NOT_SETTLED
            continue
        try:
            yield decode(encoded), credited
        except _BROKEN:
            yield OTHER_VERSION


def _strategy(plain: Mapping[str, Any]) -> Strategy:
    return Strategy(
        plain["name"],
        "",
        Kind[plain["kind"].upper()],
        plain["depth_max"],
        tuple(Need[need.upper()] for need in plain["needs"]),
        plain["dependable"],
    )


_BROKEN = (*BROKEN, AttributeError, zlib.error, binascii.Error)


def _what(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)


def _dump(plain: Mapping[str, Any]) -> str:
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
