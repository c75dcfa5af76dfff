"""A fluid first-in-first-out queue in steps of one second, and what it costs to serve. (Brain)

In each second calls arrive, then `ready` units serve `unit_per_s` each. A call is late if the
end of the second after its own finds it unserved: it waited for more than a second. Who waited
for ten seconds gives up, and is late, too. What was seen of a second is known at its end; what
is asked for then serves `attach_s` seconds later: attach_s = 1 means that the next second goes
by without it. Units are paid for from the asking until they are given back, which takes no time;
those that don't serve yet are given back first. Each second in which the number asked for
changes is one switch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

GIVE_UP_S: Final = 10

Scales = Callable[[float, float, int, int], int]
"""What a policy is: (arrived, waiting, ready, requested) in one second -> units to ask for."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a demand; `unit_s`: units paid for, times seconds."""

    unit_s: float
    late: float
    calls: int
    switches: int
    seconds: int

    @property
    def late_percent(self) -> float:
        """Of all calls."""
        return 100 * self.late / self.calls if self.calls else 0.0

    @property
    def switches_per_hour(self) -> float:
        """Seconds in which the number of units changed."""
        return 3600 * self.switches / self.seconds if self.seconds else 0.0


class Calls:
    """Those that came, and those that were served, in turn; `late` waited for over `slack_s`."""

    def __init__(self, slack_s: int = 1) -> None:
        self._slack_s = slack_s
        # What had come by the end of each of the last seconds.
        self._ends = deque([0.0] * max(GIVE_UP_S, slack_s + 1))
        self.came = self.done = self.late = 0.0

    def serve(self, arrived: float, capacity: float) -> float:
        """One second, in which so many come and can be served at most; how many wait then."""
        self.came += arrived
        self.done = min(self.came, self.done + capacity)
        self._count()
        return self.came - self.done

    def wait(self, arrived: float, waiting: float) -> None:
        """One second, of which it is known how many waited at its end."""
        self.came += arrived
        self.done = max(self.done, self.came - waiting)
        self._count()

    def _count(self) -> None:
        ends = self._ends
        due = ends[-self._slack_s]
        if self.done < due:
            self.late += min(due - self.done, due - ends[-self._slack_s - 1])
            # Whoever came `GIVE_UP_S` ago or before doesn't wait any longer.
            self.done = max(self.done, ends[0])
        ends.popleft()
        ends.append(self.came)


class Units:
    """The units that were asked for, and when they serve."""

    def __init__(self, attach_s: int, there: int = 0) -> None:
        self._attach_s = attach_s
        self._coming: list[tuple[int, int]] = []
        self.ready = self.requested = there

    def begin(self, second: int) -> None:
        """Those that have come serve from this second on."""
        while self._coming and self._coming[0][0] <= second:
            self.ready += self._coming.pop(0)[1]

    def ask(self, second: int, units: int) -> None:
        """At the end of `second`: have so many."""
        if units > self.requested:
            self._coming.append((second + 1 + self._attach_s, units - self.requested))
        spare = self.requested - units
        while spare > 0 and self._coming:
            at, count = self._coming.pop()
            if count > spare:
                self._coming.append((at, count - spare))
            spare -= min(spare, count)
        self.ready -= max(spare, 0)
        self.requested = units


def served(
    arrivals: Sequence[int],
    policy: Scales,
    attach_s: int,
    unit_per_s: float = 10.0,
    begin: int = 0,
) -> Outcome:
    """Serve `arrivals`, calls in each second, as the policy says; count from `begin` on."""
    units, calls = Units(attach_s), Calls()
    unit_s = past = 0.0
    switches = 0
    for second, arrived in enumerate(arrivals):
        if second == begin:
            past, calls.late, unit_s, switches = calls.came, 0.0, 0.0, 0
        units.begin(second)
        unit_s += units.requested
        waiting = calls.serve(arrived, units.ready * unit_per_s)
        wanted = policy(arrived, waiting, units.ready, units.requested)
        if wanted != units.requested:
            switches += 1
            units.ask(second, wanted)
    counted = round(calls.came - past)
    return Outcome(unit_s, calls.late, counted, switches, len(arrivals) - begin)


def oracle(arrivals: Sequence[int], unit_per_s: float = 10.0, window_s: int = 10) -> float:
    """Unit-seconds of who knows the future and switches free of charge and delay.

    For each window in turn the least constant number of units with which no call waits for more
    than a second, with what the window before left waiting.
    """
    waiting = total = 0.0
    for begin in range(0, len(arrivals), window_s):
        window = arrivals[begin : begin + window_s]
        units, waiting = least(window, waiting, unit_per_s)
        total += units * len(window)
    return total


def least(
    window: Sequence[float], waiting: float, unit_per_s: float, most: int = 1 << 30
) -> tuple[int, float]:
    """The least units with which no call waits for more than a second, and what waits at the end.

    `most`, with which some may wait, if fewer won't do.
    """
    # Less than that can't even serve them all within a second after the window's end.
    units = max(0, -int(-(sum(window) + waiting) // (unit_per_s * (len(window) + 1))))
    while units < most:
        left = left_waiting(window, waiting, units * unit_per_s)
        if left is not None:
            return units, left
        units += 1
    for arrived in window:
        waiting = max(0.0, waiting + arrived - most * unit_per_s)
    return most, min(waiting, sum(window))


def left_waiting(window: Sequence[float], waiting: float, capacity: float) -> float | None:
    """What waits after a window of arrivals; None if somebody would wait for more than a second."""
    for arrived in window:
        waiting = max(0.0, waiting + arrived - capacity)
        if waiting > capacity + 1e-9:
            return None
    return waiting
