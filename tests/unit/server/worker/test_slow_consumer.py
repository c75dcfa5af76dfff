"""Clients that don't read what they asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from eais.errors import EaisError
from eais.rpc.caller import Caller
from eais.rpc.hello import hello
from eais.rpc.v1 import value_pb2, worker_pb2
from eais.testing.values import encode_value
from eais.value import Deferred
from eais_server.testing.runtime import FakeSession
from eais_server.worker.calls import CallLimits
from eais_server.worker.connection import AT_ONCE, OUTBOX_BYTES, Connection
from eais_server.worker.outbox import MAX_UNREAD
from tests.unit.server.worker.test_overload import until
from tests.unit.server.worker.test_plane import FRONTEND, LEAF_END, Bench, live

PIECE = OUTBOX_BYTES // 4


class Line:
    """A transport that has no room for the stream unless it is asked to take something."""

    def __init__(self, bench: Bench) -> None:
        self.failed: asyncio.Future[EaisError] = asyncio.get_running_loop().create_future()
        self.changes = asyncio.Event()
        self.served: Connection = bench.plane.stream(Caller(FRONTEND, None, LEAF_END), self)
        self.say(hello=hello("test"))
        assert self.take().HasField("hello")

    def changed(self) -> None:
        self.changes.set()

    def fail(self, error: EaisError) -> None:
        if not self.failed.done():
            self.failed.set_result(error)

    def say(self, **fields: Any) -> None:
        self.served.receive(worker_pb2.ToWorker(**fields).SerializeToString())

    def call(self, call_id: int, session: str = "s") -> None:
        value = encode_value(np.float32(1), Deferred())
        named = value_pb2.NamedValue(name="x", value=value)
        known: dict[str, Any] = {"instance": "ei", "epoch": 1, "session": session}
        self.say(runs=[worker_pb2.Run(call_id=call_id, inputs=[named], **known)])

    def take(self) -> worker_pb2.ToClient:
        message = self.served.next_message()
        assert message is not None
        return worker_pb2.ToClient.FromString(b"".join(message))

    async def something_waits(self) -> None:
        while not self.served._outbox.waiting:
            self.changes.clear()
            await self.changes.wait()


def test_a_client_that_takes_nothing_is_told_why_its_stream_ends() -> None:
    async def test() -> None:
        line = Line(Bench(slow_consumer_s=0.01))
        line.call(1)
        error = await line.failed
        assert error.reason == "SLOW_CONSUMER"
        assert error.retryable
        line.served.closed()

    live(test)


class EndingLine(Line):
    """A transport that ends a stream as soon as it is told to."""

    def fail(self, error: EaisError) -> None:
        super().fail(error)
        self.served.closed()


def test_one_that_takes_nothing_hides_no_other() -> None:
    async def test() -> None:
        bench = Bench(slow_consumer_s=0.01)
        lines = [EndingLine(bench) for _ in range(3)]
        for line in lines:
            line.call(1)
        errors = [await line.failed for line in lines]
        assert {error.reason for error in errors} == {"SLOW_CONSUMER"}
        later = EndingLine(bench)
        later.call(1)
        assert (await later.failed).reason == "SLOW_CONSUMER"
        assert bench.plane.streams == 0

    live(test)


def test_who_waits_for_answers_is_not_slow_and_neither_is_who_takes_some() -> None:
    async def test() -> None:
        bench = Bench()
        waiting, taking = Line(bench), Line(bench)
        bench.fake.block()
        waiting.call(1)
        for _ in range(3):
            waiting.served.look(0.0)
            taking.served._outbox.drain()  # something to take
            taking.served.look(0.0)
            taking.take()
        assert not waiting.failed.done()
        assert not taking.failed.done()
        taking.served._outbox.drain()
        taking.served.look(0.0)
        taking.served.look(0.0)
        assert taking.failed.done()
        bench.fake.release()
        for line in (waiting, taking):
            line.served.closed()

    live(test)


def test_what_waits_for_a_client_that_does_not_read_is_bounded() -> None:
    async def test() -> None:
        def answer(feed: Mapping[str, Any]) -> list[Any]:
            return [np.zeros(PIECE, np.uint8)]

        bench = Bench(slow_consumer_s=60.0, queue_limit_s=60.0)
        bench.sessions["s"] = session = FakeSession(answer)
        line = Line(bench)
        for call_id in range(100):
            line.call(call_id)
        outbox, runner = line.served._outbox, bench.plane._hub.runner
        await until(lambda: not runner._running and not outbox.has_room)
        assert outbox._bytes < OUTBOX_BYTES + 2 * PIECE
        held = session.runs
        assert held < 10
        while outbox._bytes > OUTBOX_BYTES // 2:
            line.take()
        await until(lambda: session.runs > held)
        line.served.closed()
        assert bench.plane._hub.backlog.held == 0

    live(test)


def test_reading_goes_on_once_there_is_room_for_more_answers() -> None:
    async def test() -> None:
        line = Line(Bench(slow_consumer_s=60.0))
        refused = [worker_pb2.Run(call_id=n, instance="ei", session="s") for n in range(AT_ONCE)]
        while line.served.may_read:
            line.say(runs=refused)
        line.changes.clear()
        assert len(line.take().answers) > MAX_UNREAD // 2
        assert (line.changes.is_set(), line.served.may_read) == (True, True)
        line.served.closed()

    live(test)


def test_small_calls_pass_a_large_answer_that_is_on_its_way() -> None:
    async def test() -> None:
        bench = Bench()
        bench.sessions["large"] = FakeSession(lambda feed: [np.zeros(8 * OUTBOX_BYTES, np.uint8)])
        line = Line(bench)
        line.call(1)
        await line.something_waits()
        assert [answer.call_id for answer in line.take().answers] == [1]
        line.call(2, session="large")
        await line.something_waits()
        for call_id in (3, 4):
            line.call(call_id)
        line.call(5, session="large")
        await until(lambda: bench.plane._hub.runner.in_flight == 1)
        found = [answer.call_id for _ in range(2) for answer in line.take().answers]
        assert found == [2, 3, 4]
        line.served.closed()
        assert bench.plane._hub.backlog.held == 0

    live(test)


def test_a_tensor_for_which_there_is_no_memory_ends_its_call_alone() -> None:
    async def test() -> None:
        huge = 1 << 47
        bench = Bench(CallLimits(held_bytes=huge * 4))
        line = Line(bench)
        tensor = value_pb2.Tensor(type=value_pb2.UINT8, dims=[huge], deferred_bytes=huge)
        named = value_pb2.NamedValue(name="x", value=value_pb2.Value(tensor=tensor))
        run = worker_pb2.Run(call_id=7, instance="ei", epoch=1, session="s", inputs=[named])
        line.say(runs=[run])
        line.say(pieces=[worker_pb2.Piece(call_id=7, data=b"x")])
        (answer,) = line.take().answers
        assert (answer.call_id, answer.error.reason) == (7, "RUN_MEMORY")
        assert bench.plane._budget.held == 0
        line.call(1)
        await line.something_waits()
        assert [answer.call_id for answer in line.take().answers] == [1]
        line.served.closed()

    live(test)


@pytest.mark.parametrize("first", [{}, {"hold": ["s"]}, {"hello": hello("test"), "hold": ["s"]}])
def test_the_first_message_is_hello_and_nothing_else(first: dict[str, Any]) -> None:
    async def test() -> None:
        bench = Bench()
        served = bench.plane.stream(Caller(FRONTEND, None, LEAF_END), Line(bench))
        with pytest.raises(EaisError) as caught:
            served.receive(worker_pb2.ToWorker(**first).SerializeToString())
        assert caught.value.reason == "MALFORMED_MESSAGE"
        served.closed()

    live(test)


def test_hello_comes_once_also_amid_a_message_that_is_read_in_steps() -> None:
    async def test() -> None:
        bench = Bench()
        for runs in (0, 1000, 20_000):
            line = Line(bench)
            again = worker_pb2.ToWorker(hello=hello("test"))
            again.runs.extend(worker_pb2.Run(call_id=n) for n in range(runs))
            with pytest.raises(EaisError) as caught:
                line.served.receive(again.SerializeToString())
            assert caught.value.reason == "MALFORMED_MESSAGE"
            line.served.closed()

    live(test)
