"""What was asked for so far, by kind and size: the demand that placement expects. (Brain)

Each start counts. What is learned of them is taken over only when a quarter more was asked than
when that was done last, since whatever hangs on it is worked out anew then. Counts are halved
when they come to `MOST`, so that what is asked for now outweighs what was asked for long ago; of
the sizes that were asked for least, some are forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOST: Final = 4_096
"""Starts that are counted."""
SIZES_MOST: Final = 64
FIRST: Final = 8
"""Starts until something is learned for the first time."""
_GROWTH: Final = 1.25

Counts = tuple[tuple[str, int, int], ...]
"""Kinds, milli-devices, and how often so much of that was asked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The starts of a pool.

    Attributes:
        counts: of all that are remembered.
        learned: the counts as they were taken over last.
    """

    counts: Counts = ()
    learned: Counts = ()

    def more(self, kind: str, milli: int) -> Asked:
        """After one more start with so many milli-devices of that kind."""
        wanted, counts = (kind, milli), {(kind, milli): n for kind, milli, n in self.counts}
        counts[wanted] = counts.get(wanted, 0) + 1
        if len(counts) > SIZES_MOST:
            del counts[min((n, each) for each, n in counts.items() if each != wanted)[1]]
        if sum(counts.values()) >= MOST:
            counts = {each: n // 2 for each, n in counts.items() if n > 1}
        now = tuple((*each, n) for each, n in sorted(counts.items()))
        return Asked(now, now if self._is_due(total(now)) else self.learned)

    def _is_due(self, count: int) -> bool:
        known = total(self.learned)
        return count >= max(FIRST, known * _GROWTH) or count < known / 2


NOTHING_ASKED: Final = Asked()


def total(counts: Counts) -> int:
    """How many starts these are."""
    return sum(n for _, _, n in counts)
