"""How long to look for the next message again and again before sleeping. (Brain)

To be woken costs tens of microseconds, to look costs a processor. So one looks as long as what
comes usually comes soon, and no longer than it usually takes. Who has slept can't tell how long it
would have taken: now and then it is tried.
"""

from __future__ import annotations

from typing import Final

MOST_NS: Final = 150_000
"""Nothing that takes longer is waited for like that; about what two or three wake-ups cost."""
TRY_EVERY: Final = 16
"""Of so many times that it doesn't seem worth while it is tried once."""
_LEAST_CHANCE: Final = 0.25
_WEIGHT: Final = 1 / 8
_SLACK: Final = 3


class Spin:
    """Learns from how long the last ones took to come; not for two threads at once.

    Args:
        allowed: whether both ends have a processor each; else it never spins. An attribute, too.
        most_ns: the longest.
    """

    def __init__(self, allowed: bool, most_ns: int = MOST_NS) -> None:
        self.allowed = allowed
        self._most_ns = most_ns
        self._chance = 0.5
        self._usual_ns = most_ns / _SLACK
        self._slept = 0

    def budget_ns(self) -> int:
        """How long to spin now; 0 for not at all."""
        if not self.allowed:
            return 0
        if self._chance >= _LEAST_CHANCE:
            return min(self._most_ns, int(_SLACK * self._usual_ns))
        self._slept += 1
        return 0 if self._slept % TRY_EVERY else self._most_ns

    def came(self, waited_ns: int) -> None:
        """Something came, after so long, slept or not."""
        if waited_ns > self._most_ns:
            self._chance -= _WEIGHT * self._chance
            return
        # One that came soon says more than one that didn't: that may have been the sleep's doing.
        self._chance += 2 * _WEIGHT * (1 - self._chance)
        self._usual_ns += _WEIGHT * (waited_ns - self._usual_ns)
