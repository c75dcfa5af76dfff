"""That the installed gRPC finds a frozen peer, by which of the options, and mistakes none for one.

A real server process is stopped; TLS changes nothing about it and is left out.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import grpc
import pytest

from eais import channel

WAIT_S = 60.0
PIECE = bytes(1 << 20)
SERVER = """
import asyncio
from grpc import GenericRpcHandler, aio, stream_stream_rpc_method_handler
from eais.channel import server_options

async def echo(requests, context):
    async for request in requests:
        yield request

class Handler(GenericRpcHandler):
    def service(self, details):
        return stream_stream_rpc_method_handler(echo)

async def main():
    server = aio.server(options=server_options())
    server.add_generic_rpc_handlers([Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()

asyncio.run(main())
"""


class Line:
    """A channel with one stream, on which pieces are echoed."""

    def __init__(self, port: int, options: channel.Options) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=options)
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        open_stream = self._channel.stream_stream("/echo/Echo", bytes, bytes)
        self._replies = open_stream(iter(self._requests.get, None))
        self.echoes = queue.SimpleQueue[int]()
        self.broken = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._requests.put(b"x")
        self.heard(1)

    def say(self, pieces: int) -> None:
        """Send that many."""
        for _ in range(pieces):
            self._requests.put(PIECE)

    def heard(self, pieces: int) -> None:
        """Wait for that many."""
        for _ in range(pieces):
            self.echoes.get(timeout=WAIT_S)

    def _read(self) -> None:
        try:
            for reply in self._replies:
                self.echoes.put(len(reply))
        except grpc.RpcError:
            self.broken.set()

    def close(self) -> None:
        """End the stream."""
        self._requests.put(None)
        self._channel.close()
        self._reader.join(WAIT_S)


@contextlib.contextmanager
def server() -> Iterator[tuple[int, int]]:
    """A server process: its pid, and its port."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process.pid, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait(WAIT_S)
        process.stdout.close()


@contextlib.contextmanager
def lines(port: int, *all_options: channel.Options) -> Iterator[list[Line]]:
    made: list[Line] = []
    try:
        for options in all_options:
            made.append(Line(port, options))
        yield made
    finally:
        for line in made:
            line.close()


@pytest.mark.parametrize(
    ("missing", "pieces"),
    [
        ("grpc.keepalive_time_ms", 0),
        ("grpc.http2.ping_timeout_ms", 0),
        # Behind so much no ping is sent any more.
        ("grpc.keepalive_timeout_ms", 64),
    ],
)
def test_a_frozen_server_is_found_but_not_without_one_of_the_options(
    missing: str, pieces: int
) -> None:
    # gRPC's own pings, by which it takes a connection's measure, find a frozen peer too, if one
    # was under way just then.
    whole: channel.Options = [*channel.client_options("unused"), ("grpc.http2.bdp_probe", 0)]
    planted = [option for option in whole if option[0] != missing]
    assert len(planted) == len(whole) - 1
    with server() as (pid, port), lines(port, whole, planted) as (good, bad):
        os.kill(pid, signal.SIGSTOP)
        good.say(pieces)
        bad.say(pieces)
        assert good.broken.wait(WAIT_S)
        # Whoever finds it without that option takes the default of 20 s or a minute.
        assert not bad.broken.wait(channel.CLIENT_KEEPALIVE.wait_ms / 1000)
        os.kill(pid, signal.SIGKILL)


def test_a_full_pipe_is_not_taken_for_a_frozen_peer() -> None:
    burn = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(burn) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        with server() as (_pid, port), lines(port, channel.client_options("unused")) as (line,):
            line.say(200)
            line.heard(200)
            assert not line.broken.is_set()
    finally:
        for process in busy:
            process.kill()
            process.wait(WAIT_S)
