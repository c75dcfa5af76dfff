"""Looks at workers that say nothing, for the supervision to judge."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from eais_server.listener.cpu_waits import CpuWaits
from eais_server.listener.live_worker import LiveWorker
from eais_server.listener.shared import SharedDevices
from eais_server.supervision import State
from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from eais_server.supervision.held import NEVER

log = logging.getLogger(__name__)

# Before a silent worker is judged: the loop reads what waits in its socket.
_READS_FIRST_S: Final = 0.01


class SilentWorkers:
    """What CPU time they get.

    Args:
        state: the supervision's, to be read.
        tell: the supervision.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        state: State,
        tell: Callable[[on.Event], None],
        cpu_waits: CpuWaits,
        shared: SharedDevices,
        clock: Callable[[], float],
    ) -> None:
        self._state = state
        self._tell = tell
        self._cpu_waits = cpu_waits
        self._shared = shared
        self._clock = clock

    async def look(self, action: do.WatchCpu | do.AskCpu, live: LiveWorker | None) -> None:
        """Do it, if the worker lives."""
        asked = isinstance(action, do.AskCpu)
        if asked:
            await asyncio.sleep(_READS_FIRST_S)
        worker = action.worker
        if live is None or live.exit.done():
            return  # whatever it waited for, its exit is what the brain is told
        pid, now = live.process.pid, self._clock()
        if asked:
            self._tell(self._seen(worker, pid, now))
            self._note_patience(worker, live)
        else:
            live.starves = False
            self._shared.missed(worker)
            self._cpu_waits.watch(worker, pid, now)

    def _seen(self, worker: int, pid: int, now: float) -> on.CpuSeen:
        seen = self._cpu_waits.seen(worker, pid, now)
        return on.CpuSeen.starved(worker) if self._shared.was_held_up(worker) else seen

    def _note_patience(self, worker: int, live: LiveWorker) -> None:
        """Say it once of each silence: this machine has too much to do."""
        known = self._state.workers.get(worker)
        if known and known.second_look_at < NEVER and not known.killed and not live.starves:
            live.starves = True
            log.warning("worker %s says nothing: it waits for a CPU", worker)

    def forget(self, worker: int) -> None:
        """The worker has exited."""
        self._cpu_waits.forget(worker)
