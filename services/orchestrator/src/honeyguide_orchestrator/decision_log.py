"""The decision log: what was decided, found and shown for every search, kept for attribution, paging and export."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import structlog

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import Context
from honeyguide.query import Understanding, understanding_from_proto, understanding_to_proto
from honeyguide.redis_store import RedisStore, Script
from honeyguide.redis_transport import Command
from honeyguide_orchestrator import packing
from honeyguide_orchestrator.candidate_features import feature_names
from honeyguide_orchestrator.distribution import Distribution
from honeyguide_orchestrator.experiment import Trial
from honeyguide_orchestrator.fanout import Status
from honeyguide_orchestrator.keys import Keys, beginning_after
from honeyguide_orchestrator.packing import Unpacker, packed
from honeyguide_orchestrator.policy import NO_EXPLORATION, Exploration

Floats = npt.NDArray[np.float32]

log = structlog.get_logger("honeyguide.decision_log")

HALF_MAX = float(np.finfo(np.float16).max)

BROKEN = (KeyError, TypeError, ValueError, *packing.BROKEN)
"""What `decode` raises for bytes of another version."""

READ_STEP = 10_000
"""Positions read at once when looking back."""

# Puts a longer record in the place of the one it goes on from; returns what stands there if that is another by now.
LENGTHEN = Script.of("""
local kept = redis.call('GET', KEYS[1])
if kept ~= ARGV[1] then return kept end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return false
""")

FORGOTTEN_AT_ONCE = 500
STREAM_SLACK = 2
"""So many times `decisions_max` ids are in the stream at most where no learner forgets decisions."""

UNTRACKED_KEEP_S = 3_600.0
"""Untracked decisions are kept for paging only."""
_UNTRACKED_ID = re.compile(r"u[0-9a-f]{32}")

FEATURE_ROWS_MAX = 60
"""Ranked candidates whose features are kept: what can be shown on the first pages."""


def new_id(tracked: bool) -> str:
    """An id for a decision, which tells for good whether it is tracked."""
    return ("" if tracked else "u") + uuid.uuid4().hex


def is_untracked(decision_id: str) -> bool:
    """Whether a decision of which nothing but the id is known any more was an untracked one."""
    return _UNTRACKED_ID.fullmatch(decision_id) is not None


class LoggedStrategy(msgspec.Struct, frozen=True, array_like=True):
    """What one strategy was asked, with what probability, and how it fared."""

    name: str
    depth: int
    propensity: float
    status: Status
    returned: int
    elapsed_s: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class LoggedShadow:
    """What the shadow policy would have asked.

    depths: by strategy, those above 0. drawn: the policy that is obeyed drew that very allocation. propensity: the
    probability with which it does so, 0 = never, or nobody knows.
    """

    policy: str
    depths: tuple[tuple[str, int], ...]
    drawn: bool
    propensity: float


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One decision and its outcome.

    x: context features [F]. strategies: all that were known, asked or not. answered: names of those that answered, in
    the order of the columns of `ranks` [N, A] (rank of every ranked candidate in each list, 0 = not in it).
    document_ids, types, scores: the N ranked candidates, best first. features: [M, K] ranker features of the first M,
    and strategy_scores: [M, A] what the strategies themselves gave them, both kept to half precision.
    swapped_at: position of the upper of two neighbours that were swapped to learn about position bias, 0 = none.
    tracked: False for a search that nobody saw: kept for paging, but nothing is learned from it.
    allowed, dependable, answered_before: names of the strategies whose needs the search met, of those of which one had
    to be asked, and of those that had answered before the decision.
    distribution: all the allocations that might have been drawn, in the order of `strategies`, and their
    probabilities; None where that is not known.
    exploration: how far the draw is from what looked best. trial: the part in an experiment; of an interleaved page,
    `ranker` and `scores` are those of variant a.
    filled: strategy and rank of each of the last documents, with which a page was filled that the decision fetched too
    little for: they are in no list of `ranks` and have no features. fillers: whom that took, asked beside the decision.
    """

    id: str
    query: str
    understanding: Understanding
    context: Context
    scope: str
    policy: str
    snapshot_version: int
    propensity: float
    propensity_estimated: bool
    strategies: tuple[LoggedStrategy, ...]
    x: Floats
    ranker: str
    answered: tuple[str, ...]
    document_ids: tuple[str, ...]
    types: tuple[str, ...]
    scores: Floats
    ranks: npt.NDArray[np.int16]
    features: Floats
    strategy_scores: Floats
    page_size: int
    swapped_at: int = 0
    tracked: bool = True
    shadow: LoggedShadow | None = None
    exploration: Exploration = NO_EXPLORATION
    trial: Trial | None = None
    allowed: tuple[str, ...] = ()
    dependable: tuple[str, ...] = ()
    answered_before: tuple[str, ...] = ()
    distribution: Distribution | None = None
    filled: tuple[tuple[str, int], ...] = ()
    fillers: tuple[LoggedStrategy, ...] = ()

    @property
    def decided(self) -> int:
        """How many of its documents the decision found: the first ones, above those with which a page was filled."""
        return len(self.document_ids) - len(self.filled)

    @property
    def candidates_fetched(self) -> int:
        """Candidates returned, over all strategies, those that filled the page among them."""
        return sum(strategy.returned for strategy in (*self.strategies, *self.fillers))

    @property
    def calls(self) -> int:
        """Strategies asked, those that filled the page among them."""
        return sum(strategy.depth > 0 for strategy in (*self.strategies, *self.fillers))

    @property
    def has_todays_features(self) -> bool:
        """Whether its candidates' features, if any are kept, are those that rankers know: versions differ in them."""
        return not len(self.features) or self.features.shape[1] == len(feature_names(self.answered))


class DecisionLog:
    """The log in Redis: a key a decision, which expires, and a stream of their ids; `forget` bounds both."""

    def __init__(self, redis: RedisStore, keys: Keys, keep_s: float, decisions_max: int) -> None:
        self._redis = redis
        self._keys = keys
        self._keep_s = keep_s
        self._decisions_max = decisions_max

    async def append(self, record: DecisionRecord) -> None:
        """Logs a decision; it is in the log when this returns.

        Raises:
            Unavailable: if Redis does not answer.
        """
        key = self._keys.decision(record.id)
        keep_s = self._keep_s if record.tracked else min(self._keep_s, UNTRACKED_KEEP_S)
        commands: list[Command] = [("SET", key, encode(record), "EX", int(keep_s) + 1)]
        if record.tracked:
            at_most = STREAM_SLACK * self._decisions_max
            commands.append(("XADD", self._keys.decisions, "MAXLEN", "~", at_most, "*", "id", record.id))
        # Whoever reads an id from the stream looks for its record at once, and only once.
        await self._redis.run_in_order(commands)

    async def lengthen(self, record: DecisionRecord, longer: DecisionRecord) -> DecisionRecord:
        """Logs a decision with more documents than it had; the first to do so is whom all others follow.

        Args:
            record: the decision as it was fetched.
            longer: begins with the same documents.

        Returns:
            What is logged now: `longer`, or what another made of `record` before. Of a decision that is gone, `longer`.

        Raises:
            Unavailable: if Redis does not answer.
        """
        encoded = (await self.fetch_encoded([record.id])).get(record.id)
        kept = _decoded(record.id, encoded) if encoded else None
        if kept is None:
            return longer
        if len(kept.document_ids) > len(record.document_ids):
            return kept
        other = await self._redis.ask(*LENGTHEN.on([self._keys.decision(record.id)], encoded, encode(longer)))
        return (_decoded(record.id, other) if other else None) or longer

    async def forget(self) -> int:
        """Forgets the oldest decisions that are more than `decisions_max`, and their rewards; returns how many.

        Raises:
            Unavailable: if Redis does not answer.
        """
        forgotten = 0
        excess: int = await self._redis.ask("XLEN", self._keys.decisions) - self._decisions_max
        for begin in range(0, excess, FORGOTTEN_AT_ONCE):
            oldest = await self._entries("XRANGE", "-", "+", min(excess - begin, FORGOTTEN_AT_ONCE))
            if not oldest:
                break
            kept = [key(id) for _, id in oldest for key in (self._keys.decision, self._keys.rewards)]
            gone: Command = ("XDEL", self._keys.decisions, *(position for position, _ in oldest))
            await self._redis.run([*(("UNLINK", key) for key in kept), gone])
            forgotten += len(oldest)
        return forgotten

    async def fetch_encoded(self, decision_ids: Sequence[str]) -> dict[str, bytes]:
        """Those that are still kept as `encode` made them, by id.

        Raises:
            Unavailable: if Redis does not answer.
        """
        found = await self._get([self._keys.decision(decision_id) for decision_id in decision_ids])
        return {id: raw for id, raw in zip(decision_ids, found, strict=True) if raw is not None}

    async def fetch(
        self, decision_ids: Sequence[str], pause: Callable[[], Awaitable[None]] | None = None
    ) -> dict[str, DecisionRecord]:
        """The records that are still kept, by id.

        Args:
            decision_ids: those wanted.
            pause: awaited before each is decoded, so that what shares the event loop gets on where they are many.

        Raises:
            Unavailable: if Redis does not answer.
        """
        records: dict[str, DecisionRecord] = {}
        for id, raw in (await self.fetch_encoded(decision_ids)).items():
            if pause is not None:
                await pause()
            record = _decoded(id, raw)
            if record is not None:
                records[id] = record
        return records

    async def settle(self, rewards: Mapping[str, Mapping[str, float]], open: Set[str] = frozenset()) -> None:
        """Keeps what was credited to decisions: by decision id, the reward in [0, 1] of each document acted on.

        Args:
            rewards: all that was credited to these decisions.
            open: those of them whose window is open: more may be credited.

        Raises:
            Unavailable: if Redis does not answer.
        """
        keep_s = int(self._keep_s) + 1
        await self._redis.run(
            [
                (
                    "SET",
                    self._keys.rewards(id),
                    msgspec.json.encode(_Credited(dict(credited), id not in open)),
                    "EX",
                    keep_s,
                )
                for id, credited in rewards.items()
            ]
        )

    async def rewards(self, decision_ids: Sequence[str], closed_only: bool = False) -> dict[str, dict[str, float]]:
        """What was credited to those decisions that are settled: rewarded, or closed without (then empty).

        Args:
            decision_ids: those wanted.
            closed_only: leave out what is rewarded but open. Of open decisions those that nobody acted on are not
                settled, so that the others by themselves look better than all.

        Raises:
            Unavailable: if Redis does not answer.
        """
        found = await self._get([self._keys.rewards(decision_id) for decision_id in decision_ids])
        credited = {id: _credited(raw) for id, raw in zip(decision_ids, found, strict=True) if raw is not None}
        return {id: one.rewards for id, one in credited.items() if one.closed or not closed_only}

    async def _get(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._redis.run([("GET", key) for key in keys])

    async def _entries(self, command: str, begin: str, end: str, count: int) -> list[tuple[str, str]]:
        """Stream positions and ids of decisions."""
        entries = await self._redis.ask(command, self._keys.decisions, begin, end, "COUNT", count)
        return [(position.decode(), id.decode()) for position, (_, id) in entries]

    async def read(self, after: str, count: int) -> list[tuple[str, str]]:
        """Stream positions and ids of decisions after a position ("0" = from the oldest kept).

        Raises:
            Unavailable: if Redis does not answer.
        """
        return await self._entries("XRANGE", beginning_after(after), "+", count)

    async def before_newest(self, count: int) -> str:
        """The stream position after which come the newest `count` decisions, or "0" where there are no more.

        Raises:
            Unavailable: if Redis does not answer.
        """
        last = "+"
        while True:
            step = min(count, READ_STEP)
            entries = await self._entries("XREVRANGE", last, "-", step + 1)
            if len(entries) <= step:
                return "0"
            last, _ = entries[step]
            count -= step
            if not count:
                return last


def encode(record: DecisionRecord) -> bytes:
    """A record as bytes, arrays as they lie in memory."""
    codes = {type: code for code, type in enumerate(dict.fromkeys(record.types))}
    plain = {
        "id": record.id,
        "query": record.query,
        "understanding": understanding_to_proto(record.understanding).SerializeToString(),
        "context": {
            "time_s": record.context.time_s,
            "user_id": record.context.user_id,
            "session_id": record.context.session_id,
            "segment": record.context.segment,
            "locale": record.context.locale,
            "device": record.context.device,
            "attributes": dict(record.context.attributes),
        },
        "scope": record.scope,
        "policy": record.policy,
        "snapshot_version": record.snapshot_version,
        "propensity": record.propensity,
        "propensity_estimated": record.propensity_estimated,
        "strategies": list(map(_plain_strategy, record.strategies)),
        "x": record.x.astype("<f4").tobytes(),
        "ranker": record.ranker,
        "answered": record.answered,
        "document_ids": record.document_ids,
        "type_indexes": list(map(codes.__getitem__, record.types)),
        "types": list(codes),
        "scores": record.scores.astype("<f4").tobytes(),
        "ranks": record.ranks.astype("<i2").tobytes(),
        "features": _halved(record.features),
        "feature_rows": len(record.features),
        "strategy_scores": _halved(record.strategy_scores),
        "page_size": record.page_size,
        "swapped_at": record.swapped_at,
        "tracked": record.tracked,
        "shadow_draw": record.shadow and _plain_shadow(record.shadow),
        "exploration": [
            record.exploration.explored,
            record.exploration.best_propensity,
            record.exploration.forgone,
        ],
        "trial": record.trial and record.trial.to_plain(),
        "allowed": record.allowed,
        "dependable": record.dependable,
        "answered_before": record.answered_before,
        "distribution": record.distribution and _distribution_to_plain(record.distribution),
        "filled": record.filled,
        "fillers": list(map(_plain_strategy, record.fillers)),
    }
    return packed(plain)


class _Packed(msgspec.Struct, frozen=True):
    """A record as `encode` packs it; what records of earlier versions do not have has a default."""

    id: str
    query: str
    understanding: bytes
    context: Context
    scope: str
    policy: str
    snapshot_version: int
    propensity: float
    propensity_estimated: bool
    strategies: tuple[LoggedStrategy, ...]
    x: bytes
    ranker: str
    answered: tuple[str, ...]
    document_ids: tuple[str, ...]
    type_indexes: list[int]
    types: list[str]
    scores: bytes
    ranks: bytes
    features: bytes
    feature_rows: int
    strategy_scores: bytes
    page_size: int
    swapped_at: int
    tracked: bool
    shadow_draw: list[Any] | None = None
    exploration: tuple[bool, float, float] | None = None
    trial: dict[str, Any] | None = None
    allowed: tuple[str, ...] = ()
    dependable: tuple[str, ...] = ()
    answered_before: tuple[str, ...] = ()
    distribution: list[Any] | None = None
    filled: tuple[tuple[str, int], ...] = ()
    fillers: tuple[LoggedStrategy, ...] = ()


class _Credited(msgspec.Struct, frozen=True, array_like=True):
    """What was credited to a decision, and whether its window has closed."""

    rewards: dict[str, float]
    closed: bool


_unpacker = Unpacker(_Packed)
_rewards = msgspec.json.Decoder(_Credited | dict[str, float])


def _credited(raw: bytes) -> _Credited:
    kept = _rewards.decode(raw)
    # Earlier versions kept the rewards alone.
    return kept if isinstance(kept, _Credited) else _Credited(kept, closed=True)


def decode(raw: bytes) -> DecisionRecord:
    """The record that `encode` was given; features come back rounded to half precision.

    Raises:
        one of `BROKEN`, for bytes of another version.
    """
    packed = _unpacker.unpacked(raw)
    rows = len(packed.document_ids)
    return DecisionRecord(
        id=packed.id,
        query=packed.query,
        understanding=understanding_from_proto(document_pb2.QueryUnderstanding.FromString(packed.understanding)),
        context=packed.context,
        scope=packed.scope,
        policy=packed.policy,
        snapshot_version=packed.snapshot_version,
        propensity=packed.propensity,
        propensity_estimated=packed.propensity_estimated,
        strategies=packed.strategies,
        x=np.frombuffer(packed.x, "<f4"),
        ranker=packed.ranker,
        answered=packed.answered,
        document_ids=packed.document_ids,
        types=tuple(map(packed.types.__getitem__, packed.type_indexes)),
        scores=np.frombuffer(packed.scores, "<f4"),
        ranks=np.frombuffer(packed.ranks, "<i2").reshape(rows, len(packed.answered)),
        features=_half(packed.features, packed.feature_rows),
        strategy_scores=_half(packed.strategy_scores, packed.feature_rows),
        page_size=packed.page_size,
        swapped_at=packed.swapped_at,
        tracked=packed.tracked,
        shadow=_shadow(packed.shadow_draw) if packed.shadow_draw else None,
        exploration=Exploration(*packed.exploration) if packed.exploration else NO_EXPLORATION,
        trial=Trial.from_plain(packed.trial) if packed.trial else None,
        allowed=packed.allowed,
        dependable=packed.dependable,
        answered_before=packed.answered_before,
        distribution=_distribution(packed.distribution) if packed.distribution else None,
        filled=packed.filled,
        fillers=packed.fillers,
    )


def _decoded(decision_id: str, raw: bytes) -> DecisionRecord | None:
    try:
        return decode(raw)
    except BROKEN as error:
        log.warning("a decision of another version is left out", decision=decision_id, error=str(error))
        return None


def _plain_strategy(strategy: LoggedStrategy) -> list[Any]:
    return [
        strategy.name,
        strategy.depth,
        strategy.propensity,
        strategy.status.value,
        strategy.returned,
        round(strategy.elapsed_s, 6),
        strategy.message,
    ]


def _plain_shadow(shadow: LoggedShadow) -> list[Any]:
    return [shadow.policy, shadow.depths, shadow.drawn, shadow.propensity]


def _shadow(plain: Sequence[Any]) -> LoggedShadow:
    policy, depths, drawn, propensity = plain
    return LoggedShadow(policy, tuple((name, depth) for name, depth in depths), drawn, propensity)


def _distribution_to_plain(distribution: Distribution) -> list[Any]:
    probabilities = distribution.probabilities.astype("<f4").tobytes()
    return [distribution.allocations.tobytes(), probabilities, distribution.estimated]


def _distribution(plain: Sequence[Any]) -> Distribution:
    allocations, chances, estimated = plain
    probabilities = np.frombuffer(chances, "<f4").astype(np.float64)
    rows = np.frombuffer(allocations, np.int8).reshape(len(probabilities), -1)
    return Distribution(rows, probabilities, estimated)


def _halved(values: Floats) -> bytes:
    # A strategy scores as it likes; what is beyond half precision must not become infinite.
    return np.clip(values, -HALF_MAX, HALF_MAX).astype("<f2").tobytes()


def _half(halved: bytes, rows: int) -> Floats:
    values = np.frombuffer(halved, "<f2").astype(np.float32)
    return values.reshape(rows, -1) if rows else values.reshape(0, 0)
