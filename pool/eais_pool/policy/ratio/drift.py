"""How far demand rises until more could serve: learned as it goes by. (Brain)

The rise of one attach delay, in roots of the demand, is counted in a histogram that forgets (a
day), one for each octave of how restless the last minutes were: what is rare in a calm hour is
usual after a surge, and one quantile for both would be too much for the one and too little for
the other. The margin is the newsvendor's: of all that could be had beyond the demand, that of
which rent and what would be late without it, at its price, are least together (Arrow, Harris
and Marschak, "Optimal inventory policy", Econometrica 19, 1951). Where attaching takes longer
than calls may wait, all calls of a second that needs more than there is are late.
"""

from __future__ import annotations

import math
from typing import Final

_WIDTH: Final = 0.125
"""Of a bin, in roots of the demand."""
_BINS: Final = 64
_CALMEST: Final = 0.25
_OCTAVES: Final = 5
_RESTLESS_S: Final = 300.0
_FORGET_S: Final = 86400.0
_GROWN: Final = 1e6
_PRIOR: Final = 120.0
"""Seconds of a class in which as much as this was seen of all outweigh what was seen of it."""


class Drift:
    """Of one instance, with one attach delay."""

    def __init__(self) -> None:
        self._all = [0.0] * _BINS
        self._classes = [[0.0] * _BINS for _ in range(_OCTAVES)]
        self._weight = 1.0
        self._restless = _CALMEST

    @property
    def octave(self) -> int:
        """How restless the demand is: 0 is calm."""
        return min(max(0, int(math.log2(self._restless / _CALMEST) + 1)), _OCTAVES - 1)

    def saw(self, rise: float) -> None:
        """What was needed exceeds the demand of one attach delay before by that many roots."""
        at = min(max(0, math.ceil(rise / _WIDTH)), _BINS - 1)
        self._all[at] += self._weight
        self._classes[self.octave][at] += self._weight
        self._restless = max(
            _CALMEST / 4, self._restless + (abs(rise) - self._restless) / _RESTLESS_S
        )
        # Newer ones weigh more, which is what forgetting is, but for the scale.
        self._weight *= 1 + 1 / _FORGET_S
        if self._weight > _GROWN:
            self._rescale()

    def margin(self, rate: float, late_cost: float) -> float:
        """What to have beyond a demand of `rate`, in roots of it.

        Args:
            late_cost: of a late call, in rents of what answers one in time.
        """
        mine, total = self._classes[self.octave], sum(self._all)
        if not total:
            return 0.5
        share = _PRIOR * self._weight / total
        weights = [own + share * each for own, each in zip(mine, self._all, strict=True)]
        worth = late_cost * math.sqrt(rate) / sum(weights)
        above, best, least = sum(weights), 0, math.inf
        for at, weight in enumerate(weights):
            above -= weight
            cost = at * _WIDTH + worth * above
            if cost < least:
                best, least = at, cost
        return best * _WIDTH

    def _rescale(self) -> None:
        for cells in (self._all, *self._classes):
            cells[:] = [each / self._weight for each in cells]
        self._weight = 1.0
