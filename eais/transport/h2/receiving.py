"""What comes in: bytes to frames, DATA to messages, all else to whom it concerns. (Brain.)

Small messages that came whole in one frame are the common case, and the loop is written for it.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeGuard

from eais.transport.h2 import frames
from eais.transport.h2.assembly import Unacceptable
from eais.transport.h2.events import Event, Message
from eais.transport.h2.frames import (
    CONTINUATION,
    END_STREAM,
    HEADER_BYTES,
    HEADERS,
    PADDED,
    PREFIX_BYTES,
    STREAM_BITS,
    PeerFault,
    header_of,
    prefix_of,
)
from eais.transport.h2.limits import H2Limits
from eais.transport.h2.sending import Sender
from eais.transport.h2.stream import Stream
from eais.transport.parts import Buffer

# A whole message up to this size is copied: cheaper than a view, and it holds nothing else.
_COPIED: Final = 4_096
# RFC 9113: what a frame of this type holds, exactly.
_SIZES: dict[int, int] = {
    frames.PRIORITY: 5,
    frames.RST_STREAM: 4,
    frames.PING: 8,
    frames.WINDOW_UPDATE: 4,
}
_SETTINGS_BYTES: Final = 600
_GOAWAY_BYTES: Final = 4_096
_UNKNOWN_BYTES: Final = 16_384


class Hearer(Protocol):
    """Who is told what isn't a message; all may raise `PeerFault`."""

    def on_frame(self, kind: int, flags: int, stream: int, frame: bytes) -> None:
        """A whole frame that isn't DATA, with its header."""

    def on_peer_end(self, stream: Stream) -> None:
        """DATA ended `stream`."""

    def on_unacceptable(self, stream: Stream, why: Unacceptable) -> None:
        """A message that ends `stream`."""

    def on_stray_data(self, stream: int) -> None:
        """DATA of a stream that isn't there (any more)."""

    def on_empty_data(self) -> None:
        """DATA that says nothing."""


class Receiver:
    """Cuts what is read into frames, and DATA into messages; counts the peer's windows."""

    def __init__(
        self,
        streams: dict[int, Stream],
        limits: H2Limits,
        hearer: Hearer,
        sender: Sender,
    ) -> None:
        self._streams = streams
        self._limits = limits
        self._hearer = hearer
        self._sender = sender
        self._events: list[Event] = []
        self._most = limits.message_bytes
        self._frame_bytes = limits.frame_bytes
        self._peer_left = limits.connection_window
        self._uncredited = 0
        self._stream_half = limits.stream_window // 2
        self._connection_half = limits.connection_window // 2
        # A frame that isn't whole yet, unless it is DATA, whose payload is taken as it comes.
        self._held = bytearray()
        self._data_missing = 0
        self._data_ends = False
        self._data_stream: Stream | None = None
        # Within a block of headers: its stream, its bytes and its frames.
        self._block_stream = 0
        self._block_bytes = 0
        self._block_frames = 0

    def read(self, data: Buffer, events: list[Event]) -> None:
        """Take what was read, add what it says to `events`; raises `PeerFault`."""
        self._events = events
        end = len(data)
        pos = self._resume(data) if self._data_missing or self._held else 0
        streams = self._streams
        while end - pos >= HEADER_BYTES:
            head, flags, stream_id = header_of(data, pos)
            length = head >> 8
            start = pos + HEADER_BYTES
            after = start + length
            if after > end:
                break
            if head & 0xFF or flags & PADDED or self._block_stream:
                self._other(head & 0xFF, flags, stream_id, bytes(data[pos:after]))
            else:
                stream = streams.get(stream_id & STREAM_BITS)
                if self._account(stream, stream_id, length):
                    only = None if stream.assembly.held else self._only(data, start, after)
                    if only is None:
                        self._rest_of_frame(stream, flags, memoryview(data)[start:after], end)
                    else:
                        events.append(Message(stream.id, only))
                        if flags & END_STREAM:
                            self._hearer.on_peer_end(stream)
            pos = after
        if pos < end:
            self._hold(data, pos)

    def _only(self, data: Buffer, start: int, after: int) -> Buffer | None:
        """The message that fills a frame's payload, if one does."""
        if after - start < PREFIX_BYTES:
            return None
        flag, size = prefix_of(data, start)
        start += PREFIX_BYTES
        if flag or size != after - start or size > self._most:
            return None
        if size > _COPIED:
            return memoryview(data)[start:after]
        body = data[start:after]
        return body if type(body) is bytes else bytes(body)

    def _rest_of_frame(self, stream: Stream, flags: int, data: memoryview, of: int) -> None:
        """A whole DATA frame that isn't the common case."""
        if data:
            self._payload(stream, data, of)
        elif not flags & END_STREAM:
            self._hearer.on_empty_data()
        if flags & END_STREAM:
            self._hearer.on_peer_end(stream)

    def _account(self, stream: Stream | None, stream_id: int, length: int) -> TypeGuard[Stream]:
        """Count a DATA frame against the windows; False if nobody wants what it holds."""
        self._peer_left -= length
        if self._peer_left < 0:
            raise PeerFault(frames.FLOW_CONTROL_ERROR, "more was sent than the window allows")
        if length > self._frame_bytes:
            raise PeerFault(frames.FRAME_SIZE_ERROR, f"a frame of type 0 with {length} bytes")
        self._uncredited += length
        if self._uncredited >= self._connection_half:
            self._peer_left += self._uncredited
            self._sender.credit(0, self._uncredited)
            self._uncredited = 0
        if stream is None or stream.deaf:
            self._hearer.on_stray_data(stream_id)
            return False
        stream.peer_left -= length
        if stream.peer_left < 0:
            raise PeerFault(frames.FLOW_CONTROL_ERROR, "more was sent than the window allows")
        stream.uncredited += length
        if stream.uncredited >= self._stream_half:
            self.credit_if_due(stream)
        return True

    def credit_if_due(self, stream: Stream) -> None:
        """Let the peer send as much again as it has sent, once that is half a window."""
        due = stream.uncredited >= self._stream_half
        if due and not stream.paused and not stream.peer_ended:
            stream.peer_left += stream.uncredited
            self._sender.credit(stream.id, stream.uncredited)
            stream.uncredited = 0

    def _payload(self, stream: Stream, data: Buffer, of: int) -> None:
        """Data of a message that isn't alone and whole in its frame."""
        try:
            for message in stream.assembly.feed(memoryview(data), of):
                self._events.append(Message(stream.id, message))
        except Unacceptable as why:
            stream.assembly.discard()
            self._hearer.on_unacceptable(stream, why)

    def _resume(self, data: Buffer) -> int:
        """Go on with the frame that wasn't whole; where the next one begins in `data`."""
        if self._data_missing:
            return self._resume_data(data, len(data))
        used = 0
        if len(self._held) < HEADER_BYTES:
            used = min(HEADER_BYTES - len(self._held), len(data))
            self._held += memoryview(data)[:used]
            if len(self._held) < HEADER_BYTES:
                return used
            if self._begin_data():
                return used + self._resume_data(memoryview(data)[used:], len(data))
        head, flags, stream_id = header_of(self._held)
        missing: int = HEADER_BYTES + (head >> 8) - len(self._held)
        taken = min(missing, len(data) - used)
        self._held += memoryview(data)[used : used + taken]
        if taken == missing:
            frame = bytes(self._held)
            self._held = bytearray()
            self._other(head & 0xFF, flags, stream_id, frame)
        return used + taken

    def _hold(self, data: Buffer, pos: int) -> None:
        """Keep the beginning of a frame whose rest will come."""
        rest = memoryview(data)[pos:]
        self._held += rest[:HEADER_BYTES]
        if len(rest) < HEADER_BYTES:
            return
        if self._begin_data():
            self._resume_data(rest[HEADER_BYTES:], len(data))
        else:
            self._held += rest[HEADER_BYTES:]

    def _begin_data(self) -> bool:
        """Whether the held header begins DATA whose payload is taken as it comes."""
        head, flags, stream_id = header_of(self._held)
        length = head >> 8
        self._check_size(head & 0xFF, length)
        if head & 0xFF or flags & PADDED or self._block_stream or not length:
            return False
        self._held = bytearray()
        stream = self._streams.get(stream_id & STREAM_BITS)
        self._data_stream = stream if self._account(stream, stream_id, length) else None
        self._data_missing = length
        self._data_ends = bool(flags & END_STREAM)
        return True

    def _resume_data(self, data: Buffer, of: int) -> int:
        """Take what `data` holds of a frame; how much that was."""
        taken = min(self._data_missing, len(data))
        self._data_missing -= taken
        stream = self._data_stream
        # Since the frame began its stream may have ended, or have no ears any more.
        if taken and stream is not None and not (stream.over or stream.deaf):
            self._payload(stream, memoryview(data)[:taken], of)
        if not self._data_missing:
            self._data_stream = None
            if stream is not None and self._data_ends:
                self._hearer.on_peer_end(stream)
        return taken

    def _other(self, kind: int, flags: int, stream_id: int, frame: bytes) -> None:
        """A whole frame that isn't plain DATA."""
        stream_id &= STREAM_BITS
        length = len(frame) - HEADER_BYTES
        self._check_size(kind, length)
        if kind in (HEADERS, CONTINUATION) or self._block_stream:
            self._check_block(kind, flags, stream_id, length)
        if kind:
            self._hearer.on_frame(kind, flags, stream_id, frame)
            return
        stream = self._streams.get(stream_id)
        payload = memoryview(frame)[HEADER_BYTES:]
        data = frames.without_padding(payload) if flags & PADDED else payload
        if self._account(stream, stream_id, length):
            self._rest_of_frame(stream, flags, data, length)

    def _check_size(self, kind: int, length: int) -> None:
        if length > self._largest(kind) or length < _SIZES.get(kind, 0):
            raise PeerFault(frames.FRAME_SIZE_ERROR, f"a frame of type {kind} with {length} bytes")

    def _largest(self, kind: int) -> int:
        match kind:
            case frames.DATA:
                return self._limits.frame_bytes
            case frames.HEADERS | frames.CONTINUATION:
                return self._limits.header_block_bytes
            case frames.SETTINGS:
                return _SETTINGS_BYTES
            case frames.GOAWAY:
                return _GOAWAY_BYTES
        return _SIZES.get(kind, _UNKNOWN_BYTES)

    def _check_block(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        """Headers come in one row, and are neither endless nor in crumbs."""
        begins = kind == HEADERS
        goes_on = kind == CONTINUATION and stream_id == self._block_stream
        if not (begins and not self._block_stream) and not (goes_on and self._block_stream):
            raise PeerFault(frames.PROTOCOL_ERROR, "a frame within a block of headers")
        if begins:
            self._block_stream, self._block_bytes, self._block_frames = stream_id, 0, 0
        self._block_bytes += length
        self._block_frames += 1
        if (
            self._block_bytes > self._limits.header_block_bytes
            or self._block_frames > self._limits.header_frames
        ):
            raise PeerFault(frames.ENHANCE_YOUR_CALM, "a block of headers without end")
        if flags & frames.END_HEADERS:
            self._block_stream = 0
