"""One client stream, from its Hello to its end: messages in, messages out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator
from enum import Enum, auto
from typing import Final, Protocol

from eais.channel import RING_PIECE_BYTES
from eais.errors import EaisError, UsageError, make_error
from eais.rpc.hello import check_version
from eais.rpc.raw_stream import StreamLink
from eais.rpc.v1 import common_pb2
from eais.transport.parts import Buffer, PiecePart, ToWorkerParts
from eais.transport.reading import ToWorkerReader
from eais_server.worker.calls import Gate, StreamCalls
from eais_server.worker.dispatch import Dispatch
from eais_server.worker.hub import Hub
from eais_server.worker.outbox import Outbox

OUTBOX_BYTES: Final = 4 << 20
"""Answers of one stream that may wait for its client; then nothing more is run for it."""
BACKLOG_BYTES: Final = 1 << 30
"""The same, of all streams."""
AT_ONCE: Final = 64
"""Parts of one message, or messages, that are looked at before anything else is done: there may be
millions, and the listener takes a worker for dead whose event loop stands still."""
SMALL_MESSAGE_BYTES: Final = 64 << 10
"""A smaller message is read as a whole."""
LARGE_BYTES: Final = 256 << 10
"""Of a larger message it is one part at a time."""


class Phase(Enum):
    """GREETING awaits Hello; WAITING said it before the worker serves; SERVING has calls."""

    GREETING = auto()
    WAITING = auto()
    SERVING = auto()
    CLOSED = auto()


class Host(Protocol):
    """Whose stream this is: the data plane."""

    def greeted(self, connection: Connection, /) -> None:
        """Hello was said: `serve` it, once that may be."""
        ...

    def left(self, connection: Connection, /) -> None:
        """The stream is gone."""
        ...


class Connection:
    """One client stream, as a `ServedStream`. All on the event loop.

    Args:
        frontend: whose stream it is.
        calls: makes the brain of its calls, given what says whether there is time for one.
        greeting_s: how long its Hello may take.

    Attributes:
        frontend: as given.
    """

    def __init__(
        self,
        hub: Hub,
        host: Host,
        link: StreamLink,
        frontend: Hashable,
        calls: Callable[[Gate], StreamCalls],
        greeting_s: float,
    ) -> None:
        self.frontend = frontend
        self._hub = hub
        self._host = host
        self._link = link
        self._outbox = Outbox(OUTBOX_BYTES, hub.backlog)
        self._dispatch = Dispatch(hub, frontend, calls, self._outbox, link.changed)
        self._reader = ToWorkerReader()
        self._loop = asyncio.get_running_loop()
        self._phase = Phase.GREETING
        self._greeting = self._loop.call_later(greeting_s, self._silent, greeting_s)
        # What is left of a message that has too much in it to be acted on at once.
        self._unread: Iterator[ToWorkerParts] | None = None
        self._next: ToWorkerParts | None = None
        self._going = False
        # The transport was told not to read, and hears when it may again.
        self._held_back = False
        self._half_closed = False
        # For `look`: how many messages were taken when it was asked last, and since when.
        self._taken, self._taken_s = 0, self._loop.time()

    @property
    def may_read(self) -> bool:
        """See `ServedStream`."""
        may = self._unread is None and self._phase is not Phase.WAITING and self._outbox.may_read
        if not may:
            self._held_back = True
        return may

    @property
    def over(self) -> bool:
        """See `ServedStream`."""
        ends = self._half_closed or self._dispatch.draining
        return ends and self._phase is Phase.SERVING and self._unread is None and not self.busy

    @property
    def busy(self) -> bool:
        """Whether calls are unanswered, or answers unsent."""
        return bool(len(self._dispatch)) or self._outbox.waiting

    @property
    def quiet(self) -> bool:
        """See `eais_server.worker.ring_stream.TakesPieces`."""
        return not self._hub.runner.in_flight

    # what the transport says

    def receive(self, message: Buffer) -> None:
        """See `ServedStream`."""
        if self._phase is not Phase.SERVING:
            self._greet(message)
            return
        size = len(message)
        if size <= SMALL_MESSAGE_BYTES:
            parts = self._reader.read(message)
            if len(parts.runs) + len(parts.pieces) + len(parts.cancels) <= AT_ONCE:
                self._act(parts)
                return
            self._unread = _steps(parts)
        else:
            self._unread = self._reader.portions(message, 1 if size > LARGE_BYTES else AT_ONCE)
        self._next = next(self._unread, None)
        self._step()

    def in_ring(self) -> None:
        """See `eais_server.worker.ring_stream.TakesPieces`."""
        self._outbox.piece_bytes = RING_PIECE_BYTES

    def receive_piece(self, piece: PiecePart) -> None:
        """See `eais_server.worker.ring_stream.TakesPieces`."""
        if self._phase is not Phase.SERVING:
            raise _not_hello()
        self._dispatch.piece(piece)

    def next_message(self) -> list[Buffer] | None:
        """See `ServedStream`."""
        message = self._outbox.next()
        if message is not None:
            if self._next is not None:
                self._go_on_soon()
            if self._held_back and self.may_read:
                self._held_back = False
                self._link.changed()
            self._hub.runner.room_made()
        return message

    def half_closed(self) -> None:
        """See `ServedStream`."""
        self._half_closed = True
        if self._phase is Phase.GREETING:
            self._link.fail(_not_hello())

    def closed(self) -> None:
        """See `ServedStream`."""
        self._greeting.cancel()
        self._phase = Phase.CLOSED
        self._unread = self._next = None
        self._dispatch.close()
        self._outbox.close()
        if self._hub.holds.drop(self):
            self._hub.held()
        self._host.left(self)

    # what the data plane says

    def serve(self, reply: common_pb2.HelloReply) -> None:
        """Answer its Hello: calls may come."""
        self._phase = Phase.SERVING
        self._outbox.hello(reply)
        self._link.changed()

    def drain(self) -> None:
        """Refuse new calls, and tell the client; the stream ends with its last answer."""
        self._dispatch.drain()
        self._outbox.drain()
        self._link.changed()

    def look(self, limit_s: float) -> None:
        """End the stream if its client has taken nothing of what waits for it for `limit_s`."""
        now_s = self._loop.time()
        if not self._outbox.waiting or self._outbox.taken != self._taken:
            self._taken, self._taken_s = self._outbox.taken, now_s
        elif now_s - self._taken_s >= limit_s:
            text = f"answers have waited for {limit_s:g} s, and were not read"
            self._link.fail(make_error("SLOW_CONSUMER", text))

    # the first message

    def _greet(self, message: Buffer) -> None:
        parts = self._reader.read(message)
        if parts.hello is None or any(parts._replace(hello=None)):
            raise _not_hello()
        if self._phase is not Phase.GREETING:
            raise _second_hello()
        check_version(parts.hello)
        self._greeting.cancel()
        self._phase = Phase.WAITING
        self._host.greeted(self)

    def _silent(self, greeting_s: float) -> None:
        text = f"no Hello came within {greeting_s:g} s"
        self._link.fail(make_error("FIRST_MESSAGE_TIMEOUT", text))

    # all others

    def _go_on_soon(self) -> None:
        """Act on more of what is unread, after others had their turn; not without room."""
        if self._outbox.may_read and not self._going:
            self._going = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._going = False
        try:
            self._step()
        except EaisError as error:
            self._link.fail(error)
            return
        self._link.changed()

    def _step(self) -> None:
        while self._next is not None and self._unread is not None:
            parts = self._next
            acted = self._act(parts)
            self._next = next(self._unread, None)
            if acted and self._next is not None:
                self._go_on_soon()
                return
        self._unread = None

    def _act(self, parts: ToWorkerParts) -> bool:
        """Do what a message says; whether that was anything to speak of."""
        if parts.hello is not None:
            raise _second_hello()
        dispatch = self._dispatch
        if parts.runs:
            dispatch.runs(parts.runs)
        for piece in parts.pieces:
            dispatch.piece(piece)
        for call_id in parts.cancels:
            dispatch.cancel(call_id)
        if parts.hold or parts.release:
            self._hold(parts)
        return bool(parts.runs or parts.pieces or parts.cancels or parts.hold or parts.release)

    def _hold(self, parts: ToWorkerParts) -> None:
        holds = self._hub.holds
        changed = holds.hold(self, parts.hold)
        if holds.release(self, parts.release) or changed:
            self._hub.held()


def _steps(parts: ToWorkerParts) -> Iterator[ToWorkerParts]:
    """What a message says, at most `AT_ONCE` parts a step."""
    yield parts._replace(runs=(), pieces=(), cancels=())
    for name in ("runs", "pieces", "cancels"):
        items = getattr(parts, name)
        for begin in range(0, len(items), AT_ONCE):
            yield ToWorkerParts(**{name: items[begin : begin + AT_ONCE]})


def _not_hello() -> UsageError:
    return UsageError("MALFORMED_MESSAGE", "the first message holds Hello and nothing else")


def _second_hello() -> UsageError:
    return UsageError("MALFORMED_MESSAGE", "Hello comes once, first")
