"""The cap on what comes in: TCP gets what it is entitled to, and no more."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

import pytest

from eais.net.plan import Side
from eais_server.net.firewall import Firewall, Guarded
from eais_server.net.links.entering import in_namespace
from tests.net import reach
from tests.net.reach import OPEN, back_end, front_end, place

pytestmark = [pytest.mark.net("firewall"), pytest.mark.slow]

MEASURED_S: Final = 4.0
DRAINED_S: Final = 30.0
#: Packets that are dropped once the second's worth that may be saved up is spent; a kernel's few of
#: IPv6, which are dropped too, are less.
OVER: Final = 40
MBIT: Final = 1_000_000 // 8


class Stream:
    """A TCP connection from the front-end to the back-end that sends all it can."""

    def __init__(self, out: socket.socket, into: socket.socket) -> None:
        self._out, self._in = out, into
        self.received = 0
        self._threads = [threading.Thread(target=one) for one in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        for one in (self._out, self._in):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._out.close()
        self._in.close()

    def bytes_per_s(self) -> float:
        before, began = self.received, time.monotonic()
        threading.Event().wait(MEASURED_S)
        return (self.received - before) / (time.monotonic() - began)

    def _send(self) -> None:
        data = bytes(1 << 16)
        with suppress(OSError):
            while True:
                self._out.sendall(data)

    def _receive(self) -> None:
        with suppress(OSError):
            while data := self._in.recv(1 << 20):
                self.received += len(data)


@contextmanager
def stream() -> Iterator[Stream]:
    with ExitStack() as stack:
        address = (back_end(1).address, OPEN)
        listening = stack.enter_context(
            in_namespace(place("b"), lambda: socket.create_server(address))
        )
        out = in_namespace(place("f1"), lambda: socket.create_connection(address))
        made = Stream(out, listening.accept()[0])
        stack.callback(made.close)
        yield made


@pytest.fixture
def wall() -> Iterator[Firewall]:
    with reach.hosts("b", "f1"):
        reach.join(front_end(1), back_end(1))
        made = Firewall("0123456789abcdef", namespace=place("b"))
        if missing := made.probe().missing:
            pytest.skip(missing)
        yield made


def capped(bytes_per_s: int) -> list[Guarded]:
    end = back_end(1)
    ports = frozenset({OPEN})
    return [Guarded(Side.BACKEND, end.interface, end.address, front_end(1).address, ports,
                    bytes_per_s)]  # fmt: skip


def dropped(wall: Firewall) -> int:
    return wall.drops()[back_end(1).interface].incoming


@pytest.mark.parametrize("mbit", [10, 1_000])
def test_tcp_gets_its_cap_and_not_more(wall: Firewall, mbit: int) -> None:
    cap = mbit * MBIT
    wall.apply(capped(0))
    with stream() as free:
        unhindered = free.bytes_per_s()
    if unhindered < 2 * cap:
        pytest.skip(f"this machine carries {unhindered / MBIT:.0f} Mbit/s without a cap")
    wall.apply(capped(cap))
    with stream() as held:
        idle = dropped(wall)
        until = time.monotonic() + DRAINED_S
        while dropped(wall) < idle + OVER and time.monotonic() < until:
            threading.Event().wait(0.05)
        assert dropped(wall) >= idle + OVER
        share = held.bytes_per_s() / cap
    print(f"cap: {mbit} Mbit/s, TCP has {share:.3f} of it")
    assert 0.8 <= share <= 1.1
