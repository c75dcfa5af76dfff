"""A stream in a ring whose ends are both here, turn by turn of the event loop."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from eais.channel import RING_PIECE_BYTES
from eais.errors import EaisError
from eais.identity import Identity
from eais.instance_policy import RingPolicy
from eais.rpc.caller import Caller
from eais.rpc.raw_stream import Buffer
from eais.rpc.v1 import worker_pb2
from eais.transport.parts import PiecePart
from eais.transport.ring.end import RingEnd
from eais.transport.ring.handover import make_pair
from eais.transport.ring.layout import WRITER_WAITS
from eais.transport.ring.memory import KEEPS_ORDER
from eais.transport.writing import to_worker
from eais_server.worker.ring_door import RingDoor
from eais_server.worker.ring_stream import RingStream

pytestmark = pytest.mark.skipif(not KEEPS_ORDER, reason="no rings on this kind of processor")

CALLER = Caller(Identity.frontend("pool", "acme", "fe"), None, datetime(2100, 1, 1, tzinfo=UTC))


class Link:
    """The stream over the network: nobody asks it anything."""

    def changed(self) -> None:
        """Not of interest."""

    def fail(self, error: EaisError) -> None:
        raise AssertionError(error)


class Door(RingDoor):
    """Offers one ring, for which the test comes."""

    def __init__(self) -> None:
        super().__init__(None, RingPolicy.OFF)
        self.take: Callable[[RingEnd], None] | None = None

    def offer(self, take: Callable[[RingEnd], None]) -> worker_pb2.RingOffer:
        self.take = take
        return worker_pb2.RingOffer(socket="x")

    def withdraw(self, offer: worker_pb2.RingOffer) -> None:
        raise AssertionError("it was taken")

    def gone(self) -> None:
        """The stream is over."""


class Echo:
    """Answers each message with itself at once, and counts pieces."""

    may_read = quiet = True
    over = False

    def __init__(self) -> None:
        self.pieces = 0
        self.answers: deque[list[Buffer]] = deque()

    def receive(self, message: Buffer) -> None:
        self.answers.append([bytes(message)])

    def in_ring(self) -> None:
        """Nothing is done otherwise."""

    def receive_piece(self, piece: PiecePart) -> None:
        self.pieces += 1

    def next_message(self) -> list[Buffer] | None:
        return self.answers.popleft() if self.answers else None

    def half_closed(self) -> None:
        """Not of interest."""

    def closed(self) -> None:
        """Not of interest."""


class Stand:
    """A stream in a ring, and its client's end."""

    def __init__(self) -> None:
        self.served, door = Echo(), Door()
        self.stream = RingStream(lambda caller, link: self.served, door, CALLER, Link())
        self.stream.receive(b"".join(to_worker(ring_wanted=True)))
        assert door.take is not None
        pair = make_pair(may_spin=False)
        self.client = RingEnd(pair.others, may_spin=False)
        door.take(pair.end)
        self.stream.receive(b"".join(to_worker(ring_begins=True)))
        while self.stream.next_message() is not None:
            """What it says of the ring."""
        self.served.answers.clear()

    def upload(self, pieces: int) -> None:
        for number in range(pieces):
            piece = PiecePart(1, 0, number * RING_PIECE_BYTES, bytes(RING_PIECE_BYTES))
            self.client.send(to_worker(pieces=[piece]))

    def turn(self) -> None:
        """One turn of the event loop, of the stream's."""
        self.stream._work()


@contextmanager
def stand() -> Iterator[Stand]:
    made = Stand()
    try:
        yield made
    finally:
        made.stream.closed()
        made.client.close()


def live(test: Callable[[], None]) -> None:
    async def run() -> None:
        test()

    asyncio.run(run())


def test_an_answer_does_not_wait_until_an_upload_ends() -> None:
    def test() -> None:
        with stand() as s:
            s.client.send([b"a call"])
            s.upload(3)
            s.turn()
            assert (s.client.take(), s.served.pieces) == (b"a call", 1)
            s.turn()
            s.turn()
            assert s.served.pieces == 3

    live(test)


def test_a_bell_that_was_changed_while_nothing_came_ends_the_stream() -> None:
    def test() -> None:
        with stand() as s:
            s.client.send([b"a call"])
            s.turn()
            assert s.client.take() == b"a call"
            flags = fcntl.fcntl(s.client._bell.fd, fcntl.F_GETFL)
            fcntl.fcntl(s.client._bell.fd, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)
            words = memoryview(s.client._mapped[1]).cast("Q")
            words[WRITER_WAITS] = 1
            words.release()
            s.stream._look()
            with pytest.raises(EaisError) as caught:
                s.stream.next_message()
            assert caught.value.reason == "MALFORMED_MESSAGE"

    live(test)
