"""gRPC over HTTP/2 without I/O: one connection, either end. (Brain.)

A shell gives `receive` what it read and sends what `output` returns; the engine says what
happened as events, and never waits, reads a clock or raises for what a peer sends. Not
thread-safe: one thread at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eais.errors import EaisError, Unavailable, make_error
from eais.transport.h2 import frames, metadata
from eais.transport.h2.assembly import Unfinished
from eais.transport.h2.calls import Calls
from eais.transport.h2.control import Control
from eais.transport.h2.events import Event, Failed
from eais.transport.h2.frames import PeerFault
from eais.transport.h2.hearing import Hearing
from eais.transport.h2.limits import H2Limits, Role
from eais.transport.h2.receiving import Receiver
from eais.transport.h2.sending import Sender
from eais.transport.h2.timing import Timing
from eais.transport.parts import Buffer

_DEFAULT = H2Limits()


class Engine:
    """One connection's protocol, as client or server.

    Buffers handed to `receive` and `send` are kept as views: neither may be changed afterwards.
    A view must be one-dimensional, of bytes. `authority` is what a client's calls are addressed
    to. `most` has the largest messages of calls of some paths, `limits` has that of all others;
    `among` counts what isn't whole of several connections. A stream that is over is none of the
    engine's any more: what is asked for it is nothing.
    """

    def __init__(
        self,
        role: Role,
        limits: H2Limits = _DEFAULT,
        *,
        authority: str = "eais",
        most: Mapping[str, int] | None = None,
        among: Unfinished | None = None,
    ) -> None:
        self._limits = limits
        self._authority = authority
        self._sender = Sender()
        self._control = Control(role, limits, self._sender)
        self._calls = Calls(role, limits, self._sender, self._control, among)
        self._streams = self._calls.streams
        self._timing = Timing(limits, self._calls, self._sender)
        self._hearing = Hearing(
            limits, self._calls, self._control, self._sender, self._timing, most or {}
        )
        self._receiver = Receiver(self._streams, limits, self._hearing, self._sender)
        self._preface_left = b"" if role is Role.CLIENT else frames.PREFACE
        self._over = False

    # -- the connection -----------------------------------------------------------------------

    @property
    def wants_write(self) -> bool:
        """Whether `output` has something to give."""
        return self._sender.wants_write

    @property
    def over(self) -> bool:
        """Whether the connection failed: nothing more is received or begun."""
        return self._over

    @property
    def open_streams(self) -> int:
        """How many streams aren't over."""
        return len(self._streams)

    @property
    def takes_calls(self) -> bool:
        """Whether `call` may open a stream: neither end has said that it goes away."""
        return not (self._over or self._hearing.gone or self._hearing.peer_gone)

    def begin(self, now_s: float = 0.0) -> None:
        """Queue the preface and our settings; the peer's are awaited from now on."""
        self._timing.begin(now_s)
        self._control.begin()

    def receive(self, data: Buffer, now_s: float) -> list[Event]:
        """What the bytes that were read say, in order."""
        events: list[Event] = []
        if self._over:
            return events
        self._calls.events = events
        self._timing.heard(now_s)
        try:
            if self._preface_left:
                data = self._after_preface(data)
            self._receiver.read(data, events)
        except PeerFault as fault:
            self._fail(fault)
        return events

    def output(self, most: int = 256 << 10) -> list[Buffer]:
        """Remove and return what to write now, about `most` bytes; empty if there is nothing."""
        return self._sender.output(most)

    def gone(self) -> None:
        """The connection is no more, and nobody asks for anything again."""
        self._calls.unfinished.forget()

    def ping(self) -> None:
        """Ask the peer whether it is there."""
        if not self._over:
            self._hearing.manners.asked()
            self._control.ping()

    def go_away(self, code: int = frames.NO_ERROR, text: str = "") -> None:
        """Tell the peer that no new streams are taken; those that are open go on."""
        if not self._over:
            self._hearing.gone = True
            self._sender.control(frames.goaway(self._control.last_stream, code, text))

    @property
    def next_tick_s(self) -> float:
        """When `tick` has something to do; `inf` if never."""
        return float("inf") if self._over else self._timing.next_s

    def tick(self, now_s: float) -> list[Event]:
        """Do what is due at `now_s`: deadlines, saying what stalls, asking a silent peer."""
        events: list[Event] = []
        self._calls.events = events
        if self._over:
            return events
        try:
            if self._timing.tick(now_s):
                self.ping()
        except Unavailable as silent:
            self._end(silent, silent.message)
        return events

    # -- one stream ---------------------------------------------------------------------------

    def call(self, path: str, given: metadata.Given = ()) -> int:
        """Open a stream that calls `path` (client only): its number.

        Raises `Unavailable` if this connection takes no more calls: BUSY now, DRAINING at all.
        """
        if not self.takes_calls:
            raise Unavailable("DRAINING", "this connection takes no new calls")
        headers = metadata.request_headers(path, self._authority, given)
        stream = self._calls.open(self._control.call(headers))
        stream.headers_sent = True
        return stream.id

    def send(self, stream: int, parts: Sequence[Buffer]) -> None:
        """Send one gRPC message."""
        found = self._streams.get(stream)
        if found is None or found.finishing:
            return
        if not found.headers_sent:
            found.headers_sent = True
            self._control.headers(stream, metadata.answer_headers())
        self._sender.message(found, parts)

    def ready(self, stream: int) -> bool:
        """Whether so little waits that the stream's owner may be asked for its next message."""
        found = self._streams.get(stream)
        limits, sender = self._limits, self._sender
        return (
            found is not None
            and found.waiting < limits.send_ahead
            and sender.out_bytes < limits.send_ahead
            and sender.waiting < limits.unsent_bytes
        )

    def half_close(self, stream: int) -> None:
        """Nothing more is sent on `stream` after what waits (client only)."""
        found = self._streams.get(stream)
        if found is not None:
            self._calls.half_close(found)

    def finish(
        self,
        stream: int,
        status: int,
        message: str = "",
        given: metadata.Given = (),
        *,
        at_once: bool = False,
    ) -> None:
        """End `stream` with this status (server only), after what waits or `at_once`.

        `given` are the trailing metadata. The owner hears nothing more of the stream's end.
        """
        found = self._streams.get(stream)
        if found is not None:
            self._calls.finish(found, status, message, given, at_once=at_once)

    def reset(self, stream: int, code: int = frames.CANCEL) -> None:
        """End `stream` at once; its owner hears nothing more of it."""
        found = self._streams.get(stream)
        if found is not None:
            self._calls.drop(found)
            self._control.reset(stream, code)

    def pause(self, stream: int) -> None:
        """Give the peer no more credit on `stream`: it stops after at most one window."""
        found = self._streams.get(stream)
        if found is not None:
            found.paused = True

    def resume(self, stream: int) -> None:
        """Give credit again."""
        found = self._streams.get(stream)
        if found is not None and found.paused:
            found.paused = False
            self._receiver.credit_if_due(found)

    # -- how it ends --------------------------------------------------------------------------

    def _after_preface(self, data: Buffer) -> Buffer:
        came = bytes(data[: len(self._preface_left)])
        if not self._preface_left.startswith(came):
            raise PeerFault(frames.PROTOCOL_ERROR, "the client doesn't speak HTTP/2")
        self._preface_left = self._preface_left[len(came) :]
        if not self._preface_left:
            self._control.receive(frames.PREFACE)
        return data[len(came) :]

    def _fail(self, fault: PeerFault) -> None:
        text = f"the peer doesn't keep to HTTP/2: {fault.text}"
        error = make_error("MALFORMED_MESSAGE", text)
        self._end(error, text)
        self._sender.control(frames.goaway(self._control.last_stream, fault.code, fault.text))

    def _end(self, error: EaisError, text: str) -> None:
        self._over = True
        self._calls.end_all(text)
        self._calls.events.append(Failed(error))
