"""The run threads: calls in turn, stopped softly, and reported when they won't stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from eais.errors import EaisError
from eais.transport.parts import RunPart
from eais_server.devices.driver import PreparedRun, RuntimeSession
from eais_server.in_flight import Marks
from eais_server.worker.execution import Execution, Result, size_of
from eais_server.worker.inline import Kind
from eais_server.worker.inline_runs import InlineRuns
from eais_server.worker.queue import RunQueue
from eais_server.worker.suspects import Suspects

log = logging.getLogger(__name__)

CANCEL_GRACE_S: Final = 2.0
"""How long a run may go on after it was told to end."""


@dataclass(eq=False, slots=True)
class Job:
    """A call that is queued or runs.

    Attributes:
        stream: whose turn it takes.
        frontend: whose stream that is.
        session: for the report, should it not stop.
        cost_s: how long it is expected to take a run thread.
        run: the call, with `buffers` for its deferred tensors.
        prepare: makes what runs it: once, and again should that have been ended on the event loop.
        finished: takes its result, on the event loop; not called for a job that was stopped
            while it waited.
        displaced: called instead when it lost its place to a call of a stream that has fewer,
            or waited too long.
        refuse: called when its session is quarantined; is to stop it and answer so.
        ready_ns: when all of it was here, as `Runner`'s clock says.
        ends_ns: when nobody waits for it any more; None: never.
        inline: whether it may run on the event loop.
        prepared: what runs it.
        began_s: when it was given a run thread, on the event loop's clock.
    """

    stream: Hashable
    frontend: Hashable
    session: str
    cost_s: float
    run: RunPart
    prepare: Callable[[], PreparedRun]
    finished: Callable[[Result], None]
    displaced: Callable[[], None]
    refuse: Callable[[EaisError], None]
    buffers: tuple[memoryview, ...] = ()
    ready_ns: int = 0
    ends_ns: int | None = None
    inline: bool = False
    prepared: PreparedRun = field(init=False)
    began_s: float = field(default=0.0, init=False)
    running: bool = field(default=False, init=False)
    grace: asyncio.TimerHandle | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.prepared = self.prepare()

    @property
    def size(self) -> int:
        """Bytes of its inputs."""
        return size_of(self.run, self.buffers)


class Runner:
    """As many jobs at a time as the share has threads; the others wait in turn.

    Args:
        queue_limit_s: that a job may wait while others of its stream do, too.
        may_run: whether a stream may have another job run now.
        stuck: told the session of a job that didn't stop within `grace_s`.
        idle: told whenever no job waits or runs any more.
        marks: where it is written what runs, before it does.
        clock: monotonic nanoseconds.

    Attributes:
        threads: how many jobs may run at a time.
        inline: where short ones run.
    """

    def __init__(
        self,
        threads: int,
        waiting_limit: int,
        queue_limit_s: float,
        may_run: Callable[[Hashable], bool],
        stuck: Callable[[str], None],
        idle: Callable[[], None],
        marks: Marks,
        grace_s: float = CANCEL_GRACE_S,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.threads = threads
        self._loop = asyncio.get_running_loop()
        self._queue: RunQueue[Hashable, Job] = RunQueue(waiting_limit)
        self._suspects: Suspects[Job] = Suspects()
        self._waiting_limit = waiting_limit
        self._queue_limit_s = queue_limit_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="run")
        self._running: set[Job] = set()
        self._may_run = may_run
        self._stuck = stuck
        self._idle = idle
        self._marks = marks
        self._grace_s = grace_s
        self._clock = clock
        self._execution = Execution(clock)
        self._pumping = False
        self.inline = InlineRuns(self._execution, clock)
        self.inline.again = self.pump

    def close(self) -> None:
        """Let go of the threads, once nothing runs."""
        self.inline.close()
        self._pool.shutdown(wait=False)

    @property
    def in_flight(self) -> int:
        """Jobs that wait or run."""
        return len(self._queue) + len(self._suspects) + len(self._running)

    @property
    def waiting_jobs(self) -> int:
        """Of them, those that wait."""
        return len(self._queue) + len(self._suspects)

    @property
    def is_free(self) -> bool:
        """Whether a call that came now could run on the event loop at once, nobody's before it."""
        return (
            not (self._running or len(self._queue) or self._suspects.any_named or self._pumping)
            and self.inline.has_time
        )

    @property
    def now_s(self) -> float:
        """The event loop's clock, seconds."""
        return self._loop.time()

    def waiting(self, stream: Hashable) -> int:
        """Jobs of the stream that wait."""
        return self._queue.waiting(stream)

    def wait_s(self, stream: Hashable, frontend: Hashable, cost_s: float) -> float:
        """How long a job of that stream and cost would wait, if it came now."""
        now_s = self.now_s
        left_s = sum(max(0.0, job.cost_s - (now_s - job.began_s)) for job in self._running)
        return (left_s + self._queue.ahead_s(stream, frontend, cost_s)) / self.threads

    def submit(self, job: Job) -> bool:
        """Queue a job, in the place of another if need be; False if too many wait."""
        if job.session in self._suspects:
            return self._submit_suspect(job)
        if not self._offer(job):
            loser = self._queue.make_room(job.stream)
            if loser is None:
                return False
            self._offer(job)
            loser.displaced()
        self.pump()
        return True

    def add(self, job: Job) -> bool:
        """Queue a job that is nobody's call: it takes no other's place; False if too many wait."""
        added = self._offer(job)
        self.pump()
        return added

    def _submit_suspect(self, job: Job) -> bool:
        if len(self._suspects) >= self._waiting_limit:
            return False
        self._suspects.add(job)
        self.pump()
        return True

    def _offer(self, job: Job) -> bool:
        return self._queue.offer(job.stream, job.frontend, job, job.cost_s, self.now_s)

    def forget(self, stream: Hashable) -> None:
        """The stream is gone, and all of its jobs were stopped."""
        self._queue.forget(stream)

    def run_here(self, run: RunPart, session: RuntimeSession, kind: Kind) -> Result | None:
        """Run a call on the event loop, now; only while the runner `is_free`.

        None: it lasted, and is to be submitted.
        """
        name = run.session
        self._marks.run_begins(name)
        result = self.inline.run(run, self.inline.prepared(name, session), kind)
        self._marks.run_ended(name, answered=result is not None and not result.reason)
        return result

    def room_made(self) -> None:
        """A stream may run that might not before."""
        if self.waiting_jobs:
            self.pump()

    def pump(self) -> None:
        """Start what may start."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while len(self._running) < self.threads and self.inline.has_time:
                job = self._next()
                if job is None:
                    return
                self._start(job)
        finally:
            self._pumping = False

    def _next(self) -> Job | None:
        for late in self._queue.overdue(self.now_s - self._queue_limit_s):
            late.displaced()
        if not self._suspects.any_named:
            return self._queue.take(self._may_run)
        return self._suspects.take(
            self._queue,
            lambda: self._queue.take(self._may_run),
            self._may_run,
            running=bool(self._running),
        )

    def _start(self, job: Job) -> None:
        alone = not self._running
        self._running.add(job)
        job.running, job.began_s = True, self.now_s
        self._marks.run_begins(job.session)
        if not (alone and job.inline and self._ran_here(job)):
            self._pool.submit(self._work, job)

    def _ran_here(self, job: Job) -> bool:
        """Whether the job is over, for it was run on the event loop."""
        kind = self.inline.rights.kind(job.session, job.size)
        if kind is None or self._suspects.any_named:
            return False
        waited_ns = self._clock() - job.ready_ns
        result = self.inline.run(job.run, job.prepared, kind, job.buffers, waited_ns, job.ends_ns)
        if result is None:
            job.prepared = job.prepare()
            return False
        self._done(job, result)
        self._tell_idle()
        return True

    def suspect(self, holds_s: Mapping[str, float]) -> None:
        """Run the jobs of these sessions alone, in that order of trust.

        Args:
            holds_s: session -> seconds to wait before the first of its jobs runs.
        """
        for session in self._suspects.name(holds_s):
            if holds_s[session] > 0:
                self._suspects.hold(session)
                self._loop.call_later(holds_s[session], self._release, session)
        for job in [job for job in self._queue if job.session in self._suspects]:
            self._queue.discard(job.stream, job)
            self._suspects.add(job)
        self.pump()

    def _release(self, session: str) -> None:
        self._suspects.release(session)
        self.pump()

    def refuse(self, session: str, error: EaisError) -> None:
        """End all jobs of the session."""
        jobs = [*self._queue, *self._suspects.waiting(), *self._running]
        for job in [job for job in jobs if job.session == session]:
            job.refuse(error)

    def stop(self, job: Job) -> None:
        """End a job: at once if it waits, softly if it runs."""
        if self._queue.discard(job.stream, job) or self._suspects.discard(job):
            self._tell_idle()
            self.pump()
        elif job.running and job.grace is None:
            job.prepared.terminate()
            job.grace = self._loop.call_later(self._grace_s, self._stuck, job.session)

    def _work(self, job: Job) -> None:
        waited_ns = self._clock() - job.ready_ns
        begun = time.thread_time_ns()
        result = self._execution.run(job.run, job.buffers, job.prepared, waited_ns, job.ends_ns)
        # Of this thread alone: that it waited, for Python's lock or the machine, says nothing.
        took_s = (time.thread_time_ns() - begun) / 1e9
        self._loop.call_soon_threadsafe(self._worked, job, result, took_s)

    def _worked(self, job: Job, result: Result, took_s: float) -> None:
        if job.inline and not result.reason:
            self.inline.rights.took(job.session, job.size, took_s, self._clock() / 1e9)
        self._done(job, result)
        self.pump()
        self._tell_idle()

    def _done(self, job: Job, result: Result) -> None:
        self._running.discard(job)
        job.running = False
        answered = not result.reason
        self._marks.run_ended(job.session, answered=answered)
        self._suspects.over(job, answered=answered)
        if job.grace is not None:
            job.grace.cancel()
        job.finished(result)

    def _tell_idle(self) -> None:
        if not self.in_flight:
            self._idle()
