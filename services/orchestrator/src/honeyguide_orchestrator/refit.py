"""When trees are fitted, and how that keeps nothing waiting: in a thread, beside the learner's loop.

What they are fitted on is kept in memory only. After a restart it is gathered from the decision log, as far as that
reaches back, before the next fit. A fit that is under way when the learner stops is given up after the tree it is at.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from threading import Event

import structlog

from honeyguide.errors import HoneyguideError
from honeyguide_orchestrator.attribution import Credit
from honeyguide_orchestrator.decision_log import DecisionLog
from honeyguide_orchestrator.example import example_of
from honeyguide_orchestrator.lambdamart import GROUPS_MAX, Groups, fit
from honeyguide_orchestrator.ranker_learner import RankerLearner

IDS_BATCH = 500
RECORDS_BATCH = 10
"""Records decoded at a time: some milliseconds, after which searches in the same process get their turn."""

log = structlog.get_logger("honeyguide.refit")


class Refits:
    """Fits the trees of one learner when it is time. One fit at a time."""

    def __init__(self, decision_log: DecisionLog) -> None:
        self._decision_log = decision_log
        self._learner: RankerLearner | None = None
        self._until = "0"
        self._task: asyncio.Task[None] | None = None
        self._stop = Event()

    def begin(self, learner: RankerLearner, until: str) -> None:
        """Works for this learner from now on.

        until: the position in the decision log before which it had learned when it began; its groups lie there.
        """
        self._give_up()
        self._learner, self._until = learner, until

    def turn(self) -> None:
        """Begins a fit if it is time for one; to be called again and again, in the event loop. Returns at once."""
        if self._learner is None or (self._task is not None and not self._task.done()):
            return
        if self._learner.refit_due:
            self._learner.fitted_at = self._learner.actions
            self._stop = Event()
            self._task = asyncio.create_task(self._refit(self._learner, self._stop))

    async def done(self) -> None:
        """Waits for the fit under way, if there is one."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Gives up what is under way; returns when its thread has ended."""
        self._give_up()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _give_up(self) -> None:
        # The thread ends by itself, soon; the task waits for it, so it is not cancelled.
        self._stop.set()

    async def _refit(self, learner: RankerLearner, stop: Event) -> None:
        try:
            if self._until != "0":
                earlier = await self._gather(stop)
                if stop.is_set():
                    return
                learner.groups.follow(earlier)
                self._until = "0"
            groups, base, actions = dict(learner.groups.kept), learner.linear.learned, learner.actions
            begin = asyncio.get_running_loop().time()
            trees = await asyncio.to_thread(fit, groups, base, learner.looked_at, actions, stop)
            if stop.is_set():
                return
            learner.trees = trees
            seconds = round(asyncio.get_running_loop().time() - begin, 2)
            log.info("trees fitted", groups=len(groups), rounds=trees.rounds if trees else 0, seconds=seconds)
        except HoneyguideError as error:
            log.warning("no trees fitted", error=error.message)
        except Exception:  # the linear ranker goes on without
            log.exception("no trees fitted")

    async def _gather(self, stop: Event) -> Groups:
        """What was acted on before the learner began, from the decision log."""
        acted_on: deque[tuple[str, dict[str, float]]] = deque(maxlen=GROUPS_MAX)
        after = "0"
        while not stop.is_set():
            entries = await self._decision_log.read(after, IDS_BATCH)
            due = [(position, id) for position, id in entries if _order(position) <= _order(self._until)]
            rewards = await self._decision_log.rewards([id for _, id in due])
            acted_on.extend((id, rewards[id]) for _, id in due if rewards.get(id))
            if len(due) < IDS_BATCH:
                break
            after = due[-1][0]
        groups = Groups()
        waiting = list(acted_on)
        for begin in range(0, len(waiting), RECORDS_BATCH):
            if stop.is_set():
                break
            batch = dict(waiting[begin : begin + RECORDS_BATCH])
            for id, record in (await self._decision_log.fetch(list(batch))).items():
                for document_id, reward in batch[id].items():
                    with contextlib.suppress(ValueError):
                        position = record.document_ids.index(document_id) + 1
                        example = example_of(Credit(record, document_id, position, reward, 0.0, -1))
                        if example is not None:
                            groups.add(example)
            await asyncio.sleep(0)
        return groups


def _order(position: str) -> tuple[int, int]:
    milliseconds, _, sequence = position.partition("-")
    return int(milliseconds), int(sequence or 0)
