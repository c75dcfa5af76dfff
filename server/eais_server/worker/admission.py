"""Whether a call is taken now, or told at once to come later. (Brain)

What is taken should be answered soon: a call that would wait about as long as `queue_limit_s`, or
past its caller's deadline, is refused before anything of it is kept, and told when there will
be room. Each call of a stream that is told so gets a time of its own, one service time after the
last that was, so that they don't all come back at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eais.errors import EaisError, make_error

AIM: Final = 0.8
"""Share of the queue's limit that is filled by estimate. Runs that take longer than they did
use the rest: what is taken should begin within the limit, not be refused at it."""
LEAST_PUSH_BACK_S: Final = 0.002
MOST_PUSH_BACK_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Prospect:
    """How a call would fare if it was taken now; seconds.

    Attributes:
        wait_s: before it runs, by estimate.
        cost_s: of its run, by estimate.
        left_s: before its caller's deadline; inf without one.
        first: nothing of its stream waits: its turn is near whatever others do.
        idle: nothing waits or runs at all.
    """

    wait_s: float
    cost_s: float
    left_s: float
    first: bool
    idle: bool


@dataclass(eq=False, slots=True)
class Promises:
    """Until when calls of one stream were told to come back."""

    until_s: float = 0.0

    def next_s(self, over_s: float, turn_s: float, now_s: float) -> float:
        """How long one more has to wait: `over_s`, and `turn_s` more than the one before it."""
        turn_s = max(turn_s, LEAST_PUSH_BACK_S)
        soonest_s = now_s + max(over_s, turn_s)
        latest_s = now_s + MOST_PUSH_BACK_S
        self.until_s = min(max(self.until_s + turn_s, soonest_s), latest_s)
        return self.until_s - now_s


class Admission:
    """The one place where calls are refused for want of time.

    Args:
        queue_limit_s: how long a call may wait; one of each stream always may. By estimate
            `AIM` of that is filled.
    """

    def __init__(self, queue_limit_s: float) -> None:
        self._aim_s = queue_limit_s * AIM

    def late_s(self, call: Prospect) -> float:
        """By how much it would come too late if it was taken now; 0 or less: it is taken."""
        # Estimates can be wrong, and only a run corrects them.
        if call.idle:
            return 0.0
        late_s = call.wait_s + call.cost_s - call.left_s
        return late_s if call.first else max(late_s, self.over_s(call.wait_s))

    def over_s(self, wait_s: float) -> float:
        """By how much so long a wait is too long for whoever has calls waiting already."""
        return wait_s - self._aim_s


def busy(push_back_s: float) -> EaisError:
    """The refusal of a call for which there is no room now."""
    later = {"push_back_ms": str(push_back_ms(push_back_s))}
    return make_error("BUSY", "too many calls are waiting here", metadata=later)


def push_back_ms(push_back_s: float) -> int:
    """As it travels: never 0, which says nothing."""
    return max(1, round(push_back_s * 1000))
