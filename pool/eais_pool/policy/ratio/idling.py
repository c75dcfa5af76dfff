"""When calls come back after a pause: what is worth keeping through one. (Brain)

The lengths of pauses are a renewal process of which the last ones are remembered, with a few
that would be as likely at any scale, until there are some. What serves is kept through a pause
for as long as some stretch of time from now on is worth it: the chance that the pause ends within
it, times what is lost if nothing serves then, is at least the rent until then (the index of
optimal stopping; with nothing known, ski rental. Shahrad and others, "Serverless in the wild",
USENIX ATC 2020, keep such a histogram of idle times for each function).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from typing import Final

_KEPT: Final = 256
_UNKNOWN: Final = tuple(float(2**octave) for octave in range(2, 16))
"""Pauses of which nothing is known, in seconds; all of them count as much as one that was seen."""


class Idling:
    """The pauses of one instance: seconds on end without a call."""

    def __init__(self) -> None:
        self._lengths: deque[int] = deque()
        self._ascending: list[int] = []

    def ended(self, length_s: int) -> None:
        """Calls came back after so many seconds without."""
        if len(self._lengths) == _KEPT:
            self._ascending.remove(self._lengths.popleft())
        self._lengths.append(length_s)
        insort(self._ascending, length_s)

    def keeps(self, quiet_s: int, worth_s: float) -> bool:
        """A unit is worth keeping after so many seconds without a call.

        Args:
            worth_s: what is lost if it isn't there when calls come back, in seconds of its rent.
        """
        longer = self._ascending[bisect_right(self._ascending, quiet_s) :]
        ends = [(float(each), 1.0) for each in longer]
        ends += [(each, 1 / len(_UNKNOWN)) for each in _UNKNOWN if each > quiet_s]
        left = sum(weight for _, weight in ends)
        ended = rent = 0.0
        for length, weight in sorted(ends):
            rent += weight * (length - quiet_s)
            ended += weight
            left -= weight
            if ended * worth_s >= rent + left * (length - quiet_s):
                return True
        return False
