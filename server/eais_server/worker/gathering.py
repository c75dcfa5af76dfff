"""Which of the calls that wait go with the one whose turn it is, and which wait for more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import TypeAlias

from eais_server.worker.batching.batches import MOST, Batches
from eais_server.worker.batching.kinds import CallKind
from eais_server.worker.job import Job
from eais_server.worker.queue import RunQueue

MayRun: TypeAlias = Callable[[Hashable], bool]


class Gathering:
    """Looks through the queue for calls of a kind.

    Args:
        may_run: whether a stream may have another job run now.
        pump: starts what may start; called when something was held for long enough.
    """

    def __init__(
        self,
        batches: Batches,
        queue: RunQueue[Hashable, Job],
        may_run: MayRun,
        pump: Callable[[], None],
    ) -> None:
        self._batches = batches
        self._queue = queue
        self._may_run = may_run
        self._pump = pump
        self._loop = asyncio.get_running_loop()
        self._held: asyncio.TimerHandle | None = None

    def kind(self, job: Job) -> CallKind | None:
        """What the job has in common with others; None if it runs alone."""
        if not job.kind_known:
            job.kind, job.kind_known = self._batches.kind(job.run, job.buffers), True
        return job.kind

    def take(self, job: Job) -> list[Job]:
        """Take out of the queue what runs with the job."""
        batches = self._batches
        if not batches.policy.may_double(job.cost_s):
            return []
        kind = self.kind(job)
        if kind is None or not batches.worth_looking(kind, len(self._queue) + 1):
            return []
        others = self._like(kind, MOST - 1)
        calls = [job, *others]
        size = batches.size(kind, len(calls), lambda: calls, job.prepare, job.cost_s)
        others = others[: size - 1]
        for other in others:
            self._queue.take_out(other.stream, other)
        return others

    def _like(self, kind: CallKind, most: int) -> list[Job]:
        return self._queue.like(lambda other: self.kind(other) == kind, most, self._may_run)

    def hold(self, job: Job) -> bool:
        """Whether to wait for more like the job, which came: until anything else starts, too.

        A job that can't wait so long has what is held start with it.
        """
        if not self._batches.policy.holds:
            return False
        kind = self.kind(job)
        if kind is None:
            return False
        held_s = self._held.when() - self._loop.time() if self._held is not None else 0.0
        waiting = len(self._like(kind, MOST))
        hold_s = self._batches.hold_s(kind, waiting, job.ends_ns, held_s)
        if hold_s > 0 and self._held is None:
            # Those that come meanwhile don't make it longer.
            self._held = self._loop.call_later(hold_s, self._pump)
        return hold_s > 0

    def started(self) -> None:
        """What waits is being started: nothing is held any more."""
        if self._held is not None:
            self._held.cancel()
            self._held = None
