"""The run threads: calls in turn, stopped softly, and reported when they won't stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from eais.errors import EaisError
from eais_server.in_flight import Marks
from eais_server.turns.turn import Turn
from eais_server.worker.batching.batches import Batches
from eais_server.worker.batching.fused import Outcome
from eais_server.worker.batching.policy import Policy
from eais_server.worker.calls_at_once import CallsAtOnce
from eais_server.worker.execution import Execution, Result, answer_it
from eais_server.worker.gathering import Gathering
from eais_server.worker.inline_runs import InlineRuns
from eais_server.worker.job import Batch, Job
from eais_server.worker.queue import RunQueue
from eais_server.worker.suspects import Suspects
from eais_server.worker.trial_runs import TrialRuns

CANCEL_GRACE_S: Final = 2.0
"""How long a run may go on after it was told to end."""


class Runner:
    """As many jobs at a time as the share has threads; the others wait in turn.

    Args:
        queue_limit_s: that a job may wait while others of its stream do, too.
        may_run: whether a stream may have another job run now.
        stuck: told the session of a job that didn't stop within `grace_s`; idle: when all is done.
        marks: where it is written what runs, before it does.
        clock: monotonic nanoseconds.
        slo_s: of the 99th percentile; 0: callers haven't said.
        turn, lost: as of `Execution`; no turn: the device isn't shared.

    Attributes:
        threads: how many jobs may run at a time, those that run as one counted once.
        inline: where short ones run.
        at_once: runs those that come while it `is_free`.
        batches: which run as one.
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
        slo_s: float = 0.0,
        turn: Turn | None = None,
        lost: Callable[[EaisError], None] = answer_it,
    ) -> None:
        self.threads = threads
        self.batches = Batches(Policy(threads, slo_s), clock)
        self._loop = asyncio.get_running_loop()
        self._queue: RunQueue[Hashable, Job] = RunQueue(waiting_limit)
        self._suspects: Suspects[Job] = Suspects()
        self._waiting_limit = waiting_limit
        self._queue_limit_s = queue_limit_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="run")
        self._running: set[Job] = set()
        self._busy = 0  # run threads in use
        self._gathering = Gathering(self.batches, self._queue, may_run, self.pump)
        self._trials = TrialRuns(self.batches, self._pool, marks, self._tried, turn)
        self._may_run = may_run
        self._stuck = stuck
        self._idle = idle
        self._marks = marks
        self._grace_s = grace_s
        self._clock = clock
        self._turn = turn
        self._execution = Execution(clock, turn, lost)
        self._pumping = False
        self.inline = InlineRuns(Execution(clock, lost=lost), clock, turn=turn)
        self.inline.again = self.pump
        self.at_once = CallsAtOnce(self.inline, self.batches, marks, clock, turn)

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
        if self.batches.trial is not None:
            left_s += self._trials.wait_s(len(self._queue))
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
        if self._suspects.any_named or not self._gathering.hold(job):
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

    def room_made(self) -> None:
        """A stream may run that might not before."""
        if self.waiting_jobs:
            self.pump()

    def pump(self) -> None:
        """Start what may start."""
        if self._pumping:
            return
        self._pumping = True
        self._gathering.started()
        try:
            while self._busy < self.threads and self.inline.has_time:
                if not self._suspects.any_named and self._trials.begin(
                    calls_wait=len(self._queue) > 0
                ):
                    self._busy += 1
                    continue
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
            running=self._busy > 0,
        )

    def _start(self, job: Job) -> None:
        self._trials.call_began()
        others = self._gathering.take(job) if self._may_gather else []
        alone = not self._running
        self._busy += 1
        for each in (job, *others):
            self._running.add(each)
            each.running, each.began_s = True, self.now_s
        self._marks.run_begins(job.session)
        if others and job.kind is not None:
            self._start_together(Batch(job.kind, [job, *others], job.prepare()), alone=alone)
        elif not (alone and job.inline and self._ran_here(job)):
            self._hand_on(self._work, job)

    def _hand_on(self, work: Callable[..., None], what: Job | Batch) -> None:
        """To a run thread."""
        if self._turn is not None:
            self._turn.soon(more=True)
        self._pool.submit(work, what)

    # calls that run as one

    @property
    def _may_gather(self) -> bool:
        """A call that is alone pays no more than this."""
        return self.batches.any_session and len(self._queue) > 0 and not self._suspects.any_named

    def _start_together(self, batch: Batch, *, alone: bool) -> None:
        inline = alone and all(job.inline for job in batch.jobs)
        if not (inline and self._ran_together_here(batch)):
            self._hand_on(self._work_together, batch)

    def _ran_together_here(self, batch: Batch) -> bool:
        """Whether the batch is over, for it was run on the event loop."""
        first = batch.jobs[0]
        if self.inline.rights.kind(first.session, first.size) is None:
            return False
        if not self.batches.is_short(batch.kind, len(batch.jobs)):
            return False
        work = partial(batch.run, self.inline.execution, self._clock)
        outcome = self.inline.watched(batch.session, batch.prepared, work)
        if outcome is None:
            batch.prepared = first.prepare()
        if outcome is None or not outcome.results:
            return False
        self._done_together(batch, outcome, outcome.results)
        self._tell_idle()
        return True

    def _work_together(self, batch: Batch) -> None:
        outcome = batch.run(self._execution, self._clock) or Outcome([])
        results = outcome.results or batch.run_apart(self._execution, self._clock)
        self._loop.call_soon_threadsafe(self._worked_together, batch, outcome, results)

    def _worked_together(self, batch: Batch, outcome: Outcome, results: list[Result]) -> None:
        self._done_together(batch, outcome, results)
        self._go_on()

    def _done_together(self, batch: Batch, outcome: Outcome, results: list[Result]) -> None:
        self._busy -= 1
        answered = any(not result.reason for result in results)
        self._marks.run_ended(batch.session, answered=answered)
        self.batches.ran(batch.kind, batch.jobs, outcome, batch.jobs[0].prepare)
        for job in batch.jobs:
            self._running.discard(job)
            self._suspects.over(job, answered=answered)
            job.ran()
        for job, result in zip(batch.jobs, results, strict=True):
            job.finished(result)
        batch.over()

    def try_soon(self) -> None:
        """A trial may have been begun, while no call waits."""
        if self.batches.trial is not None:
            self.pump()

    def _tried(self) -> None:
        self._busy -= 1
        self._go_on()

    # calls that run alone

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
            if job.batch is not None:
                if not job.batch.left(job):
                    return
                job.batch.prepared.terminate()
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
        self._go_on()

    def _done(self, job: Job, result: Result) -> None:
        self._busy -= 1
        self._running.discard(job)
        answered = not result.reason
        self._marks.run_ended(job.session, answered=answered)
        self._suspects.over(job, answered=answered)
        job.ran()
        job.finished(result)

    def _go_on(self) -> None:
        self.pump()
        if self._turn is not None and not self._busy:
            self._turn.soon(more=False)
        self._tell_idle()

    def _tell_idle(self) -> None:
        if not self.in_flight:
            if self._turn is not None:
                self._turn.rest()
            self._idle()
