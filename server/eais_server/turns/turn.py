"""The worker's side: a batch runs inside `with turn:`.

While the page says that it runs free, or the turn isn't over, to begin and to end a batch are a
few words of memory each, and no system call. Threads of a worker share its turn.
"""

from __future__ import annotations

import mmap
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from eais_server.turns.brain import ALWAYS
from eais_server.turns.page import BACK, FULL, INSIDE, PAGE_BYTES, TURN, UNTIL, WAITS, Descriptors


class Turn:
    """Takes the descriptors as its own. Any thread.

    Args:
        clock: monotonic nanoseconds, as the listener's.

    Raises:
        OSError, ValueError: they aren't what `Seat` made.
    """

    def __init__(
        self, descriptors: Descriptors, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._clock = clock
        self._request, self._grant = descriptors.request, descriptors.grant
        page = _mapped(descriptors.page, mmap.PROT_READ)
        own = _mapped(descriptors.own, mmap.PROT_READ | mmap.PROT_WRITE)
        self._page = memoryview(page).cast("Q")
        self._own = memoryview(own).cast("Q")
        self._inside = 0
        # To take and to release it is also the fence between what is said and what is read.
        self._lock = threading.Lock()
        # One thread waits for the listener, the others for that one.
        self._door = threading.Lock()
        self._bell = select.poll()
        self._bell.register(self._grant, select.POLLOUT)

    @property
    def runs_free(self) -> bool:
        """Whether nobody else wants the device."""
        return self._page[UNTIL] == ALWAYS

    def try_take(self) -> bool:
        """Begin a batch, if that may be now; doesn't wait."""
        page = self._page
        if not page[UNTIL]:
            return False
        with self._lock:
            self._inside = self._own[INSIDE] = self._inside + 1
            until = page[UNTIL]
            if until == ALWAYS or self._clock() < until:
                return True
            self._inside = self._own[INSIDE] = self._inside - 1
            return False

    def take(self) -> None:
        """Begin a batch; waits for a turn."""
        if not self.try_take():
            self._wait()

    def give(self) -> None:
        """A batch is over. When it was the turn's last, the turn is given back."""
        page = self._page
        with self._lock:
            self._inside = self._own[INSIDE] = self._inside - 1
            until = page[UNTIL]
            if self._inside or until == ALWAYS or self._clock() < until:
                return
            self._give_back()

    def rest(self) -> None:
        """There is nothing to run: what is left of the turn is given back."""
        if self._page[UNTIL] in (0, ALWAYS):
            return
        with self._lock:
            if not self._inside and not self._own[WAITS]:
                self._give_back()

    def __enter__(self) -> None:
        if not self.try_take():
            self._wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.give()

    def close(self) -> None:
        """Let go of the bells; nothing runs or waits any more."""
        self._page.release()
        self._own.release()
        os.close(self._request)
        os.close(self._grant)

    def _wait(self) -> None:
        with self._door:
            try:
                while True:
                    self._fill()
                    if self.try_take():
                        return
                    self._own[WAITS] = 1
                    self._ring()
                    self._bell.poll()
            finally:
                self._own[WAITS] = 0

    def _give_back(self) -> None:
        self._own[BACK] = self._page[TURN]
        self._ring()

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # it has been rung for ages
            os.eventfd_write(self._request, 1)

    def _fill(self) -> None:
        with suppress(BlockingIOError):  # nobody rang
            os.eventfd_write(self._grant, FULL)


def _mapped(fd: int, protection: int) -> mmap.mmap:
    try:
        return mmap.mmap(fd, PAGE_BYTES, flags=mmap.MAP_SHARED, prot=protection)
    finally:
        os.close(fd)
