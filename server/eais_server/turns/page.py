"""The memory and the bells between the listener and one sharer of a device.

Two memfds of `PAGE_BYTES`, of a size that nobody can change, hold 64-bit words in the machine's
own order. The first only the listener can write (`F_SEAL_FUTURE_WRITE`: its own map is older
than the seal), so no worker grants itself a turn; the second the worker writes, and what stands
there is a claim:

    the listener's   0  until when batches may begin, monotonic ns; ALWAYS; 0: not now
                     8  number of the turn, by which it is given back
                    16  whether the worker is to ring when it begins the first batch of a turn
    the worker's     0  whether it waits for a turn
                     8  number of the last turn that it gave back
                    16  a byte for each of its threads: whether a batch of it runs
                   272  whether a batch is about to be run, though no thread waits yet
                   280  number of the last turn in which it began a batch, if it is to say so

Two eventfds wake. The worker rings the first by writing to it. The second is full, and the listener
rings it by emptying it: the worker sleeps until it can be written. So the listener never writes
where a worker could make it wait; reads can be told not to.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from contextlib import ExitStack, suppress
from typing import Final, NamedTuple

from eais_server.turns.brain import ALWAYS

PAGE_BYTES: Final = mmap.PAGESIZE
FULL: Final = (1 << 64) - 2
"""What an eventfd holds at most."""

UNTIL: Final = 0
TURN: Final = 1
TELL: Final = 2
WAITS: Final = 0
BACK: Final = 1
THREADS: Final = slice(16, 16 + 256)
NO_THREAD: Final = bytes(256)
SOON: Final = 34
BEGUN: Final = 35

_F_SEAL_FUTURE_WRITE: Final = 0x10  # fcntl has no name for it before Python 3.13
_SIZE: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_BELL: Final = os.EFD_CLOEXEC | os.EFD_NONBLOCK


class Descriptors(NamedTuple):
    """What the worker inherits.

    Attributes:
        page, own: the memory that it reads, and that it writes.
        request: what it rings.
        grant: what is rung for it.
    """

    page: int
    own: int
    request: int
    grant: int


class Claims(NamedTuple):
    """What the worker says; `waits`: a thread of it does, or will in a moment."""

    waits: bool
    inside: bool
    back: int
    begun: int = 0


class Seat:
    """The listener's side of one worker. Until it shares a device it runs free.

    Raises:
        OSError: there is no memory or no descriptor left, or this kernel lacks the seal.
    """

    def __init__(self) -> None:
        with ExitStack() as undo:
            page, self._page = _memory(undo, _F_SEAL_FUTURE_WRITE)
            own, self._own = _memory(undo, 0)
            request, grant = os.eventfd(0, _BELL), os.eventfd(0, _BELL)
            undo.callback(os.close, request)
            undo.callback(os.close, grant)
            os.eventfd_write(grant, FULL)
            self.descriptors = Descriptors(page, own, request, grant)
            undo.pop_all()
        self._buffer = [bytearray(8)]
        self._given = False
        self._words = memoryview(self._page).cast("Q")
        self._claims = memoryview(self._own).cast("Q")
        self.allow(0, ALWAYS)

    @property
    def request(self) -> int:
        """What the worker rings, to be waited for."""
        return self.descriptors.request

    def handed_down(self) -> None:
        """The worker has the descriptors: close those that this side doesn't need."""
        if not self._given:
            self._given = True
            os.close(self.descriptors.page)
            os.close(self.descriptors.own)

    def allow(self, turn: int, until_ns: int) -> None:
        """Write down until when batches may begin, and wake who waits for it."""
        if until_ns:
            self._words[TURN] = turn
        self._words[UNTIL] = until_ns
        if until_ns:
            self._empty(self.descriptors.grant)

    def ask_to_tell(self) -> None:
        """Have the worker ring when it begins the first batch of a turn."""
        self._words[TELL] = 1

    def heard(self) -> None:
        """What rang is looked at."""
        self._empty(self.descriptors.request)

    def claims(self) -> Claims:
        """What the worker says now."""
        inside = self._own[THREADS] != NO_THREAD
        waits = self._claims[WAITS] != 0 or self._claims[SOON] != 0
        return Claims(waits, inside, self._claims[BACK], self._claims[BEGUN])

    def close(self) -> None:
        """Let go of memory and bells; nothing the second time."""
        if self._page.closed:
            return
        self.handed_down()
        self._words.release()
        self._claims.release()
        self._page.close()
        self._own.close()
        os.close(self.descriptors.request)
        os.close(self.descriptors.grant)

    def _empty(self, bell: int) -> None:
        # Whether the descriptor waits is the worker's to change, too; this read never does.
        with suppress(BlockingIOError):
            os.preadv(bell, self._buffer, -1, os.RWF_NOWAIT)


def _memory(undo: ExitStack, seals: int) -> tuple[int, mmap.mmap]:
    fd = os.memfd_create("eais-turns", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    undo.callback(os.close, fd)
    os.ftruncate(fd, PAGE_BYTES)
    memory = mmap.mmap(fd, PAGE_BYTES)
    undo.callback(memory.close)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SIZE | seals | fcntl.F_SEAL_SEAL)
    return fd, memory
