"""gRPC over HTTP/2 without I/O: one connection, either end. (Brain.)

A shell gives `receive` what it read and sends what `output` returns; the engine says what
happened as events, and never waits, reads a clock or raises for what a peer sends. Not
thread-safe: one thread at a time.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from functools import partial

from h2 import events as h2_events

from eais.errors import EaisError, Unavailable, make_error
from eais.transport.h2 import codes, frames, metadata
from eais.transport.h2.assembly import Unacceptable
from eais.transport.h2.control import Control
from eais.transport.h2.events import (
    Called,
    Ended,
    Event,
    Failed,
    Finished,
    GoneAway,
    Headers,
    Metadata,
    Ready,
    Reset,
)
from eais.transport.h2.frames import PeerFault
from eais.transport.h2.limits import H2Limits, Role
from eais.transport.h2.manners import Manners
from eais.transport.h2.receiving import Receiver
from eais.transport.h2.sending import Sender
from eais.transport.h2.stream import Stream
from eais.transport.parts import Buffer

_DEFAULT = H2Limits()


class Engine:
    """One connection's protocol, as client or server.

    Buffers handed to `receive` and `send` are kept as views: neither may be changed afterwards.
    A view must be one-dimensional, of bytes.
    """

    def __init__(self, role: Role, limits: H2Limits = _DEFAULT, *, authority: str = "eais") -> None:
        self._is_client = role is Role.CLIENT
        self._limits = limits
        self._authority = authority
        self._streams: dict[int, Stream] = {}
        self._events: list[Event] = []
        self._sender = Sender()
        self._control = Control(role, limits, self._sender)
        self._receiver = Receiver(self._streams, limits, self, self._give_credit)
        self._manners = Manners(limits)
        self._preface_left = b"" if self._is_client else frames.PREFACE
        self._greeted = False
        self._peer_window = frames.FIRST_WINDOW
        self._over = False
        self._gone = False
        self._peer_gone = False
        self._deadlines: list[tuple[float, int]] = []
        self._now_s = 0.0
        self._heard_s = math.inf
        self._asked_s: float | None = None

    # -- the shell's side ---------------------------------------------------------------------

    @property
    def wants_write(self) -> bool:
        """Whether `output` has something to give."""
        return self._sender.wants_write

    @property
    def over(self) -> bool:
        """Whether the connection failed: nothing more is received or begun."""
        return self._over

    @property
    def greeted(self) -> bool:
        """Whether the peer's settings came: it speaks HTTP/2."""
        return self._greeted

    @property
    def open_streams(self) -> int:
        """How many streams aren't over."""
        return len(self._streams)

    @property
    def takes_calls(self) -> bool:
        """Whether `call` may open a stream: neither end has said that it goes away."""
        return not (self._over or self._gone or self._peer_gone)

    def begin(self, now_s: float = 0.0) -> None:
        """Queue the preface and our settings."""
        self._now_s = self._heard_s = now_s
        self._control.begin(self._is_client)

    def receive(self, data: Buffer, now_s: float) -> list[Event]:
        """What the bytes that were read say, in order."""
        events: list[Event] = []
        if self._over:
            return events
        self._events = events
        self._now_s = self._heard_s = now_s
        self._asked_s = None
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

    def lost(self, error: EaisError) -> list[Event]:
        """The connection broke: all streams are over."""
        events: list[Event] = []
        self._events = events
        if not self._over:
            self._end_all(f"the connection broke: {error.message}", frames.CANCEL)
            events.append(Failed(error))
        return events

    def ping(self) -> None:
        """Ask the peer whether it is there."""
        if not self._over:
            self._manners.asked()
            self._control.ping()

    def go_away(self, code: int = frames.NO_ERROR, text: str = "") -> None:
        """Tell the peer that no new streams are taken; those that are open go on."""
        if not self._over:
            self._gone = True
            self._sender.control(frames.goaway(self._control.last_stream, code, text))

    # -- one stream -----------------------------------------------------------------------------

    def call(
        self,
        path: str,
        given: metadata.Given = (),
        timeout_s: float | None = None,
        now_s: float | None = None,
    ) -> int:
        """Open a stream that calls `path` (client only): its number.

        With `now_s` the engine ends the call itself when its time is up. Raises `Unavailable`
        if this connection takes no more calls, now or at all.
        """
        if not self.takes_calls:
            raise Unavailable("DRAINING", "this connection takes no new calls")
        headers = metadata.request_headers(path, self._authority, given, timeout_s)
        stream = self._open(self._control.call(headers))
        stream.headers_sent = True
        if now_s is not None:
            self._expect_end(stream, now_s, timeout_s)
        return stream.id

    def send(self, stream: int, parts: Sequence[Buffer]) -> None:
        """Send one gRPC message; nothing happens if the stream is over."""
        found = self._streams.get(stream)
        if found is None or found.at_end is not None:
            return
        if not found.headers_sent:
            found.headers_sent = True
            self._control.headers(stream, metadata.answer_headers())
        self._sender.message(found, parts)

    def ready(self, stream: int) -> bool:
        """Whether so little of `stream` waits that its owner may be asked for more."""
        found = self._streams.get(stream)
        ahead = self._limits.send_ahead
        return found is not None and found.waiting < ahead and self._sender.out_bytes < ahead

    def half_close(self, stream: int) -> None:
        """Nothing more is sent on `stream` after what waits (client only)."""
        found = self._streams.get(stream)
        if found is not None and found.at_end is None:
            found.at_end = partial(self._half_close, found)
            self._sender.queue(found)

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

        `given` are the trailing metadata. The owner hears nothing more of the stream.
        """
        found = self._streams.get(stream)
        if found is None or (found.at_end is not None and not at_once):
            return
        if at_once:
            self._sender.forget(found)
        found.at_end = partial(self._send_trailers, found, status, message, given)
        self._sender.queue(found)

    def reset(self, stream: int, code: int = frames.CANCEL) -> None:
        """End `stream` at once; its owner hears nothing more of it."""
        found = self._streams.get(stream)
        if found is not None:
            self._drop(found)
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
            if found.uncredited * 2 >= self._limits.stream_window:
                self._receiver.credit(found)

    # -- time ----------------------------------------------------------------------------------

    @property
    def next_tick_s(self) -> float:
        """When `tick` has something to do; `inf` if never."""
        deadline_s = self._deadlines[0][0] if self._deadlines else math.inf
        if self._asked_s is not None:
            return min(deadline_s, self._asked_s + self._limits.keepalive_wait_s)
        return min(deadline_s, self._heard_s + self._limits.keepalive_every_s)

    def tick(self, now_s: float) -> list[Event]:
        """Do what is due at `now_s`: deadlines, and asking a silent peer."""
        events: list[Event] = []
        self._events = events
        if self._over:
            return events
        self._now_s = now_s
        while self._deadlines and self._deadlines[0][0] <= now_s:
            at_s, stream_id = heapq.heappop(self._deadlines)
            stream = self._streams.get(stream_id)
            if stream is not None and stream.deadline_s == at_s:
                self._too_late(stream)
        self._keep_alive(now_s)
        return events

    def _keep_alive(self, now_s: float) -> None:
        limits = self._limits
        if self._asked_s is not None:
            if now_s >= self._asked_s + limits.keepalive_wait_s:
                self._silent()
        elif now_s >= self._heard_s + limits.keepalive_every_s:
            self._asked_s = now_s
            self.ping()

    def _silent(self) -> None:
        waited_s = self._limits.keepalive_every_s + self._limits.keepalive_wait_s
        error = Unavailable("HOST_UNREACHABLE", f"no answer to a ping: silent for {waited_s:g} s")
        self._end_all(error.message, frames.CANCEL)
        self._events.append(Failed(error))

    def _expect_end(self, stream: Stream, now_s: float, timeout_s: float | None) -> None:
        if timeout_s is not None:
            stream.deadline_s = now_s + timeout_s
            heapq.heappush(self._deadlines, (stream.deadline_s, stream.id))

    def _too_late(self, stream: Stream) -> None:
        text = "the call's deadline has passed"
        if self._is_client:
            self._finished(stream, codes.DEADLINE_EXCEEDED, text, code=frames.CANCEL)
            return
        if stream.at_end is None:
            self._events.append(Reset(stream.id, frames.CANCEL))
        self.finish(stream.id, codes.DEADLINE_EXCEEDED, text, at_once=True)

    # -- what the receiver hears ---------------------------------------------------------------

    def on_frame(self, kind: int, flags: int, stream: int, frame: bytes) -> None:
        """A whole frame that isn't DATA."""
        if not self._greeted:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise PeerFault(frames.PROTOCOL_ERROR, "the first frame isn't SETTINGS")
            self._greeted = True
        match kind:
            case frames.WINDOW_UPDATE:
                self._on_window_update(stream, frame)
            case frames.GOAWAY:
                self._on_goaway(frame)
            case frames.PUSH_PROMISE:
                raise PeerFault(frames.PROTOCOL_ERROR, "nothing may be pushed")
            case frames.HEADERS | frames.CONTINUATION:
                self._by_h2(frame)
            case frames.RST_STREAM:
                self._on_reset(stream, frame)
            case frames.SETTINGS | frames.PING:
                self._manners.asks(kind, bool(flags & frames.ACK), self._now_s)
                self._by_h2(frame)
            case _:
                self._manners.pointless(self._now_s)
        if self._sender.control_bytes > self._limits.unsent_control_bytes:
            raise PeerFault(frames.ENHANCE_YOUR_CALM, "answers are asked for and not read")

    def on_peer_end(self, stream: Stream) -> None:
        """DATA ended `stream`."""
        if stream.id not in self._streams or stream.peer_ended:
            return
        self._control.receive(frames.end_of_stream(stream.id))
        self._peer_ended(stream)

    def on_unacceptable(self, stream: Stream, why: Unacceptable) -> None:
        """A message that ends `stream`."""
        self._manners.refused(self._now_s)
        if self._is_client:
            self._finished(stream, why.status, why.text, code=frames.CANCEL)
            return
        if stream.at_end is None:
            self._events.append(Reset(stream.id, frames.CANCEL))
        self.finish(stream.id, why.status, why.text, at_once=True)

    def on_stray_data(self, stream: int) -> None:
        """DATA of a stream that isn't there any more, or that its sender had ended."""
        if self._is_idle(stream):
            raise PeerFault(frames.PROTOCOL_ERROR, "DATA on a stream that was never opened")
        self._manners.update(self._now_s, self._sender.data_frames)

    def on_empty_data(self) -> None:
        """DATA that says nothing."""
        self._manners.pointless(self._now_s)

    def _after_preface(self, data: Buffer) -> Buffer:
        came = bytes(data[: len(self._preface_left)])
        if not self._preface_left.startswith(came):
            raise PeerFault(frames.PROTOCOL_ERROR, "the client doesn't speak HTTP/2")
        self._preface_left = self._preface_left[len(came) :]
        if not self._preface_left:
            self._control.receive(frames.PREFACE)
        return data[len(came) :]

    def _is_idle(self, stream: int) -> bool:
        by_peer, by_us = self._control.highest_streams
        of_client = bool(stream % 2)
        return stream > (by_us if of_client == self._is_client else by_peer)

    def _on_window_update(self, stream_id: int, frame: bytes) -> None:
        credit = frames.number_of(frame, frames.HEADER_BYTES)[0] & frames.STREAM_BITS
        if not credit:
            raise PeerFault(frames.PROTOCOL_ERROR, "a window is opened by nothing")
        self._manners.update(self._now_s, self._sender.data_frames)
        if stream_id:
            self._open_window(stream_id, credit)
            return
        closed = self._sender.window <= 0
        self._sender.window = _grown(self._sender.window, credit)
        if closed and self._sender.window > 0:
            for stream in self._sender.connection_opened():
                self._events.append(Ready(stream.id))

    def _open_window(self, stream_id: int, credit: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.send_left = _grown(stream.send_left, credit)
            if self._sender.opened(stream):
                self._events.append(Ready(stream_id))
        elif self._is_idle(stream_id):
            raise PeerFault(frames.PROTOCOL_ERROR, "a window of a stream that was never opened")

    def _on_goaway(self, frame: bytes) -> None:
        if len(frame) < frames.HEADER_BYTES + 8:
            raise PeerFault(frames.FRAME_SIZE_ERROR, "a GOAWAY that is too short")
        last = frames.number_of(frame, frames.HEADER_BYTES)[0] & frames.STREAM_BITS
        code = frames.number_of(frame, frames.HEADER_BYTES + 4)[0]
        text = frame[frames.HEADER_BYTES + 8 :][:128].decode("latin-1")
        if self._peer_gone:
            self._manners.pointless(self._now_s)
        self._peer_gone = True
        self._events.append(GoneAway(last, code, text))
        if self._is_client:
            for stream in [s for s in self._streams.values() if s.id > last]:
                self._finished(stream, codes.UNAVAILABLE, "the server went away before the call")

    def _on_reset(self, stream_id: int, frame: bytes) -> None:
        if self._is_idle(stream_id):
            raise PeerFault(frames.PROTOCOL_ERROR, "a reset of a stream that was never opened")
        stream = self._streams.get(stream_id)
        self._by_h2(frame)
        if stream is None:
            self._manners.update(self._now_s, self._sender.data_frames)
            return
        code = frames.number_of(frame, frames.HEADER_BYTES)[0]
        if self._is_client:
            text = f"the server reset the call (HTTP/2 code {code})"
            self._finished(stream, codes.of_reset(code), text)
            return
        self._drop(stream, told=stream.at_end is None, code=code)
        self._manners.refused(self._now_s)

    # -- what h2 says -----------------------------------------------------------------------------

    def _by_h2(self, frame: bytes) -> None:
        for event in self._control.receive(frame):
            if isinstance(event, h2_events.RequestReceived):
                self._on_request(event)
            elif isinstance(event, h2_events.ResponseReceived):
                self._on_answer(event)
            elif isinstance(event, h2_events.TrailersReceived):
                self._on_trailers(event)
            elif isinstance(event, h2_events.RemoteSettingsChanged):
                self._on_settings()

    def _on_request(self, event: h2_events.RequestReceived) -> None:
        stream_id = event.stream_id or 0
        if self._gone or len(self._streams) >= self._limits.streams:
            self._manners.refused(self._now_s)
            self._control.reset(stream_id, frames.REFUSED_STREAM)
            return
        stream = self._open(stream_id)
        stream.peer_ended = event.stream_ended is not None
        request = metadata.read_request(_raw(event), self._limits.request_header_bytes)
        if isinstance(request, metadata.Refusal):
            self._refuse(stream, request)
        elif request.timeout_s is not None and request.timeout_s <= 0:
            text = "the deadline had passed before the call came"
            self._refuse(stream, metadata.Refusal(codes.DEADLINE_EXCEEDED, text))
        else:
            self._expect_end(stream, self._now_s, request.timeout_s)
            self._events.append(
                Called(stream_id, request.path, request.metadata, request.timeout_s)
            )
            if stream.peer_ended:
                self._events.append(Ended(stream_id))

    def _refuse(self, stream: Stream, refused: metadata.Refusal) -> None:
        self._control.headers(stream.id, metadata.refusal(refused), end=True)
        self._close_after_trailers(stream)

    def _on_answer(self, event: h2_events.ResponseReceived) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is None:
            return
        headers = _raw(event)
        if event.stream_ended is not None:
            stream.peer_ended = True
            self._by_trailers(stream, headers)
        elif dict(headers).get(b":status") != b"200":
            self._by_trailers(stream, headers)
        else:
            self._events.append(Headers(stream.id, metadata.read_lenient(headers)))

    def _on_trailers(self, event: h2_events.TrailersReceived) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is None:
            return
        stream.peer_ended = True
        if self._is_client:
            self._by_trailers(stream, _raw(event))
        else:
            self._peer_ended(stream)

    def _by_trailers(self, stream: Stream, headers: list[tuple[bytes, bytes]]) -> None:
        size = metadata.list_bytes(headers)
        if size > self._limits.header_list_bytes:
            text = f"received metadata size exceeds limit ({size} vs. "
            text += f"{self._limits.header_list_bytes})"
            self._finished(stream, codes.RESOURCE_EXHAUSTED, text, code=frames.CANCEL)
            return
        said = metadata.read_trailers(headers)
        self._finished(stream, said.status, said.message, said.metadata, code=frames.NO_ERROR)

    def _on_settings(self) -> None:
        self._control.keep_header_table()
        self._sender.frame_bytes = self._control.peer_frame_bytes
        change = self._control.peer_window - self._peer_window
        self._peer_window += change
        if not change:
            return
        for stream in list(self._streams.values()):
            stream.send_left = _grown(stream.send_left, change)
            if self._sender.opened(stream):
                self._events.append(Ready(stream.id))

    # -- beginnings and ends ----------------------------------------------------------------------

    def _open(self, stream_id: int) -> Stream:
        stream = Stream(stream_id, self._limits, self._peer_window)
        self._streams[stream_id] = stream
        return stream

    def _peer_ended(self, stream: Stream) -> None:
        stream.peer_ended = True
        if self._is_client:
            text = "the answer ended without a grpc-status"
            self._finished(stream, codes.UNKNOWN, text, code=frames.CANCEL)
        elif stream.assembly.held:
            text = "MALFORMED_MESSAGE: the stream ended inside a message"
            self.on_unacceptable(stream, Unacceptable(codes.INVALID_ARGUMENT, text))
        elif stream.at_end is None:
            self._events.append(Ended(stream.id))

    def _finished(
        self,
        stream: Stream,
        status: int,
        message: str,
        given: Metadata | None = None,
        *,
        code: int | None = None,
    ) -> None:
        """A client's call is over; with `code` the server is told, if it may not know."""
        self._drop(stream)
        if code is not None and not (stream.peer_ended and stream.half_closed):
            self._control.reset(stream.id, code)
        self._events.append(Finished(stream.id, status, message, given or []))

    def _half_close(self, stream: Stream) -> None:
        stream.half_closed = True
        self._control.half_close(stream.id)

    def _send_trailers(
        self, stream: Stream, status: int, message: str, given: metadata.Given
    ) -> None:
        first = not stream.headers_sent
        self._control.headers(
            stream.id, metadata.trailers(status, message, given, first=first), end=True
        )
        self._close_after_trailers(stream)

    def _close_after_trailers(self, stream: Stream) -> None:
        """The client needs to send no more."""
        self._drop(stream)
        if not stream.peer_ended:
            self._control.reset(stream.id, frames.NO_ERROR)

    def _drop(self, stream: Stream, *, told: bool = False, code: int = frames.CANCEL) -> None:
        del self._streams[stream.id]
        self._sender.forget(stream)
        self._receiver.forget(stream)
        if told:
            self._events.append(Reset(stream.id, code))

    def _give_credit(self, stream: Stream | None, credit: int) -> None:
        self._sender.control(frames.window_update(0 if stream is None else stream.id, credit))

    def _fail(self, fault: PeerFault) -> None:
        self._end_all(f"the peer broke the protocol: {fault.text}", fault.code)
        self._sender.control(frames.goaway(self._control.last_stream, fault.code, fault.text))
        text = f"the peer doesn't keep to HTTP/2: {fault.text}"
        self._events.append(Failed(make_error("MALFORMED_MESSAGE", text)))

    def _end_all(self, text: str, code: int) -> None:
        self._over = True
        for stream in list(self._streams.values()):
            self._drop(stream, told=not self._is_client and stream.at_end is None, code=code)
            if self._is_client:
                self._events.append(Finished(stream.id, codes.UNAVAILABLE, text, []))
        self._sender.forget_all()
        self._deadlines.clear()


def _grown(window: int, credit: int) -> int:
    if window + credit > frames.LARGEST_WINDOW:
        raise PeerFault(frames.FLOW_CONTROL_ERROR, "a window is opened above 2^31 - 1")
    return window + credit


def _raw(event: object) -> list[tuple[bytes, bytes]]:
    headers = getattr(event, "headers", None) or []
    return [(bytes(name), bytes(value)) for name, value in headers]
