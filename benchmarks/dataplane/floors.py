"""What no data plane of this kind gets below, measured beside it: servers and their clients.

`python -m benchmarks.dataplane.floors tls|echo FOLDER CORE` serves until its standard input ends,
and prints its port first. `FOLDER` holds `server.pem`, `client.pem` (key and leaf) and `ca.pem`.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from eais.parent import end_with_parent

PATH = "/echo/Stream"
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
Exchange = Callable[[bytes], bytes]


def _plain_context(folder: Path, *, server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / ("server.pem" if server else "client.pem"))
    context.load_verify_locations(folder / "ca.pem")
    return context


def serve_tls(folder: Path) -> None:
    """Send back whatever comes on one connection after the other."""
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    context = _plain_context(folder, server=True)
    while True:
        plain, _ = listening.accept()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(plain, server_side=True) as line:
            while data := line.recv(65536):
                line.sendall(data)


def tls_client(folder: Path, port: int) -> Exchange:
    """Ping-pong on a bare TLS connection."""
    plain = socket.create_connection(("127.0.0.1", port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line = _plain_context(folder, server=False).wrap_socket(plain)

    def exchange(data: bytes) -> bytes:
        line.sendall(data)
        return line.recv(65536)

    return exchange


def serve_echo(folder: Path) -> None:
    """Send back each message of a bidirectional stream of raw bytes, by grpcio over mutual TLS."""
    server = grpc.server(ThreadPoolExecutor(8), options=_OPTIONS)
    echo = grpc.stream_stream_rpc_method_handler(lambda requests, _context: requests)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("echo", {"Stream": echo}),)
    )
    pem, ca = (folder / "server.pem").read_bytes(), (folder / "ca.pem").read_bytes()
    credentials = grpc.ssl_server_credentials([(pem, pem)], ca, require_client_auth=True)
    print(server.add_secure_port("127.0.0.1:0", credentials), flush=True)
    server.start()
    server.wait_for_termination()


def echo_client(folder: Path, port: int, name: str) -> Exchange:
    """Messages there and back on one stream of grpcio; `name` is the server's."""
    pem, ca = (folder / "client.pem").read_bytes(), (folder / "ca.pem").read_bytes()
    options = [*_OPTIONS, ("grpc.ssl_target_name_override", name)]
    credentials = grpc.ssl_channel_credentials(ca, pem, pem)
    channel = grpc.secure_channel(f"127.0.0.1:{port}", credentials, options)
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def requests() -> Iterator[bytes]:
        while True:
            yield waiting.get()

    answers: Iterator[bytes] = iter(channel.stream_stream(PATH, None, None)(requests()))

    def exchange(data: bytes) -> bytes:
        waiting.put(data)
        return next(answers)

    return exchange


def eventfd_client(core: int) -> Exchange:
    """Ping-pong by two eventfds with a process on `core`, both asleep in between."""
    there, back = os.eventfd(0), os.eventfd(0)
    parent, child = os.getpid(), os.fork()
    if not child:
        end_with_parent(parent, signal.SIGKILL)
        os.sched_setaffinity(0, {core})
        while os.eventfd_read(there):
            os.eventfd_write(back, 1)

    def exchange(data: bytes) -> bytes:
        os.eventfd_write(there, 1)
        os.eventfd_read(back)
        return data

    return exchange


def timed(exchange: Exchange, data: bytes, calls: int) -> list[float]:
    """Seconds that each of `calls` exchanges took."""
    took = []
    for _ in range(calls):
        began = time.perf_counter()
        exchange(data)
        took.append(time.perf_counter() - began)
    return took


def main() -> None:
    """Serve one of the floors."""
    kind, folder, core = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    os.sched_setaffinity(0, {core})
    serve = {"tls": serve_tls, "echo": serve_echo}[kind]
    threading.Thread(target=serve, args=(folder,), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
