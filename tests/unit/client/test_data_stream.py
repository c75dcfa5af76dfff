"""The data stream over real mTLS: what goes out, what comes back, how it ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eais.errors import UsageError, make_error
from eais.identity import Identity
from eais.rpc.status import error_to_message
from eais.rpc.v1 import common_pb2, worker_pb2
from eais.testing.values import encode_value
from eais.transport.messages import answer_part
from eais.transport.parts import PiecePart
from eais.transport.ring.memory import KEEPS_ORDER
from eais.transport.writing import EncodedRun
from eais.value import Deferred
from eais_client.data_stream import GrpcDataStream
from eais_client.h2_carrier import H2Carrier
from eais_client.instances import Address
from eais_client.led_stream import LedStream
from eais_client.pieces import Assembly
from eais_client.ring_carrier import RingCarrier
from tests.unit.client.served import POOL, WAIT_S, Heard, Rig, ScriptedWorker, rig

RINGS = pytest.mark.skipif(not KEEPS_ORDER, reason="no rings on this kind of processor")
WORKER = Identity.worker(POOL, "ei-1", 1)


class Line:
    """A stream between a test and a scripted worker."""

    def __init__(self, served: Rig, transport: str) -> None:
        served.own = transport.endswith(" to ours")
        if transport.startswith("ring"):
            served.open_door()
        self.rig = served
        self.transport = transport
        self.worker = ScriptedWorker(served)
        self.address = served.serve(WORKER, self.worker.binding)
        self.heard = Heard()
        self.stream = self.to(self.address)

    def to(self, address: Address, number: int = 7) -> GrpcDataStream | LedStream:
        """A stream that goes there, not yet started."""
        dialer = self.rig.dialer()
        if self.transport.startswith("grpcio"):
            return GrpcDataStream(number, dialer.dial(address), self.heard)
        carrier = H2Carrier(address, dialer.bundle())
        if self.transport.startswith("h2"):
            return LedStream(number, carrier, self.heard)
        must = self.transport.startswith("ring")
        return LedStream(number, RingCarrier(carrier, must=must), self.heard)

    def open(self) -> None:
        self.stream.start()
        assert self.worker.next().HasField("hello")
        assert self.heard.next() == ("opened", 7)

    def send(self, call: int, array: Any = None) -> None:
        deferred = Deferred()
        run = worker_pb2.Run(call_id=call)
        run.inputs.add(name="x").value.CopyFrom(encode_value(array, deferred))
        data = run.SerializeToString()
        self.stream.send(EncodedRun(call, (data,), len(data)), deferred)

    def ask(self, *calls: int) -> None:
        """Send calls, until the worker has heard them all."""
        for call in calls:
            self.send(call)
        heard = 0
        while heard < len(calls):
            heard += len(self.worker.next().runs)


@pytest.fixture(
    params=[
        *("grpcio to grpcio", "h2 to grpcio", "h2 to ours", "grpcio to ours"),
        *("auto to grpcio", pytest.param("ring to ours", marks=RINGS)),
    ],
    ids=lambda param: str(param).replace(" ", "-"),
)
def line(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Line]:
    with rig(tmp_path) as served:
        made = Line(served, request.param)
        yield made
        made.stream.close()


def answer(call: int, array: Any) -> tuple[worker_pb2.Answer, Deferred]:
    deferred = Deferred()
    return worker_pb2.Answer(call_id=call, outputs=[encode_value(array, deferred)]), deferred


def test_a_call_goes_out_and_its_answer_comes_back(line: Line) -> None:
    line.stream.hold("s")
    line.open()
    line.send(1, np.arange(3))
    heard = line.worker.next()
    runs = list(heard.runs) or list(line.worker.next().runs)
    assert [run.call_id for run in runs] == [1]
    line.worker.say(worker_pb2.ToClient(answers=[answer(1, np.arange(4))[0]]))
    kind, call, incoming = line.heard.next()
    assert (kind, call) == ("answered", 1)
    np.testing.assert_array_equal(incoming.values()[0], np.arange(4))


def test_large_tensors_travel_in_pieces_both_ways(line: Line) -> None:
    line.open()
    array = np.arange(700_000, dtype=np.float32)
    line.send(1, array)
    got = bytearray()
    while len(got) < array.nbytes:
        for piece in line.worker.next().pieces:
            assert piece.offset == len(got)
            got += piece.data
    assert got == array.tobytes()
    message, deferred = answer(1, array)
    line.worker.say(worker_pb2.ToClient(answers=[message]))
    for tensor, offset, data in deferred.pieces():
        piece = worker_pb2.Piece(call_id=1, tensor=tensor, offset=offset, data=bytes(data))
        line.worker.say(worker_pb2.ToClient(pieces=[piece]))
    _kind, _call, incoming = line.heard.next()
    np.testing.assert_array_equal(incoming.values()[0], array)


def test_answers_come_in_any_order_and_refusals_keep_their_reason(line: Line) -> None:
    line.open()
    line.ask(1, 2)
    error = make_error("BUSY", "later", metadata={"push_back_ms": "250"})
    refusal = worker_pb2.Answer(call_id=2, error=error_to_message(error))
    line.worker.say(worker_pb2.ToClient(answers=[refusal, answer(1, np.array(5))[0]]))
    kind, stream, call, told, push_back_s = line.heard.next()
    assert (kind, stream, call, told.reason, push_back_s) == ("refused", 7, 2, "BUSY", 0.25)
    assert line.heard.next()[:2] == ("answered", 1)


def test_a_worker_that_drains_says_so(line: Line) -> None:
    line.open()
    line.worker.say(worker_pb2.ToClient(draining=True))
    assert line.heard.next() == ("draining", 7)


def test_nothing_of_a_cancelled_call_is_kept(line: Line) -> None:
    line.open()
    line.ask(1, 2, 3)
    message, deferred = answer(1, np.zeros(700_000, np.float32))
    (first, *_rest) = deferred.pieces()
    piece = worker_pb2.Piece(call_id=1, tensor=0, offset=0, data=bytes(first[2]))
    line.worker.say(worker_pb2.ToClient(answers=[message], pieces=[piece]))
    line.worker.say(worker_pb2.ToClient(draining=True))
    assert line.heard.next() == ("draining", 7)
    line.stream.cancel(1)
    line.stream.cancel(2)
    assert sorted(c.call_id for c in _cancels(line, 2)) == [1, 2]
    late = worker_pb2.Piece(call_id=1, tensor=0, offset=len(piece.data), data=b"1234")
    line.worker.say(worker_pb2.ToClient(pieces=[late], answers=[answer(2, np.array(1))[0]]))
    line.worker.say(worker_pb2.ToClient(answers=[answer(3, np.array(1))[0]]))
    assert line.heard.next()[:2] == ("answered", 3)
    assert not line.stream._exchange._partial
    assert not line.stream._exchange._awaited


def test_cancels_that_no_answer_follows_leave_nothing(line: Line) -> None:
    for call in (1, 2, 3):  # before it is open, so that nothing of them is sent
        line.send(call)
        line.stream.cancel(call)
    line.open()
    line.ask(4)
    line.worker.say(worker_pb2.ToClient(answers=[answer(4, np.array(1))[0]]))
    assert line.heard.next()[:2] == ("answered", 4)
    line.stream.cancel(4)  # it crossed the answer
    parts = vars(line.stream._exchange).items()
    kept = {name: held for name, held in parts if isinstance(held, set | dict)}
    assert kept == {"_awaited": set(), "unwatched": set(), "_partial": {}}


def test_an_answer_to_what_was_never_asked_is_not_kept(line: Line) -> None:
    line.open()
    message, _deferred = answer(9, np.zeros(700_000, np.float32))
    line.worker.say(worker_pb2.ToClient(answers=[message]), worker_pb2.ToClient(draining=True))
    assert line.heard.next() == ("draining", 7)
    assert not line.stream._exchange._partial


def _cancels(line: Line, count: int) -> list[worker_pb2.Cancel]:
    found: list[worker_pb2.Cancel] = []
    while len(found) < count:
        found += line.worker.next().cancels
    return found


def test_a_worker_that_goes_away_breaks_the_stream_once(line: Line) -> None:
    line.open()
    line.rig.stop()
    kind, stream, error = line.heard.next()
    assert (kind, stream, error.reason, error.retryable) == ("broken", 7, "WORKER_DIED", True)
    line.send(1, np.arange(3))  # nothing happens
    line.stream.close()
    assert line.heard.silent()


def test_a_stream_that_ends_well_is_broken_too(line: Line) -> None:
    line.open()
    line.worker.say(None)
    assert line.heard.next()[2].reason == "WORKER_DIED"


def test_nobody_there_is_unreachable_not_dead(line: Line) -> None:
    line.rig.stop()
    line.stream.start()
    kind, _stream, error = line.heard.next()
    assert (kind, error.reason, error.retryable) == ("broken", "HOST_UNREACHABLE", True)


def test_a_refused_stream_says_why(line: Line) -> None:
    line.open()
    line.worker.say(make_error("STALE_EPOCH", "an older epoch"))
    assert line.heard.next()[2].reason == "STALE_EPOCH"


def test_a_server_with_another_name_is_not_spoken_to(line: Line) -> None:
    other = replace(line.address, server_name="2.ei-1.test-0001.internal")
    stream = line.to(other, 8)
    stream.start()
    assert line.heard.next()[2].reason == "SERVER_UNTRUSTED"
    stream.close()
    assert line.worker.heard.empty()


def test_an_answer_too_large_to_take_ends_its_call_and_no_other(line: Line) -> None:
    line.open()
    line.ask(1, 2)
    huge = answer(1, np.zeros(700_000, np.uint8))[0]
    huge.outputs[0].tensor.dims[0] = huge.outputs[0].tensor.deferred_bytes = 1 << 40
    line.worker.say(worker_pb2.ToClient(answers=[huge]))
    kind, stream, call, error, _push_back_s = line.heard.next()
    assert (kind, stream, call, error.reason) == ("refused", 7, 1, "OUTPUT_TOO_LARGE")
    assert [cancel.call_id for cancel in _cancels(line, 1)] == [1]
    line.worker.say(worker_pb2.ToClient(answers=[answer(2, np.array(5))[0]]))
    assert line.heard.next()[:2] == ("answered", 2)
    assert not line.stream._exchange._partial


def test_an_answer_that_is_announced_large_gets_memory_as_it_comes() -> None:
    size = 1 << 31
    announced = answer(1, np.zeros(700_000, np.uint8))[0]
    tensor = announced.outputs[0].tensor
    tensor.dims[0] = tensor.deferred_bytes = size
    before = _resident_bytes()
    made = Assembly(answer_part(announced))
    made.add(PiecePart(1, 0, 0, b"abc"))
    assert made.whole() is None
    assert _resident_bytes() - before < size // 8


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def lie() -> worker_pb2.Answer:
    message, _deferred = answer(1, np.zeros(700_000, np.float32))
    message.outputs[0].tensor.dims[0] = 5
    return message


@pytest.mark.parametrize(
    "message",
    [
        worker_pb2.ToClient(hello=common_pb2.HelloReply(version=99)),
        worker_pb2.ToClient(answers=[lie()]),
    ],
    ids=["version", "size"],
)
def test_a_worker_that_speaks_nonsense_is_left(line: Line, message: worker_pb2.ToClient) -> None:
    line.open()
    line.ask(1)
    line.worker.say(message)
    kind, _stream, error = line.heard.next()
    assert kind == "broken"
    assert isinstance(error, UsageError)
    assert not error.retryable


def test_a_closed_stream_leaves_no_thread_and_says_nothing(line: Line) -> None:
    line.open()
    line.stream.close()
    assert not [t for t in threading.enumerate() if t.name == "eais-stream-7"]
    assert line.heard.silent()


def test_a_stream_may_be_closed_before_it_began(line: Line) -> None:
    line.stream.close()
    assert line.heard.silent()
    assert WAIT_S > 0
