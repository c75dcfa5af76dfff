"""A wait for a socket that nothing comes from."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from math import inf

import pytest

from eais.transport.spin import Spin
from eais_client.socket_wait import SocketWait


@pytest.fixture
def wait() -> Iterator[SocketWait]:
    here, there = socket.socketpair()
    with here, there:
        made = SocketWait(here.fileno())
        yield made
        made.close()


@pytest.mark.parametrize("seconds", [30 * 86_400.0, 1e9, 1e300, inf])
def test_it_may_be_long(wait: SocketWait, seconds: float) -> None:
    wait.kick()
    wait.wait(seconds)


def test_time_that_is_up_is_no_wait(wait: SocketWait) -> None:
    wait.wait(0.0)
    wait.wait(-1.0)


class CountedSpin(Spin):
    """Says how often somebody wanted to know how long to look."""

    asked = 0

    def look_until(self) -> int:
        """See `Spin`."""
        self.asked += 1
        return 0


def test_who_has_looked_elsewhere_doesnt_look_again() -> None:
    spin = CountedSpin(True, time.monotonic_ns, time.thread_time_ns)
    here, there = socket.socketpair()
    more, other = socket.socketpair()
    with here, there, more, other:
        wait = SocketWait(here.fileno(), spin)
        wait.wait(0.0)
        assert spin.asked == 1
        wait.watch(more.fileno())
        other.send(b"there")
        wait.wait()
        assert spin.asked == 1
        wait.close()
