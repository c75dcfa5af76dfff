"""A connection that ends just after its handshake, or speaks no TLS from then on."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eais.identity import Identity
from eais.transport.ring.memory import KEEPS_ORDER
from eais.transport.tls_context import server_context
from eais.transport.tls_pipe import TlsPipe
from eais_client.carrier import Carrier
from eais_client.h2_carrier import H2Carrier
from eais_client.instances import Address
from eais_client.led_stream import LedStream
from eais_client.outbox import Outbox
from eais_client.ring_carrier import RingCarrier
from tests.unit.client.served import POOL, WAIT_S, Heard, Rig, now, rig

RINGS = pytest.mark.skipif(not KEEPS_ORDER, reason="no rings on this kind of processor")
WORKER = Identity.worker(POOL, "ei-1", 1)
NO_RECORD = b"\x17\x03\x03\x00\x05hello"
AT_ONCE_RST = struct.pack("ii", 1, 0)


class Rude:
    """A worker that shakes hands, and reads nothing of what its client says after that.

    Args:
        words: said with the last words of its handshake, in clear.
        leaves: whether it is gone before the client begins.
    """

    def __init__(self, served: Rig, words: bytes = b"", *, leaves: bool = False) -> None:
        self.rig = served
        self._own = served.authority.bundle(WORKER, now())
        self._words = words
        self._leaves = leaves
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listening.getsockname()[1], str(WORKER.dns_name))
        self.shaken, self.done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._greet)
        self._thread.start()

    def _greet(self) -> None:
        self.connection, _from = self._listening.accept()
        pipe = TlsPipe(server_context(self._own))
        said = b""
        while not said:
            pipe.shake(self.connection.recv(1 << 16))
            said = pipe.to_send
        self.connection.sendall(said + self._words)
        if self._leaves:
            assert self.shaken.wait(WAIT_S)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE_RST)
            self.connection.close()
        self.done.set()

    def carrier(self) -> Patient:
        """A way to it."""
        return Patient(self)

    def close(self) -> None:
        self._thread.join(WAIT_S)
        self.connection.close()
        self._listening.close()


class Patient(H2Carrier):
    """One whose worker is through with it before it goes on."""

    def __init__(self, worker: Rude) -> None:
        super().__init__(worker.address, worker.rig.dialer().bundle())
        self._worker = worker

    def connect(self) -> Any:
        """See `H2Carrier`."""
        waits = super().connect()
        self._worker.shaken.set()
        assert self._worker.done.wait(WAIT_S)
        return waits


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Rig]:
    with rig(tmp_path) as made:
        yield made


@pytest.mark.parametrize("ring", [pytest.param(True, marks=RINGS), False], ids=["ring", "h2"])
@pytest.mark.parametrize("words", [b"", NO_RECORD], ids=["reset", "nonsense"])
def test_a_worker_that_ends_with_the_handshake_is_unreachable(
    served: Rig, words: bytes, ring: bool
) -> None:
    worker = Rude(served, words, leaves=not words)
    carrier: Carrier = RingCarrier(worker.carrier()) if ring else worker.carrier()
    heard = Heard()
    stream = LedStream(7, carrier, heard)
    stream.hold("s")
    stream.start()
    kind, number, error = heard.next()
    assert (kind, number, error.reason, error.retryable) == ("broken", 7, "HOST_UNREACHABLE", True)
    stream.close()
    worker.close()


def test_what_is_to_be_sent_is_no_obstacle_to_hearing_why_it_ended(served: Rig) -> None:
    worker = Rude(served)
    carrier, outbox = worker.carrier(), Outbox("test")
    lead, _own = carrier.connect()
    carrier.begin(outbox.first_message())
    worker.connection.sendall(NO_RECORD)
    while carrier.end is None:
        lead.wait(WAIT_S)
        carrier.pull()
    outbox.hold("s")
    carrier.push(outbox)
    assert (carrier.end.reason, carrier.more) == ("HOST_UNREACHABLE", False)
    carrier.close()
    worker.close()
