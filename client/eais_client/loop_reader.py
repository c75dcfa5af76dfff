"""An event loop that reads a `LedStream` for its tasks, and sends what they send together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident
from typing import Final, Protocol

from eais_client.carrier import Carrier

AT_ONCE: Final = 32
"""Calls of one iteration of the loop that are worth a message: half a millisecond's work, about."""


class Led(Protocol):
    """A `LedStream` as the loop sees it that reads it."""

    def flush(self) -> None:
        """Send what waits, unless somebody is about to."""
        ...

    def step(self) -> None:
        """Take what came, tell it, and send what waits; for who has the turn."""
        ...

    def take_turn(self, step: Callable[[], None], who: object) -> bool:
        """Do `step` with the turn, if it is free; False if somebody has it."""
        ...


class LoopReader:
    """One loop's part in reading a stream; made in the loop's thread.

    `loop` is None once it has left: then, as while the loop stands still, others must read.
    """

    def __init__(self, stream: Led, loop: asyncio.AbstractEventLoop, carrier: Carrier) -> None:
        self.loop: asyncio.AbstractEventLoop | None = loop
        self._loop = loop
        self._stream = stream
        self._carrier = carrier
        self._thread = get_ident()
        self._scheduled = self._writing = False
        self._count = 0
        # A copy of the stream's, which the loop outlives; -1: none.
        self._fd = -1

    @property
    def alive(self) -> bool:
        """Whether it reads: neither has it left, nor was the loop stopped or closed."""
        return self.loop is not None and self._loop.is_running()

    def watch(self) -> None:
        """Read the stream where it is now; in the loop's thread. It leaves if it can't."""
        if self.loop is None:
            return
        self._unwatch()
        try:
            self._fd = os.dup(self._carrier.fileno())
            self._loop.add_reader(self._fd, self._readable)
        except (OSError, ValueError):  # no descriptor is left, or the carrier has been closed
            self._close()

    def soon(self) -> bool:
        """Send what waits before this iteration ends; False if it should be sent now.

        So it is if this isn't the loop's thread, or if there is enough for the worker to begin with
        while the loop goes on: else one of the two would always wait for the other.
        """
        if get_ident() != self._thread or not self._loop.is_running():
            return False
        self._count += 1
        if self._count >= AT_ONCE:
            self._count = 0
            return False
        if not self._scheduled:
            try:
                self._loop.call_soon(self._send)
            except RuntimeError:  # it is closed
                return False
            self._scheduled = True
        return True

    def look(self) -> None:
        """There is something to be written: see whether there is room; from any thread."""
        if get_ident() == self._thread and self._loop.is_running():
            self._watch_room()
        else:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._watch_room)

    def move(self) -> None:
        """The stream goes on at another descriptor; from any thread."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._moved)

    def _moved(self) -> None:
        self.watch()
        self._readable()

    def leave(self) -> None:
        """Read no more; once, from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._stop)
        except RuntimeError:  # it is closed, and with it all that it watched
            self._close()

    def _send(self) -> None:
        self._scheduled, self._count = False, 0
        self._stream.flush()

    def _readable(self) -> None:
        if self.loop is not None:
            self._stream.take_turn(self._stream.step, self)
            self._watch_room()

    def _watch_room(self) -> None:
        if self.loop is None or self._carrier.more == self._writing:
            return
        self._writing = not self._writing
        if self._writing:
            self._loop.add_writer(self._fd, self._readable)
        else:
            self._loop.remove_writer(self._fd)

    def _stop(self) -> None:
        self._unwatch()
        self._close()

    def _unwatch(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._writing = False
            self._let_go()

    def _close(self) -> None:
        self.loop = None
        self._let_go()

    def _let_go(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        # The loop was closed before it came to what `leave` had asked of it.
        self._let_go()
