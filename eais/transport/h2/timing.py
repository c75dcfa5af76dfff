"""What time does to a connection: deadlines, silence, a peer that doesn't take what it asked for.

(Brain.) It knows only the times that its engine was given.
"""

from __future__ import annotations

import heapq
import math
from typing import Final

from eais.errors import Unavailable
from eais.transport.h2 import codes
from eais.transport.h2.calls import Calls
from eais.transport.h2.events import Stalled
from eais.transport.h2.limits import H2Limits
from eais.transport.h2.sending import Sender
from eais.transport.h2.stream import Stream

# How many deadlines of calls that are over may be kept, beside as many as there are open ones.
_SPARE_DEADLINES: Final = 64


class Timing:
    """When something is due on a connection; all times are seconds of the shell's clock."""

    def __init__(self, limits: H2Limits, calls: Calls, sender: Sender) -> None:
        self._limits = limits
        self._calls = calls
        self._sender = sender
        self.now_s = 0.0
        self.greeted = False
        self._greeting_due_s = math.inf
        # When the peer was heard last, and when it was asked, if it hasn't been heard since.
        self._heard_s = math.inf
        self._asked_s = math.inf
        self._deadlines: list[tuple[float, int]] = []
        self._look_s = math.inf

    def begin(self, now_s: float) -> None:
        """The connection is there."""
        self.now_s = self._heard_s = now_s
        self._greeting_due_s = now_s + self._limits.greeting_s

    def heard(self, now_s: float) -> None:
        """The peer said something."""
        self.now_s = self._heard_s = now_s
        self._asked_s = math.inf

    def expect_end(self, stream: Stream, timeout_s: float | None) -> None:
        """`stream` may last `timeout_s` from now."""
        if timeout_s is not None:
            stream.deadline_s = self.now_s + timeout_s
            heapq.heappush(self._deadlines, (stream.deadline_s, stream.id))
            if len(self._deadlines) > _SPARE_DEADLINES + 2 * len(self._calls.streams):
                self._forget_those_over()

    def _forget_those_over(self) -> None:
        """Keep no deadlines of calls that are over: they may be a client's life away."""
        open_streams = self._calls.streams.values()
        self._deadlines = [
            (stream.deadline_s, stream.id)
            for stream in open_streams
            if stream.deadline_s is not None
        ]
        heapq.heapify(self._deadlines)

    @property
    def next_s(self) -> float:
        """When something is due; `inf` if nothing is."""
        if math.isinf(self._asked_s):
            silence_s = self._heard_s + self._limits.keepalive_every_s
        else:
            silence_s = self._asked_s + self._limits.keepalive_wait_s
        deadline_s = self._deadlines[0][0] if self._deadlines else math.inf
        greeting_s = math.inf if self.greeted else self._greeting_due_s
        return min(deadline_s, silence_s, greeting_s, self._next_stalls_s())

    def _next_stalls_s(self) -> float:
        if math.isinf(self._limits.stall_s) or not self._sender.stalled():
            return math.inf
        return self._look_s if self._look_s < math.inf else self.now_s

    def tick(self, now_s: float) -> bool:
        """Do what is due at `now_s`; True if the peer is to be asked whether it is there.

        Raises `Unavailable` for a peer that has been silent for too long.
        """
        self.now_s = now_s
        if not self.greeted and now_s >= self._greeting_due_s:
            waited_s = self._limits.greeting_s
            raise Unavailable("HOST_UNREACHABLE", f"no HTTP/2 settings within {waited_s:g} s")
        self._end_late(now_s)
        self._look_for_stalled(now_s)
        return self._ask(now_s)

    def _end_late(self, now_s: float) -> None:
        while self._deadlines and self._deadlines[0][0] <= now_s:
            at_s, stream_id = heapq.heappop(self._deadlines)
            stream = self._calls.streams.get(stream_id)
            if stream is not None and stream.deadline_s == at_s:
                text = "the call's deadline has passed"
                self._calls.fail(stream, codes.DEADLINE_EXCEEDED, text)

    def _look_for_stalled(self, now_s: float) -> None:
        """Say of which stream the peer hasn't taken anything for too long."""
        stall_s = self._limits.stall_s
        if math.isinf(stall_s) or now_s < self._look_s < math.inf:
            return
        for stream in self._sender.stalled():
            if stream.stalled_s is None:
                stream.stalled_s = now_s
            elif now_s >= stream.stalled_s + stall_s:
                stream.stalled_s = now_s
                self._calls.events.append(Stalled(stream.id))
        self._look_s = now_s + stall_s / 4 if self._sender.stalled() else math.inf

    def _ask(self, now_s: float) -> bool:
        if self._asked_s < math.inf:
            if now_s >= self._asked_s + self._limits.keepalive_wait_s:
                silent_s = now_s - self._heard_s
                raise Unavailable(
                    "HOST_UNREACHABLE", f"no answer to a ping: silent for {silent_s:.1f} s"
                )
            return False
        if now_s < self._heard_s + self._limits.keepalive_every_s:
            return False
        self._asked_s = now_s
        return True
