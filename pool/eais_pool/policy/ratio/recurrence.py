"""When surges come back: how likely one is to begin, second by second. (Brain)

Surges are taken for a Poisson process whose intensity is a product: a base rate, a factor for
the phase in each period that people and timers keep (five minutes, half an hour, an hour, a
day), and one for the time since the last surge. Each factor is (seen + c) / (expected + c), where
expected is what the factors before it foretold while that phase lasted: the mean of a gamma
posterior around 1. So a factor of which nothing is known is 1, and a long period corrects what
shorter ones already explain. Surges count by their size, relative to the mean.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from typing import Final

BLOCK_S: Final = 5
"""How finely phases are told apart."""
_PHASES: Final = ((300, BLOCK_S), (1800, BLOCK_S), (3600, BLOCK_S), (86400, 1800))
"""Periods, and how finely each is divided, in seconds."""
_GAP_S: Final = 600
_GAPS: Final = 36
_PRIORS: Final = (*(min(2.0, 2.0 * width / 15) for _, width in _PHASES), 2.0)
"""How many surges as expected outweigh what was seen of a phase."""
_BASE_EVENTS, _BASE_S = 0.5, 7200.0
_KEPT: Final = 50
_LEAST: Final = 3
"""Surges that must have been seen before one is expected."""
_HEAVIEST: Final = 2.0
_LARGE: Final = 0.5


class Recurrence:
    """What was learned of the surges of one instance: only of those that were."""

    def __init__(self) -> None:
        self._cells = [[[0.0, 0.0] for _ in range(period // width)] for period, width in _PHASES]
        self._gaps = [[0.0, 0.0] for _ in range(_GAPS)]
        self._weight = 0.0
        self._seconds = 0.0
        self._last: int | None = None
        self._sizes: deque[float] = deque(maxlen=_KEPT)
        self._ascending: list[float] = []

    @property
    def surges(self) -> int:
        """How many are remembered."""
        return len(self._sizes)

    def passed(self, begin: int) -> None:
        """The block that began at second `begin` went by."""
        rate = self._base()
        for cell, prior in zip(self._at(begin), _PRIORS, strict=False):
            seen, expected = cell
            cell[1] += min(rate * BLOCK_S, 1.0)
            rate *= (seen + prior) / (expected + prior)
        self._seconds += BLOCK_S

    def surged(self, begin: int, size: float) -> None:
        """A surge of so many calls a second began."""
        if len(self._sizes) == _KEPT:
            self._ascending.remove(self._sizes[0])
        self._sizes.append(size)
        insort(self._ascending, size)
        weight = min(_HEAVIEST, size * len(self._sizes) / sum(self._sizes))
        # As exact as three blocks: the next may begin a little sooner or later.
        for at, part in ((begin - BLOCK_S, 0.25), (begin, 0.5), (begin + BLOCK_S, 0.25)):
            for cell in self._at(max(at, 0)):
                cell[0] += part * weight
        self._weight += weight
        if weight >= _LARGE or self._last is None:
            self._last = begin

    def per_s(self, at: int) -> float:
        """How likely one begins in that second."""
        rate = self._base()
        for (seen, expected), prior in zip(self._at(at), _PRIORS, strict=False):
            rate *= (seen + prior) / (expected + prior)
        return rate

    def size(self, exceeded_by: float) -> float:
        """What a surge exceeds with that probability; 0 if nothing is known of any."""
        if not self._ascending:
            return 0.0
        count = len(self._ascending)
        return self._ascending[max(count - 1 - int(exceeded_by * count), 0)]

    def reserve(self, begin: int, until: int, worth_per_s: float) -> float:
        """What to have ready for surges that begin between two seconds, in calls a second.

        Args:
            worth_per_s: how likely one must be for what it needs to be held ready.
        """
        if self.surges < _LEAST:
            return 0.0
        likeliest = max(self.per_s(at) for at in range(begin, until + 1, BLOCK_S))
        return 0.0 if likeliest <= worth_per_s else self.size(worth_per_s / likeliest)

    def _base(self) -> float:
        return (self._weight + _BASE_EVENTS) / (self._seconds + _BASE_S)

    def _at(self, at: int) -> list[list[float]]:
        found = [
            cells[at % period // width]
            for (period, width), cells in zip(_PHASES, self._cells, strict=True)
        ]
        if self._last is not None:
            found.append(self._gaps[min((at - self._last) // _GAP_S, _GAPS - 1)])
        return found
