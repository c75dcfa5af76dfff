"""Waiting for a socket, by one thread that any other can get out of it."""

from __future__ import annotations

import os
import select
import time
from _thread import allocate_lock
from contextlib import suppress
from math import ceil, inf

from eais.transport.spin import Spin

_DAY_S, _DAY_MS = 86_400.0, 86_400_000
_IN, _BOTH = select.POLLIN, select.POLLIN | select.POLLOUT


class SocketWait:
    """Where one thread at a time waits for a socket.

    A kick that comes while nobody waits ends the next wait at once.

    Args:
        spin: for how long it looks before it sleeps; None: not at all.
    """

    def __init__(self, socket_fd: int, spin: Spin | None = None) -> None:
        self._socket = socket_fd
        self._spin = spin
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(socket_fd, _IN)
        self._poll.register(self._bell, _IN)
        self._asked = _IN
        # A bell that is rung when it has been closed may be another file's by then.
        self._ringing = allocate_lock()
        self._closed = False

    def wait(self, timeout_s: float = inf, *, write: bool = False) -> None:
        """Wait until there is something to read or, if asked for, room to write.

        Returns also when it was kicked, and when `timeout_s` is over, or a day.
        """
        asked = _BOTH if write else _IN
        if asked != self._asked:
            self._poll.modify(self._socket, asked)
            self._asked = asked
        spin = None if write else self._spin
        ready = self._look(spin) if spin is not None else None
        if not ready:
            # For `poll`, 24 days are the most.
            ready = self._poll.poll(
                _DAY_MS if timeout_s >= _DAY_S else max(0, ceil(timeout_s * 1000))
            )
        if spin is not None:
            spin.came()
        for fd, _events in ready:
            if fd == self._bell:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._bell)

    def _look(self, spin: Spin) -> list[tuple[int, int]]:
        """What is ready as long as it is worth while to look; nothing if one has to sleep."""
        ready: list[tuple[int, int]] = []
        until_ns = spin.look_until()
        while not ready and time.monotonic_ns() < until_ns:
            ready = self._poll.poll(0)  # lets go of the interpreter, and not of the processor
        if not ready:
            spin.gave_up()
        return ready

    def watch(self, fd: int) -> None:
        """Wait for something to read there, too; who waits now doesn't.

        From then on whoever comes here has looked by itself, and only sleeps.
        """
        self._poll.register(fd, _IN)
        self._spin = None

    def kick(self) -> None:
        """Get the thread out of there; nothing once it is closed."""
        with self._ringing:
            if not self._closed:
                os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Nobody waits any more."""
        with self._ringing:
            if not self._closed:
                self._closed = True
                os.close(self._bell)
