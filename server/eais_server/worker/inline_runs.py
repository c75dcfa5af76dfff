"""Runs of short calls on the event loop itself; see `eais_server.worker.inline`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from eais.transport.parts import RunPart
from eais_server.devices.driver import PLAIN_RUN, PreparedRun, RuntimeSession
from eais_server.turns.turn import Turn
from eais_server.worker.execution import Execution, Result
from eais_server.worker.inline import AT_ONCE_S, OVERLONG_S, InlineRights, Kind
from eais_server.worker.watchdog import Watchdog

R = TypeVar("R")

_AT_ONCE_NS: Final = round(AT_ONCE_S * 1e9)
_SOME_NS: Final = _AT_ONCE_NS // 4
_OVERLONG_NS: Final = round(OVERLONG_S * 1e9)


class InlineRuns:
    """Has calls run here, while the event loop has time for it.

    Args:
        execution: takes no turns.
        clock: monotonic nanoseconds.
        again: told when the event loop has time again.
        turn: which is taken here for each run, if nobody has to wait for it; None: the device
            isn't shared.

    Attributes:
        execution: with which runs are made here.
        rights: what is known of each kind of call.
    """

    def __init__(
        self,
        execution: Execution,
        clock: Callable[[], int],
        watchdog: Watchdog | None = None,
        turn: Turn | None = None,
    ) -> None:
        self.rights = InlineRights()
        self.again: Callable[[], None] = _nothing
        self.execution = execution
        self._turn = turn
        self._clock = clock
        self._watchdog = watchdog or Watchdog()
        self._loop = asyncio.get_running_loop()
        self._spent_ns = 0
        self._turning = False
        # One for each session, since no two runs go on here at once.
        self._prepared: dict[str, tuple[RuntimeSession, PreparedRun]] = {}

    @property
    def has_time(self) -> bool:
        """Whether a run may begin before the event loop has done something else."""
        return self._spent_ns < _AT_ONCE_NS

    def prepared(self, name: str, session: RuntimeSession) -> PreparedRun:
        """What runs a call of the session without options here, again and again."""
        known = self._prepared.get(name)
        if known is not None and known[0] is session:
            return known[1]
        made = session.prepare(PLAIN_RUN)
        self._prepared[name] = session, made
        return made

    def run(
        self,
        run: RunPart,
        prepared: PreparedRun,
        kind: Kind,
        buffers: tuple[memoryview, ...] = (),
        queue_ns: int = 0,
        ends_ns: int | None = None,
    ) -> Result | None:
        """Run a call; None: it is to be run on a thread, for it lasted here and was ended, or it
        isn't this worker's turn.
        """
        turn = self._turn
        if turn is None:
            return self._run(run, prepared, kind, buffers, queue_ns, ends_ns)
        if not turn.try_take():
            return None
        try:
            return self._run(run, prepared, kind, buffers, queue_ns, ends_ns)
        finally:
            turn.give()

    def _run(
        self,
        run: RunPart,
        prepared: PreparedRun,
        kind: Kind,
        buffers: tuple[memoryview, ...],
        queue_ns: int,
        ends_ns: int | None,
    ) -> Result | None:
        begun = self._clock()
        self._watchdog.begins(prepared)
        result = self.execution.run(run, buffers, prepared, queue_ns, ends_ns)
        told = self._watchdog.ended()
        took_ns = self._clock() - begun
        kind.took(took_ns / 1e9)
        self._spend(took_ns)
        if told or result.reason:
            ended = self._was_ended(run.session, prepared, begun, took_ns)
            return None if ended and result.reason else result
        return result

    def watched(
        self, session: str, prepared: PreparedRun, work: Callable[[], R | None]
    ) -> R | None:
        """Do work of which `prepared` is the run; None as in `run`."""
        turn = self._turn
        if turn is None:
            return self._watched(session, prepared, work)
        if not turn.try_take():
            return None
        try:
            return self._watched(session, prepared, work)
        finally:
            turn.give()

    def _watched(
        self, session: str, prepared: PreparedRun, work: Callable[[], R | None]
    ) -> R | None:
        begun = self._clock()
        self._watchdog.begins(prepared)
        found = work()
        told = self._watchdog.ended()
        took_ns = self._clock() - begun
        self._spend(took_ns)
        if told or found is None:
            self._was_ended(session, prepared, begun, took_ns)
        return found

    def _was_ended(self, session: str, prepared: PreparedRun, begun: int, took_ns: int) -> bool:
        """Whether the run was told to end: then nothing is run by it again.

        It may be over all the same; and what it was told may have been meant for the one before.
        """
        if not prepared.terminated:
            return False
        self._prepared.pop(session, None)
        if took_ns >= _OVERLONG_NS:
            self.rights.overran(session, begun / 1e9)
        return True

    def forget(self, name: str) -> None:
        """The session isn't here any more."""
        self._prepared.pop(name, None)
        self.rights.forget(name)

    def close(self) -> None:
        """Watch no more."""
        self._watchdog.close()

    def _spend(self, took_ns: int) -> None:
        self._spent_ns += took_ns
        if self._spent_ns >= _SOME_NS and not self._turning:
            self._turning = True
            self._loop.call_soon(self._turned)

    def _turned(self) -> None:
        waited = not self.has_time
        self._turning, self._spent_ns = False, 0
        if waited:
            self.again()


def _nothing() -> None:
    """Nobody waits for it."""
