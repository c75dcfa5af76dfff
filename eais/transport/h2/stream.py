"""What an engine knows of one stream. (Brain.)"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from eais.transport.h2.assembly import Assembly, Unfinished
from eais.transport.h2.frames import pack_prefix
from eais.transport.h2.limits import H2Limits
from eais.transport.parts import Buffer


class Stream:
    """One stream: windows both ways, what waits to be sent, and what is half received."""

    __slots__ = (
        "_parts",
        "assembly",
        "at_end",
        "blocked",
        "deadline_s",
        "deaf",
        "finishing",
        "half_closed",
        "headers_sent",
        "id",
        "in_turn",
        "over",
        "paused",
        "peer_ended",
        "peer_left",
        "send_left",
        "stalled_s",
        "uncredited",
        "waiting",
    )

    def __init__(
        self, stream_id: int, limits: H2Limits, unfinished: Unfinished, send_left: int
    ) -> None:
        self.id = stream_id
        # What we may send, what the peer may, and what it has sent since it was given credit.
        self.send_left = send_left
        self.peer_left = limits.stream_window
        self.uncredited = 0
        self.assembly = Assembly(limits, unfinished)
        self._parts: deque[memoryview] = deque()
        self.waiting = 0
        self.in_turn = False
        self.blocked = False
        self.paused = False
        self.headers_sent = False
        self.half_closed = False
        # Its owner sends no more; the end is said when nothing waits any more.
        self.finishing = False
        self.over = False
        self.peer_ended = False
        # Nobody hears what still comes: the peer had ended it, or its owner has.
        self.deaf = False
        self.deadline_s: float | None = None
        # Since when nothing could be sent of what waits, if somebody has looked.
        self.stalled_s: float | None = None
        # What is to be done when nothing waits any more: half-close or trailers.
        self.at_end: Callable[[], None] | None = None

    def enqueue(self, size: int, parts: list[Buffer]) -> None:
        """Put one message of `size` bytes behind what waits."""
        self._parts.append(memoryview(pack_prefix(0, size)))
        self._parts.extend(memoryview(part) for part in parts if part)
        self.waiting += 5 + size

    def take(self, most: int) -> list[Buffer]:
        """Remove up to `most` bytes (> 0) of what waits."""
        taken: list[Buffer] = []
        while most and self._parts:
            part = self._parts.popleft()
            if len(part) > most:
                self._parts.appendleft(part[most:])
                part = part[:most]
            taken.append(part)
            most -= len(part)
            self.waiting -= len(part)
        return taken

    def discard_waiting(self) -> None:
        """Forget what wasn't sent."""
        self._parts.clear()
        self.waiting = 0
