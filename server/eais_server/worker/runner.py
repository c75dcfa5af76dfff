"""The run threads: calls in turn, stopped softly, and reported when they won't stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from eais_server.worker.execution import Result
from eais_server.worker.queue import RunQueue

log = logging.getLogger(__name__)

CANCEL_GRACE_S: Final = 2.0
"""How long a run may go on after it was told to end."""


@dataclass(eq=False, slots=True)
class Job:
    """A call that is queued or runs.

    Attributes:
        stream: whose turn it takes.
        session: for the report, should it not stop.
        work: runs it; on a run thread; doesn't raise.
        terminate: asks it to stop; any thread.
        finished: takes its result, on the event loop; not called for a job that was stopped
            while it waited.
    """

    stream: Hashable
    session: str
    work: Callable[[], Result]
    terminate: Callable[[], None]
    finished: Callable[[Result], None]
    running: bool = field(default=False, init=False)
    grace: asyncio.TimerHandle | None = field(default=None, init=False)


class Runner:
    """As many jobs at a time as the share has threads; the others wait in turn.

    Args:
        may_run: whether a stream may have another job run now.
        stuck: told the session of a job that didn't stop within `grace_s`.
        idle: told whenever no job waits or runs any more.
    """

    def __init__(
        self,
        threads: int,
        waiting_limit: int,
        may_run: Callable[[Hashable], bool],
        stuck: Callable[[str], None],
        idle: Callable[[], None],
        grace_s: float = CANCEL_GRACE_S,
    ) -> None:
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._queue: RunQueue[Hashable, Job] = RunQueue(waiting_limit)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="run")
        self._running = 0
        self._may_run = may_run
        self._stuck = stuck
        self._idle = idle
        self._grace_s = grace_s

    @property
    def in_flight(self) -> int:
        """Jobs that wait or run."""
        return len(self._queue) + self._running

    def submit(self, job: Job) -> bool:
        """Queue a job; False if too many wait."""
        if not self._queue.offer(job.stream, job):
            return False
        self.pump()
        return True

    def pump(self) -> None:
        """Start what may start; call it when a stream may run that might not before."""
        while self._running < self._threads:
            job = self._queue.take(self._may_run)
            if job is None:
                return
            self._running += 1
            job.running = True
            self._pool.submit(self._work, job)

    def stop(self, job: Job) -> None:
        """End a job: at once if it waits, softly if it runs."""
        if self._queue.discard(job.stream, job):
            self._tell_idle()
        elif job.running and job.grace is None:
            job.terminate()
            job.grace = self._loop.call_later(self._grace_s, self._stuck, job.session)

    def _work(self, job: Job) -> None:
        result = job.work()
        self._loop.call_soon_threadsafe(self._done, job, result)

    def _done(self, job: Job, result: Result) -> None:
        self._running -= 1
        job.running = False
        if job.grace is not None:
            job.grace.cancel()
        job.finished(result)
        self.pump()
        self._tell_idle()

    def _tell_idle(self) -> None:
        if not self.in_flight:
            self._idle()
