"""How long to look for the next message again and again before sleeping. (Brain)

To be woken costs tens of microseconds, and cold caches; to look costs a processor. So one looks as
long as looking usually finds what comes, and not where somebody else wants the processor meanwhile:
that may be the one who is to send it. Who has slept can't tell whether looking would have found it:
now and then it is tried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MOST_NS: Final = 150_000
"""Nothing that takes longer is looked for; about what two or three wake-ups cost."""
LEAST_NS: Final = 50_000
"""Where looking helps, it is looked for no less than one wake-up costs."""
TRY_EVERY: Final = 16
"""Of so many times that it doesn't seem worth while it is tried once."""
CHECK_EVERY: Final = 8
"""Where nobody wants the processor, it is seen to so seldom: the kernel's answer takes a
microsecond."""
_LEAST_CHANCE: Final = 0.25
_WEIGHT: Final = 1 / 8
_SLACK: Final = 3


class Spin:
    """Learns from whether it came while one looked; not for two threads at once.

    Args:
        allowed: whether there is a processor for either end; else it never looks. An attribute,
            too.
        clock: monotonic nanoseconds.
        ran: nanoseconds for which this thread has had a processor.
    """

    def __init__(self, allowed: bool, clock: Callable[[], int], ran: Callable[[], int]) -> None:
        self.allowed = allowed
        self._clock = clock
        self._ran = ran
        self._chance = 0.5
        self._usual_ns: float = MOST_NS
        self._unlooked = 0
        self._since_ns = self._until_ns = self._ran_ns = 0
        self._looks = False
        # Looks until it is seen to whether others want the processor; it is in this one: 0.
        self._unchecked = 0

    def look_until(self) -> int:
        """Nothing is here: until when, by the clock, to look for it; a past time: sleep at once.

        Asked again it gives the same, until `came` or `forget`.
        """
        if not self._since_ns:
            self._since_ns = now = self._clock()
            budget_ns = self._budget_ns()
            self._until_ns = now + budget_ns
            if budget_ns:
                self._looks = True
                if not self._unchecked:
                    self._ran_ns = self._ran()
        return self._until_ns

    def gave_up(self) -> None:
        """Nothing came while one looked: one sleeps."""
        if self._looks:
            self._looks = False
            self._chance -= _WEIGHT * self._chance

    def came(self) -> None:
        """It is here, looked for or not."""
        if self._looks:
            waited_ns = self._clock() - self._since_ns
            if self._others_ran(waited_ns):
                self.gave_up()
            else:
                self._chance += 2 * _WEIGHT * (1 - self._chance)
                self._usual_ns += _WEIGHT * (waited_ns - self._usual_ns)
        self.forget()

    def _others_ran(self, waited_ns: int) -> bool:
        """Whether others had the processor while one looked, as far as it is seen to."""
        if self._unchecked:
            self._unchecked -= 1
            return False
        if 2 * (self._ran() - self._ran_ns) < waited_ns:
            return True
        self._unchecked = CHECK_EVERY - 1
        return False

    def forget(self) -> None:
        """What is waited for from now on is something else."""
        self._since_ns, self._looks = 0, False

    def _budget_ns(self) -> int:
        if not self.allowed:
            return 0
        if self._chance >= _LEAST_CHANCE:
            return int(min(MOST_NS, max(LEAST_NS, _SLACK * self._usual_ns)))
        self._unlooked += 1
        return 0 if self._unlooked % TRY_EVERY else MOST_NS
