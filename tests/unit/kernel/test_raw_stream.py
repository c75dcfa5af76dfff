"""Raw streams on grpc.aio: callbacks on bytes, behind the same guard as all verbs."""

from __future__ import annotations

import asyncio
import datetime
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from eais import channel
from eais.credentials import client_credentials, server_credentials
from eais.errors import EaisError, UsageError
from eais.identity import Identity
from eais.rpc import server, verbs
from eais.rpc.caller import Caller
from eais.rpc.raw_stream import Buffer, StreamLink
from eais.rpc.status import error_of_rpc
from eais.telemetry.metrics import Tally
from eais_pool.authority import Authority

POOL = "test-0001"
OWNER = Identity.frontend(POOL, "blue", "f1")
OPERATOR = Identity.operator(POOL, "o1")
PATH = verbs.WORKER_STREAM.path


class Echo:
    """Answers each message with itself, in two parts; obeys a few of them."""

    def __init__(self, link: StreamLink) -> None:
        self.link = link
        self.waiting: deque[Buffer] = deque()
        self.may_read = True
        self.half = self.stays = False
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
            case b"stay":
                self.stays = True
                self.waiting.append(message)
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

    made: grpc.aio.Channel
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
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.answers(*messages)
        return error_of_rpc(caught.value, "NO_WORKER")

    def stub(self) -> Any:
        return self.made.stream_stream(PATH, None, None)

    def counted(self) -> dict[str, int]:
        return {reason: count for (_, _, reason), count in self.tally.counts.items()}


def over_grpc(
    tmp_path: Path, body: Callable[[Wire], Awaitable[None]], who: Identity = OWNER
) -> Wire:
    """Serve echoes, run `body`, stop; with what is left to look at."""

    async def main() -> Wire:
        now = datetime.datetime.now(datetime.UTC)
        authority = Authority.create(tmp_path / "ca", POOL, now)
        own = authority.bundle(Identity.worker(POOL, "ei-1", 0), now)
        served = grpc.aio.server(options=channel.server_options())
        port = served.add_secure_port("127.0.0.1:0", server_credentials(lambda: own))
        credentials = client_credentials(authority.bundle(who, now))
        options = channel.client_options(f"0.ei-1.{POOL}.internal")
        made = grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options)
        wire = Wire(made)
        bindings = [server.raw_stream(verbs.WORKER_STREAM, wire.handler)]
        served.add_generic_rpc_handlers(server.generic_handlers(POOL, bindings, wire.tally))
        await served.start()
        try:
            async with made:
                await body(wire)
        finally:
            await served.stop(None)
        return wire

    return asyncio.run(main())


def test_messages_come_back_as_they_were(tmp_path: Path) -> None:
    async def body(wire: Wire) -> None:
        big = bytes(range(256)) * 4096
        assert await wire.answers(b"one", b"", big) == [b"one", b"", big]

    wire = over_grpc(tmp_path, body)
    assert wire.counted() == {"OK": 1}
    assert [echo.ends for echo in wire.served] == [["closed"]]


def test_who_may_not_read_is_asked_again_when_something_changed(tmp_path: Path) -> None:
    async def body(wire: Wire) -> None:
        assert await wire.answers(b"wait", b"two") == [b"waited", b"two"]

    over_grpc(tmp_path, body)


@pytest.mark.parametrize(
    ("message", "reason", "counted"),
    [
        (b"refuse", "NOT_FOUND", "NOT_FOUND"),
        (b"break", "BUG", "BUG"),
        (b"fail", "STALE_EPOCH", "STALE_EPOCH"),
    ],
)
def test_how_a_stream_fails_is_told_and_counted(
    tmp_path: Path, message: bytes, reason: str, counted: str
) -> None:
    async def body(wire: Wire) -> None:
        error = await wire.error(b"one", message)
        assert error.reason == reason
        assert "secret" not in str(error)

    wire = over_grpc(tmp_path, body)
    assert wire.counted() == {counted: 1}
    assert [echo.ends for echo in wire.served] == [["closed"]]


def test_a_handler_may_refuse_a_caller(tmp_path: Path) -> None:
    async def body(wire: Wire) -> None:
        assert (await wire.error(b"one")).reason == "NOT_FOUND"

    wire = over_grpc(tmp_path, body, Identity.frontend(POOL, "blue", "nobody"))
    assert wire.served == []
    assert wire.counted() == {"NOT_FOUND": 1}


def test_other_roles_are_refused_before_the_handler(tmp_path: Path) -> None:
    async def body(wire: Wire) -> None:
        assert (await wire.error(b"one")).reason == "PERMISSION_DENIED"

    assert over_grpc(tmp_path, body, OPERATOR).served == []


def test_a_client_that_leaves_is_counted_so(tmp_path: Path) -> None:
    async def body(wire: Wire) -> None:
        call = wire.stub()(timeout=20)
        await call.write(b"stay")
        assert await call.read() == b"stay"
        call.cancel()
        async with asyncio.timeout(20):
            await wire.served[0].ended.wait()

    assert over_grpc(tmp_path, body).counted() == {"CANCELLED": 1}


def test_a_raw_handler_of_the_wrong_shape_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="unary"):
        server.raw_stream(verbs.POOL_GREET, lambda _, link: Echo(link))
