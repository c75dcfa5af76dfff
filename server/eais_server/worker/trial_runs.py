"""Trials of batches on the run threads, in turn with the calls that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

from eais_server.in_flight import Marks
from eais_server.turns.turn import Turn
from eais_server.worker.batching.batches import Batches
from eais_server.worker.batching.trial import Trial

TRIAL_S: Final = 5.0
"""How long a step of a trial may take."""


class TrialRuns:
    """Has the trial that goes on make its steps, one at a time.

    Args:
        pool: the run threads.
        over: told, on the event loop, that a step is over and its thread free.
        turn: which is taken for each step; None: the device isn't shared.
    """

    def __init__(
        self,
        batches: Batches,
        pool: Executor,
        marks: Marks,
        over: Callable[[], None],
        turn: Turn | None = None,
    ) -> None:
        self._batches = batches
        self._pool = pool
        self._marks = marks
        self._over = over
        self._turn_here = turn
        self._loop = asyncio.get_running_loop()
        self._running = False
        self._began_s = 0.0
        self._turn = True

    def wait_s(self, turns: int) -> float:
        """How long a call waits for steps of the trial, by estimate.

        Args:
            turns: of calls before it, after each of which a step may come.
        """
        trial = self._batches.trial
        if trial is None:
            return 0.0
        left_s = min(turns, trial.left) * trial.cost_s
        if self._running:
            left_s += max(0.0, trial.run_s - (self._loop.time() - self._began_s))
        return left_s

    def call_began(self) -> None:
        """A call has had its turn: a trial may have the next."""
        self._turn = True

    def begin(self, *, calls_wait: bool) -> bool:
        """Whether a step was begun, for which a run thread is to be free."""
        trial = self._batches.trial
        if trial is None or self._running or (calls_wait and not self._turn):
            return False
        self._running, self._turn = True, False
        self._began_s = self._loop.time()
        self._marks.run_begins(trial.kind.session)
        ends = self._loop.call_later(TRIAL_S, trial.prepared.terminate)
        self._pool.submit(self._work, trial, ends)
        return True

    def _work(self, trial: Trial, ends: asyncio.TimerHandle) -> None:
        turn = self._turn_here
        if turn is None or not turn.take(lambda: trial.prepared.terminated):
            finished = trial.step()  # whose runs fail where it was told to end
        else:
            try:
                finished = trial.step()
            finally:
                turn.give()
        self._loop.call_soon_threadsafe(self._worked, trial, ends, finished)

    def _worked(self, trial: Trial, ends: asyncio.TimerHandle, finished: bool) -> None:
        ends.cancel()
        self._running = False
        self._marks.run_ended(trial.kind.session, answered=not finished or trial.found.same)
        if finished:
            self._batches.tried(trial)
        self._over()
