"""The story of a piece of feedback, second half: attribute it, learn from it, remember it, publish a snapshot.

One learner at a time, by lease. A snapshot carries the positions in the streams that it has learned up to, so a
successor replays from there and every event counts once; what memory was told already it knows by the events' ids.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import structlog

from honeyguide.api.lexical.v1 import lexical_pb2
from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import Document, document_from_proto
from honeyguide.errors import HoneyguideError, ResourceExhausted
from honeyguide.retriever import Strategy
from honeyguide_orchestrator.allocation_learner import seed_of
from honeyguide_orchestrator.attribution import Attribution, Credit, Judged, Rewards, Verdict, asked_depths
from honeyguide_orchestrator.comparisons import Comparisons
from honeyguide_orchestrator.decision_log import DecisionLog, DecisionRecord
from honeyguide_orchestrator.event_stream import Event, EventStream
from honeyguide_orchestrator.example import Example, example_of
from honeyguide_orchestrator.learned import (
    allocation_learner,
    document_actions,
    document_language,
    likelihoods,
    ranker_learner,
    traits_of,
    type_affinity,
)
from honeyguide_orchestrator.lease import Lease
from honeyguide_orchestrator.likelihood import satisfied
from honeyguide_orchestrator.prices import Prices
from honeyguide_orchestrator.progress import Progress
from honeyguide_orchestrator.refit import Refits
from honeyguide_orchestrator.remembering import Remembering
from honeyguide_orchestrator.snapshot import NO_SNAPSHOT, SnapshotStore

BATCH = 250
"""Decisions, and events of each partition, taken at a time: reading them takes a millisecond, the rest makes way."""

PREDICTED_AT_ONCE = 20
"""Actions for which the trees are asked at once: about a millisecond of work."""

FETCHED_AT_ONCE = 100
"""Documents asked for at once: with a text of a page or two they fit into one message, fewer are asked for if not."""

CALL_TIMEOUT_S = 10.0
RETRY_S = 1.0

Lesson = tuple[Example, float | None]
"""An action, and what the trees earn by it."""

_Key = tuple[str, str, float]
"""A credit's decision and document, and what this had earned before."""

log = structlog.get_logger("honeyguide.learner")


@dataclass(frozen=True, slots=True)
class LearnerOptions:
    """Times in seconds; costs in reward. At most `open_max` decisions are held that may still earn."""

    depths: tuple[int, ...]
    rewards: Rewards
    window_s: float
    open_max: int
    call_cost: float
    candidate_cost: float
    learn_interval_s: float
    snapshot_interval_s: float
    lease_s: float
    trees: bool

    @property
    def prices(self) -> Prices:
        """What retrieval costs."""
        return Prices(self.call_cost, self.candidate_cost)


class Learner:
    """Learns, while it holds the lease. `ranker` learns the rankers.

    make_way: awaited again and again, so that what shares the event loop gets on.
    """

    def __init__(
        self,
        *,
        decision_log: DecisionLog,
        event_stream: EventStream,
        snapshots: SnapshotStore,
        lease: Lease,
        lexical: Any,
        memory: Any,
        strategies: Callable[[], tuple[Strategy, ...]],
        options: LearnerOptions,
        clock: Callable[[], float],
        make_way: Callable[[], Awaitable[None]],
    ) -> None:
        self._decision_log = decision_log
        self._event_stream = event_stream
        self._snapshots = snapshots
        self._lease = lease
        self._lexical = lexical
        self._remembering = Remembering(memory, options.rewards, make_way)
        self._strategies = strategies
        self._options = options
        self._clock = clock
        self._make_way = make_way
        self._version = 0
        self._decisions_at = "0"
        self._events_at: dict[int, str] = {}
        self._told_of_early = False
        self._attribution = Attribution(options.window_s, options.open_max)
        self._refits = Refits(decision_log)
        self._begin({})

    async def run(self) -> None:
        """Learns until cancelled; then gives the lease up. What fails is logged and tried again from the snapshot."""
        try:
            while True:
                try:
                    if await self._lease.hold():
                        await self._learn()
                except HoneyguideError as error:
                    log.warning("learning interrupted", error=error.message)
                await asyncio.sleep(min(RETRY_S, self._options.lease_s / 3))
        finally:
            await self._refits.close()
            await self._lease.release()

    async def fitted(self) -> None:
        """Waits for trees that are being fitted; a replay that shall tell the same twice waits after every step."""
        await self._refits.done()

    async def _learn(self) -> None:
        await self.restore()
        log.info("learning", decisions=self._progress.decisions)
        loop = asyncio.get_running_loop()
        renewed = published = loop.time()
        changed = False
        while True:
            taken = await self.step()
            changed = changed or taken > 0
            now = loop.time()
            if now - renewed > self._options.lease_s / 3:
                if not await self._lease.hold():
                    log.warning("another learner holds the lease")
                    return
                renewed = now
            if changed and now - published > self._options.snapshot_interval_s:
                if not await self.publish():
                    return
                await self._decision_log.forget()
                published, changed = now, False
            if taken < BATCH:
                await asyncio.sleep(self._options.learn_interval_s)

    async def step(self) -> int:
        """Takes in what is new in the streams; returns how much that was."""
        self._know_strategies()
        taken = [] if self._events_behind else await self._take_decisions()
        events = await self._new_events()
        records = await self._records([event for _, _, event in events])
        if earlier := self._attribution.unknown(records):
            settled = await self._decision_log.rewards(earlier)
            unsettled = {id: self._unsettled[id] for id in earlier if id in self._unsettled}
            self._attribution.remember(records, {**settled, **unsettled})
        judged = [
            Judged(event, records.get(event.decision_id), *self._attribute(event, records)) for _, _, event in events
        ]
        for one in judged:
            self._progress.counted(one.verdict.value)
        judged = [one for one in judged if one.verdict is not Verdict.UNTRACKED]  # of which nothing is learned
        # Memory is told, mostly waiting for Redis, while the models learn: by what was known of positions before.
        shown = [record for record in taken if record]
        remembering = asyncio.create_task(self._remembering.tell(judged, shown, self.ranker.memory_weights))
        try:
            await self._learn_from(judged, taken)
        finally:
            await remembering
        for partition, position, _ in events:
            self._events_at[partition] = position
        if self._options.trees:
            self._refits.turn()
        return len(taken) + len(events)

    async def _learn_from(self, judged: Sequence[Judged], taken: Sequence[DecisionRecord | None]) -> None:
        """Teaches the models what events say, and decisions whose time for feedback is over."""
        credits = [one.credit for one in judged if one.credit is not None]
        shown = [id for record in taken if record for id in record.document_ids[: record.page_size]]
        await self._meet([*(one.event.document_id for one in judged), *shown])
        documents = await self._documents(credits)
        lessons = await self._lessons(credits)
        self._learn_names(judged)
        for one in judged:
            await self._make_way()
            event, credit = one.event, one.credit
            self._actions.learn(event.document_id, self._options.rewards.of(event), event.time_s)
            if credit is not None:
                try:
                    self._learn_one(event, credit, lessons.get(_key(credit)), documents.get(credit.document_id))
                except Exception:  # one event must not keep all that come after it from being learned from
                    log.exception("nothing learned from an event", event_id=event.id, decision=event.decision_id)
        for credit in credits:
            self._unsettled[credit.record.id] = self._attribution.rewards(credit.record.id)
        self._unsettled.update(await self._close())

    def _learn_names(self, judged: Sequence[Judged]) -> None:
        """Teaches what documents are called; a query that is acted on again and again for a document counts at once."""
        named: dict[tuple[str, str], float] = {}
        for one in judged:
            reward = self._options.rewards.of(one.event)
            if reward > 0:
                key = one.event.document_id, one.normalized_query
                named[key] = named.get(key, 0.0) + reward
        for (document_id, query), weight in named.items():
            self._language.learn(document_id, query, weight)

    def _know_strategies(self) -> None:
        for strategy in self._strategies():
            self._allocation.ensure(traits_of(strategy))

    async def _take_decisions(self) -> list[DecisionRecord | None]:
        """The decisions that are new, None in the place of those that are gone from the log."""
        entries = await self._decision_log.read(self._decisions_at, BATCH)
        records = await self._decision_log.fetch([id for _, id in entries], self._make_way)
        for position, id in entries:
            record = records.get(id)
            # It may stand in the log twice: Redis is told again where a connection breaks.
            if record is not None and self._attribution.record(id) is None:
                ordinal = self._progress.decided(
                    record, self._options.prices.of(record.calls, record.candidates_fetched)
                )
                self._attribution.opened(record, position, ordinal)
                if credited := self._attribution.rewards(id):
                    self._unsettled[id] = credited  # until it was taken in, it may have been kept as a closed one
            self._decisions_at = position
        self._decisions_left = len(entries) == BATCH
        if self._attribution.closed_early and not self._told_of_early:
            self._told_of_early = True
            log.warning("searches are closed before their time for feedback is over", held=self._options.open_max)
        return [records.get(id) for _, id in entries]

    async def _new_events(self) -> list[tuple[int, str, Event]]:
        """What is new in the event stream, in step with the decisions: both are taken in by their arrival.

        A learner that has much to catch up on would else close decisions before it reads what was done about them.
        """
        events = await self._event_stream.read(self._events_at, BATCH)
        counts = Counter(partition for partition, _, _ in events)
        last = {partition: position for partition, position, _ in events}
        self._events_behind = any(
            count == BATCH and _not_after(last[partition], self._decisions_at) for partition, count in counts.items()
        )
        if self._decisions_left:
            return [event for event in events if _not_after(event[1], self._decisions_at)]
        return events

    async def _records(self, events: Sequence[Event]) -> dict[str, DecisionRecord]:
        """The decisions that events belong to. An open one is fetched again where it did not show a document that was
        acted on: that may stand on a later page, which was filled since."""
        found = {event.decision_id: self._attribution.record(event.decision_id) for event in events}
        elsewhere = [id for id, record in found.items() if id and record is None]
        longer = {event.decision_id for event in events if _beyond(event, found[event.decision_id])}
        fetched = await self._decision_log.fetch([*elsewhere, *longer], self._make_way)
        for id in longer & fetched.keys():
            self._attribution.lengthened(fetched[id])
        return {id: record for id, record in {**found, **fetched}.items() if record is not None}

    def _attribute(self, event: Event, records: Mapping[str, DecisionRecord]) -> tuple[Verdict, Credit | None]:
        weight = self._options.rewards.of(event)
        return self._attribution.attribute(event, weight, records.get(event.decision_id))

    async def _lessons(self, credits: Sequence[Credit]) -> dict[_Key, Lesson]:
        """What rankers learn from credited actions, where the document's features are kept."""
        found: dict[_Key, Lesson] = {}
        for begin in range(0, len(credits), PREDICTED_AT_ONCE):
            await self._make_way()
            some = {_key(credit): example_of(credit) for credit in credits[begin : begin + PREDICTED_AT_ONCE]}
            examples = {key: example for key, example in some.items() if example is not None}
            earned = self.ranker.trees_earn(list(examples.values()))
            found.update(zip(examples, zip(examples.values(), earned, strict=True), strict=True))
        return found

    def _learn_one(self, event: Event, credit: Credit, lesson: Lesson | None, document: Document | None) -> None:
        record = credit.record
        seed = seed_of(event.id)
        if credit.earlier:
            self._allocation.learn_more(credit.asked, credit.ranks, credit.reward - credit.earlier)
        else:
            self._allocation.learn(record.x, credit.asked, credit.ranks, credit.reward, seed)
        if lesson is not None:
            example, trees_earn = lesson
            weight = example.news / self.ranker.looked_at(example.position)
            self._affinity.learn(example, record.types, record.x, self.ranker.linear.weights_of(example.names), weight)
            self.ranker.learn(example, seed, trees_earn)
        if document is not None and not credit.earlier:
            flags = [
                satisfied(interpretation, document.id, document.type, document.attributes, document.title)
                for interpretation in record.understanding.interpretations
            ]
            self._likelihoods.learn(record.understanding, flags)
        self._progress.credited(credit)

    async def _close(self) -> dict[str, Mapping[str, float]]:
        """Learns from the decisions whose window has closed; returns what was credited to them."""
        closed: dict[str, Mapping[str, float]] = {}
        for record, rewards in () if self._events_behind else self._attribution.close():
            await self._make_way()
            closed[record.id] = rewards
            try:
                self._learn_closed(record, rewards)
            except Exception:  # nor must one decision
                log.exception("nothing learned from a decision that closed", decision=record.id)
        return closed

    def _learn_closed(self, record: DecisionRecord, rewards: Mapping[str, float]) -> None:
        self._comparisons.closed(record, rewards, self._options.prices)
        self.ranker.closed(record, rewards)
        if not rewards:
            self._allocation.learn(record.x, asked_depths(record), {}, None, seed_of(record.id))

    async def _meet(self, document_ids: Sequence[str]) -> None:
        """Learns what documents are called that were shown or acted on for the first time; if they cannot be had now,
        another time."""
        try:
            async for message in self._fetched(self._language.unmet(document_ids)):
                await self._make_way()
                self._language.meet(document_from_proto(message))
        except HoneyguideError as error:
            log.warning("documents not met", error=error.message)

    async def _documents(self, credits: Sequence[Credit]) -> dict[str, Document]:
        """The documents acted on, where it matters to query understanding what they are, and what it asks of them."""
        asked: dict[str, set[str]] = {}
        for credit in credits:
            for interpretation in credit.record.understanding.interpretations:
                attributes = asked.setdefault(credit.document_id, set())
                attributes.update(condition.attribute for condition in interpretation.conditions)
        documents: dict[str, Document] = {}
        async for message in self._fetched(sorted(asked)):
            await self._make_way()
            documents[message.id] = _only(message, asked[message.id])
        return documents

    async def _fetched(self, document_ids: Sequence[str]) -> AsyncIterator[document_pb2.Document]:
        """Those documents that there are; of long ones, so many at once as fit into a message."""
        left, at_once = list(document_ids), FETCHED_AT_ONCE
        while left:
            some = left[:at_once]
            request = lexical_pb2.FetchDocumentsRequest(document_ids=some)
            try:
                response = await self._lexical.FetchDocuments(request, timeout=CALL_TIMEOUT_S)
            except ResourceExhausted as error:
                if len(some) > 1:
                    at_once = len(some) // 2
                    continue
                log.warning("a document is too large to be fetched", document=some[0], error=error.message)
            else:
                for one in response.documents:
                    yield one.document
            left = left[len(some) :]
            at_once = min(2 * at_once, FETCHED_AT_ONCE)

    async def restore(self) -> None:
        """Begins where the newest snapshot ends."""
        snapshot = await self._snapshots.fetch() or NO_SNAPSHOT
        self._version, content = snapshot.version, snapshot.content
        self._begin(content)
        if content:
            await self._reopen(content["attribution"], content["positions"]["open_after"])
        await self._settle()

    def _begin(self, content: Mapping[str, Any]) -> None:
        self._allocation = allocation_learner(content, self._options.depths)
        self.ranker = ranker_learner(content)
        self._likelihoods = likelihoods(content)
        self._affinity = type_affinity(content)
        self._actions = document_actions(content)
        self._language = document_language(content)
        self._progress = Progress.from_state(content["progress"]) if content else Progress()
        self._comparisons = Comparisons.from_state(content.get("comparisons", {}))
        positions: Mapping[str, Any] = content.get("positions", {"decisions": "0", "events": {}})
        self._events_at = {int(partition): at for partition, at in positions["events"].items()}
        self._decisions_at = str(positions["decisions"])
        self._decisions_left = self._events_behind = False
        self._attribution = Attribution(self._options.window_s, self._options.open_max)
        self._unsettled: dict[str, Mapping[str, float]] = dict(content.get("unsettled", {}))
        self._refits.begin(self.ranker, self._decisions_at)

    async def _reopen(self, state: Mapping[str, Any], after: str) -> None:
        ordinal = int(state.get("ordinal", self._progress.decisions - int(state["open"])))
        while after != self._decisions_at:
            entries = await self._decision_log.read(after, BATCH)
            due = [(position, id) for position, id in entries if _not_after(position, self._decisions_at)]
            records = await self._decision_log.fetch([id for _, id in due], self._make_way)
            for position, id in due:
                if id in records and self._attribution.record(id) is None:
                    self._attribution.opened(records[id], position, ordinal)
                    ordinal += 1
                after = position
            if not due:
                break
        self._attribution.restore(state)

    async def publish(self) -> bool:
        """Publishes what was learned; False if the lease is another's, or was and another has published.

        Only then the decision log is told what decisions earned: a successor that begins at the snapshot before must
        not find there what it is to learn yet.
        """
        content: dict[str, Any] = {"unsettled": self._unsettled}
        for name, state in (
            ("allocation", self._allocation.to_state),
            ("ranker", self.ranker.to_state),
            ("likelihoods", self._likelihoods.to_dict),
            ("affinity", self._affinity.to_state),
            ("actions", self._actions.to_state),
            ("language", self._language.to_state),
            ("progress", self._progress.to_state),
            ("comparisons", self._comparisons.to_state),
            ("attribution", self._attribution.to_state),
            ("positions", self._positions),
        ):
            await self._make_way()
            content[name] = state()
        version = await self._snapshots.publish(content, self._lease.token, self._clock(), self._version)
        if version < 0:
            log.warning("another learner holds the lease, or did; what was learned since its snapshot is left to it")
            return False
        self._version = version
        await self._settle()
        return True

    async def _settle(self) -> None:
        await self._decision_log.settle(self._unsettled, self._unsettled.keys() & self._attribution.open.keys())
        self._unsettled = {}

    def _positions(self) -> dict[str, Any]:
        """How far the streams were learned from."""
        oldest = next(iter(self._attribution.open.values()), None)
        return {
            "decisions": self._decisions_at,
            "open_after": _before(oldest.position) if oldest else self._decisions_at,
            "events": self._events_at,
        }


def _only(message: document_pb2.Document, attributes: Set[str]) -> Document:
    """A document by its type, its title and some attributes."""
    kept = document_pb2.Document(id=message.id, type=message.type, title=message.title)
    for name in attributes:
        if name in message.attributes:
            kept.attributes[name].CopyFrom(message.attributes[name])
    return document_from_proto(kept)


def _key(credit: Credit) -> _Key:
    return credit.record.id, credit.document_id, credit.earlier


def _beyond(event: Event, record: DecisionRecord | None) -> bool:
    """Whether an event is about none of the documents of its decision."""
    return record is not None and event.document_id not in record.document_ids


def _not_after(position: str, last: str) -> bool:
    return _numbers(position) <= _numbers(last)


def _before(position: str) -> str:
    """The stream position just before one."""
    milliseconds, sequence = _numbers(position)
    return f"{milliseconds}-{sequence - 1}" if sequence else f"{milliseconds - 1}-{2**64 - 1}"


def _numbers(position: str) -> tuple[int, int]:
    milliseconds, _, sequence = position.partition("-")
    return int(milliseconds), int(sequence or 0)
