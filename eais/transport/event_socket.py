"""A non-blocking socket on an event loop: reads when there is something, sends what it can."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from contextlib import suppress


class EventSocket:
    """A connected socket. All on the event loop; `room` is shared, and read into by turns.

    Args:
        room: what is read into, and so the most that is read at once.
        go_on: called when all that was kept is sent, or after `write_later`.
        lost: called once when the connection is broken, or ended by the peer.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        room: memoryview,
        go_on: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._fd = sock.fileno()
        self._room = room
        self._go_on = go_on
        self._lost = lost
        self._kept: memoryview | None = None
        self._writing = False
        self._ends = False
        self._open = True

    @property
    def full(self) -> bool:
        """Whether something is kept that the socket didn't take."""
        return self._kept is not None

    @property
    def unsent(self) -> bool:
        """Whether there is something of which the peer's machine hasn't said that it has it."""
        if not self._open:
            return False
        queued = fcntl.ioctl(self._fd, termios.TIOCOUTQ, bytes(struct.calcsize("i")))
        return self.full or any(queued)

    def on_readable(self, call: Callable[[], None]) -> None:
        """Have `call` called when there is something to be read, and nobody else."""
        if self._open:
            self._loop.add_reader(self._fd, call)

    def read(self, most: int = 0) -> memoryview | None:
        """What has come, valid until the next read; None if there is nothing or no more.

        `most` is how many bytes, if they are to be fewer than there is room for.
        """
        try:
            count = self._sock.recv_into(self._room, most)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            count = 0
        if count:
            return self._room[:count]
        self._lost()
        return None

    def send(self, data: bytes) -> None:
        """Send, and keep what the socket doesn't take."""
        if data and self._open:
            kept = self._kept
            self._kept = memoryview(data if kept is None else bytes(kept) + data)
            self._send_kept()

    def _send_kept(self) -> None:
        kept = self._kept
        if kept is None:
            return
        try:
            sent = self._sock.send(kept)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._lost()
            return
        if sent == len(kept):
            self._kept = None
        else:
            self._kept = kept[sent:]
            self.write_later()

    def write_later(self) -> None:
        """Go on when the socket takes more, and others had their turn."""
        if not self._writing and self._open:
            self._writing = True
            self._loop.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        self._send_kept()
        if self._kept is None and self._open:
            self._writing = False
            self._loop.remove_writer(self._fd)
            if self._ends:
                self.say_end()
            self._go_on()

    def say_end(self) -> None:
        """Nothing more is sent after what is kept."""
        if self.full:
            self._ends = True
            return
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close at once; again does nothing."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._kept = None
            self._sock.close()
