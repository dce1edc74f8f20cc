"""One system on one stream: the searcher and the learner of the orchestrator over recorded lexical and vector answers.

Everything that decides, ranks, remembers and learns is the product's own code, and memory is the real service on a
Valkey of its own. Replaced are the lexical and vector services (by recordings of themselves) and the streams in Redis
between searcher and learner (by lists). The learner steps at fixed points of the stream, and ids of decisions, which
choose subsets to learn from, are drawn with the seed: a run does not depend on how fast it goes, and two runs of a seed
are the same.
"""

from __future__ import annotations

import heapq
import shutil
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, TypedDict
from unittest import mock
from uuid import UUID

import numpy as np

from benchmarks.quality.needs import Need, Scene
from benchmarks.quality.recording import RecordedCandidates, RecordedLexical, Recording
from benchmarks.quality.streams import Search
from benchmarks.quality.users import PEOPLE, ClickModel
from honeyguide.api.memory.v1 import memory_pb2, memory_pb2_grpc
from honeyguide.client import LocalConnection
from honeyguide.documents import Context, Filter
from honeyguide.query import RetrievalQuery
from honeyguide.retriever import Strategy
from honeyguide_memory.service import open_service as open_memory
from honeyguide_memory.settings import MemorySettings
from honeyguide_orchestrator.allocation_learner import AllocationLearner
from honeyguide_orchestrator.allocation_model import AllocationModel, Costs
from honeyguide_orchestrator.attribution import Rewards
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.distribution import Distribution
from honeyguide_orchestrator.event_stream import Event
from honeyguide_orchestrator.fanout import Outcome, Retrievers, Status
from honeyguide_orchestrator.foreground import Foreground
from honeyguide_orchestrator.learned import LearnedModels
from honeyguide_orchestrator.learner import Learner, LearnerOptions
from honeyguide_orchestrator.page_filler import PageFiller
from honeyguide_orchestrator.page_token import PageTokens
from honeyguide_orchestrator.policies import POLICIES
from honeyguide_orchestrator.policy import Draw, Policy, PolicyOptions, Situation
from honeyguide_orchestrator.ranker import RANKERS, Ranker
from honeyguide_orchestrator.recognition import Recognizer
from honeyguide_orchestrator.result_page import ResultPages
from honeyguide_orchestrator.search import Searcher, SearchLimits
from honeyguide_orchestrator.search_query import SearchQuery
from honeyguide_orchestrator.settings import OrchestratorSettings
from honeyguide_orchestrator.situation import FEATURES
from honeyguide_orchestrator.snapshot import Snapshot
from honeyguide_orchestrator.understanding import Understander
from honeyguide_standalone.valkey import ValkeyServer

CALL_COST, CANDIDATE_COST = 0.0125, 0.00025
DEPTHS = (5, 10, 20, 50, 100)
PAGE = 10
STEP_EVERY = 20
"""Searches between two steps of the learner."""

PUBLISH_ALWAYS, PUBLISH_EVERY = 1_000, 100
"""Each step is published for so many searches, later fewer are: a snapshot takes longer than a search."""

LOST_SHARE = 0.1
DELAY_MEAN_S = 240.0
LATE_SHARE = 0.05
LATE_MEAN_S = 7_200.0
FOREVER_S = 3_600.0


class PolicySettings(TypedDict, total=False):
    """Settings of policies that are not the defaults; see `OrchestratorSettings` for meaning and range."""

    exploration_share: float
    exploration_share_known: float
    exploration_gamma: float
    exploration_warm_up: float
    epsilon: float


@dataclass(frozen=True, slots=True)
class System:
    """A configuration that is compared: who decides, who ranks, on which ladder."""

    name: str
    policy: str | Callable[[Costs], Policy] = "squarecb"
    ranker: str | Ranker = "gated"
    depths: tuple[int, ...] = DEPTHS
    options: PolicySettings = field(default_factory=PolicySettings)
    hidden: frozenset[str] = frozenset()
    """Names of the strategies that this system does not have."""

    masked: frozenset[str] = frozenset()
    """Names of the context's features that this system does not see."""

    understanding: bool = True
    memory: bool = True
    """Whether searches recall what people did; without, its strategies are hidden too."""

    impressions: bool = True
    """Whether memory is told of what was shown, or of actions only."""

    learns: bool = True
    """Whether its policy goes by the learned allocation; where not, learning it is left out to save time."""

    trees: bool = False
    """Whether trees are fitted; long streams of many systems do without, for the hours it takes."""

    swap_share: float = 0.05


@dataclass(slots=True)
class Trace:
    """What came of every search: the wanted document's position (0 = not on the first page), whether it was among the
    candidates, and what was asked."""

    position: list[int] = field(default_factory=list)
    recalled: list[bool] = field(default_factory=list)
    candidates: list[int] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def gain(self) -> np.ndarray:
        """1 / log2(1 + position) of the wanted document on the first page, else 0; also its nDCG@10."""
        position = np.array(self.position, float)
        gain: np.ndarray = np.where(position > 0, 1 / np.log2(1 + np.maximum(position, 1)), 0.0)
        return gain

    def reward(self) -> np.ndarray:
        """Graded reward net of cost."""
        reward: np.ndarray = self.gain() - np.array(self.cost)
        return reward


class PlaybackRetrievers(Retrievers):
    """Recorded lexical and vector strategies beside the real memory service."""

    def __init__(self, recorded: RecordedCandidates, hidden: frozenset[str]) -> None:
        super().__init__()
        self._recorded = recorded
        self._hidden = hidden

    async def open(self, memory: LocalConnection) -> None:
        """Connects memory."""
        await self.connect("memory", memory)
        every = (*self._recorded.strategies, *self.strategies)
        self.strategies = tuple(
            sorted((one for one in every if one.name not in self._hidden), key=lambda one: one.name)
        )

    async def retrieve(self, query: RetrievalQuery, depths: Mapping[str, int], timeout_s: float) -> dict[str, Outcome]:
        """See `Retrievers`."""
        live = {name: depth for name, depth in depths.items() if name.startswith("memory.")}
        outcomes = await super().retrieve(query, live, timeout_s) if live else {}
        for name, depth in depths.items():
            if name not in live:
                outcomes[name] = Outcome(Status.OK, self._recorded.of(query.query, name, depth), 0.0)
        return outcomes


class NoMemory:
    """A memory that knows nothing of any query."""

    async def Recall(self, request: memory_pb2.RecallRequest, timeout: float) -> memory_pb2.RecallResponse:
        """See `honeyguide.memory.v1.MemoryService`."""
        return memory_pb2.RecallResponse()


class ActionsOnly:
    """A memory that is not told of what was shown."""

    def __init__(self, memory: Any) -> None:
        self.RecordActions = memory.RecordActions

    async def RecordImpressions(
        self, request: memory_pb2.RecordImpressionsRequest, timeout: float
    ) -> memory_pb2.RecordImpressionsResponse:
        """See `honeyguide.memory.v1.MemoryService`."""
        return memory_pb2.RecordImpressionsResponse()


class Masked:
    """A policy that does not see some features of the context."""

    def __init__(self, policy: Policy, masked: frozenset[str]) -> None:
        self.name = policy.name
        self._policy = policy
        self._columns = [FEATURES.index(name) for name in sorted(masked)]

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """See `Policy`."""
        return self._policy.draw(self._seen(situation), model, rng)

    def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
        """See `Policy`."""
        return self._policy.distribution(self._seen(situation), model, rng)

    def _seen(self, situation: Situation) -> Situation:
        x = situation.x.copy()
        x[self._columns] = 0
        return replace(situation, x=x)


class DecisionList:
    """The decision log without Redis: as much of it as searcher and learner use, the newest kept."""

    def __init__(self, masked: frozenset[str], kept: int = 2_000) -> None:
        self._masked = [FEATURES.index(name) for name in sorted(masked)]
        self._kept = kept
        self._records: dict[str, DecisionRecord] = {}
        self._order: deque[tuple[int, str]] = deque()
        self._count = 0
        self.settled: dict[str, Mapping[str, float]] = {}
        self.last: DecisionRecord | None = None

    async def append(self, record: DecisionRecord) -> None:
        """See `DecisionLog`."""
        if self._masked:  # the learner must not see what the policy did not
            x = record.x.copy()
            x[self._masked] = 0
            record = replace(record, x=x)
        self.last = record
        if not record.tracked:
            return
        self._count += 1
        self._records[record.id] = record
        self._order.append((self._count, record.id))
        while len(self._order) > self._kept:
            self._records.pop(self._order.popleft()[1], None)

    async def fetch(self, decision_ids: Sequence[str], pause: Any = None) -> dict[str, DecisionRecord]:
        """See `DecisionLog`."""
        return {id: self._records[id] for id in decision_ids if id in self._records}

    async def read(self, after: str, count: int) -> list[tuple[str, str]]:
        """See `DecisionLog`."""
        last = int(after.partition("-")[0])
        return [(f"{at}-0", id) for at, id in self._order if at > last][:count]

    async def settle(self, rewards: Mapping[str, Mapping[str, float]], open: Set[str] = frozenset()) -> None:
        """See `DecisionLog`."""
        self.settled.update(rewards)

    async def rewards(self, decision_ids: Sequence[str]) -> dict[str, Mapping[str, float]]:
        """See `DecisionLog`."""
        return {id: self.settled[id] for id in decision_ids if id in self.settled}


class EventList:
    """The event stream without Redis."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def add(self, event: Event) -> None:
        """Takes an event in."""
        self._events.append(event)

    async def read(self, after: Mapping[int, str], count: int) -> list[tuple[int, str, Event]]:
        """See `EventStream`."""
        begin = int(after.get(0, "0"))
        return [(0, str(begin + 1 + i), event) for i, event in enumerate(self._events[begin : begin + count])]


class Snapshots:
    """Snapshots handed straight to the searcher's models."""

    def __init__(self, models: LearnedModels) -> None:
        self._models = models
        self._version = 0

    async def fetch(self, known_version: int = 0) -> Snapshot | None:
        """See `SnapshotStore`: there is none to begin with."""
        return None

    async def publish(self, content: Mapping[str, Any], lease_token: str, time_s: float, after_version: int) -> int:
        """See `SnapshotStore`."""
        self._version += 1
        self._models.adopt(Snapshot(self._version, time_s, content))
        return self._version


@dataclass(frozen=True, slots=True)
class _Lease:
    token: str = "benchmark"


@dataclass(slots=True)
class Stage:
    """A system, ready to be searched. `learn` takes in what the lists hold and publishes a snapshot."""

    searcher: Searcher
    learner: Learner
    models: LearnedModels
    decisions: DecisionList
    events: EventList
    retrievers: PlaybackRetrievers
    policy: Policy
    policies: dict[str, Policy]
    due: list[tuple[float, str, Event]] = field(default_factory=list)
    """Feedback under way, by the time of its arrival."""

    async def learn(self, publish: bool = True) -> None:
        """One step of the learner, and a snapshot of it."""
        await self.learner.step()
        await self.learner.fitted()
        if publish:
            await self.learner.publish()

    async def search(self, query: str, time_s: float, tracked: bool = True, page_size: int = PAGE) -> DecisionRecord:
        """One search; the record tells all that was decided and ranked."""
        context = Context(time_s=time_s)
        await self.searcher.search(SearchQuery(query, context, Filter(), page_size=page_size, tracked=tracked))
        record = self.decisions.last
        if record is None:
            raise RuntimeError("the search was not logged")
        return record

    async def ask(self, policy: Policy, query: str, time_s: float) -> DecisionRecord:
        """One untracked search under another policy; nothing is learned from it."""
        self.policies["asked"] = policy
        context = Context(time_s=time_s)
        await self.searcher.search(SearchQuery(query, context, Filter(), policy="asked", tracked=False))
        if self.decisions.last is None:
            raise RuntimeError("the search was not logged")
        return self.decisions.last


def _learning(learns: bool) -> AbstractContextManager[object]:
    return nullcontext() if learns else mock.patch.object(AllocationLearner, "learn", return_value=None)


@asynccontextmanager
async def stage(system: System, scene: Scene, recording: Recording, seed: int) -> AsyncIterator[Stage]:
    """Sets a system up on a scene; everything is gone afterwards."""
    settings = OrchestratorSettings(depths=system.depths, **system.options)
    options = PolicyOptions(
        costs=Costs.of(system.depths, CALL_COST, CANDIDATE_COST),
        exploration_share=settings.exploration_share,
        exploration_share_known=settings.exploration_share_known,
        gamma=settings.exploration_gamma,
        warm_up=settings.exploration_warm_up,
        epsilon=settings.epsilon,
    )
    policy = POLICIES[system.policy](options) if isinstance(system.policy, str) else system.policy(options.costs)
    if system.masked:
        policy = Masked(policy, system.masked)
    ranker = RANKERS[system.ranker] if isinstance(system.ranker, str) else system.ranker
    ids = Random(f"ids {seed}")
    known_ids = mock.patch("uuid.uuid4", side_effect=lambda: UUID(int=ids.getrandbits(128)))
    with tempfile.TemporaryDirectory() as folder, _learning(system.learns), known_ids:
        valkey_folder = Path(folder) / "valkey"
        shutil.copytree(recording.valkey, valkey_folder)
        valkey = ValkeyServer(valkey_folder)
        try:
            memory_settings = MemorySettings(redis_url=valkey.url, key_prefix="hg")
            async with open_memory(memory_settings) as registrations:
                connection = LocalConnection(registrations)
                memory = connection.stub(memory_pb2_grpc.MemoryServiceStub)
                retrievers = PlaybackRetrievers(RecordedCandidates(recording), system.hidden)
                await retrievers.open(connection)
                recalled = memory if system.memory else NoMemory()
                lexical = RecordedLexical(recording, scene.documents, system.understanding)
                models = LearnedModels(system.depths)
                policies = {policy.name: policy}
                decisions, events = DecisionList(system.masked), EventList()
                filler = PageFiller(retrievers)
                searcher = Searcher(
                    understander=Understander(
                        Recognizer(lexical, lambda: 0.0, FOREVER_S), lambda: recording.facts, lambda: 0.0
                    ),
                    retrievers=retrievers,
                    lexical=lexical,
                    memory=recalled,
                    models=models,
                    policies=policies,
                    live_policy=policy.name,
                    shadow_policy="",
                    rankers={ranker.name: ranker},
                    live_ranker=ranker.name,
                    experiment=None,
                    decision_log=decisions,  # type: ignore[arg-type]
                    filler=filler,
                    pages=ResultPages(lexical, decisions, PageTokens(b"benchmark"), filler, FOREVER_S, FOREVER_S),  # type: ignore[arg-type]
                    limits=SearchLimits(FOREVER_S, FOREVER_S, FOREVER_S, system.swap_share),
                    rng=np.random.default_rng([seed, 7]),
                )
                learner = Learner(
                    decision_log=decisions,  # type: ignore[arg-type]
                    event_stream=events,  # type: ignore[arg-type]
                    snapshots=Snapshots(models),  # type: ignore[arg-type]
                    lease=_Lease(),  # type: ignore[arg-type]
                    lexical=lexical,
                    memory=memory if system.impressions else ActionsOnly(memory),
                    strategies=searcher.strategies,
                    options=LearnerOptions(
                        depths=system.depths,
                        rewards=Rewards(settings.rewards, settings.play_full_s),
                        window_s=settings.attribution_window_s,
                        open_max=settings.open_decisions_max,
                        call_cost=CALL_COST,
                        candidate_cost=CANDIDATE_COST,
                        learn_interval_s=1.0,
                        snapshot_interval_s=1.0,
                        lease_s=60.0,
                        trees=system.trees,
                    ),
                    clock=lambda: 0.0,
                    make_way=Foreground().make_way,
                )
                await learner.restore()
                yield Stage(searcher, learner, models, decisions, events, retrievers, policy, policies)
        finally:
            valkey.stop()


Observer = Callable[[Search, DecisionRecord, Stage], None]


async def run(
    on: Stage,
    searches: Sequence[Search],
    seed: int,
    people: ClickModel = PEOPLE,
    observe: Observer | None = None,
) -> Trace:
    """Lets the stream's people search, one after the other; returns what came of it.

    Feedback comes late (exponentially, minutes; some hours) and a tenth of it is lost.
    """
    trace = Trace()
    begin = time.perf_counter()
    due = on.due
    for search in searches:
        random = Random(f"{seed} {search.number}")
        while due and due[0][0] <= search.time_s:
            on.events.add(heapq.heappop(due)[2])
        if search.number % STEP_EVERY == 0:
            await on.learn(publish=published(search.number))
        if isinstance(on.policy, Informed):
            on.policy.told(search)
        record = await on.search(search.need.query, search.time_s)
        note(trace, record, search.wanted)
        if observe:
            observe(search, record, on)
        for click in clicks(search, record.document_ids[:PAGE], people, random):
            event = Event(
                id=f"{search.number}-{click.position}",
                decision_id=record.id,
                document_id=record.document_ids[click.position - 1],
                action="click",
                time_s=click.time_s,
            )
            heapq.heappush(due, (click.arrives_s, event.id, event))
        if isinstance(on.policy, Taught):
            on.policy.teach(record, search.wanted)
    trace.seconds = time.perf_counter() - begin
    return trace


@dataclass(frozen=True, slots=True)
class Click:
    """A click on a page, at a position from 1, and when the learner's stream has it."""

    position: int
    time_s: float
    arrives_s: float


def clicks(search: Search, shown: Sequence[str], people: ClickModel, random: Random) -> Iterator[Click]:
    """What a searcher does with a page of document ids, as far as it is not lost."""
    for position in people.clicks(shown, search.wanted, search.need.grades, random):
        if random.random() < LOST_SHARE:
            continue
        mean_s = LATE_MEAN_S if random.random() < LATE_SHARE else DELAY_MEAN_S
        time_s = search.time_s + 5.0 + 3.0 * position
        yield Click(position, time_s, time_s + random.expovariate(1 / mean_s))


def published(number: int) -> bool:
    """Whether what was learned is published before the search of that number."""
    return number < PUBLISH_ALWAYS or number % PUBLISH_EVERY == 0


class Informed:
    """A policy that is told who searches: baselines that know what no real system would."""

    def told(self, search: Search) -> None:
        """Before the search."""


class Taught:
    """A policy with a learner of its own, told the reward of every decision at once."""

    def teach(self, record: DecisionRecord, wanted: str) -> None:
        """After the search."""


def note(trace: Trace, record: DecisionRecord, wanted: str) -> None:
    """Adds a search to the trace."""
    try:
        place = record.document_ids.index(wanted) + 1
    except ValueError:
        place = 0
    trace.position.append(place if place <= PAGE else 0)
    trace.recalled.append(place > 0)
    trace.candidates.append(record.candidates_fetched)
    trace.calls.append(record.calls)
    trace.cost.append(CALL_COST * record.calls + CANDIDATE_COST * record.candidates_fetched)


async def held_out(on: Stage, needs: Sequence[Need], time_s: float) -> dict[str, dict[str, float]]:
    """What the system would show for queries that it never got feedback on: query id -> document id -> score."""
    found = {}
    for need in needs:
        record = await on.search(need.query, time_s, tracked=False)
        found[need.id] = {id: -float(place) for place, id in enumerate(record.document_ids[:PAGE])}
    return found


def strategies_of(on: Stage) -> tuple[Strategy, ...]:
    """The strategies of a stage, in the order of rungs."""
    return on.searcher.strategies()
