"""A data stream's messages over gRPC's HTTP/2 and mutual TLS, on a socket of our own."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from typing import Final

from google.protobuf.message import DecodeError

from eais.channel import CLIENT_KEEPALIVE, HANDSHAKE_TIMEOUT_MS
from eais.errors import EaisError, Unavailable
from eais.rpc import verbs
from eais.rpc.status import DETAILS_KEY, error_of_details, no_connection, no_handshake
from eais.tls import Bundle
from eais.transport.h2 import Engine, Event, Failed, Finished, H2Limits, Message, Role
from eais.transport.lookout import thread_spin
from eais.transport.parts import Buffer
from eais.transport.tls_context import ALPN, client_context
from eais.transport.tls_pipe import TlsPipe
from eais_client.carrier import Source
from eais_client.instances import Address
from eais_client.socket_wait import SocketWait

# Read at once, and written before somebody looks whether there is something to read.
_READ_BYTES: Final = 256 << 10
_WRITE_BYTES: Final = 256 << 10
_FEW_BYTES: Final = 16 << 10
# What the kernel keeps that isn't on its way yet: what comes later waits behind no more.
_NOT_SENT_BYTES: Final = 256 << 10
_HANDSHAKE_S: Final = HANDSHAKE_TIMEOUT_MS / 1000
_LIMITS: Final = H2Limits(
    keepalive_every_s=CLIENT_KEEPALIVE.every_ms / 1000,
    keepalive_wait_s=CLIENT_KEEPALIVE.wait_ms / 1000,
)
_NOTHING: Final[tuple[Buffer, ...]] = ()


class H2Carrier:
    """A `Carrier`.

    Args:
        bundle: the identity that it shows, and the CAs that it trusts.

    Raises:
        OSError: this process has no descriptors left.
    """

    moved = False
    used = "h2"

    def __init__(self, address: Address, bundle: Bundle) -> None:
        self.more = False
        self.end: EaisError | None = None
        self._address = address
        self._engine = Engine(Role.CLIENT, _LIMITS, authority=address.server_name)
        self._pipe = TlsPipe(client_context(bundle), address.server_name)
        self._stream = 0
        # Encrypted and not taken by the kernel.
        self._unsent = memoryview(b"")
        # The worker takes nothing more: what it has said is still to be read.
        self._mute = self._stopped = False
        self._room = memoryview(bytearray(_READ_BYTES))
        family = socket.AF_INET6 if ":" in address.address else socket.AF_INET
        kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
        with ExitStack() as made:  # all of it, or nothing that is left open
            self._socket = made.enter_context(socket.socket(family, kind))
            lead = SocketWait(self._socket.fileno(), thread_spin())
            made.callback(lead.close)
            self._waits = lead, SocketWait(self._socket.fileno())
            made.pop_all()

    # Its beginning.

    def connect(self) -> tuple[SocketWait, SocketWait]:
        """See `Carrier`."""
        until_s = time.monotonic() + _HANDSHAKE_S
        try:
            self._dial(until_s)
            self._shake_hands(until_s)
        except ssl.SSLError as error:
            raise no_handshake(error, "HOST_UNREACHABLE") from None
        except OSError as error:
            raise _unreachable(error.strerror or str(error)) from None
        if self._pipe.connection.selected_alpn_protocol() != ALPN:
            raise _unreachable("it speaks no HTTP/2")
        return self._waits

    def _dial(self, until_s: float) -> None:
        for option, value in (
            (socket.TCP_NODELAY, 1),
            (socket.TCP_USER_TIMEOUT, CLIENT_KEEPALIVE.wait_ms),
            (socket.TCP_NOTSENT_LOWAT, _NOT_SENT_BYTES),
        ):
            self._socket.setsockopt(socket.IPPROTO_TCP, option, value)
        with suppress(BlockingIOError):
            self._socket.connect((self._address.address, self._address.port))
        while not self._connected():
            self._wait(until_s, write=True)

    def _connected(self) -> bool:
        if error := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        with suppress(OSError):
            self._socket.getpeername()
            return True
        return False

    def _shake_hands(self, until_s: float) -> None:
        done = self._pipe.shake(b"")
        while not done:
            self._say(self._pipe.to_send, until_s)
            done = self._pipe.shake(self._heard(until_s))
        self._say(self._pipe.to_send, until_s)

    def _say(self, data: bytes, until_s: float) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                self._wait(until_s, write=True)

    def _heard(self, until_s: float) -> bytes:
        while True:
            try:
                came = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                self._wait(until_s)
                continue
            if not came:
                raise OSError("it closed the connection in the handshake")
            return came

    def _wait(self, until_s: float, *, write: bool = False) -> None:
        left_s = until_s - time.monotonic()
        if self._stopped or left_s <= 0:
            raise _unreachable("closed here" if self._stopped else f"not in {_HANDSHAKE_S:g} s")
        self._waits[0].wait(left_s, write=write)

    def stop(self) -> None:
        """See `Carrier`."""
        self._stopped = True
        self._waits[0].kick()

    def begin(self, first: Sequence[Buffer]) -> None:
        """See `Carrier`."""
        self._engine.begin(time.monotonic())
        self._stream = self._engine.call(verbs.WORKER_STREAM.path)
        self._engine.send(self._stream, first)
        # What came behind the handshake can't be a message yet.
        self._take(self._pipe.received(b""))

    # Its life.

    def stays_on_host(self) -> bool:
        """Whether the worker has the address that this end has, or one of loopback."""
        there, here = self._socket.getpeername()[0], self._socket.getsockname()[0]
        return there == here or ip_address(there).is_loopback

    def fileno(self) -> int:
        """See `Carrier`."""
        return self._socket.fileno()

    def pull(self) -> Sequence[Buffer]:
        """See `Carrier`."""
        room = self._room
        try:
            count = self._socket.recv_into(room)
            data = self._pipe.received(room[:count]) if count else b""
        except BlockingIOError:
            return _NOTHING
        except OSError as error:  # of TLS, too
            self._ended(_unreachable(error.strerror or str(error)))
            return _NOTHING
        messages = self._take(data) if data else _NOTHING
        if not count or self._pipe.ended:
            self._ended(_unreachable("it closed the connection"))
        elif self._engine.wants_write or self._pipe.owes:
            self.more = True
        return messages

    def _take(self, data: Buffer) -> Sequence[Buffer]:
        events = self._engine.receive(data, time.monotonic())
        if len(events) == 1 and type(event := events[0]) is Message:
            return (event.data,)
        self._look_for_end(events)
        return [event.data for event in events if isinstance(event, Message)]

    def _look_for_end(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Finished):
                self._ended(_why(event))
            elif isinstance(event, Failed):
                self._ended(event.error)

    def _ended(self, error: EaisError) -> None:
        # What is known first is nearest to the cause.
        self.end = self.end or error

    def full(self) -> bool:
        """See `Carrier`."""
        return not self._engine.ready(self._stream)

    def push(self, outbox: Source) -> None:
        """See `Carrier`."""
        if self.more and not self._send(self._pipe.to_send):
            return
        engine, written = self._engine, 0
        while True:
            if outbox.waiting and engine.ready(self._stream):
                message = outbox.next_message()
                if message is not None:
                    engine.send(self._stream, message)
            parts = engine.output(_WRITE_BYTES)
            try:
                data = self._pipe.say(parts) if parts else b""
            except ssl.SSLError:
                self._mute, data = True, b""  # reading tells why
            written += len(data)
            self.more = not self._send(data) or written >= _WRITE_BYTES
            # Of a few bytes the engine has kept none back.
            if self.more or not (outbox.waiting or len(data) > _FEW_BYTES):
                return
            if not data and self.full():
                return

    def _send(self, data: bytes) -> bool:
        """Send `data` behind what is unsent; whether all went."""
        if self._unsent:
            data = bytes(self._unsent) + data
        if self._mute:
            return True
        try:
            count = self._socket.send(data)
        except BlockingIOError:
            count = 0
        except OSError:
            self._mute = True  # reading tells why
            count = len(data)
        self._unsent = memoryview(data)[count:]
        return count == len(data)

    @property
    def next_tick_s(self) -> float:
        """See `Carrier`."""
        return self._engine.next_tick_s

    def tick(self) -> None:
        """See `Carrier`."""
        self._look_for_end(self._engine.tick(time.monotonic()))
        self.more = self.more or self._engine.wants_write

    def close(self) -> None:
        """See `Carrier`."""
        with suppress(OSError):
            self._engine.reset(self._stream)
            self._engine.go_away()
            if not self._unsent:
                self._send(self._pipe.say(self._engine.output()) + self._pipe.say_end())
        self._socket.close()
        for wait in self._waits:
            wait.close()


def _unreachable(why: str) -> Unavailable:
    return Unavailable("HOST_UNREACHABLE", f"no answer ({why})")


def _why(event: Finished) -> EaisError:
    """A refusal in the worker's own words, else a connection that broke."""
    for key, value in event.metadata:
        if key == DETAILS_KEY and isinstance(value, bytes):
            with suppress(DecodeError):
                if (found := error_of_details(value)) is not None:
                    return found
    if not event.status:
        return Unavailable("WORKER_DIED", "the worker ended the stream")
    return no_connection(event.message, "HOST_UNREACHABLE")
