"""What is late, what who knows the future would have paid, and how often something changed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.elastic.calls import Sent
from eais_pool.policy.ratio.control import Amount
from eais_pool.policy.ratio.offers import Offer
from eais_pool.sim.queue_model import left_waiting

WINDOW_S: Final = 10
_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Lateness:
    """Calls, and of them those that were answered later than the SLO after they were due, or never.

    `excused`: calls that were due within the stated attach delay after demand rose.
    """

    calls: int
    late: int
    excused: int
    excused_late: int

    @property
    def percent(self) -> float:
        """Of all that aren't excused."""
        return 100 * self.late / self.calls if self.calls else 0.0

    @property
    def percent_of_all(self) -> float:
        """Of all, excused or not."""
        calls = self.calls + self.excused
        return 100 * (self.late + self.excused_late) / calls if calls else 0.0


def lateness(
    calls: Iterable[Sent], slo_s: float, rises: Sequence[float], attach_s: float
) -> Lateness:
    """Judge calls; `rises`: when demand rose, by the clock of the calls."""
    counted = [0, 0, 0, 0]
    for call in calls:
        late = bool(call.error) or not call.answered or call.answered - call.due > slo_s
        excused = any(0 <= call.due - rise < attach_s for rise in rises)
        counted[2 * excused] += 1
        counted[2 * excused + 1] += late
    return Lateness(*counted)


def switches(served: Sequence[Amount]) -> int:
    """How often what served became something else, second by second."""
    return sum(one != other for one, other in itertools.pairwise(served))


def oracle_cost(arrivals: Sequence[int], offers: Sequence[Offer], most: int) -> float:
    """What who knows the future and switches free of charge and at once would pay.

    For each window of ten seconds the cheapest constant number of units, `most` at most, of one of
    the offers with which no call waits for more than a second; see `eais_pool.sim.queue_model`.
    Where none would do, the one that serves most.
    """
    waiting = cost = 0.0
    for begin in range(0, len(arrivals), WINDOW_S):
        window = arrivals[begin : begin + WINDOW_S]
        price, waiting = _cheapest(window, waiting, offers, most)
        cost += price * len(window) / _HOUR_S
    return cost


def _cheapest(
    window: Sequence[int], waiting: float, offers: Sequence[Offer], most: int
) -> tuple[float, float]:
    if not sum(window) and not waiting:
        return 0.0, 0.0
    found = []
    for offer in offers:
        for units in range(1, min(most, offer.most_units) + 1):
            left = left_waiting(window, waiting, units * offer.unit_per_s)
            if left is not None:
                found.append((units * offer.price_per_h, left))
                break
    if found:
        return min(found)
    best = max(offers, key=lambda each: each.unit_per_s * min(most, each.most_units))
    units = min(most, best.most_units)
    return units * best.price_per_h, max(
        0.0, waiting + sum(window) - units * best.unit_per_s * len(window)
    )
