"""A raw stream on grpc.aio whose client takes nothing of what it asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from eais.errors import EaisError, UsageError, make_error
from eais.identity import Identity
from eais.rpc import server, verbs
from eais.rpc.caller import Caller, Stranger
from eais.rpc.guard import Guard
from eais.rpc.places import Places
from eais.rpc.raw_adapter import serve_raw
from eais.rpc.raw_stream import Buffer, StreamLink
from eais.telemetry.metrics import Tally

POOL = "test-0001"
WAIT_S = 30
SLOW = make_error("SLOW_CONSUMER", "too slow")


class Known:
    """Somebody who may call."""

    def caller(self, pool: str) -> Caller:
        who = Identity.frontend(pool, "blue", "f1")
        return Caller(who, None, datetime(2100, 1, 1, tzinfo=UTC))

    def stranger(self) -> Stranger:
        raise AssertionError("everybody is known here")


class Flood:
    """Has messages without end."""

    may_read = True
    over = False

    def __init__(self, link: StreamLink) -> None:
        self.link = link
        self.came: list[bytes] = []
        self.asked = 0
        self.ended = asyncio.Event()

    def receive(self, message: Buffer) -> None:
        assert not self.ended.is_set()
        self.came.append(bytes(message))

    def next_message(self) -> list[Buffer] | None:
        assert not self.ended.is_set()
        self.asked += 1
        return [bytes(64 << 10)]

    def half_closed(self) -> None:
        pass

    def closed(self) -> None:
        assert not self.ended.is_set()
        self.ended.set()


class Bench:
    """A flood and its guard."""

    def __init__(self) -> None:
        self.floods: list[Flood] = []
        self.places = Places(8, 8)
        self.tally = Tally()
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        binding = server.raw_stream(verbs.WORKER_STREAM, self._handler)
        self.guard = Guard(POOL, binding, self.places, self.tally)

    def _handler(self, caller: Caller, link: StreamLink) -> Flood:
        self.floods.append(Flood(link))
        return self.floods[-1]

    async def requests(self) -> AsyncIterator[bytes]:
        while True:
            yield await self.incoming.get()

    def counted(self) -> dict[str, int]:
        return {reason: count for (_, _, reason), count in self.tally.counts.items()}


class Sender:
    """gRPC's task for a call: it takes a message, and the next when the network took that one."""

    def __init__(self, bench: Bench) -> None:
        self.replies = serve_raw(bench.guard, bench.requests(), Known())
        self.took = asyncio.Event()
        self.network = asyncio.Event()
        self.task = asyncio.create_task(self._send())

    async def _send(self) -> None:
        async with aclosing(self.replies) as replies:
            async for _ in replies:
                self.took.set()
                await self.network.wait()


def within(body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(WAIT_S):
            await body()

    asyncio.run(main())


def test_a_stream_that_fails_is_over_before_its_last_message_is_taken() -> None:
    async def body() -> None:
        bench = Bench()
        sender = Sender(bench)
        await sender.took.wait()
        (flood,) = bench.floods
        flood.link.fail(SLOW)
        flood.link.fail(UsageError("STALE_EPOCH", "later"))
        assert not flood.ended.is_set()
        bench.incoming.put_nowait(b"nobody's")
        await flood.ended.wait()
        assert bench.counted() == {"SLOW_CONSUMER": 1}
        # gRPC still holds a message for it.
        assert bench.places.total == 1
        # And the client is told, should it take that message after all.
        sender.network.set()
        with pytest.raises(EaisError) as caught:
            await sender.task
        assert caught.value is SLOW
        assert (flood.came, flood.asked) == ([], 1)
        assert bench.counted() == {"SLOW_CONSUMER": 1}
        assert not bench.places.total

    within(body)


def test_a_client_that_leaves_after_its_stream_failed_is_no_other_end() -> None:
    async def body() -> None:
        bench = Bench()
        sender = Sender(bench)
        await sender.took.wait()
        bench.floods[0].link.fail(SLOW)
        await bench.floods[0].ended.wait()
        sender.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sender.task
        assert bench.counted() == {"SLOW_CONSUMER": 1}
        assert not bench.places.total

    within(body)
