"""The worker's side: a batch runs inside `with turn:`.

While the page says that it runs free, or the turn isn't over, to begin and to end a batch are a
few words of memory each, and no system call. Threads of a worker share its turn.
"""

from __future__ import annotations

import itertools
import mmap
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from eais_server.turns.brain import ALWAYS
from eais_server.turns.page import (
    BACK,
    BEGUN,
    FULL,
    NO_THREAD,
    PAGE_BYTES,
    SOON,
    TELL,
    THREADS,
    TURN,
    UNTIL,
    WAITS,
    Descriptors,
)

LOOK_MS: Final = 100
"""Who waits for a turn looks so often whether it still has to."""


class _Thread(threading.local):
    """Which of the worker's threads this is; below 0: not known yet."""

    number = -1


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
        self._threads = memoryview(own)[THREADS]
        self._known = itertools.count()
        self._thread = _Thread()
        # One thread waits for the listener, the others for that one.
        self._door = threading.Lock()
        self._bell = select.poll()
        self._bell.register(self._grant, select.POLLOUT)

    @property
    def runs_free(self) -> bool:
        """Whether nobody else wants the device."""
        return self._page[UNTIL] == ALWAYS

    def __enter__(self) -> None:
        # Said first, then looked at: who takes the turn away looks the other way round.
        number = self._thread.number
        if number < 0:
            number = self._numbered()
        self._threads[number] = 1
        until = self._page[UNTIL]
        if until != ALWAYS and self._clock() >= until:
            self._threads[number] = 0
            self._wait(number, _never)
        elif self._page[TELL]:
            self._tell()

    def __exit__(self, *raised: object) -> None:
        self._threads[self._thread.number] = 0
        until = self._page[UNTIL]
        if until != ALWAYS and self._clock() >= until and self._threads == NO_THREAD:
            self._give_back()

    def take(self, given_up: Callable[[], bool]) -> bool:
        """Begin a batch; waits for a turn until it is `given_up`, which is asked now and then."""
        return self.try_take() or self._wait(self._numbered(), given_up)

    def give(self) -> None:
        """A batch is over. When it was the turn's last, the turn is given back."""
        self.__exit__()

    def try_take(self) -> bool:
        """Begin a batch, if that may be now; doesn't wait."""
        return self._is_open() and self._entered(self._numbered())

    def soon(self, *, more: bool) -> None:
        """A thread is about to run a batch, or (not `more`) none is.

        From a batch's end to the next one's begin nobody waits: the next has to be found, by
        threads that have to be woken. Without this word the turn would be another's by then.
        """
        self._own[SOON] = more

    def rest(self) -> None:
        """There is nothing to run: what is left of the turn is given back."""
        idle = self._threads == NO_THREAD and not self._own[WAITS]
        if idle and self._page[UNTIL] not in (0, ALWAYS):
            self._give_back()

    def close(self) -> None:
        """Let go of the bells; nothing runs or waits any more."""
        for words in (self._page, self._own, self._threads):
            words.release()
        os.close(self._request)
        os.close(self._grant)

    def _is_open(self) -> bool:
        until = self._page[UNTIL]
        return until == ALWAYS or self._clock() < until

    def _entered(self, number: int) -> bool:
        self._threads[number] = 1
        if self._is_open():
            if self._page[TELL]:
                self._tell()
            return True
        self._threads[number] = 0
        return False

    def _tell(self) -> None:
        """Once a turn: from now on, and not from when it was given, the worker has the device."""
        turn = self._page[TURN]
        if self._own[BEGUN] != turn:
            self._own[BEGUN] = turn
            self._ring()

    def _numbered(self) -> int:
        """This thread's number; two of very many may have the same."""
        thread = self._thread
        if thread.number < 0:
            thread.number = next(self._known) % len(self._threads)
        return thread.number

    def _wait(self, number: int, given_up: Callable[[], bool]) -> bool:
        while not self._door.acquire(timeout=LOOK_MS / 1000):
            if given_up():
                return False
        try:
            while not self._asked(number):
                self._bell.poll(LOOK_MS)
                if given_up():
                    return False
            return True
        finally:
            self._own[WAITS] = 0
            self._door.release()

    def _asked(self, number: int) -> bool:
        """Whether it needn't wait any more; else the listener knows that it does."""
        self._fill()
        if self._entered(number):
            return True
        self._own[WAITS] = 1
        self._ring()
        return False

    def _give_back(self) -> None:
        self._own[BACK] = self._page[TURN]
        self._ring()

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # it has been rung for ages
            os.eventfd_write(self._request, 1)

    def _fill(self) -> None:
        with suppress(BlockingIOError):  # nobody rang
            os.eventfd_write(self._grant, FULL)


def _never() -> bool:
    return False


def _mapped(fd: int, protection: int) -> mmap.mmap:
    try:
        return mmap.mmap(fd, PAGE_BYTES, flags=mmap.MAP_SHARED, prot=protection)
    finally:
        os.close(fd)
