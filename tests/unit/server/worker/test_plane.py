"""The data plane on a real event loop and real run threads, with sessions that the test holds."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from eais.errors import EaisError
from eais.identity import Identity
from eais.rpc import verbs
from eais.rpc.caller import Caller, Stranger
from eais.rpc.guard import Guard
from eais.rpc.hello import hello
from eais.rpc.places import Places
from eais.rpc.raw_adapter import serve_raw
from eais.rpc.server import raw_stream
from eais.rpc.v1 import supervision_pb2, value_pb2, worker_pb2
from eais.telemetry.metrics import Tally
from eais.testing.values import encode_value
from eais.value import Deferred
from eais_server.devices.driver import RuntimeSession
from eais_server.in_flight import PAGE_BYTES, Marks
from eais_server.testing.runtime import FakeSession
from eais_server.worker.calls import CallLimits, Service
from eais_server.worker.connection import AT_ONCE, LARGE_BYTES, OUTBOX_BYTES
from eais_server.worker.counters import Counters, Reporter
from eais_server.worker.plane import DataPlane, PlaneSettings

LEAF_END = datetime(2100, 1, 1, tzinfo=UTC)
FRONTEND = Identity.frontend("pool", "acme", "fe")


class Heard:
    """The listener's end."""

    def __init__(self) -> None:
        self.messages: queue.SimpleQueue[supervision_pb2.FromWorkerProcess] = queue.SimpleQueue()

    def send(self, message: supervision_pb2.FromWorkerProcess) -> None:
        self.messages.put(message)


class Bench:
    """A plane, of one thread unless said, and its clients."""

    def __init__(
        self,
        limits: CallLimits | None = None,
        run_timeout_s: float = 60.0,
        threads: int = 1,
        **settings: float,
    ) -> None:
        self.fake = FakeSession()
        self.sessions: dict[str, RuntimeSession] = {"s": self.fake}
        self.counters = Counters()
        self.page = bytearray(PAGE_BYTES)
        self.control = Heard()
        self.reporter = Reporter(self.control, self.counters, lambda: None)
        self.plane = DataPlane(
            "acme",
            Service("ei", 1),
            incarnation=1,
            threads=threads,
            sessions=self.sessions,
            reporter=self.reporter,
            counters=self.counters,
            marks=Marks(self.page),
            settings=PlaneSettings(run_timeout_s, calls=limits or CallLimits(), **settings),
        )
        self.plane.open()

    def client(self, identity: Identity = FRONTEND) -> Client:
        return Client(self.plane, identity)

    async def greeted(self, *, reads: bool = True) -> Client:
        made = self.client()
        made.send(hello=hello("test"))
        assert (await anext(made.replies)).HasField("hello")
        if reads:
            made.read()
        return made


class Known:
    """A contact whose certificate says `identity`."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def caller(self, pool: str) -> Caller:
        return Caller(self.identity, None, LEAF_END)

    def stranger(self) -> Stranger:
        raise AssertionError("everybody is known here")


class Client:
    """One stream, without gRPC. `read` has it take replies as they come."""

    def __init__(self, plane: DataPlane, identity: Identity) -> None:
        self._requests: asyncio.Queue[worker_pb2.ToWorker | None] = asyncio.Queue()
        self._received: asyncio.Queue[worker_pb2.ToClient | None] = asyncio.Queue()
        self._reader: asyncio.Task[None] | None = None
        binding = raw_stream(verbs.WORKER_STREAM, plane.stream)
        guard = Guard("pool", binding, Places(10_000, 10_000), Tally())
        self._replies = serve_raw(guard, self._incoming(), Known(identity))
        self.replies = self._parsed()

    async def _parsed(self) -> AsyncGenerator[worker_pb2.ToClient, None]:
        async with aclosing(self._replies) as replies:
            async for reply in replies:
                yield worker_pb2.ToClient.FromString(reply)

    async def _incoming(self) -> AsyncIterator[bytes]:
        while (message := await self._requests.get()) is not None:
            yield message.SerializeToString()

    def send(self, **fields: Any) -> None:
        self._requests.put_nowait(worker_pb2.ToWorker(**fields))

    def call(self, call_id: int, **fields: Any) -> None:
        wire = encode_value(np.float32(1), Deferred())
        named = value_pb2.NamedValue(name="x", value=wire)
        known: dict[str, Any] = {"instance": "ei", "epoch": 1, "session": "s", "inputs": [named]}
        self.send(runs=[worker_pb2.Run(call_id=call_id, **(known | fields))])

    def read(self) -> None:
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for message in self.replies:
            self._received.put_nowait(message)
        self._received.put_nowait(None)

    async def receive(self) -> worker_pb2.ToClient | None:
        """The next reply; None at the end."""
        return await self._received.get()

    async def answers(self, count: int) -> dict[int, str]:
        """The next answers: call id to reason, "" for outputs."""
        found: dict[int, str] = {}
        while len(found) < count:
            message = await self.receive()
            assert message is not None
            found.update({answer.call_id: answer.error.reason for answer in message.answers})
        return found

    async def close(self) -> None:
        """Break off, as gRPC does when the client goes away."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        await self.replies.aclose()


def live(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


async def entered(session: FakeSession) -> None:
    """Wait until a run has begun."""
    await asyncio.to_thread(session.entered.acquire)


def test_the_name_by_which_a_front_end_is_counted_keeps_its_hash() -> None:
    async def test() -> None:
        bench = Bench()
        client = await bench.greeted()
        assert list(bench.plane._streams._by_owner) == [FRONTEND.uri]
        await client.close()

    live(test)


def test_a_stream_that_says_nothing_is_told_so() -> None:
    async def test() -> None:
        client = Bench(first_message_timeout_s=0.01).client()
        with pytest.raises(EaisError) as caught:
            await anext(client.replies)
        assert caught.value.reason == "FIRST_MESSAGE_TIMEOUT"

    live(test)


def test_a_full_queue_pushes_back_and_takes_calls_again() -> None:
    async def test() -> None:
        bench = Bench(CallLimits(waiting=2))
        client = await bench.greeted()
        bench.fake.block()
        client.call(1)
        await entered(bench.fake)
        for call_id in (2, 3, 4):
            client.call(call_id)
        message = await client.receive()
        assert message is not None
        (answer,) = message.answers
        assert (answer.call_id, answer.error.reason) == (4, "BUSY")
        assert answer.error.push_back_ms > 0
        bench.fake.release()
        assert await client.answers(3) == {1: "", 2: "", 3: ""}
        client.call(5)
        assert await client.answers(1) == {5: ""}
        assert (bench.counters.requests, bench.counters.in_flight) == (4, 0)
        # The one that was refused at once isn't among those whose time counts.
        assert sum(bench.counters.latency) == 4
        await client.close()

    live(test)


def test_a_client_that_reads_nothing_is_not_run_for_while_others_are() -> None:
    async def test() -> None:
        bench = Bench()
        large = np.zeros(2 * OUTBOX_BYTES, np.uint8)
        bench.sessions["large"] = huge = FakeSession(lambda feed: [large])
        deaf, other = await bench.greeted(reads=False), await bench.greeted()
        for call_id in range(5):
            deaf.call(call_id, session="large")
        first = await anext(deaf.replies)
        assert [a.call_id for a in first.answers] == [0]
        for call_id in range(20):
            other.call(call_id)
        assert len(await other.answers(20)) == 20
        assert huge.runs == 1
        await deaf.close()
        await other.close()

    live(test)


@pytest.mark.parametrize(("calls", "of_bytes", "at_once"), [(500, 0, AT_ONCE), (8, LARGE_BYTES, 1)])
def test_one_message_of_many_parts_keeps_nobody_from_the_event_loop(
    calls: int, of_bytes: int, at_once: int
) -> None:
    async def test() -> None:
        bench = Bench()
        client = await bench.greeted(reads=False)
        (connection,) = bench.plane._connections
        waiting = connection._outbox._answers
        session = "x" * (of_bytes // calls)
        client.send(runs=[worker_pb2.Run(call_id=n, session=session) for n in range(calls)])
        seen = [0]
        while len(waiting) < calls:
            await asyncio.sleep(0)
            seen.append(len(waiting))
        assert max(after - before for before, after in pairwise(seen)) == at_once
        await client.close()

    live(test)


def test_a_run_that_does_not_stop_is_reported_for_the_listener_to_kill() -> None:
    async def test() -> None:
        bench = Bench(cancel_grace_s=0.01)
        bench.reporter.start()
        client = await bench.greeted()
        bench.fake.block()
        bench.fake.deaf = True
        client.call(1)
        await entered(bench.fake)
        client.send(cancels=[worker_pb2.Cancel(call_id=1)])
        assert await client.answers(1) == {1: "CANCELLED"}
        told = await asyncio.to_thread(bench.control.messages.get)
        assert told.stuck.session == "s"
        bench.fake.release()
        await client.close()
        bench.reporter.close()

    live(test)


def test_a_drain_ends_idle_streams_and_waits_for_the_others() -> None:
    async def test() -> None:
        bench = Bench()
        idle, busy = await bench.greeted(), await bench.greeted()
        bench.fake.block()
        busy.call(1)
        await entered(bench.fake)
        bench.plane.drain()
        for client in (idle, busy):
            message = await client.receive()
            assert message is not None
            assert message.draining
        assert await idle.receive() is None
        drained = asyncio.ensure_future(bench.plane.drained())
        busy.call(2)
        assert await busy.answers(1) == {2: "DRAINING"}
        assert not drained.done()
        bench.fake.release()
        assert await busy.answers(1) == {1: ""}
        assert await busy.receive() is None
        await drained

    live(test)


def test_a_closed_stream_lets_its_runs_and_sessions_go() -> None:
    async def test() -> None:
        bench = Bench()
        client = await bench.greeted()
        bench.fake.block()
        client.send(hold=["s"])
        client.call(1)
        client.call(2)
        await entered(bench.fake)
        await client.close()
        assert bench.plane._hub.holds.in_use == ()
        other = await bench.greeted()
        bench.fake.release()
        other.call(1)
        assert await other.answers(1) == {1: ""}
        assert bench.fake.runs == 2
        assert bench.plane._budget.held == 0
        await other.close()

    live(test)


def test_a_stream_of_another_tenant_finds_nothing() -> None:
    async def test() -> None:
        client = Bench().client(Identity.frontend("pool", "other", "fe"))
        with pytest.raises(EaisError) as caught:
            await anext(client.replies)
        assert caught.value.reason == "NOT_FOUND"

    live(test)
