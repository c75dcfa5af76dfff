"""The streams of one connection, each from its beginning to its one end. (Brain.)"""

from __future__ import annotations

from functools import partial

from eais.transport.h2 import codes, frames, metadata
from eais.transport.h2.assembly import Unacceptable, Unfinished
from eais.transport.h2.control import Control
from eais.transport.h2.events import Ended, Event, Finished, Metadata, Reset
from eais.transport.h2.limits import H2Limits, Role
from eais.transport.h2.sending import Sender
from eais.transport.h2.stream import Stream


class Calls:
    """The open streams, and what is to be told of them (`events`)."""

    def __init__(
        self,
        role: Role,
        limits: H2Limits,
        sender: Sender,
        control: Control,
        among: Unfinished | None = None,
    ) -> None:
        self.is_client = role is Role.CLIENT
        self.streams: dict[int, Stream] = {}
        self.events: list[Event] = []
        self.first_window = frames.FIRST_WINDOW
        self._limits = limits
        self.unfinished = Unfinished(limits.unfinished_bytes, among)
        self._sender = sender
        self._control = control

    def open(self, stream_id: int) -> Stream:
        """A new stream."""
        stream = Stream(stream_id, self._limits, self.unfinished, self.first_window)
        self.streams[stream_id] = stream
        return stream

    def drop(self, stream: Stream) -> None:
        """`stream` is over: nothing of it is sent or heard any more."""
        del self.streams[stream.id]
        stream.over = True
        stream.assembly.discard()
        self._sender.forget(stream)

    def end_all(self, text: str) -> None:
        """The connection is over, and all streams with it."""
        for stream in list(self.streams.values()):
            if self.is_client:
                self.finished(stream, codes.UNAVAILABLE, text)
            else:
                self.reset(stream)

    # -- a client's ends ----------------------------------------------------------------------

    def half_close(self, stream: Stream) -> None:
        """Nothing more is sent after what waits."""
        if not stream.finishing:
            stream.finishing = True
            stream.at_end = partial(self._half_close, stream)
            self._sender.queue(stream)

    def _half_close(self, stream: Stream) -> None:
        stream.half_closed = True
        self._control.half_close(stream.id)

    def finished(
        self,
        stream: Stream,
        status: int,
        message: str,
        given: Metadata | None = None,
        *,
        code: int | None = None,
    ) -> None:
        """A client's call is over; with `code` the server is told, if it may not know."""
        self.drop(stream)
        if code is not None and not (stream.peer_ended and stream.half_closed):
            self._control.reset(stream.id, code)
        self.events.append(Finished(stream.id, status, message, given or []))

    # -- a server's ends ----------------------------------------------------------------------

    def reset(self, stream: Stream) -> None:
        """A server's call is over before it was finished."""
        self.drop(stream)
        if not stream.finishing:
            self.events.append(Reset(stream.id))

    def finish(
        self,
        stream: Stream,
        status: int,
        message: str,
        given: metadata.Given = (),
        *,
        at_once: bool = False,
    ) -> None:
        """Send trailers after what waits, or `at_once` in its place."""
        if stream.finishing and not at_once:
            return
        stream.finishing = stream.deaf = True
        stream.assembly.discard()
        if at_once:
            self._sender.forget(stream)
        stream.at_end = partial(self._send_trailers, stream, status, message, given)
        self._sender.queue(stream)

    def _send_trailers(
        self, stream: Stream, status: int, message: str, given: metadata.Given
    ) -> None:
        first = not stream.headers_sent
        self.close(stream, metadata.trailers(status, message, given, first=first))

    def close(self, stream: Stream, trailers: metadata.Written) -> None:
        """Send what ends a server's call; its client needs to send no more."""
        self._control.headers(stream.id, trailers, end=True)
        self.drop(stream)
        if not stream.peer_ended:
            self._control.reset(stream.id, frames.NO_ERROR)

    # -- ends that the peer makes -------------------------------------------------------------

    def fail(self, stream: Stream, status: int, text: str) -> None:
        """End `stream`, whoever's it is, with a status of this engine's."""
        if self.is_client:
            self.finished(stream, status, text, code=frames.CANCEL)
            return
        if not stream.finishing:
            self.events.append(Reset(stream.id))
        self.finish(stream, status, text, at_once=True)

    def peer_ended(self, stream: Stream) -> None:
        """The peer sends no more; raises `Unacceptable` if that cut a message."""
        stream.peer_ended = stream.deaf = True
        if self.is_client:
            text = "the answer ended without a grpc-status"
            self.finished(stream, codes.UNKNOWN, text, code=frames.CANCEL)
        elif stream.assembly.held:
            text = "MALFORMED_MESSAGE: the stream ended inside a message"
            raise Unacceptable(codes.INVALID_ARGUMENT, text)
        elif not stream.finishing:
            self.events.append(Ended(stream.id))
