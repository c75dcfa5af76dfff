"""Messages between listener and worker on their inherited socket, as `supervision.proto` says.

Each is preceded by its length (u32, little-endian, at most 16 MiB). The worker is
confined and not trusted: whatever is wrong on the socket is `ControlBroken`, upon
which the listener kills it.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import threading
from collections import deque
from typing import Final, TypeVar

from google.protobuf.message import DecodeError

from eais.rpc.v1.supervision_pb2 import FromWorkerProcess, ToWorkerProcess

MAX_FRAME_BYTES: Final = 16 << 20
MAX_UNSENT_BYTES: Final = 32 << 20

_LENGTH: Final = struct.Struct("<I")
_READ_BYTES: Final = 64 << 10

M = TypeVar("M", ToWorkerProcess, FromWorkerProcess)


class ControlBroken(Exception):
    """The far side breaks the rules of the socket, doesn't read, or ended amid a message."""


class Frames:
    """Cuts a byte stream into messages. Does no I/O."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes, in order.

        Raises:
            ControlBroken: a length above `MAX_FRAME_BYTES`, as soon as it is seen.
        """
        self._buffer += data
        found = []
        while (end := self._end()) is not None and end <= len(self._buffer):
            found.append(bytes(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
        return found

    def finish(self) -> None:
        """The stream ended; `ControlBroken` if that was amid a message."""
        if self._buffer:
            raise ControlBroken("the socket ended amid a message")

    def _end(self) -> int | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > MAX_FRAME_BYTES:
            raise ControlBroken(f"a message of {length} bytes, the limit is {MAX_FRAME_BYTES}")
        return _LENGTH.size + int(length)


def to_frame(message: ToWorkerProcess | FromWorkerProcess) -> bytes:
    """`message` as it goes onto the socket; `ValueError` above `MAX_FRAME_BYTES`."""
    data = message.SerializeToString()
    if len(data) > MAX_FRAME_BYTES:
        raise ValueError(f"a message of {len(data)} bytes, the limit is {MAX_FRAME_BYTES}")
    return _LENGTH.pack(len(data)) + data


def _parse(kind: type[M], data: bytes) -> M:
    try:
        message = kind.FromString(data)
    except DecodeError:
        raise ControlBroken("a message that is no protobuf") from None
    if message.WhichOneof("kind") is None:
        raise ControlBroken("a message of no known kind")
    return message


class ControlSocket:
    """The worker's end: blocking; one thread receives, any thread sends."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._socket.setblocking(True)
        self._frames = Frames()
        self._waiting: deque[bytes] = deque()
        self._sending = threading.Lock()
        self._closed = False

    @classmethod
    def from_fd(cls, fd: int) -> ControlSocket:
        """Take over the inherited descriptor `fd`."""
        return cls(socket.socket(fileno=fd))

    def receive(self) -> ToWorkerProcess | None:
        """The next message, waiting for it; None when either end has closed the socket.

        Raises:
            ControlBroken: what came is none, or the socket ended amid one.
            OSError: the socket failed.
        """
        while not self._waiting:
            data = self._read()
            if self._closed:
                return None
            if not data:
                self._frames.finish()
                return None
            self._waiting.extend(self._frames.feed(data))
        return _parse(ToWorkerProcess, self._waiting.popleft())

    def _read(self) -> bytes:
        try:
            return self._socket.recv(_READ_BYTES)
        except OSError:
            if self._closed:  # by our own `close`, before or while we waited
                return b""
            raise

    def send(self, message: FromWorkerProcess) -> None:
        """Send, waiting while the listener doesn't read.

        Raises:
            OSError: the listener is gone.
            ValueError: above `MAX_FRAME_BYTES`; nothing was sent.
        """
        frame = to_frame(message)
        with self._sending:
            self._socket.sendall(frame)

    def close(self) -> None:
        """Close the socket; a `receive` that waits elsewhere ends with None."""
        self._closed = True
        with contextlib.suppress(OSError):  # the far end may have gone first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class AsyncControl:
    """The listener's end, on its event loop: one task receives, `send` never waits.

    Made by `open`. What the worker sends faster than it is received waits in the
    socket, so memory is bounded.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._frames = Frames()
        self._waiting: deque[bytes] = deque()
        self._closed = False

    @classmethod
    async def open(cls, sock: socket.socket) -> AsyncControl:
        """Take over `sock` (`WorkerProcess.control`) for the running loop."""
        return cls(*await asyncio.open_unix_connection(sock=sock))

    async def receive(self) -> FromWorkerProcess | None:
        """The next message; None when the worker's end is closed.

        Raises:
            ControlBroken: kill the worker.
        """
        while not self._waiting:
            data = await self._read()
            if self._closed:
                return None
            if not data:
                self._frames.finish()
                return None
            self._waiting.extend(self._frames.feed(data))
        return _parse(FromWorkerProcess, self._waiting.popleft())

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(_READ_BYTES)
        except ConnectionError:  # it died with messages of ours unread
            return b""

    def has_ended(self) -> bool:
        """Whether the worker's end is closed, though what it said before may be unread yet."""
        if self._closed or self._writer.transport.is_closing():
            return True
        poll = select.poll()
        poll.register(self._writer.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def send(self, message: ToWorkerProcess) -> None:
        """Queue a message.

        Raises:
            ControlBroken: the worker doesn't read (`MAX_UNSENT_BYTES` wait), or is gone.
            ValueError: above `MAX_FRAME_BYTES`; nothing was queued.
        """
        frame = to_frame(message)
        transport = self._writer.transport
        if transport.is_closing():
            raise ControlBroken("the worker is gone")
        if transport.get_write_buffer_size() + len(frame) > MAX_UNSENT_BYTES:
            raise ControlBroken("the worker doesn't read")
        transport.write(frame)

    def close(self) -> None:
        """Close the socket; unsent messages are dropped. `receive` then gives None."""
        self._closed = True
        self._waiting.clear()
        self._writer.transport.abort()
