"""An event loop that reads a `LedStream` for its tasks, and sends what they send together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eais_client.led_stream import LedStream


AT_ONCE: Final = 32
"""Calls of one iteration of the loop that are worth a message: half a millisecond's work, about."""


class LoopReader:
    """One loop's part in reading a stream; made in the loop's thread.

    `alive` is false once the loop has been closed or stopped: then others must read.

    Args:
        fd: the stream's, of which it watches a copy, for the loop outlives the stream.
        more: whether something waits for room to be written.
    """

    def __init__(
        self,
        stream: LedStream,
        loop: asyncio.AbstractEventLoop,
        fd: int,
        more: Callable[[], bool],
    ) -> None:
        self.loop = loop
        self._stream = stream
        self._more = more
        self._thread = get_ident()
        self._scheduled = self._writing = self._left = False
        self._count = 0
        self._fd = os.dup(fd)
        loop.add_reader(self._fd, self._readable)

    @property
    def alive(self) -> bool:
        """See above."""
        return not self._left and self.loop.is_running()

    def soon(self) -> bool:
        """Send what waits before this iteration ends; False if it should be sent now.

        So it is if this isn't the loop's thread, or if there is enough for the worker to begin with
        while the loop goes on: else one of the two would always wait for the other.
        """
        if get_ident() != self._thread or not self.loop.is_running():
            return False
        self._count += 1
        if self._count >= AT_ONCE:
            self._count = 0
            return False
        if not self._scheduled:
            try:
                self.loop.call_soon(self._send)
            except RuntimeError:  # it is closed
                return False
            self._scheduled = True
        return True

    def look(self) -> None:
        """There is something to be written: see whether there is room; from any thread."""
        if get_ident() == self._thread and self.loop.is_running():
            self._watch_room()
        else:
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._watch_room)

    def move(self, fd: int) -> None:
        """The stream goes on at another descriptor; from any thread."""
        copy = os.dup(fd)
        try:
            self.loop.call_soon_threadsafe(self._moved, copy)
        except RuntimeError:  # it is closed
            os.close(copy)

    def _moved(self, fd: int) -> None:
        if self._left:
            os.close(fd)
            return
        self.loop.remove_reader(self._fd)
        self.loop.remove_writer(self._fd)
        os.close(self._fd)
        self._fd, self._writing = fd, False
        self.loop.add_reader(fd, self._readable)
        self._readable()

    def leave(self) -> None:
        """The stream is over; from any thread."""
        try:
            self.loop.call_soon_threadsafe(self._stop)
        except RuntimeError:  # it is closed, and with it all that it watched
            self._close()

    def _send(self) -> None:
        self._scheduled, self._count = False, 0
        self._stream.flush()

    def _readable(self) -> None:
        if not self._left:
            self._stream.take_turn(self._stream.step, self)
            self._watch_room()

    def _watch_room(self) -> None:
        if self._left or self._more() == self._writing:
            return
        self._writing = not self._writing
        if self._writing:
            self.loop.add_writer(self._fd, self._readable)
        else:
            self.loop.remove_writer(self._fd)

    def _stop(self) -> None:
        if not self._left:
            self.loop.remove_reader(self._fd)
            self.loop.remove_writer(self._fd)
            self._close()

    def _close(self) -> None:
        if not self._left:
            self._left = True
            os.close(self._fd)
