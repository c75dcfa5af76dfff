"""Calls as a connection serves them, on an engine whose peer is the test."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from eais.errors import EaisError, UsageError, make_error
from eais.identity import Identity, Peer
from eais.rpc import server, verbs
from eais.rpc.caller import Caller
from eais.rpc.guard import Binding, Guard
from eais.rpc.hello import hello
from eais.rpc.places import Places
from eais.rpc.raw_stream import Buffer, StreamLink
from eais.telemetry.metrics import Tally
from eais.transport.h2 import Message
from eais.transport.h2_calls import REQUEST_BYTES, REQUEST_S, Call, Contact, RawStream, TaskCall
from tests.unit.transport.h2.pair import Pair

POOL = "test-0001"
CONTACT = Contact(
    Peer(Identity.frontend(POOL, "blue", "f1"), datetime(2100, 1, 1, tzinfo=UTC)), None
)


class Line:
    """A connection that does nothing by itself, as one whose socket takes nothing."""

    def __init__(self, *bindings: Binding) -> None:
        self.pair = Pair()
        self.engine = self.pair.server
        self.stream = self.pair.call()
        self.places = Places(8, 8)
        self.guards = [Guard(POOL, binding, self.places, Tally()) for binding in bindings]
        self.asked = 0
        self.ends: list[EaisError | None] = []
        self.ended = asyncio.Event()

    def ask_again(self, call: Call) -> None:
        self.asked += 1

    def finished(self, call: Call, error: EaisError | None) -> None:
        self.ends.append(error)
        self.ended.set()

    def at_client(self) -> list[bytes]:
        self.pair.talk()
        return [bytes(message.data) for message in self.pair.heard(Message, by_client=True)]


class Served:
    """Says what it is given to say; "fail" has it fail before it is asked for more."""

    def __init__(self, link: StreamLink) -> None:
        self.link = link
        self.waiting: deque[bytes] = deque()
        self.may_read = True
        self.over = False
        self.closings = 0

    def receive(self, message: Buffer) -> None:
        self.waiting.append(bytes(message))

    def next_message(self) -> list[Buffer] | None:
        if not self.waiting:
            return None
        message = self.waiting.popleft()
        if message == b"fail":
            self.fail()
        return [message]

    def fail(self) -> None:
        self.link.fail(make_error("SLOW_CONSUMER", "too slow"))
        assert not self.closings

    def half_closed(self) -> None:
        self.over = True

    def closed(self) -> None:
        self.closings += 1


def raw() -> tuple[Line, RawStream, Served]:
    served: list[Served] = []

    def handler(caller: Caller, link: StreamLink) -> Served:
        served.append(Served(link))
        return served[-1]

    line = Line(server.raw_stream(verbs.WORKER_STREAM, handler))
    call = RawStream(line, line.stream, line.guards[0], CONTACT)
    return line, call, served[0]


def within(body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            await body()

    asyncio.run(main())


def test_a_stream_that_fails_ends_although_nobody_asks_it() -> None:
    async def body() -> None:
        line, _, served = raw()
        served.fail()
        await line.ended.wait()
        assert [error and error.reason for error in line.ends] == ["SLOW_CONSUMER"]
        assert served.closings == 1
        assert not line.places.total

    within(body)


def test_what_wasnt_handed_over_when_a_stream_failed_is_not_sent() -> None:
    async def body() -> None:
        line, call, served = raw()
        for message in (b"one", b"fail", b"two"):
            call.message(message)
        assert not call.go_on()
        assert line.at_client() == [b"one", b"fail"]
        assert list(served.waiting) == [b"two"]
        await line.ended.wait()
        assert call.go_on()

    within(body)


def test_a_stream_fails_once_and_not_after_its_client_left() -> None:
    async def body() -> None:
        line, call, served = raw()
        served.fail()
        served.link.fail(UsageError("STALE_EPOCH", "later"))
        call.left()
        await asyncio.sleep(0)
        assert line.ends == []
        assert served.closings == 1

    within(body)


def asked(request_s: float = REQUEST_S, places: int = 8) -> tuple[Line, TaskCall]:
    line = Line(server.greet(verbs.POOL_GREET, "eais-test"))
    line.places.each = places
    return line, TaskCall(line, line.stream, line.guards[0], CONTACT, request_s)


def reasons(line: Line) -> list[str]:
    return [error.reason if error else "" for error in line.ends]


def test_a_call_holds_its_place_before_its_request_is_here() -> None:
    async def body() -> None:
        line, call = asked()
        await asyncio.sleep(0)
        assert line.places.total == 1
        call.message(hello("test").SerializeToString())
        await line.ended.wait()
        assert reasons(line) == [""]
        assert len(line.at_client()) == 1
        assert not line.places.total

    within(body)


def test_a_call_without_a_place_is_refused_before_its_request() -> None:
    async def body() -> None:
        line, _ = asked(places=0)
        await line.ended.wait()
        assert reasons(line) == ["BUSY"]

    within(body)


def test_a_request_has_its_time() -> None:
    async def body() -> None:
        line, _ = asked(0.0)
        await line.ended.wait()
        assert reasons(line) == ["FIRST_MESSAGE_TIMEOUT"]
        assert not line.places.total

    within(body)


@pytest.mark.parametrize("requests", [[], [bytes(REQUEST_BYTES + 1)], [b"\xff"], [b"", b""]])
def test_a_call_has_one_request(requests: list[bytes]) -> None:
    async def body() -> None:
        line, call = asked()
        for request in requests:
            call.message(request)
        call.half_closed()
        await line.ended.wait()
        assert reasons(line)[0] == "MALFORMED_MESSAGE"
        await asyncio.sleep(0)
        assert not line.places.total

    within(body)


def test_who_leaves_before_asking_leaves_nothing() -> None:
    async def body() -> None:
        line, call = asked()
        call.left()
        line, call = asked()
        await asyncio.sleep(0)
        call.left()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not line.places.total
        assert line.ends == []

    within(body)
