"""Workers that share a device by turns: who takes part, and what is done against their will.

Turns are kept on a thread of their own (`eais_server.turns.keeper`). It acts at once; the event
loop is told before, and so the supervision before it sees the exit of one that was killed.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from eais.rpc.v1 import supervision_pb2
from eais_server.listener.inventory import Inventory
from eais_server.process import WorkerProcess
from eais_server.supervision import events as on
from eais_server.turns.brain import actions as do
from eais_server.turns.keeper import Keeper
from eais_server.turns.table import Table, Told, Worker

log = logging.getLogger(__name__)

Keeps = Callable[[Told], Keeper]
"""Makes a keeper that isn't started yet."""


@dataclass(slots=True)
class _Sharer:
    """What is known of a worker that takes turns.

    Attributes:
        excused: it loads a model.
        stopped: it is, by SIGSTOP.
        held_up: it was, at some time since its heartbeat was last missed.
    """

    excused: bool = False
    stopped: bool = False
    held_up: bool = False


def _keeper(told: Told) -> Keeper:
    return Keeper(Table(told))


class SharedDevices:
    """All on the event loop, but `_told`.

    Args:
        inventory: what is reserved, and who counts what is used of it.
        tell: the supervision.
    """

    def __init__(
        self, inventory: Inventory, tell: Callable[[on.Event], None], keeps: Keeps = _keeper
    ) -> None:
        self._inventory: Final = inventory
        self._tell = tell
        self._keeps = keeps
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper: Keeper | None = None
        self._sharers: dict[int, _Sharer] = {}

    def start(self) -> None:
        """Begin to grant turns."""
        self._loop = asyncio.get_running_loop()
        self._keeper = self._keeps(self._told)
        self._keeper.start()

    def close(self) -> None:
        """Let all that are left run free."""
        self._keeping.close()

    @property
    def _keeping(self) -> Keeper:
        if self._keeper is None:
            raise RuntimeError("nobody keeps turns yet")
        return self._keeper

    def adopted(self, adopt: supervision_pb2.Adopt, process: WorkerProcess) -> None:
        """Before a worker is told of its share: have it take turns there, if that is shared.

        Raises:
            OSError: there is no descriptor left.
        """
        if not adopt.turns:
            return
        share = self._inventory.reservation(adopt.instance, adopt.n)
        pidfd = os.dup(process.pidfd)
        meter = self._inventory.meter(share, process.pid)
        worker = Worker(process.k, share.turns, share.milli, process.seat, pidfd, meter)
        self._sharers[process.k] = _Sharer()
        self._keeping.join(worker)

    def gone(self, process: WorkerProcess) -> None:
        """The worker has exited."""
        if self._sharers.pop(process.k, None) is None:
            process.seat.close()
        else:
            self._keeping.leave(process.k)

    def loads(self, worker: int, *, loading: bool) -> None:
        """Whether the worker loads a model, or tries one: that takes no turns."""
        sharer = self._sharers.get(worker)
        if sharer is not None and sharer.excused is not loading:
            sharer.excused = loading
            self._keeping.excuse(worker, excused=loading)

    def is_stopped(self, worker: int) -> bool:
        """Whether it is stopped for what it owes, by nobody else."""
        sharer = self._sharers.get(worker)
        return sharer is not None and sharer.stopped

    def missed(self, worker: int) -> None:
        """The worker says nothing: is that because it is stopped? See `was_held_up`."""
        if (sharer := self._sharers.get(worker)) is not None:
            sharer.held_up = sharer.stopped

    def was_held_up(self, worker: int) -> bool:
        """Whether it was stopped for what it owed since it was last `missed`."""
        sharer = self._sharers.get(worker)
        return sharer is not None and sharer.held_up

    def _told(self, action: do.Action) -> None:
        """On the keeper's thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._note, action)

    def _note(self, action: do.Action) -> None:
        number, sharer = action.sharer, self._sharers.get(action.sharer)
        if sharer is None:
            return  # it has exited
        match action:
            case do.Withhold(_, why):
                log.warning("worker %s has no more turns until it has paid: %s", number, why)
            case do.Stop():
                log.warning("worker %s is stopped: it goes on without a turn", number)
                sharer.stopped = sharer.held_up = True
            case do.Resume():
                sharer.stopped = False
            case do.Kill():
                self._tell(on.WorkerOverran(number))
            case do.Allow():
                pass
