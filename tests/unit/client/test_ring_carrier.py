"""How a data stream comes to go on in a ring, or doesn't, and ends there."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eais.errors import EaisError, make_error
from eais.instance_policy import RingPolicy
from eais.rpc.v1 import worker_pb2
from eais.testing.values import encode_value
from eais.transport.parts import Buffer
from eais.transport.ring.end import RingEnd
from eais.transport.ring.handover import NoRing, Peer, take_over
from eais.transport.ring.layout import HEADER_BYTES, PUBLISHED
from eais.transport.ring.memory import KEEPS_ORDER
from eais.transport.writing import EncodedRun
from eais.value import Deferred
from eais_client.carrier import Source
from eais_client.h2_carrier import H2Carrier
from eais_client.instances import Address
from eais_client.led_stream import LedStream
from eais_client.outbox import Outbox
from eais_client.ring_carrier import RingCarrier, TakeOver
from eais_client.socket_wait import SocketWait
from tests.unit.client.served import WAIT_S, Heard, Meanwhile, Rig, ScriptedWorker, rig
from tests.unit.client.test_data_stream import WORKER, answer

pytestmark = pytest.mark.skipif(not KEEPS_ORDER, reason="no rings on this kind of processor")


class Elsewhere(H2Carrier):
    """To a worker of another host, as far as one can tell."""

    def stays_on_host(self) -> bool:
        """See `H2Carrier`."""
        return False


class Line:
    """A stream between a test and a scripted worker that hands out rings."""

    def __init__(self, served: Rig, policy: RingPolicy | None = RingPolicy.AUTO) -> None:
        served.own = True
        if policy is not None:
            served.open_door(policy)
        self.rig = served
        self.worker = ScriptedWorker(served)
        self.address = served.serve(WORKER, self.worker.binding)
        self.heard = Heard()
        self.ends: list[RingEnd] = []

    def open(
        self, first: Callable[[Address, Any], H2Carrier] = H2Carrier, **options: Any
    ) -> LedStream:
        """A stream whose worker has said hello."""
        self.start(first, **options)
        assert self.worker.next().HasField("hello")
        assert self.heard.next() == ("opened", 7)
        return self.stream

    def start(
        self, first: Callable[[Address, Any], H2Carrier] = H2Carrier, **options: Any
    ) -> LedStream:
        """A stream that begins."""
        carrier = RingCarrier(
            first(self.address, self.rig.dialer().bundle()),
            **{"take_over": self.taking(), **options},
        )
        self.stream = LedStream(7, carrier, self.heard)
        self.stream.start()
        return self.stream

    def taking(self) -> TakeOver:
        """`take_over`, which keeps what it got."""

        def take(offer: worker_pb2.RingOffer, trusts: Callable[[Peer], bool]) -> RingEnd:
            self.ends.append(take_over(offer, trusts))
            return self.ends[-1]

        return take

    def call(self, number: int) -> None:
        """Send a call, and have it answered."""
        data = worker_pb2.Run(call_id=number).SerializeToString()
        self.stream.send(EncodedRun(number, (data,), len(data)), Deferred(), watched=False)
        assert [run.call_id for run in self.worker.next().runs] == [number]
        self.worker.say(worker_pb2.ToClient(answers=[answer(number, np.arange(3))[0]]))
        assert self.heard.next()[:2] == ("answered", number)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    ends = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.002)


def open_things() -> Counter[str]:
    """What this process has open of the kinds that a stream is made of, and maps."""
    found: Counter[str] = Counter()
    for path in Path("/proc/self/fd").iterdir():
        try:
            kind = str(path.readlink()).partition(":[")
        except OSError:
            continue
        if "ring" in kind[0] or "event" in kind[2]:
            found["".join(kind) if kind[0] == "anon_inode" else kind[0]] += 1
    found["maps"] = Path("/proc/self/maps").read_text().count("memfd:eais-ring")
    return found


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Rig]:
    with rig(tmp_path) as made:
        yield made


@pytest.fixture
def line(served: Rig) -> Iterator[Line]:
    made = Line(served)
    yield made
    made.stream.close()


def test_calls_move_to_the_ring_by_themselves(line: Line) -> None:
    stream = line.open()
    line.call(1)
    until(lambda: stream.used == "ring")
    for number in range(2, 50):
        line.call(number)
    assert line.rig.door is not None
    assert line.rig.door.rings == 1


def test_nothing_is_left_when_it_is_closed(served: Rig) -> None:
    made = Line(served)
    before = open_things()
    for _ in range(3):
        made.open()
        until(lambda: made.stream.used == "ring")
        made.call(1)
        made.stream.close()
    assert served.door is not None
    until(lambda: not served.door or served.door.rings == 0)
    gc.collect()
    assert open_things() == before


def refused(_offer: worker_pb2.RingOffer, _trusts: Callable[[Peer], bool]) -> RingEnd:
    raise NoRing("it is another day")


def stranger(_offer: worker_pb2.RingOffer, trusts: Callable[[Peer], bool]) -> RingEnd:
    if trusts(Peer(1, 1 << 20)):
        raise NoRing("of another user, and trusted")
    raise NoRing("of another user")


NO_RINGS: dict[str, tuple[dict[str, Any], RingPolicy | None, str]] = {
    "another host": ({"first": Elsewhere}, RingPolicy.AUTO, "on another host"),
    "policy": ({}, RingPolicy.OFF, "lets this client have none"),
    "handover": ({"take_over": refused}, RingPolicy.AUTO, "it is another day"),
    "another user": ({"take_over": stranger}, RingPolicy.AUTO, "of another user"),
    "any user": ({"take_over": stranger, "any_user": True}, RingPolicy.ON, "and trusted"),
}


@pytest.mark.parametrize("case", NO_RINGS)
def test_without_a_ring_it_goes_on_as_it_began_and_says_why(served: Rig, case: str) -> None:
    options, policy, why = NO_RINGS[case]
    line = Line(served, policy)
    stream = line.open(**options)
    line.call(1)
    until(lambda: "no ring" in stream.used)
    assert stream.used.startswith("h2 (no ring: ")
    assert why in stream.used
    line.call(2)
    stream.close()


@pytest.mark.parametrize("case", NO_RINGS)
def test_a_stream_that_insists_ends_and_says_why(served: Rig, case: str) -> None:
    options, policy, why = NO_RINGS[case]
    line = Line(served, policy)
    stream = line.start(must=True, **options)
    while (told := line.heard.next())[0] == "opened":
        continue
    kind, number, error = told
    assert (kind, number, error.reason) == ("broken", 7, "RING_UNAVAILABLE")
    assert why in error.message
    stream.close()


def test_a_stream_that_insists_waits_for_no_answer_for_ever(served: Rig) -> None:
    line = Line(served, None)  # a worker that knows nothing of rings
    stream = line.open(must=True, patience_s=0.05)
    _kind, _number, error = line.heard.next()
    assert error.reason == "RING_UNAVAILABLE"
    assert "doesn't answer" in error.message
    stream.close()


def test_a_worker_that_knows_nothing_of_rings_serves_without(served: Rig) -> None:
    line = Line(served, None)
    stream = line.open()
    line.call(1)
    assert stream.used == "h2"
    stream.close()


def test_calls_of_a_stream_that_insists_wait_for_the_ring(served: Rig) -> None:
    line, go = Line(served), threading.Event()
    taking = line.taking()

    def later(offer: worker_pb2.RingOffer, trusts: Callable[[Peer], bool]) -> RingEnd:
        assert go.wait(WAIT_S)
        return taking(offer, trusts)

    stream = line.open(must=True, take_over=later)
    data = worker_pb2.Run(call_id=1).SerializeToString()
    stream.send(EncodedRun(1, (data,), len(data)), Deferred(), watched=False)
    assert line.worker.heard.empty()
    go.set()
    assert [run.call_id for run in line.worker.next().runs] == [1]
    assert stream.used in ("h2", "ring")
    until(lambda: stream.used == "ring")
    stream.close()


def test_a_ring_that_comes_too_late_is_let_go(served: Rig) -> None:
    line, go = Line(served), threading.Event()
    before, taking = open_things(), line.taking()

    def later(offer: worker_pb2.RingOffer, trusts: Callable[[Peer], bool]) -> RingEnd:
        assert go.wait(WAIT_S)
        return taking(offer, trusts)

    stream = line.open(take_over=later)
    until(lambda: served.door is not None and served.door.rings == 1)
    closer = threading.Thread(target=stream.close)
    closer.start()
    closer.join(WAIT_S)
    go.set()
    until(lambda: open_things() == before)


def test_what_the_worker_said_before_its_end_is_heard_first(line: Line) -> None:
    stream = line.open()
    until(lambda: stream.used == "ring")
    for number in range(1, 200):
        data = worker_pb2.Run(call_id=number).SerializeToString()
        stream.send(EncodedRun(number, (data,), len(data)), Deferred(), watched=False)
    heard = 0
    while heard < 199:
        heard += len(line.worker.next().runs)
    answers = [worker_pb2.ToClient(answers=[answer(n, np.arange(3))[0]]) for n in range(1, 200)]
    line.worker.say(*answers, None)
    assert [line.heard.next()[1] for _ in answers] == list(range(1, 200))
    kind, _number, error = line.heard.next()
    assert (kind, error.reason) == ("broken", "WORKER_DIED")
    assert line.heard.silent()


def test_a_refusal_of_the_whole_stream_comes_over_the_network(line: Line) -> None:
    stream = line.open()
    until(lambda: stream.used == "ring")
    line.worker.say(make_error("STALE_EPOCH", "an older epoch"))
    assert line.heard.next()[2].reason == "STALE_EPOCH"


def test_a_worker_that_breaks_the_ring_is_left(line: Line) -> None:
    stream = line.open()
    until(lambda: stream.used == "ring")
    line.call(1)
    (end,) = line.ends
    memory = memoryview(end._mapped[0])
    memory[HEADER_BYTES : HEADER_BYTES + 64] = b"\xff" * 64
    memory.cast("Q")[PUBLISHED] = 1 << 40
    memory.release()
    end._bell.ring()
    kind, _number, error = line.heard.next()
    assert (kind, error.reason) == ("broken", "MALFORMED_MESSAGE")
    assert line.heard.silent()


def test_a_worker_that_says_more_outside_of_the_ring_is_left(line: Line) -> None:
    stream = line.open()
    until(lambda: stream.used == "ring")
    wrapped: Any = line.worker._stream
    outer = wrapped._link  # the ring's stream, as what serves it sees it
    extra = worker_pb2.ToClient(draining=True).SerializeToString()
    line.rig.loop.call_soon_threadsafe(outer._own.append, [extra])
    line.rig.loop.call_soon_threadsafe(outer._link.changed)
    assert line.heard.next()[2].reason == "MALFORMED_MESSAGE"


def test_an_event_loop_reads_on_when_the_stream_moves(line: Line) -> None:
    heard: list[tuple[Any, ...]] = []
    go = threading.Event()
    taking = line.taking()

    def later(offer: worker_pb2.RingOffer, trusts: Callable[[Peer], bool]) -> RingEnd:
        assert go.wait(WAIT_S)
        return taking(offer, trusts)

    stream = line.open(take_over=later)

    async def work() -> None:
        stream.read_in(asyncio.get_running_loop())
        go.set()
        for number in range(1, 60):
            data = worker_pb2.Run(call_id=number).SerializeToString()
            stream.send(EncodedRun(number, (data,), len(data)), Deferred())
            await asyncio.to_thread(line.worker.next)
            line.worker.say(worker_pb2.ToClient(answers=[answer(number, np.arange(3))[0]]))
            heard.append(await asyncio.to_thread(line.heard.next))
            if number == 20:
                await asyncio.to_thread(until, lambda: stream.used == "ring")

    asyncio.run(asyncio.wait_for(work(), WAIT_S))
    assert [event[:2] for event in heard] == [("answered", n) for n in range(1, 60)]


def test_the_reason_is_one_that_is_not_tried_again() -> None:
    error = make_error("RING_UNAVAILABLE", "no ring: there is none")
    assert isinstance(error, EaisError)
    assert not error.retryable


def test_a_loop_that_is_closed_is_no_obstacle_to_threads(line: Line) -> None:
    stream = line.open()
    until(lambda: stream.used == "ring")

    async def read() -> None:
        stream.read_in(asyncio.get_running_loop())

    asyncio.run(read())
    # More than the ring takes: the rest is written when there is room.
    data = worker_pb2.Run(call_id=1, tracestate="t" * (9 << 20)).SerializeToString()
    stream.send(EncodedRun(1, (data,), len(data)), Deferred(), watched=False)
    assert [run.call_id for run in line.worker.next().runs] == [1]


def kind_of(fd: int) -> str:
    """What a descriptor is one of; "" if it has just been closed."""
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError:
        return ""


def test_an_event_loop_that_begins_to_read_when_the_stream_moves_moves_too(line: Line) -> None:
    go, taking = threading.Event(), line.taking()

    def later(offer: worker_pb2.RingOffer, trusts: Callable[[Peer], bool]) -> RingEnd:
        assert go.wait(WAIT_S)
        return taking(offer, trusts)

    stream = line.open(Meanwhile, take_over=later)
    carrier: Any = stream._carrier

    def move() -> None:
        go.set()
        until(lambda: stream.used == "ring" and not carrier.moved)

    async def begin() -> None:
        carrier._first.then = move
        stream.read_in(asyncio.get_running_loop())
        reader: Any = stream._loop
        await asyncio.to_thread(until, lambda: kind_of(reader._fd) == "anon_inode:[eventpoll]")

    asyncio.run(asyncio.wait_for(begin(), WAIT_S))


class InMemory:
    """What carries a stream at first, as far as anything comes of it.

    Attributes:
        closed: whether the worker has no room for more.
        comes: what it says next.
        took: what was said to it.
        done: what was asked of it, in order.
    """

    moved = more = False
    end: EaisError | None = None
    next_tick_s = inf
    used = "h2"

    def __init__(self) -> None:
        self.closed = False
        self.comes: list[bytes] = []
        self.took: list[bytes] = []
        self.done: list[str] = []
        self._fd = os.eventfd(0)

    def connect(self) -> tuple[SocketWait, SocketWait]:
        raise AssertionError("nobody waits")

    def stays_on_host(self) -> bool:
        return True

    def begin(self, first: Sequence[Buffer]) -> None:
        self.took.append(b"".join(first))

    def stop(self) -> None: ...

    def pull(self) -> list[bytes]:
        self.done.append("pull")
        came, self.comes = self.comes, []
        return came

    def push(self, outbox: Source) -> None:
        while outbox.waiting and not self.closed:
            self.took.append(b"".join(outbox.next_message() or ()))

    def full(self) -> bool:
        return self.closed

    def tick(self) -> None:
        self.done.append("tick")

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)


def test_what_came_over_the_network_is_looked_at_before_it_is_given_up() -> None:
    first = InMemory()
    carrier: Any = RingCarrier(first)
    carrier.incoming = object()  # a ring in which nobody who waits ever has to sleep
    carrier.tick()
    assert first.done == ["pull", "tick"]
    first.comes.append(b"more")
    with pytest.raises(EaisError) as caught:
        carrier.tick()
    assert caught.value.reason == "MALFORMED_MESSAGE"
    carrier.close()


def test_what_has_to_be_read_first_is_no_reason_to_write() -> None:
    first = InMemory()
    carrier: Any = RingCarrier(first)
    outbox = Outbox("test")
    first.closed = True
    carrier.begin(outbox.first_message())
    carrier.push(outbox)
    assert not carrier.more
    first.closed = False  # the worker has made room, and says so
    assert carrier.more
    carrier.push(outbox)
    assert first.took[1:] == [worker_pb2.ToWorker(ring_wanted=True).SerializeToString()]
    assert not carrier.more
    carrier.close()


def test_a_ring_that_begins_behind_a_large_call_is_waited_for_in_peace(line: Line) -> None:
    go, taking = threading.Event(), line.taking()

    def later(offer: worker_pb2.RingOffer, trusts: Callable[[Peer], bool]) -> RingEnd:
        assert go.wait(WAIT_S)
        return taking(offer, trusts)

    stream = line.open(take_over=later)
    carrier: Any = stream._carrier
    worker: Any = line.worker._stream
    worker.may_read = False
    deferred, array = Deferred(), np.zeros(24 << 20, np.uint8)
    run = worker_pb2.Run(call_id=1)
    run.inputs.add(name="x").value.CopyFrom(encode_value(array, deferred))
    data = run.SerializeToString()
    stream.send(EncodedRun(1, (data,), len(data)), deferred, watched=False)
    until(lambda: carrier._first.full() and not carrier._first.more)
    go.set()
    until(lambda: carrier._own.waiting and not carrier.more)
    worker.may_read = True
    line.rig.loop.call_soon_threadsafe(worker._link.changed)
    until(lambda: stream.used == "ring")
    got = 0
    while got < array.nbytes:
        got += sum(len(piece.data) for piece in line.worker.next().pieces)
