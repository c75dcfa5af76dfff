"""What a late call is worth: adapted so that as many are late as the operator said. (Brain)

The operator states which part of calls may be late. Each decision weighs rent against late calls
at one price, and that price is the multiplier of the constraint: it rises while more calls are
late than were said, and falls while fewer are (dual ascent; Neely, "Stochastic network
optimization", 2010). Only calls that were late count, none that may be.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

_AIM: Final = 0.92
"""Of what may be late: lateness comes in lumps."""
_USUAL: Final = 0.01
_LEAST_PART: Final = 0.1
_MOST: Final = 0.1
_CORRECTED_S: Final = 2 * 86400.0
_SETTLED_S: Final = 60.0


class Lateness:
    """Of one instance.

    Args:
        target: part of calls that may be late.
        slack_s: what calls may wait.

    Attributes:
        tail: what decisions allow to be late, each by its own forecast.
    """

    def __init__(self, target: float, slack_s: float) -> None:
        self._target = target
        self.tail = math.sqrt(target * _USUAL)
        self._recent: deque[float] = deque([0.0] * (math.ceil(slack_s) + 1))
        self._calls = self._seconds = 0.0
        self.late = 0.0

    def saw(self, arrived: float, waiting: float) -> None:
        """A second in which so many calls came, and at the end of which so many wait."""
        self._recent.append(arrived)
        self._recent.popleft()
        in_time = sum(self._recent) - self._recent[0]
        late = min(max(0.0, waiting - in_time), self._recent[0])
        self.late += late
        self._calls += arrived
        self._seconds += 1
        calls = self._calls / max(self._seconds, _SETTLED_S) * _CORRECTED_S
        if not calls:
            return
        step = (_AIM * self._target * arrived - late) / (_AIM * self._target * calls)
        # Half at most in one second, however few calls there are a day.
        self.tail *= math.exp(max(step, -math.log(2)))
        self.tail = min(max(self.tail, _LEAST_PART * self._target), _MOST)
