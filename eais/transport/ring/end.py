"""One end of a pair of rings: what goes out, what comes in, and the two bells."""

from __future__ import annotations

import mmap
import os
import select
import time
from _thread import allocate_lock
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from eais.transport.lookout import thread_spin
from eais.transport.parts import Buffer
from eais.transport.ring.bell import Bell
from eais.transport.ring.memory import map_memory
from eais.transport.ring.reader import Record, RingReader
from eais.transport.ring.writer import RingWriter

_ROOM_NS: Final = 250_000
"""What it takes to copy a large piece out of the ring, and to be told so."""


class Descriptors(NamedTuple):
    """What an end is made of. The other end has the same in the order 1, 0, 3, 2."""

    incoming: int
    outgoing: int
    own_bell: int
    other_bell: int


class RingEnd:
    """One process's end. One thread at a time reads, one at a time writes.

    Args:
        descriptors: taken as its own, also when it raises.
        may_spin: whether the other end can run on another processor meanwhile.

    Raises:
        RingBroken: what was handed over is no ring.
        OSError: it can't be mapped.
    """

    def __init__(self, descriptors: Descriptors, *, may_spin: bool) -> None:
        self._bell, self._other = Bell(descriptors.own_bell), Bell(descriptors.other_bell)
        self._mapped: list[mmap.mmap] = []
        self._poll = select.poll()
        self._poll.register(descriptors.own_bell, select.POLLIN)
        try:
            for fd in descriptors[:2]:
                self._mapped.append(map_memory(fd))
        except BaseException:
            self._close_all()
            raise
        finally:
            for fd in descriptors[:2]:
                os.close(fd)
        self._reader = RingReader(memoryview(self._mapped[0]), make_fence())
        self._writer = RingWriter(memoryview(self._mapped[1]), make_fence())
        self._spin = thread_spin(allowed=may_spin)
        self._closed = False

    def fileno(self) -> int:
        """Readable when there may be something to `take` or room to `go_on`."""
        return self._bell.fd

    @property
    def unfinished(self) -> bool:
        """Whether what was sent last waits for room; then nothing else may be sent."""
        return self._writer.unfinished

    def send(self, parts: Sequence[Buffer]) -> None:
        """Send a message, or as much of it as there is room for.

        Raises:
            RingBroken: the other end breaks the rules.
            ValueError: the message is longer than any message may be.
        """
        self._writer.put(parts)
        self._spin.forget()  # what comes is an answer: how long that takes is what counts
        if self._writer.reader_sleeps():
            self._other.ring()

    @property
    def may_go_on(self) -> bool:
        """Whether there is room for more of what is unfinished; raises `RingBroken`."""
        return self._writer.may_go_on

    @property
    def room_ns(self) -> int:
        """Until when, by `time.monotonic_ns`, to look for room before sleeping."""
        return time.monotonic_ns() + (_ROOM_NS if self._spin.allowed else 0)

    def await_room(self) -> bool:
        """Look for room as long as is worth while, and for what comes; raises `RingBroken`."""
        until = self.room_ns
        while not (self._reader.ready or self._writer.may_go_on):
            if time.monotonic_ns() >= until:
                return False
            self._poll.poll(0)
        return True

    def go_on(self) -> bool:
        """Send more of what is unfinished; whether all is sent.

        If not, the bell rings when there is room. Raises `RingBroken`.
        """
        writer = self._writer
        while not (done := writer.go_on()) and not writer.may_wait():
            pass
        if writer.reader_sleeps():
            self._other.ring()
        return done

    def take(self) -> Record | None:
        """The next message that is here, or None; a piece's bytes are good until the next.

        Raises:
            RingBroken: the other end breaks the rules.
        """
        record = self._reader.next()
        if self._reader.writer_waits():
            self._other.ring()
        if record is not None:
            self._spin.came()
        return record

    @property
    def ready(self) -> bool:
        """Whether there is something to `take`."""
        return self._reader.ready

    def idle(self) -> int:
        """`take` gave None: until when, by `time.monotonic_ns`, to look for more before sleeping.

        In the past if that isn't worth while.
        """
        return self._spin.look_until()

    def comes_within(self, most_ns: int) -> bool:
        """Look for as long, without letting anybody else run; whether something is here."""
        reader, until = self._reader, time.monotonic_ns() + most_ns
        while not reader.ready:
            if time.monotonic_ns() >= until:
                return False
        return True

    def await_more(self) -> bool:
        """Look again and again as long as is worth while; whether something came."""
        reader, until = self._reader, self.idle()
        while not reader.ready:
            if time.monotonic_ns() >= until:
                self._spin.gave_up()
                return False
            self._poll.poll(0)  # lets go of the interpreter, and not of the processor
        return True

    def sleeps(self) -> bool:
        """Have the bell rung for the next message; False: there is one, so `take` it first."""
        self._spin.gave_up()
        if not self._reader.may_sleep():
            return False
        if self._reader.writer_waits():
            self._other.ring()
        return True

    def ask(self) -> None:
        """Have the bell rung for whatever there is, and whatever comes, until `stays`.

        For an end that is read by turns: whoever comes next finds it rung.
        """
        if not self._reader.ask() or self._reader.lends:
            self._bell.ring()

    def clear(self) -> None:
        """Forget that the bell was rung."""
        self._bell.clear()

    def stays(self) -> None:
        """It doesn't sleep after all: it needn't be rung."""
        self._reader.awake()

    def wakes(self) -> None:
        """It was rung, or its thread is back for another reason."""
        self._reader.awake()
        self._bell.clear()

    def close(self) -> None:
        """Let go of memory and bells."""
        if self._closed:
            return
        self._closed = True
        self._reader.close()
        self._writer.close()
        self._close_all()

    def _close_all(self) -> None:
        for mapped in self._mapped:
            with suppress(BufferError):  # somebody has still a piece of it in hand
                mapped.close()
        self._mapped.clear()
        self._bell.close()
        self._other.close()


def make_fence() -> Callable[[], object]:
    """What keeps a store from being seen after a load that comes after it.

    Taking and giving back a lock are atomic operations, which processors don't reorder with
    others on x86-64.
    """
    lock = allocate_lock()

    def fence() -> None:
        lock.acquire()
        lock.release()

    return fence
