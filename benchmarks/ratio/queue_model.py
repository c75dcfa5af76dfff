"""A fluid first-in-first-out queue in steps of one second, and what it costs to serve.

In each second calls arrive, then `ready` units serve `unit_per_s` each. A call is late if the
end of the second after its own finds it unserved: it waited for more than a second. Who waited
for ten seconds gives up, and is late, too. What was seen of a second is known at its end; what
is asked for then serves `attach_s` seconds later: attach_s = 1 means that the next second goes
by without it. Units are paid for from the asking until they are given back, which takes no time;
those that don't serve yet are given back first. Each second in which the number asked for
changes is one switch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

GIVE_UP_S: Final = 10

Scales = Callable[[int, float, int, int], int]
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


class Units:
    """The units that were asked for, and when they serve."""

    def __init__(self, attach_s: int) -> None:
        self._attach_s = attach_s
        self._coming: list[tuple[int, int]] = []
        self.ready = self.requested = 0

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
    units = Units(attach_s)
    came = before = earlier = past = 0
    done = late = unit_s = 0.0
    switches = 0
    ends = [0] * GIVE_UP_S
    for second, arrived in enumerate(arrivals):
        if second == begin:
            past, late, unit_s, switches = came, 0.0, 0.0, 0
        units.begin(second)
        earlier, before, came = before, came, came + arrived
        unit_s += units.requested
        done = min(float(came), done + units.ready * unit_per_s)
        if done < before:
            late += min(before - done, before - earlier)
            # Whoever came `GIVE_UP_S` ago or before doesn't wait any longer.
            done = max(done, ends[second % GIVE_UP_S])
        ends[second % GIVE_UP_S] = came
        wanted = policy(arrived, came - done, units.ready, units.requested)
        if wanted != units.requested:
            switches += 1
            units.ask(second, wanted)
    return Outcome(unit_s, late, came - past, switches, len(arrivals) - begin)


def oracle(arrivals: Sequence[int], unit_per_s: float = 10.0, window_s: int = 10) -> float:
    """Unit-seconds of who knows the future and switches free of charge and delay.

    For each window in turn the least constant number of units with which no call waits for more
    than a second, with what the window before left waiting.
    """
    waiting = total = 0.0
    for begin in range(0, len(arrivals), window_s):
        window = arrivals[begin : begin + window_s]
        # Less than that can't even serve them all within a second after the window's end.
        units = max(0, -int(-(sum(window) + waiting) // (unit_per_s * (len(window) + 1))))
        while (left := left_waiting(window, waiting, units * unit_per_s)) is None:
            units += 1
        waiting = left
        total += units * len(window)
    return total


def left_waiting(window: Sequence[int], waiting: float, capacity: float) -> float | None:
    """What waits after a window of arrivals; None if somebody would wait for more than a second."""
    for arrived in window:
        waiting = max(0.0, waiting + arrived - capacity)
        if waiting > capacity + 1e-9:
            return None
    return waiting
