"""Our server on our engine, asked by a stock grpcio client, and by some that are none."""

from __future__ import annotations

import asyncio
import datetime
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hpack.hpack import Decoder, Encoder

from eais import channel, tls
from eais.credentials import client_credentials
from eais.errors import EaisError, UsageError
from eais.identity import Identity
from eais.rpc import client, server, verbs
from eais.rpc.caller import Caller
from eais.rpc.health import with_health
from eais.rpc.hello import hello
from eais.rpc.raw_stream import Buffer, StreamLink
from eais.rpc.status import error_of_rpc
from eais.rpc.v1 import common_pb2, pool_pb2
from eais.telemetry.metrics import Tally
from eais.transport.h2.frames import END_STREAM, PREFACE
from eais.transport.h2_server import ConnectionLimits, H2Server
from eais.transport.tls_context import client_context
from eais.transport.tls_pipe import TlsPipe
from eais_pool.authority import Authority
from tests.unit.transport.h2 import stranger as raw
from tests.unit.transport.tls_speaker import TlsSpeaker

POOL = "test-0001"
WORKER = Identity.worker(POOL, "ei-1", 0)
OWNER = Identity.frontend(POOL, "blue", "f1")
OTHER = Identity.frontend(POOL, "red", "f2")
OPERATOR = Identity.operator(POOL, "o1")
EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # not in the stubs
WAIT_S = 30
MIB = 1 << 20


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Stream:
    """Echoes; of "more N" it has N messages of 64 KiB, of "shut" it reads no more."""

    def __init__(self, link: StreamLink) -> None:
        self.link = link
        self.waiting: deque[Buffer] = deque()
        self.more = 0
        self.asked = 0
        self.came = 0
        self.may_read = True
        self.half = False
        self.ended = asyncio.Event()

    @property
    def over(self) -> bool:
        return self.half and not self.waiting and not self.more

    def receive(self, message: Buffer) -> None:
        self.came += len(message)
        if message[:5] == b"more ":
            self.more = int(bytes(message[5:]))
        elif message == b"shut":
            self.may_read = False
            self.waiting.append(message)
        else:
            self.waiting.append(message)

    def read_on(self) -> None:
        self.may_read = True
        self.link.changed()

    def next_message(self) -> list[Buffer] | None:
        if self.waiting:
            return [self.waiting.popleft()]
        if not self.more:
            return None
        self.more -= 1
        self.asked += 1
        return [bytes(64 << 10)]

    def half_closed(self) -> None:
        self.half = True

    def closed(self) -> None:
        self.ended.set()


@dataclass
class Bench:
    """One server, and what it was asked."""

    authority: Authority
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    ready: bool = True
    tally: Tally = field(default_factory=Tally)
    streams: list[Stream] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    def __post_init__(self) -> None:
        bindings = with_health(
            [
                server.greet(verbs.POOL_GREET, "eais-test"),
                server.unary(verbs.POOL_LIST, self.never),
                server.raw_stream(verbs.WORKER_STREAM, self.stream),
            ],
            lambda: self.ready,
            self.admit,
        )
        own = self.authority.bundle(WORKER, now())
        self.server = H2Server(POOL, bindings, own, self.tally, self.admit, self.limits)
        self.port = self.server.bind("127.0.0.1", 0)

    def admit(self, caller: Caller) -> None:
        if caller.identity.tenant != "blue":
            raise UsageError("NOT_FOUND", "there is nothing here")

    def stream(self, caller: Caller, link: StreamLink) -> Stream:
        self.streams.append(Stream(link))
        return self.streams[-1]

    async def never(self, request: pool_pb2.ListRequest, caller: Caller) -> pool_pb2.ListReply:
        self.begun.set()
        try:
            reply: pool_pb2.ListReply = await asyncio.get_running_loop().create_future()
            return reply
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def dial(self, who: Identity = OWNER, name: str = "0.ei-1") -> grpc.aio.Channel:
        options = channel.client_options(f"{name}.{POOL}.internal")
        credentials = client_credentials(self.authority.bundle(who, now()))
        return grpc.aio.secure_channel(f"127.0.0.1:{self.port}", credentials, options)

    def counted(self) -> dict[tuple[str, str], int]:
        return {(verb, reason): n for (_, verb, reason), n in self.tally.counts.items()}

    async def no_connection(self) -> None:
        """Wait until the last one is gone."""
        await until(lambda: not self.server.connections)


async def until(true: Callable[[], bool]) -> None:
    """Wait for what is about to become so."""
    async with asyncio.timeout(WAIT_S):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


Body = Callable[[Bench], Awaitable[None]]
Serve = Callable[..., None]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Have a body talk to a server, and stop it."""

    async def main(body: Body, limits: ConnectionLimits) -> None:
        authority = Authority.create(tmp_path / "ca", POOL, now())
        bench = Bench(authority, limits)
        try:
            async with asyncio.timeout(2 * WAIT_S):
                await body(bench)
        finally:
            await bench.server.stop(0)
        assert bench.server.connections == 0

    def run(body: Body, limits: ConnectionLimits | None = None) -> None:
        asyncio.run(main(body, limits or ConnectionLimits()))

    return run


async def greet(made: grpc.aio.Channel) -> common_pb2.HelloReply:
    return await client.acall(
        made, verbs.POOL_GREET, hello("eais-test"), timeout_s=WAIT_S, unreachable="NO_WORKER"
    )


async def refusal(made: grpc.aio.Channel, path: str = verbs.POOL_GREET.path) -> EaisError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await made.unary_unary(path, None, None)(b"", timeout=WAIT_S)
    return error_of_rpc(caught.value, "NO_WORKER")


def stream_of(made: grpc.aio.Channel, **options: Any) -> Any:
    return made.stream_stream(verbs.WORKER_STREAM.path, None, None)(**options)


# calls


def test_a_unary_verb_is_answered(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made:
            assert (await greet(made)).software.startswith("eais-test")
        assert bench.counted() == {("Greet", "OK"): 1}

    serve(body)


def test_an_error_arrives_whole(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made:
            with pytest.raises(EaisError) as caught:
                await client.acall(
                    made,
                    verbs.POOL_GREET,
                    common_pb2.Hello(version=99),
                    timeout_s=WAIT_S,
                    unreachable="NO_WORKER",
                )
            assert caught.value.reason == "VERSION_UNSUPPORTED"
            assert caught.value.metadata["supported"]
            stub = made.unary_unary(verbs.POOL_GREET.path, None, None)
            with pytest.raises(grpc.aio.AioRpcError) as bad:
                await stub(b"\xff\xff", timeout=WAIT_S)
            assert bad.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "MALFORMED_MESSAGE: " in str(bad.value.details())

    serve(body)


def test_what_nobody_serves(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made:
            assert (await refusal(made, "/eais.rpc.v1.Pool/Nothing")).reason == "UNIMPLEMENTED"
            assert (await refusal(made, "nonsense")).reason == "UNIMPLEMENTED"
            assert (await greet(made)).software

    serve(body)


def test_health_is_told_and_watched(serve: Serve) -> None:
    states = health_pb2.HealthCheckResponse

    async def body(bench: Bench) -> None:
        async with bench.dial() as made:
            stub: Any = health_pb2_grpc.HealthStub(made)
            request = health_pb2.HealthCheckRequest(service="eais.rpc.v1.Worker")
            assert (await stub.Check(request, timeout=WAIT_S)).status == states.SERVING
            told = stub.Watch(request, timeout=WAIT_S)
            assert (await told.read()).status == states.SERVING
            bench.ready = False
            assert (await told.read()).status == states.NOT_SERVING
            told.cancel()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Check(health_pb2.HealthCheckRequest(service="x"), timeout=WAIT_S)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            await until(lambda: ("Watch", "CANCELLED") in bench.counted())

    serve(body)


def test_a_call_ends_at_its_deadline_and_its_handler_with_it(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await made.unary_unary(verbs.POOL_LIST.path, None, None)(b"", timeout=0.1)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            call = stream_of(made, timeout=0.1)
            await call.write(b"one")
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            await until(lambda: bool(bench.streams))
            await bench.streams[0].ended.wait()
        if bench.begun.is_set():
            await bench.cancelled.wait()

    serve(body)


def test_a_cancelled_call_has_its_handler_cancelled(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made:
            call = made.unary_unary(verbs.POOL_LIST.path, None, None)(b"")
            await bench.begun.wait()
            call.cancel()
            await bench.cancelled.wait()
            await until(lambda: bench.counted() == {("List", "CANCELLED"): 1})

    serve(body)


def test_large_messages_go_both_ways_and_too_large_ones_are_refused(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made:
            call = stream_of(made)
            for size in (0, 1, 16_384, MIB + 7, channel.MAX_MESSAGE_BYTES):
                message = bytes(range(256)) * (size // 256) + bytes(size % 256)
                await call.write(message)
                assert await call.read() == message, size
            await call.done_writing()
            assert await call.read() is EOF
        assert await asyncio.to_thread(too_large, bench) is grpc.StatusCode.RESOURCE_EXHAUSTED

    serve(body)


def too_large(bench: Bench) -> grpc.StatusCode:
    """How a message above the limit is answered; grpc.aio wouldn't tell."""
    options = [
        *channel.client_options(f"0.ei-1.{POOL}.internal"),
        ("grpc.max_send_message_length", -1),
    ]
    credentials = client_credentials(bench.authority.bundle(OWNER, now()))
    with grpc.secure_channel(f"127.0.0.1:{bench.port}", credentials, options) as made:
        stub = made.stream_stream(verbs.WORKER_STREAM.path, None, None)
        call = stub(iter([bytes(channel.MAX_MESSAGE_BYTES + 1)]), timeout=WAIT_S)
        code: grpc.StatusCode = call.code()
        return code


def test_many_streams_share_a_connection(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made:
            calls = [stream_of(made) for _ in range(200)]
            for k, call in enumerate(calls):
                await call.write(b"%d" % k)
            assert [await call.read() for call in calls] == [b"%d" % k for k in range(200)]
            assert bench.server.connections == 1
            for call in calls:
                await call.done_writing()
                assert await call.read() is EOF
                assert await call.code() is grpc.StatusCode.OK
            assert bench.counted() == {("Stream", "OK"): 200}

    serve(body)


def test_a_client_that_does_not_read_is_not_produced_for(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made:
            call = stream_of(made)
            await call.write(b"more 2000")
            await until(lambda: bool(bench.streams) and bench.streams[0].asked > 0)
            # Whatever else happens on the connection, no more is asked for.
            assert (await greet(made)).software
            assert (await greet(made)).software
            assert bench.streams[0].asked < 1000
            for _ in range(2000):
                assert len(await call.read()) == 64 << 10
            assert bench.streams[0].asked == 2000

    serve(body)


def test_a_stream_that_may_not_be_read_holds_its_client_back_and_no_other(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made:
            call, other = stream_of(made), stream_of(made)
            await call.write(b"shut")
            assert await call.read() == b"shut"
            count = 256

            async def send() -> None:
                for _ in range(count):
                    await call.write(bytes(64 << 10))
                await call.done_writing()

            sending = asyncio.create_task(send())
            await other.write(b"through")
            assert await other.read() == b"through"
            (shut,) = [stream for stream in bench.streams if not stream.may_read]
            assert shut.came == len(b"shut")
            shut.read_on()
            for _ in range(count):
                assert len(await call.read()) == 64 << 10
            await sending
            assert await call.read() is EOF
            assert shut.came == len(b"shut") + count * (64 << 10)

    serve(body)


# who may


@pytest.mark.parametrize(("who", "reason"), [(OTHER, "NOT_FOUND"), (OPERATOR, "PERMISSION_DENIED")])
def test_who_has_nothing_here_is_told_so_and_sent_away(
    serve: Serve, who: Identity, reason: str
) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial(who) as made:
            for path in (verbs.POOL_GREET.path, verbs.WORKER_STREAM.path, "/nothing"):
                assert (await refusal(made, path)).reason == reason
            await bench.no_connection()
        assert bench.streams == []
        assert bench.counted() == {("Greet", reason): 1, ("Stream", reason): 1}

    serve(body, ConnectionLimits(handshake_s=3.0))


def test_a_role_that_may_call_another_verb(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        listener = Identity.listener(POOL, "h1")
        async with bench.dial(listener) as made:
            assert (await refusal(made)).reason == "PERMISSION_DENIED"

    serve(body)


def test_a_client_of_another_ca_is_not_served(serve: Serve, tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        stranger = Authority.create(tmp_path / "other", POOL, now())
        foreign = stranger.bundle(OWNER, now())
        both = bench.authority.ca_pem + foreign.ca_pem
        bundle = tls.make_bundle(foreign.key_pem, foreign.leaf_pem, both)
        options = channel.client_options(f"0.ei-1.{POOL}.internal")
        at = f"127.0.0.1:{bench.port}"
        async with grpc.aio.secure_channel(at, client_credentials(bundle), options) as made:
            assert (await refusal(made)).reason == "NO_WORKER"
        await bench.no_connection()
        assert bench.counted() == {}

    serve(body)


def test_a_new_leaf_is_shown_to_who_comes_next(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made:
            call = stream_of(made)
            await call.write(b"before")
            assert await call.read() == b"before"
            moved = Identity.worker(POOL, "ei-2", 0)
            bench.server.renew(bench.authority.bundle(moved, now()))
            async with bench.dial(name="0.ei-2") as new:
                assert (await greet(new)).software
            async with bench.dial() as old:
                assert (await refusal(old)).reason == "SERVER_UNTRUSTED"
            await call.write(b"after")
            assert await call.read() == b"after"

    serve(body)


# strangers


async def told_of_end(sock: socket.socket) -> bytes:
    """All that the server says before it closes."""
    loop = asyncio.get_running_loop()
    said = b""
    async with asyncio.timeout(WAIT_S):
        while data := await loop.sock_recv(sock, 65_536):
            said += data
    return said


async def reach(bench: Bench) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", bench.port))
    return sock


def test_plaintext_on_the_tls_port_is_said_in_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(bench: Bench) -> None:
        with await reach(bench) as sock:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            await told_of_end(sock)
        await bench.no_connection()

    serve(body)
    assert "PLAINTEXT_ON_TLS" in caplog.text


def test_half_a_client_hello_has_its_time(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def body(bench: Bench) -> None:
        with await reach(bench) as silent, await reach(bench) as slow:
            await asyncio.get_running_loop().sock_sendall(slow, b"\x16\x03\x01")
            await told_of_end(silent)
            await told_of_end(slow)
        await bench.no_connection()

    serve(body, ConnectionLimits(handshake_s=0.1))
    assert "a handshake wasn't done within" in caplog.text


def test_the_oldest_of_too_many_handshakes_ends(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        socks = [await reach(bench) for _ in range(9)]
        await until(lambda: bench.server.connections == 8)
        assert await told_of_end(socks[0]) == b""
        async with bench.dial() as made:
            assert (await greet(made)).software
        for sock in socks:
            sock.close()
        await bench.no_connection()

    serve(body, ConnectionLimits(outside=8))


def test_connections_are_bounded_of_each_and_of_all(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as one, bench.dial() as two, bench.dial() as three:
            assert (await greet(one)).software
            assert (await greet(two)).software
            assert (await refusal(three)).reason == "BUSY"
            await until(lambda: bench.server.connections == 2)
            friend = Identity.frontend(POOL, "blue", "f9")
            async with bench.dial(friend) as last, bench.dial(friend) as out:
                assert (await greet(last)).software
                assert (await refusal(out)).reason == "NO_WORKER"
        async with bench.dial() as again:
            await until(lambda: bench.server.connections < 2)
            assert (await greet(again)).software

    serve(body, ConnectionLimits(each=2, all=3))
    assert "there are 3 connections" in caplog.text


async def secured(bench: Bench) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = client_context(bench.authority.bundle(OWNER, now()))
    name = f"0.ei-1.{POOL}.internal"
    at = ("127.0.0.1", bench.port)
    return await asyncio.open_connection(*at, ssl=context, server_hostname=name)


def test_who_speaks_no_http2_is_told_and_let_go(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        reader, writer = await secured(bench)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        said = await reader.read()
        # A GOAWAY with PROTOCOL_ERROR.
        assert b"\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" in said
        writer.close()
        await bench.no_connection()

    serve(body)


def test_broken_tls_ends_its_connection_alone(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made:
            assert (await greet(made)).software
            _, writer = await secured(bench)
            own: Any = writer.get_extra_info("socket")
            with socket.socket(fileno=socket.dup(own.fileno())) as sock:
                sock.send(b"\x17\x03\x03\x00\x20" + bytes(32))
            await until(lambda: bench.server.connections == 1)
            assert (await greet(made)).software
            writer.close()

    serve(body)


async def shaken(bench: Bench, sock: socket.socket, log: Path | None = None) -> TlsPipe:
    """A client's end, whose last word of the handshake is still to be sent."""
    loop = asyncio.get_running_loop()
    context = client_context(bench.authority.bundle(OWNER, now()))
    if log is not None:
        context.keylog_filename = str(log)
    pipe = TlsPipe(context, f"0.ei-1.{POOL}.internal")
    pipe.shake(b"")
    await loop.sock_sendall(sock, pipe.to_send)
    while not pipe.shake(await loop.sock_recv(sock, 65_536)):
        pass
    return pipe


async def by_hand(
    bench: Bench, log: Path, sock: socket.socket, behind: Callable[[TlsSpeaker], bytes]
) -> tuple[TlsPipe, TlsSpeaker]:
    """Shake hands, and say what follows `behind` it in the same breath, in records by hand."""
    loop = asyncio.get_running_loop()
    pipe = await shaken(bench, sock, log)
    speaker = TlsSpeaker(log)
    await loop.sock_sendall(sock, pipe.to_send + behind(speaker))
    return pipe, speaker


def greeting(speaker: TlsSpeaker) -> bytes:
    return speaker.data(PREFACE + raw.settings() + raw.settings(ack=True))


def test_new_keys_are_answered_where_nothing_else_is_said(serve: Serve, tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        loop = asyncio.get_running_loop()
        with await reach(bench) as sock:
            pipe, speaker = await by_hand(bench, tmp_path / "log", sock, greeting)
            heard = b""
            while raw.settings(ack=True) not in heard:
                heard += bytes(pipe.received(await loop.sock_recv(sock, 65_536)))
            updates = [speaker.key_update(asks=True) for _ in range(2)]
            await loop.sock_sendall(sock, b"".join(updates))
            answer = await loop.sock_recv(sock, 65_536)
            assert (len(answer), pipe.received(answer)) == (len(updates[0]), b"")
            # And the connection goes on.
            await loop.sock_sendall(sock, speaker.data(raw.ping()))
            said = pipe.received(await loop.sock_recv(sock, 65_536))
            assert bytes(said) == raw.ping(ack=True)

    serve(body)


def test_new_keys_without_end_behind_a_handshake(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def flood(speaker: TlsSpeaker) -> bytes:
        return b"".join(speaker.key_update(asks=False) for _ in range(3_000))

    async def body(bench: Bench) -> None:
        with await reach(bench) as sock:
            await by_hand(bench, tmp_path / "log", sock, flood)
            await bench.no_connection()

    serve(body)
    assert "too many records that say nothing" in caplog.text


def test_a_client_that_vanishes_leaves_nothing(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made:
            call = stream_of(made)
            await call.write(b"one")
            assert await call.read() == b"one"
            # grpc.aio keeps a connection as long as somebody has a call of it.
            del call
        await bench.streams[0].ended.wait()
        await bench.no_connection()
        assert bench.counted() == {("Stream", "CANCELLED"): 1}

    serve(body)


# the end


def test_a_stop_lets_calls_finish_within_its_grace(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made, bench.dial(OWNER) as idle:
            assert (await greet(idle)).software
            call = stream_of(made)
            await call.write(b"one")
            assert await call.read() == b"one"
            stopping = asyncio.create_task(bench.server.stop(WAIT_S))
            await until(lambda: bench.server.connections == 1)
            async with bench.dial() as late:
                assert (await refusal(late)).reason == "NO_WORKER"
            await call.write(b"two")
            assert await call.read() == b"two"
            await call.done_writing()
            assert await call.read() is EOF
            assert await call.code() is grpc.StatusCode.OK
            await stopping

    serve(body)


def test_a_stop_ends_what_its_grace_did_not(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made:
            call = stream_of(made)
            await call.write(b"one")
            assert await call.read() == b"one"
            await bench.server.stop(0)
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
            assert bench.streams[0].ended.is_set()

    serve(body)


class SlowReader:
    """A client that has called for `count` messages of 64 KiB, and takes none of them yet."""

    def __init__(self, sock: socket.socket, pipe: TlsPipe) -> None:
        self.sock = sock
        self.pipe = pipe
        self.heard = b""

    async def ask(self, count: int, window: int) -> None:
        path = (":path", verbs.WORKER_STREAM.path)
        headers = [path if field[0] == ":path" else field for field in raw.REQUEST]
        first = self.pipe.to_send
        await asyncio.get_running_loop().sock_sendall(self.sock, first)
        await self.say(
            PREFACE,
            raw.settings({4: window}),
            raw.window_update(0, window),
            raw.block(1, Encoder().encode(headers)),
            raw.message(1, b"more %d" % count, end=True),
        )

    async def say(self, *wire: bytes) -> None:
        said = self.pipe.say([b"".join(wire)])
        await asyncio.get_running_loop().sock_sendall(self.sock, said)

    async def hear(self) -> bool:
        """Hear some more, after others had their turn; False at the end."""
        await asyncio.sleep(0)
        came = await asyncio.get_running_loop().sock_recv(self.sock, 65_536)
        self.heard += bytes(self.pipe.received(came))
        return bool(came) and not self.pipe.ended

    def size(self) -> int:
        """Of what was said on the stream, which has ended as it should."""
        frames = [frame for frame in raw.frames_of(self.heard) if frame.stream == 1]
        assert frames[-1].flags & END_STREAM
        headers = Decoder().decode(frames[-1].payload, raw=True)
        assert dict(headers)[b"grpc-status"] == b"0"
        data = b"".join(frame.payload for frame in frames if not frame.kind)
        assert not any(data.replace(b"\0\0\1\0\0", b""))
        return len(data)


NO_LAST_WORDS = ConnectionLimits(last_words_s=0.0)


def test_what_waits_for_a_window_is_sent_before_the_end(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        with await reach(bench) as sock:
            client = SlowReader(sock, await shaken(bench, sock))
            await client.ask(6, 65_535)
            await until(lambda: bool(bench.streams) and bench.streams[0].ended.is_set())
            stopping = asyncio.create_task(bench.server.stop(0, WAIT_S))
            # The last of all, if nothing but the windows were in the way.
            while raw.goaway(1) not in client.heard:
                assert await client.hear()
            assert not stopping.done()
            await client.say(raw.window_update(0, 1 << 20), raw.window_update(1, 1 << 20))
            while await client.hear():
                pass
            assert client.size() == 6 * (5 + (64 << 10))
            sock.close()
            await stopping

    serve(body, NO_LAST_WORDS)


def test_what_waits_for_the_network_is_sent_before_the_end(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 10)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", bench.port))
            client = SlowReader(sock, await shaken(bench, sock))
            await client.ask(8, 1 << 24)
            await until(lambda: bool(bench.streams) and bench.streams[0].ended.is_set())
            stopping = asyncio.create_task(bench.server.stop(0, WAIT_S))
            # A socket that is closed under what still comes takes back what it has sent.
            for _ in range(20):
                assert await client.hear()
                await client.say(raw.window_update(0, 1))
            while await client.hear():
                pass
            assert client.size() == 8 * (5 + (64 << 10))
            sock.close()
            await stopping

    serve(body, NO_LAST_WORDS)


def test_where_nothing_is_left_to_be_said_nobody_waits(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dial() as made, bench.dial() as idle:
            # Who never ends a connection either.
            sock = await reach(bench)
            pipe = await shaken(bench, sock)
            await asyncio.get_running_loop().sock_sendall(sock, pipe.to_send)
            call = made.unary_unary(verbs.POOL_LIST.path, None, None)(b"")
            await bench.begun.wait()
            assert (await greet(idle)).software
            # Longer than a test may last.
            await bench.server.stop(0, 1e6)
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
            assert bench.cancelled.is_set()
            sock.close()

    serve(body)


def test_a_handler_of_a_shape_that_is_not_served_is_a_programming_error(tmp_path: Path) -> None:
    async def main() -> None:
        own = Authority.create(tmp_path / "ca", POOL, now()).bundle(WORKER, now())

        async def ups(requests: AsyncIterator[Any], caller: Caller) -> AsyncIterator[Any]:
            async for request in requests:
                yield request

        with pytest.raises(TypeError, match="bind it as a raw stream"):
            H2Server(POOL, [server.stream(verbs.POOL_WATCH, ups)], own)

    asyncio.run(main())


def test_a_port_that_is_taken(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        own = bench.authority.bundle(WORKER, now())
        other = H2Server(POOL, [server.greet(verbs.POOL_GREET, "x")], own)
        with pytest.raises(OSError, match="in use"):
            other.bind("127.0.0.1", bench.port)
        assert other.bind("::1", 0) if socket.has_ipv6 else True
        await other.stop(0)

    serve(body)


def test_many_handshakes_at_once_are_all_done(serve: Serve) -> None:
    async def body(bench: Bench) -> None:
        opened = await asyncio.gather(*(secured(bench) for _ in range(24)))
        await until(lambda: bench.server.connections == 24)
        for _, writer in opened:
            writer.close()
        await bench.no_connection()

    serve(body)
