"""What a peer's frames mean: settings, windows, calls that begin and end. (Brain.)"""

from __future__ import annotations

from collections.abc import Mapping

from h2 import events as h2_events

from eais.transport.h2 import codes, frames, metadata
from eais.transport.h2.assembly import Unacceptable
from eais.transport.h2.calls import Calls
from eais.transport.h2.control import Control
from eais.transport.h2.events import Called, Ended, Ready
from eais.transport.h2.frames import PeerFault
from eais.transport.h2.limits import H2Limits
from eais.transport.h2.manners import Manners
from eais.transport.h2.sending import Sender
from eais.transport.h2.stream import Stream
from eais.transport.h2.timing import Timing


class Hearing:
    """Hears of each frame that isn't a message's; all methods may raise `PeerFault`."""

    def __init__(
        self,
        limits: H2Limits,
        calls: Calls,
        control: Control,
        sender: Sender,
        timing: Timing,
        message_bytes: Mapping[str, int],
    ) -> None:
        self._limits = limits
        self._message_bytes = message_bytes
        self._calls = calls
        self._control = control
        self._sender = sender
        self._timing = timing
        self.manners = Manners(limits)
        # Whether we, or the peer, said that no new streams are taken.
        self.gone = False
        self.peer_gone = False

    def on_frame(self, kind: int, flags: int, stream: int, frame: bytes) -> None:
        """A whole frame that isn't DATA."""
        if not self._timing.greeted:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise PeerFault(frames.PROTOCOL_ERROR, "the first frame isn't SETTINGS")
            self._timing.greeted = True
        match kind:
            case frames.WINDOW_UPDATE:
                self._on_window_update(stream, frame)
            case frames.GOAWAY:
                self._on_goaway(frame)
            case frames.PUSH_PROMISE:
                raise PeerFault(frames.PROTOCOL_ERROR, "nothing may be pushed")
            case frames.HEADERS | frames.CONTINUATION:
                self._on_headers(stream, frame)
            case frames.RST_STREAM:
                self._on_reset(stream, frame)
            case frames.SETTINGS | frames.PING:
                self.manners.asks(kind, bool(flags & frames.ACK), self._timing.now_s)
                self._by_h2(frame)
            case _:
                self.manners.pointless(self._timing.now_s)
        if self._sender.control_bytes > self._limits.unsent_control_bytes:
            raise PeerFault(frames.ENHANCE_YOUR_CALM, "answers are asked for and not read")

    def on_peer_end(self, stream: Stream) -> None:
        """DATA ended `stream`."""
        if stream.over or stream.peer_ended:
            return
        self._control.receive(frames.end_of_stream(stream.id))
        self._peer_ended(stream)

    def _peer_ended(self, stream: Stream) -> None:
        try:
            self._calls.peer_ended(stream)
        except Unacceptable as why:
            self.on_unacceptable(stream, why)

    def on_unacceptable(self, stream: Stream, why: Unacceptable) -> None:
        """A message that ends `stream`."""
        self.manners.refused(self._timing.now_s)
        self._calls.fail(stream, why.status, why.text)

    def on_stray_data(self, stream: int) -> None:
        """DATA of a stream that isn't there any more, or that its sender had ended."""
        if not stream or self._control.is_idle(stream):
            raise PeerFault(frames.PROTOCOL_ERROR, "DATA on a stream that was never opened")
        self.manners.update(self._timing.now_s, self._sender.data_frames)

    def on_empty_data(self) -> None:
        """DATA that says nothing."""
        self.manners.pointless(self._timing.now_s)

    # -- windows, ends ------------------------------------------------------------------------

    def _on_window_update(self, stream_id: int, frame: bytes) -> None:
        credit = frames.number_of(frame, frames.HEADER_BYTES)[0] & frames.STREAM_BITS
        if not credit:
            raise PeerFault(frames.PROTOCOL_ERROR, "a window is opened by nothing")
        self.manners.update(self._timing.now_s, self._sender.data_frames)
        if not stream_id:
            for opened in self._sender.opened_all(credit):
                self._calls.events.append(Ready(opened.id))
            return
        stream = self._calls.streams.get(stream_id)
        if stream is not None:
            self._open_window(stream, credit)
        elif self._control.is_idle(stream_id):
            raise PeerFault(frames.PROTOCOL_ERROR, "a window of a stream that was never opened")

    def _open_window(self, stream: Stream, credit: int) -> None:
        if self._sender.opened(stream, credit):
            self._calls.events.append(Ready(stream.id))

    def _on_goaway(self, frame: bytes) -> None:
        if len(frame) < frames.HEADER_BYTES + 8:
            raise PeerFault(frames.FRAME_SIZE_ERROR, "a GOAWAY that is too short")
        last = frames.number_of(frame, frames.HEADER_BYTES)[0] & frames.STREAM_BITS
        if self.peer_gone:
            self.manners.pointless(self._timing.now_s)
        self.peer_gone = True
        if self._calls.is_client:
            late = [stream for stream in self._calls.streams.values() if stream.id > last]
            for stream in late:
                self._calls.finished(stream, codes.UNAVAILABLE, "the server went away before it")

    def _on_reset(self, stream: int, frame: bytes) -> None:
        if self._control.is_idle(stream):
            raise PeerFault(frames.PROTOCOL_ERROR, "a reset of a stream that was never opened")
        if stream not in self._calls.streams:
            self.manners.update(self._timing.now_s, self._sender.data_frames)
        self._by_h2(frame)

    def _on_headers(self, stream: int, frame: bytes) -> None:
        """Headers, which h2 answers with a reset where their stream is over."""
        if stream not in self._calls.streams and not self._control.is_idle(stream):
            self._late()
        self._by_h2(frame)

    def _late(self) -> None:
        """A stream that is over is heard of again: of those that a client cancelled, rightly."""
        if self._calls.is_client:
            self.manners.update(self._timing.now_s, self._sender.data_frames)
        else:
            self.manners.refused(self._timing.now_s)

    # -- what h2 says -------------------------------------------------------------------------

    def _by_h2(self, frame: bytes) -> None:
        for event in self._control.receive(frame):
            match event:
                case h2_events.RequestReceived():
                    self._on_request(event)
                case h2_events.ResponseReceived():
                    self._on_answer(event)
                case h2_events.TrailersReceived():
                    self._on_trailers(event)
                case h2_events.StreamReset():
                    self._on_stream_reset(event)
                case h2_events.RemoteSettingsChanged():
                    self._on_settings()
                case _:
                    pass

    def _on_request(self, event: h2_events.RequestReceived) -> None:
        stream_id = event.stream_id or 0
        if self.gone or len(self._calls.streams) >= self._limits.streams:
            self.manners.refused(self._timing.now_s)
            self._control.reset(stream_id, frames.REFUSED_STREAM)
            return
        stream = self._calls.open(stream_id)
        stream.peer_ended = stream.deaf = event.stream_ended is not None
        request = metadata.read_request(_raw(event), self._limits.request_header_bytes)
        if isinstance(request, metadata.Refusal):
            self._calls.close(stream, metadata.refusal(request))
        elif request.timeout_s is not None and request.timeout_s <= 0:
            text = "the deadline had passed before the call came"
            self._calls.finish(stream, codes.DEADLINE_EXCEEDED, text)
        else:
            self._begin(stream, request)

    def _begin(self, stream: Stream, request: metadata.Request) -> None:
        stream.assembly.most = self._message_bytes.get(request.path, stream.assembly.most)
        self._timing.expect_end(stream, request.timeout_s)
        self._calls.events.append(Called(stream.id, request.path, request.timeout_s))
        if stream.peer_ended:
            self._calls.events.append(Ended(stream.id))

    def _on_answer(self, event: h2_events.ResponseReceived) -> None:
        stream = self._calls.streams.get(event.stream_id or 0)
        if stream is None:
            return
        headers = _raw(event)
        if event.stream_ended is not None:
            stream.peer_ended = True
            self._by_trailers(stream, headers)
        elif dict(headers).get(b":status") != b"200":
            self._by_trailers(stream, headers)

    def _on_trailers(self, event: h2_events.TrailersReceived) -> None:
        stream = self._calls.streams.get(event.stream_id or 0)
        if stream is None:
            return
        if self._calls.is_client:
            stream.peer_ended = True
            self._by_trailers(stream, _raw(event))
        else:
            self._peer_ended(stream)

    def _by_trailers(self, stream: Stream, headers: list[tuple[bytes, bytes]]) -> None:
        size, most = metadata.list_bytes(headers), self._limits.header_list_bytes
        if size > most:
            self._calls.fail(stream, codes.RESOURCE_EXHAUSTED, metadata.too_large(size, most))
            return
        said = metadata.read_trailers(headers)
        self._calls.finished(stream, said.status, said.message, said.metadata, code=frames.NO_ERROR)

    def _on_stream_reset(self, event: h2_events.StreamReset) -> None:
        """The peer's reset, or h2's own of a stream whose end was followed by headers."""
        stream = self._calls.streams.get(event.stream_id or 0)
        if stream is None:
            return
        if self._calls.is_client:
            code = int(event.error_code or 0)
            text = f"the server reset the call (HTTP/2 code {code})"
            self._calls.finished(stream, codes.of_reset(code), text)
        else:
            self._calls.reset(stream)
            self.manners.refused(self._timing.now_s)

    def _on_settings(self) -> None:
        self._control.keep_header_table()
        self._sender.frame_bytes = self._control.peer_frame_bytes
        change = self._control.peer_window - self._calls.first_window
        if change:
            self._calls.first_window += change
            for stream in list(self._calls.streams.values()):
                self._open_window(stream, change)


def _raw(
    event: h2_events.RequestReceived | h2_events.ResponseReceived | h2_events.TrailersReceived,
) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in event.headers or ()]
