"""What goes out: frames in order, and messages as the peer's windows let them. (Brain.)"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from eais.transport.h2 import frames
from eais.transport.h2.frames import DATA, PeerFault, pack_header, pack_message_header
from eais.transport.h2.stream import Stream
from eais.transport.parts import Buffer

# A message up to this size goes ahead of larger ones that wait on other streams.
_AT_ONCE: Final = 64 << 10
# No frame is cut smaller than this to keep within what `output` was asked for.
_WORTH_A_FRAME: Final = 16 << 10


class Sender:
    """The bytes for the peer, and the streams whose messages wait for their turn or a window."""

    def __init__(self) -> None:
        self.window = frames.FIRST_WINDOW
        self.frame_bytes = frames.SMALLEST_FRAME
        self.data_frames = 0
        self.control_bytes = 0
        # What waits on all streams for its turn or for a window.
        self.waiting = 0
        self._out: list[Buffer] = []
        self._out_bytes = 0
        self._turns: deque[Stream] = deque()
        self._blocked: dict[int, Stream] = {}

    @property
    def wants_write(self) -> bool:
        """Whether `output` has something to give."""
        return bool(self._out) or bool(self._turns and self.window > 0)

    @property
    def out_bytes(self) -> int:
        """What is ready and wasn't taken, in bytes."""
        return self._out_bytes

    def control(self, data: bytes) -> None:
        """Send a frame that isn't DATA."""
        if data:
            self._out.append(data)
            self._out_bytes += len(data)
            self.control_bytes += len(data)

    def credit(self, stream: int, credit: int) -> None:
        """Let the peer send `credit` bytes more on `stream`, or on all (0)."""
        self.control(frames.window_update(stream, credit))

    def message(self, stream: Stream, parts: Sequence[Buffer]) -> None:
        """Send one message, at once where the windows and what waits before it allow."""
        size = sum(map(len, parts))
        framed = size + frames.PREFIX_BYTES
        if (
            not stream.waiting
            and framed <= stream.send_left
            and framed <= self.window
            and framed <= self.frame_bytes
            and framed <= _AT_ONCE
        ):
            stream.send_left -= framed
            self.window -= framed
            self.data_frames += 1
            out = self._out
            out.append(pack_message_header((framed << 8) | DATA, 0, stream.id, 0, size))
            out += parts
            self._out_bytes += framed
            return
        stream.enqueue(size, list(parts))
        self.waiting += framed
        self.queue(stream)

    def queue(self, stream: Stream) -> None:
        """Give `stream` its turn when it can send; one with nothing left to send ends."""
        if stream.in_turn:
            return
        if not stream.waiting:
            self._end(stream)
        elif stream.send_left > 0:
            stream.in_turn = True
            self._turns.append(stream)
        else:
            self._block(stream)

    def _block(self, stream: Stream) -> None:
        stream.blocked = True
        self._blocked[stream.id] = stream

    def _end(self, stream: Stream) -> None:
        if stream.at_end is not None:
            at_end, stream.at_end = stream.at_end, None
            at_end()

    def output(self, most: int) -> list[Buffer]:
        """Remove about `most` bytes of what can go out now."""
        if self._turns:
            self._fill(most)
        out = self._out
        if out:
            self._out = []
            self._out_bytes = 0
            self.control_bytes = 0
        return out

    def _fill(self, most: int) -> None:
        while self._turns and self.window > 0 and self._out_bytes < most:
            stream = self._turns.popleft()
            stream.in_turn = False
            if stream.waiting and stream.send_left > 0:
                self._frame(stream, max(most - self._out_bytes, _WORTH_A_FRAME))
            self.queue(stream)

    def _frame(self, stream: Stream, most: int) -> None:
        size = min(stream.waiting, stream.send_left, self.window, self.frame_bytes, most)
        self._out.append(pack_header((size << 8) | DATA, 0, stream.id))
        self._out += stream.take(size)
        self._out_bytes += size
        self.data_frames += 1
        self.waiting -= size
        stream.stalled_s = None
        stream.send_left -= size
        self.window -= size

    def opened(self, stream: Stream, credit: int) -> bool:
        """`credit` bytes more may be sent on `stream`: whether it waited for that."""
        stream.send_left = _grown(stream.send_left, credit)
        if not stream.blocked or stream.send_left <= 0:
            return False
        stream.blocked = False
        del self._blocked[stream.id]
        self.queue(stream)
        return True

    def opened_all(self, credit: int) -> list[Stream]:
        """`credit` bytes more may be sent on all streams: those that waited for it."""
        was_closed = self.window <= 0
        self.window = _grown(self.window, credit)
        return list(self._turns) if was_closed and self.window > 0 else []

    def stalled(self) -> list[Stream]:
        """The streams that can't send what waits, for want of a window."""
        stalled = list(self._blocked.values())
        return stalled + list(self._turns) if self.window <= 0 else stalled

    def forget(self, stream: Stream) -> None:
        """`stream` is gone: what it had waiting isn't sent."""
        self.waiting -= stream.waiting
        stream.discard_waiting()
        stream.at_end = None
        if stream.in_turn:
            self._turns.remove(stream)
            stream.in_turn = False
        if stream.blocked:
            stream.blocked = False
            del self._blocked[stream.id]


def _grown(window: int, credit: int) -> int:
    if window + credit > frames.LARGEST_WINDOW:
        raise PeerFault(frames.FLOW_CONTROL_ERROR, "a window is opened above 2^31 - 1")
    return window + credit
