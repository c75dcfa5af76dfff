"""Waiting for a stream that goes on in a ring, by one thread that any other can get out of it."""

from __future__ import annotations

from math import inf
from typing import Protocol

from eais.transport.ring.end import RingEnd
from eais_client.socket_wait import SocketWait


class Ringed(Protocol):
    """A `RingCarrier` as those who wait for it see it."""

    incoming: RingEnd | None

    @property
    def first_more(self) -> bool:
        """Whether something waits for room in the network."""
        ...

    @property
    def blocked(self) -> bool:
        """Whether what was written last waits for room in the ring: then the bell rings."""
        ...

    def spin(self, end: RingEnd) -> bool:
        """Look for a while whether something comes; for who has the turn."""
        ...

    def await_room(self) -> bool:
        """Look for a while whether there is room for more; for who has the turn."""
        ...


class RingWait:
    """Where one thread waits for a `RingCarrier`.

    Args:
        spins: whether its thread has the turn, and may look instead of sleep.
    """

    def __init__(self, carrier: Ringed, wait: SocketWait, *, spins: bool) -> None:
        self._carrier = carrier
        self._wait = wait
        self._spins = spins

    def wait(self, timeout_s: float = inf, *, write: bool = False) -> None:
        """See `eais_client.carrier.Wait`."""
        carrier = self._carrier
        if (end := carrier.incoming) is not None:
            if end.ready:
                return
            if write and not carrier.first_more:
                if not carrier.blocked or (self._spins and carrier.await_room()):
                    return  # there is room, there was no time
                write = False  # the bell rings when there is room
            elif self._spins and not write and carrier.spin(end):
                return
        elif write and carrier.blocked:
            write = carrier.first_more
        self._wait.wait(timeout_s, write=write)

    def watch(self, fd: int) -> None:
        """See `SocketWait`."""
        self._wait.watch(fd)

    def kick(self) -> None:
        """See `eais_client.carrier.Wait`."""
        self._wait.kick()
