"""Raw streams on both transports: callbacks on bytes, behind the same guard as all verbs."""

from __future__ import annotations

import asyncio
import datetime
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from eais import channel, tls
from eais.credentials import client_credentials, server_credentials
from eais.errors import EaisError, UsageError, make_error
from eais.identity import Identity
from eais.rpc import server, verbs
from eais.rpc.caller import Caller
from eais.rpc.raw_stream import Buffer, StreamLink
from eais.rpc.status import error_of_rpc
from eais.telemetry.metrics import Tally
from eais.transport.h2_server import H2Server
from eais_pool.authority import Authority

POOL = "test-0001"
OWNER = Identity.frontend(POOL, "blue", "f1")
OPERATOR = Identity.operator(POOL, "o1")
Transport = Callable[[list[server.Binding], tls.Bundle, Tally], AbstractAsyncContextManager[int]]
PATH = verbs.WORKER_STREAM.path


class Echo:
    """Answers each message with itself, in two parts; obeys a few of them."""

    def __init__(self, link: StreamLink) -> None:
        self.link = link
        self.waiting: deque[Buffer] = deque()
        self.may_read = True
        self.half = self.stays = False
        self.floods = False
        self.flooded = asyncio.Event()
        self.ends: list[str] = []
        self.ended = asyncio.Event()

    @property
    def over(self) -> bool:
        return self.half and not self.waiting and not self.stays

    def receive(self, message: Buffer) -> None:
        match bytes(message):
            case b"refuse":
                raise UsageError("NOT_FOUND", "not here")
            case b"break":
                raise ZeroDivisionError("/secret/path")
            case b"fail":
                self.link.fail(UsageError("STALE_EPOCH", "an old one"))
                self.ends.append("failed")
            case b"stay":
                self.stays = True
                self.waiting.append(message)
            case b"flood":
                self.floods = True
            case b"wait":
                self.may_read = False
                asyncio.get_running_loop().call_later(0.01, self.read_on)
            case _:
                self.waiting.append(message)

    def read_on(self) -> None:
        self.may_read = True
        self.waiting.append(b"waited")
        self.link.changed()

    def next_message(self) -> list[Buffer] | None:
        if self.floods:
            self.flooded.set()
            return [bytes(64 << 10)]
        if not self.waiting:
            return None
        message = memoryview(self.waiting.popleft())
        return [message[:1], message[1:]]

    def half_closed(self) -> None:
        self.half = True

    def closed(self) -> None:
        self.ends.append("closed")
        self.ended.set()


@dataclass
class Wire:
    """Echoes that are served, and a channel to them."""

    made: Any = None
    tally: Tally = field(default_factory=Tally)
    served: list[Echo] = field(default_factory=list)

    def handler(self, caller: Caller, link: StreamLink) -> Echo:
        if caller.identity.name == "nobody":
            raise UsageError("NOT_FOUND", "not for you")
        self.served.append(Echo(link))
        return self.served[-1]

    async def answers(self, *messages: bytes) -> list[bytes]:
        async def ups() -> AsyncIterator[bytes]:
            for message in messages:
                yield message

        return [down async for down in self.stub()(ups(), timeout=20)]

    async def error(self, *messages: bytes) -> EaisError:
        call = self.stub()(timeout=20)
        for message in messages:
            await call.write(message)
        with suppress(grpc.aio.AioRpcError):
            while await call.read():
                pass
        return error_of_rpc(await _ended(call), "NO_WORKER")

    def stub(self) -> Any:
        return self.made.stream_stream(PATH, None, None)

    def counted(self) -> dict[str, int]:
        return {reason: count for (_, _, reason), count in self.tally.counts.items()}


async def _ended(call: Any) -> grpc.RpcError:
    return grpc.aio.AioRpcError(
        await call.code(),
        await call.initial_metadata(),
        await call.trailing_metadata(),
        await call.details(),
        None,
    )


Over = Callable[..., Wire]


@asynccontextmanager
async def by_grpcio(
    bindings: list[server.Binding], own: tls.Bundle, tally: Tally
) -> AsyncIterator[int]:
    served = grpc.aio.server(options=channel.server_options())
    served.add_generic_rpc_handlers(server.generic_handlers(POOL, bindings, tally))
    port = served.add_secure_port("127.0.0.1:0", server_credentials(lambda: own))
    await served.start()
    try:
        yield port
    finally:
        await served.stop(None)


@asynccontextmanager
async def by_h2(
    bindings: list[server.Binding], own: tls.Bundle, tally: Tally
) -> AsyncIterator[int]:
    served = H2Server(POOL, bindings, own, tally)
    try:
        yield served.bind("127.0.0.1", 0)
    finally:
        await served.stop(5)
        assert served.connections == 0


@pytest.fixture(params=[by_grpcio, by_h2])
def transport(request: pytest.FixtureRequest) -> Transport:
    """How the echoes are served."""
    found: Transport = request.param
    return found


@pytest.fixture
def over_the_wire(tmp_path: Path, transport: Transport) -> Over:
    """Serve echoes, run a body, stop; with what is left to look at."""

    async def main(body: Callable[[Wire], Awaitable[None]], who: Identity) -> Wire:
        now = datetime.datetime.now(datetime.UTC)
        authority = Authority.create(tmp_path / "ca", POOL, now)
        own = authority.bundle(Identity.worker(POOL, "ei-1", 0), now)
        wire = Wire()
        bindings = [server.raw_stream(verbs.WORKER_STREAM, wire.handler)]
        async with transport(bindings, own, wire.tally) as port:
            credentials = client_credentials(authority.bundle(who, now))
            options = channel.client_options(f"0.ei-1.{POOL}.internal")
            made = grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options)
            async with made:
                wire.made = made
                await body(wire)
        return wire

    def run(body: Callable[[Wire], Awaitable[None]], who: Identity = OWNER) -> Wire:
        return asyncio.run(main(body, who))

    return run


def test_messages_come_back_as_they_were(over_the_wire: Over) -> None:
    async def body(wire: Wire) -> None:
        big = bytes(range(256)) * 4096
        assert await wire.answers(b"one", b"", big) == [b"one", b"", big]

    wire = over_the_wire(body)
    assert wire.counted() == {"OK": 1}
    assert [echo.ends for echo in wire.served] == [["closed"]]


def test_who_may_not_read_is_asked_again_when_something_changed(over_the_wire: Over) -> None:
    async def body(wire: Wire) -> None:
        assert await wire.answers(b"wait", b"two") == [b"waited", b"two"]

    over_the_wire(body)


@pytest.mark.parametrize(
    ("message", "reason", "ends"),
    [
        (b"refuse", "NOT_FOUND", ["closed"]),
        (b"break", "BUG", ["closed"]),
        # Who says so isn't called meanwhile.
        (b"fail", "STALE_EPOCH", ["failed", "closed"]),
    ],
)
def test_how_a_stream_fails_is_told_and_counted(
    over_the_wire: Over, message: bytes, reason: str, ends: list[str]
) -> None:
    async def body(wire: Wire) -> None:
        error = await wire.error(b"one", message)
        assert error.reason == reason
        assert "secret" not in str(error)

    wire = over_the_wire(body)
    assert wire.counted() == {reason: 1}
    assert [echo.ends for echo in wire.served] == [ends]


def test_a_stream_that_fails_while_its_client_takes_nothing_is_over(over_the_wire: Over) -> None:
    async def body(wire: Wire) -> None:
        call = wire.stub()(timeout=20)
        await call.write(b"flood")
        await call.initial_metadata()
        (served,) = wire.served
        await served.flooded.wait()
        served.link.fail(make_error("SLOW_CONSUMER", "too slow"))
        async with asyncio.timeout(20):
            await served.ended.wait()
        with suppress(grpc.aio.AioRpcError):
            while await call.read():
                pass
        assert error_of_rpc(await _ended(call), "NO_WORKER").reason == "SLOW_CONSUMER"

    assert over_the_wire(body).counted() == {"SLOW_CONSUMER": 1}


def test_a_handler_may_refuse_a_caller(over_the_wire: Over) -> None:
    async def body(wire: Wire) -> None:
        assert (await wire.error()).reason == "NOT_FOUND"

    wire = over_the_wire(body, Identity.frontend(POOL, "blue", "nobody"))
    assert wire.served == []
    assert wire.counted() == {"NOT_FOUND": 1}


def test_other_roles_are_refused_before_the_handler(over_the_wire: Over) -> None:
    async def body(wire: Wire) -> None:
        assert (await wire.error()).reason == "PERMISSION_DENIED"

    assert over_the_wire(body, OPERATOR).served == []


def test_a_client_that_leaves_is_counted_so(over_the_wire: Over) -> None:
    async def body(wire: Wire) -> None:
        call = wire.stub()(timeout=20)
        await call.write(b"stay")
        assert await call.read() == b"stay"
        call.cancel()
        async with asyncio.timeout(20):
            await wire.served[0].ended.wait()

    assert over_the_wire(body).counted() == {"CANCELLED": 1}


def test_a_raw_handler_of_the_wrong_shape_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="unary"):
        server.raw_stream(verbs.POOL_GREET, lambda _, link: Echo(link))
