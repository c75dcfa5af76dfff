"""How long to look for the next message again and again before sleeping. (Brain)

To be woken costs tens of microseconds, to look costs a processor. So one looks as long as what
comes usually comes soon, and no longer than it usually takes.
"""

from __future__ import annotations

from typing import Final

MOST_NS: Final = 100_000
"""Nothing that takes longer is waited for like that; about what two wake-ups cost."""
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

    @property
    def budget_ns(self) -> int:
        """How long to spin now; 0 for not at all."""
        if not self.allowed or self._chance < _LEAST_CHANCE:
            return 0
        return min(self._most_ns, int(_SLACK * self._usual_ns))

    def came(self, waited_ns: int) -> None:
        """Something came, after so long, slept or not."""
        if waited_ns > self._most_ns:
            self._chance -= _WEIGHT * self._chance
            return
        self._chance += _WEIGHT * (1 - self._chance)
        self._usual_ns += _WEIGHT * (waited_ns - self._usual_ns)
