"""A wait for a socket that nothing comes from."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from math import inf

import pytest

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
