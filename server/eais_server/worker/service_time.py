"""How long calls take a run thread, and how large answers are, as measured. (Brain)

Calls of one session take about as long as others with inputs of about that size. Of the last
few of such the mean counts, without the longest: the first run of a model, or one that the
machine held up, says little of the next.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

REMEMBERED: Final = 16
"""Calls of one kind."""
MAX_KINDS: Final = 1024
"""Of (session, size); those that didn't run for longest are forgotten."""

_Kind = tuple[str, int]


@dataclass(eq=False, slots=True)
class _Seen:
    """What the last calls of a kind took, and so what the next one is expected to take."""

    last: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    expected_s: float = 0.0
    answer_bytes: int = 0

    def add(self, seconds: float) -> None:
        last = self.last
        last.append(seconds)
        many = len(last) > 1
        self.expected_s = (sum(last) - max(last)) / (len(last) - 1) if many else seconds


class ServiceTimes:
    """Seconds on a run thread, by session and size of inputs."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[_Kind, _Seen] = OrderedDict()
        # The newest kind of each session stands in for those that haven't run yet.
        self._newest: dict[str, _Kind] = {}

    def took(
        self, session: str, size: int, seconds: float, answer_bytes: int | None = None
    ) -> None:
        """A call of `session` with `size` bytes of inputs was on a run thread for so long."""
        kind = _kind(session, size)
        self._newest[session] = kind
        seen = self._kinds.get(kind)
        if seen is None:
            seen = self._kinds[kind] = _Seen()
        seen.add(seconds)
        if answer_bytes is not None:
            seen.answer_bytes = answer_bytes
        self._kinds.move_to_end(kind)
        if len(self._kinds) > MAX_KINDS:
            oldest, _ = self._kinds.popitem(last=False)
            if self._newest.get(oldest[0]) == oldest:
                del self._newest[oldest[0]]

    def expected_s(self, session: str, size: int) -> float:
        """What the next such call will take; 0 while nothing is known of the session."""
        seen = self._seen(session, size)
        return seen.expected_s if seen is not None else 0.0

    def answer_bytes(self, session: str, size: int) -> int | None:
        """What the last such call's answer had; None while nothing is known of the session."""
        seen = self._seen(session, size)
        return seen.answer_bytes if seen is not None else None

    def _seen(self, session: str, size: int) -> _Seen | None:
        seen = self._kinds.get(_kind(session, size))
        if seen is None:
            newest = self._newest.get(session)
            seen = self._kinds.get(newest) if newest is not None else None
        return seen


def _kind(session: str, size: int) -> _Kind:
    return session, size.bit_length()
