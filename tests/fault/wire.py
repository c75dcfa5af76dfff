"""A connection to a worker whose frames are written by hand, over real TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from google.rpc import status_pb2
from hpack.hpack import Decoder, Encoder

from eais import tls
from eais.errors import EaisError
from eais.rpc.status import error_of_details
from eais.rpc.v1 import common_pb2
from eais.transport.h2 import frames as h2
from eais.transport.h2.metadata import read_trailers
from eais.transport.tls_context import client_context
from tests.unit.transport.h2 import stranger as raw
from tests.unit.transport.h2.stranger import Frame

# Longer than any answer of a worker's is due.
WAIT_S = 60.0
_PIECE = 64 << 10


@dataclass
class Wire:
    """A front-end's connection; the TLS handshake is over, HTTP/2 hasn't begun."""

    endpoint: common_pb2.Endpoint
    bundle: tls.Bundle
    # Where the connection's secrets are written.
    log: Path | None = None
    ended: bool = False
    frames: list[Frame] = field(default_factory=list)
    _rest: bytes = b""

    def __post_init__(self) -> None:
        at = (self.endpoint.address, self.endpoint.port)
        context = client_context(self.bundle)
        if self.log is not None:
            context.keylog_filename = str(self.log)
        plain = socket.create_connection(at, WAIT_S)
        self.socket = context.wrap_socket(plain, server_hostname=self.endpoint.server_name)
        self.encoder = Encoder()
        self.decoder = Decoder()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.socket.close()

    def greet(self, values: dict[int, int] | None = None) -> Wire:
        """Begin HTTP/2."""
        self.say(h2.PREFACE, raw.settings(values))
        return self

    def say(self, *wire: bytes) -> bool:
        """Send this; False if the connection is over."""
        try:
            self.socket.sendall(b"".join(wire))
        except OSError:
            return False
        return True

    def say_raw(self, data: bytes) -> bool:
        """Send what is TLS already; False if the connection is over."""
        try:
            socket.socket.sendall(self.socket, data)
        except OSError:
            return False
        return True

    def open(self, stream: int, path: str, *more: tuple[str, str], end: bool = False) -> None:
        """Begin a call."""
        self.say(raw.block(stream, self.headers(path, *more), end=end))

    def headers(self, path: str, *more: tuple[str, str]) -> bytes:
        """A block of headers that calls `path`."""
        fields = [(key, path if key == ":path" else value) for key, value in raw.REQUEST]
        return self.encoder.encode([*fields, *more])

    def hear(self) -> Iterator[Frame]:
        """Each frame that comes, until the worker ends the connection."""
        while not self.ended:
            yield from self._whole()
            data = b""
            with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
                data = self.socket.recv(_PIECE)
            self._rest += data
            self.ended = not data
        yield from self._whole()

    def _whole(self) -> Iterator[Frame]:
        while len(self._rest) >= h2.HEADER_BYTES:
            head, flags, stream = struct.unpack_from(">LBL", self._rest)
            end = h2.HEADER_BYTES + (head >> 8)
            if len(self._rest) < end:
                return
            frame = Frame(head & 0xFF, flags, stream, self._rest[h2.HEADER_BYTES : end])
            self._rest = self._rest[end:]
            self.frames.append(frame)
            if frame.kind == h2.PING and not frame.flags & h2.ACK:
                self.say(raw.frame(h2.PING, h2.ACK, 0, frame.payload))
            yield frame

    def goaway(self) -> tuple[int, str]:
        """The code and the text with which the worker ends the connection, once it has."""
        found = [frame.payload for frame in self.hear() if frame.kind == h2.GOAWAY]
        assert found, "the connection ended without a word"
        return struct.unpack_from(">L", found[-1], 4)[0], found[-1][8:].decode()

    def ending(self, stream: int) -> Ending:
        """How the worker ends a call, once it has."""
        for frame in self.hear():
            if frame.kind != h2.HEADERS:
                continue
            headers = [(_bytes(k), _bytes(v)) for k, v in self.decoder.decode(frame.payload, True)]
            if frame.stream == stream and frame.flags & h2.END_STREAM:
                return _ending(headers)
        raise AssertionError(f"the connection ended before stream {stream}")

    def messages(self, stream: int) -> bytes:
        """What came as DATA of a stream up to now."""
        return b"".join(f.payload for f in self.frames if f.kind == h2.DATA and f.stream == stream)


@dataclass(frozen=True)
class Ending:
    """A call's end: gRPC's status and text, HTTP's status, and the error in its details."""

    status: int
    text: str
    http: str
    error: EaisError | None


def _ending(headers: list[tuple[bytes, bytes]]) -> Ending:
    said = read_trailers(headers)
    details = dict(said.metadata).get("grpc-status-details-bin")
    error = error_of_details(details) if isinstance(details, bytes) else None
    if isinstance(details, bytes):
        assert status_pb2.Status.FromString(details).code == said.status
    return Ending(said.status, said.message, dict(headers).get(b":status", b"").decode(), error)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
