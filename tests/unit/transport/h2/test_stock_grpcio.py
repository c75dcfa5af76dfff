"""The engine and a stock grpcio, each as client and as server of the other, without TLS."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
import pytest

from eais.transport.h2 import (
    Called,
    Ended,
    Engine,
    Finished,
    Message,
    Reset,
    Role,
)

WAIT_S = 30.0
LARGE = bytes(range(256)) * (12 << 10)
ECHO = "/t.S/Echo"
Kind = TypeVar("Kind")


def as_they_are(data: bytes) -> bytes:
    return data


class Line:
    """A blocking socket between an engine and its peer."""

    def __init__(self, engine: Engine, sock: socket.socket) -> None:
        self.engine = engine
        self.socket = sock
        self.heard: list[Any] = []
        engine.begin(time.monotonic())

    def flush(self) -> None:
        while self.engine.wants_write:
            self.socket.sendall(b"".join(self.engine.output()))

    def read(self) -> list[Any]:
        """What the next bytes say; empty at the end."""
        self.flush()
        data = self.socket.recv(1 << 16)
        events = self.engine.receive(data, time.monotonic()) if data else []
        self.heard += events
        return events if data else [None]

    def until(self, kind: type[Kind]) -> Kind:
        """The next event of this kind."""
        while True:
            for event in self.read():
                assert event is not None, "the connection ended"
                if isinstance(event, kind):
                    return event


class Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """A stock server's one verb: each message comes back twice as long."""

    def service(self, handler_call_details: Any) -> Any:
        def echo(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            context.set_trailing_metadata((("seen-bin", b"\0\1"), ("k", "v")))
            for message in messages:
                if message == b"refuse":
                    context.abort(grpc.StatusCode.NOT_FOUND, "nothing thére")
                yield message * 2

        known = handler_call_details.method == ECHO
        return grpc.stream_stream_rpc_method_handler(echo) if known else None


@pytest.fixture
def stock_server() -> Iterator[tuple[Line, grpc.Server]]:
    """A stock server, and the engine of a client of it."""
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as sock:
        yield Line(Engine(Role.CLIENT, authority="localhost"), sock), server
    server.stop(0).wait(WAIT_S)


def test_our_client_of_a_stock_server(stock_server: tuple[Line, grpc.Server]) -> None:
    line, _ = stock_server
    stream = line.engine.call(ECHO, [("a", "b"), ("grpc-timeout", "60S")])
    for body in (b"", b"small", LARGE, b"last"):
        line.engine.send(stream, [body])
        assert bytes(line.until(Message).data) == body * 2
    line.engine.half_close(stream)
    finished = line.until(Finished)
    assert finished == Finished(stream, 0, "", [("seen-bin", b"\0\1"), ("k", "v")])


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [(ECHO, 5, "nothing thére"), ("/t.S/Other", 12, "Method not found!")],
)
def test_a_stock_servers_refusals(
    stock_server: tuple[Line, grpc.Server], path: str, status: int, text: str
) -> None:
    line, _ = stock_server
    stream = line.engine.call(path)
    line.engine.send(stream, [b"refuse"])
    finished = line.until(Finished)
    assert (finished.status, finished.message) == (status, text)
    assert line.engine.open_streams == 0


def test_a_stock_server_that_stops_says_so(stock_server: tuple[Line, grpc.Server]) -> None:
    line, server = stock_server
    stream = line.engine.call(ECHO)
    line.engine.send(stream, [b"x"])
    line.until(Message)
    stopped = server.stop(WAIT_S)
    while line.engine.takes_calls:
        assert line.read() != [None]
    line.engine.send(stream, [b"still"])
    assert line.until(Message).data == b"stillstill"
    line.engine.half_close(stream)
    assert line.until(Finished).status == 0
    line.flush()
    assert stopped.wait(WAIT_S)


class EngineServer:
    """A server by the engine on threads: echoes by pairs, and says what it heard."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.lines: list[Line] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        sock, _ = self._listening.accept()
        line = Line(Engine(Role.SERVER), sock)
        self.lines.append(line)
        paths: dict[int, str] = {}
        with sock:
            while True:
                for event in line.read():
                    match event:
                        case Called(stream, path):
                            paths[stream] = path
                        case Message(stream, data):
                            line.engine.send(stream, [data, data])
                        case Ended(stream):
                            status = 0 if paths[stream] == ECHO else 5
                            line.engine.finish(stream, status, "thére %", [("d-bin", b"\2\3")])
                        case None:
                            return
                        case _:
                            pass

    def close(self) -> None:
        self._listening.close()
        self._thread.join(WAIT_S)


@pytest.fixture
def stock_client() -> Iterator[tuple[grpc.Channel, EngineServer]]:
    """A stock client's channel to a server by the engine."""
    server = EngineServer()
    options = [("grpc.max_receive_message_length", 64 << 20)]
    with grpc.insecure_channel(server.address, options) as channel:
        yield channel, server
    server.close()


def test_a_stock_client_of_our_server(stock_client: tuple[grpc.Channel, EngineServer]) -> None:
    channel, server = stock_client
    sent = [b"", b"small", LARGE, b"last"]
    replies = channel.stream_stream(ECHO, as_they_are, as_they_are)(
        iter(sent), timeout=WAIT_S, metadata=(("a", "b"), ("c-bin", b"\0\xff"))
    )
    assert list(replies) == [body * 2 for body in sent]
    assert replies.code() is grpc.StatusCode.OK
    (called,) = [event for event in server.lines[0].heard if isinstance(event, Called)]
    assert called.timeout_s == pytest.approx(WAIT_S, abs=1.0)


def test_a_stock_client_hears_status_text_and_metadata(
    stock_client: tuple[grpc.Channel, EngineServer],
) -> None:
    channel, _ = stock_client
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/t.S/Other", as_they_are, as_they_are)(b"x", timeout=WAIT_S)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "thére %"
    assert [(key, value) for key, value in error.trailing_metadata()] == [("d-bin", b"\2\3")]


def test_a_stock_clients_cancelling_is_heard(
    stock_client: tuple[grpc.Channel, EngineServer],
) -> None:
    channel, server = stock_client
    stay = threading.Event()

    def messages() -> Iterator[bytes]:
        yield b"x"
        stay.wait(WAIT_S)

    replies: Any = channel.stream_stream(ECHO, as_they_are, as_they_are)(messages())
    assert next(replies) == b"xx"
    replies.cancel()
    stay.set()
    again = channel.stream_stream(ECHO, as_they_are, as_they_are)(iter([b"y"]), timeout=WAIT_S)
    assert list(again) == [b"yy"]
    assert sum(isinstance(event, Reset) for event in server.lines[0].heard) == 1


def test_a_stock_client_that_compresses_is_told_what_is_taken(
    stock_client: tuple[grpc.Channel, EngineServer],
) -> None:
    channel, _ = stock_client
    stub = channel.unary_unary(ECHO, as_they_are, as_they_are)
    with pytest.raises(grpc.RpcError) as caught:
        stub(b"x" * 1_000, timeout=WAIT_S, compression=grpc.Compression.Gzip)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert stub(b"x", timeout=WAIT_S) == b"xx"
