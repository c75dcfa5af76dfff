"""The thread of a listener that grants turns.

A thread of its own: from a bell to the next worker's waking is what a shared device stands
still, and an event loop that answers others makes it longer than a batch. It sleeps unless
somebody rings, dies or waits.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import threading
import time
from collections.abc import Callable, Collection
from typing import Final

from eais_server.turns.table import Table, Worker

log = logging.getLogger(__name__)

RINGS: Final = 100
"""So often a worker may ring in `PERIOD_NS`; then it isn't heard until the next."""
PERIOD_NS: Final = 10_000_000

_Order = Callable[[], None]


class Keeper:
    """Join and leave from any thread; what they ask for is done in order on this one.

    Args:
        table: from now on the thread's alone; closed with it.
        cores: for the thread; empty: any. On one that workers compute on it waits for them.
    """

    def __init__(
        self,
        table: Table,
        cores: Collection[int] = (),
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._table = table
        self._cores = cores
        self._clock = clock
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        self._epoll.register(self._wake, select.EPOLLIN)
        # What was rung, and who has died, by descriptor.
        self._bells: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._rings: dict[int, int] = {}
        self._period_ends_ns = 0
        self._thread = threading.Thread(target=self._work, name="turns", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, worker: Worker) -> None:
        """Let the worker share its device; seat and pidfd are the keeper's from now on."""
        self._order(lambda: self._join(worker))

    def leave(self, number: int) -> None:
        """The worker has exited, or shares it no more; nothing if it isn't there."""
        self._order(lambda: self._leave(number))

    def excuse(self, number: int, *, excused: bool) -> None:
        """The worker loads a model, or does so no more: nobody is killed for that."""
        self._order(lambda: self._table.excuse(number, excused=excused))

    def close(self) -> None:
        """Let all run free, and end the thread."""
        self._orders.put(None)
        os.eventfd_write(self._wake, 1)
        if self._thread.ident is not None:
            self._thread.join()
        self._epoll.close()
        os.close(self._wake)

    def _order(self, order: _Order) -> None:
        self._orders.put(order)
        os.eventfd_write(self._wake, 1)

    # the thread's

    def _work(self) -> None:
        try:
            if self._cores:
                os.sched_setaffinity(0, self._cores)
            while self._turn():
                pass
        except Exception:
            # Without turns all would wait for ever: what is shared isn't enforced any more.
            log.exception("BUG: turns aren't kept any more; all workers run free")
        self._table.close()

    def _turn(self) -> bool:
        """Do what is to be done, once; False: it is to end."""
        ready = [fd for fd, _ in self._epoll.poll(self._timeout_s())]
        for fd in ready:
            if fd in self._ends:
                self._leave(self._ends[fd])
            elif fd in self._bells:
                self._rang(fd)
        # Last: who joins may have the number of a descriptor that was closed just now.
        if self._wake in ready and not self._obey():
            return False
        self._listen_again()
        self._table.look_around()
        return True

    def _timeout_s(self) -> float | None:
        due = self._table.due_ns
        if self._is_deaf:
            due = min(self._period_ends_ns, due or self._period_ends_ns)
        return None if due is None else max(0, due - self._clock()) / 1e9

    def _obey(self) -> bool:
        os.eventfd_read(self._wake)
        while not self._orders.empty():
            order = self._orders.get()
            if order is None:
                return False
            order()
        return True

    def _join(self, worker: Worker) -> None:
        self._bells[worker.seat.request] = worker.id
        self._ends[worker.pidfd] = worker.id
        self._epoll.register(worker.seat.request, select.EPOLLIN)
        self._epoll.register(worker.pidfd, select.EPOLLIN)
        self._table.join(worker)

    def _leave(self, number: int) -> None:
        for known in (self._bells, self._ends):
            for fd in [fd for fd, of in known.items() if of == number]:
                del known[fd]
                self._epoll.unregister(fd)
                self._rings.pop(fd, None)
        self._table.leave(number)

    # who rings too often

    @property
    def _is_deaf(self) -> bool:
        return any(count > RINGS for count in self._rings.values())

    def _rang(self, fd: int) -> None:
        count = self._rings[fd] = self._rings.get(fd, 0) + 1
        if count > RINGS:
            self._epoll.modify(fd, 0)
        self._table.rang(self._bells[fd])

    def _listen_again(self) -> None:
        now = self._clock()
        if now < self._period_ends_ns or not self._rings:
            return
        for fd, count in self._rings.items():
            if count > RINGS:
                self._epoll.modify(fd, select.EPOLLIN)
        self._rings.clear()
        self._period_ends_ns = now + PERIOD_NS
