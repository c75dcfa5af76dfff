"""How much demand there is and will be, from arrivals as they were seen. (Brain)

Three averages with exponential windows (quick, middle, slow), how much seconds vary about them,
and whether a surge goes on. `margin_per_s` is what is to be had beyond the slow average: the more
of two. *Noise*: with capacity c and demand of mean r and variance v·r a second, what waits
exceeds S seconds' worth with a probability of about e^(-2·S·c·(c - r) / (v·r)) (Kingman, as in
`queueing`; here S·c is about S·r), so that (c - r) = v·ln(2·S·w·r) / (2·S) is where one more call
a second costs as much as the late calls that it saves, at w rents a late call. *Drift*: the
quantile 1 - 1/w of how far demand was above the slow average of one attach delay before,
measured as it goes by (Robbins and Monro, "A stochastic approximation method", Annals of
Mathematical Statistics 22, 1951).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from eais_pool.policy.ratio.drift import Drift
from eais_pool.policy.ratio.idling import Idling
from eais_pool.policy.ratio.recurrence import BLOCK_S, Recurrence

QUICK_S, MIDDLE_S, SLOW_S = 2.0, 8.0, 20.0
_VARIED_S: Final = 600.0
_STEP: Final = 0.02
"""Of the quantile, a second, in standard deviations of a Poisson count."""
_WARM_S: Final = 6 * SLOW_S
"""Until the averages mean something."""
_SURE: Final = 5.0
"""Standard deviations of the quick average that noise doesn't reach."""
_SURGE: Final = 1.5
"""Times the slow average: more is a surge."""
_CONFIRM_S: Final = 10
_WATCH_S: Final = 30
_OUTLIER: Final = 9.0
_NO_CHANCE: Final = 5.0
"""Calls that were to be expected in a pause that is one."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What decisions are weighed by.

    Attributes:
        tail: of the demand, what noise may leave late: 0.01 for a p99.
        late_cost: of a late call, in rents of what answers one in time.
        alone_cost: the same of the first after a pause.
        surge_per_s: see `Recurrence.reserve`.
        likely: with that probability a surge that began exceeds what is got for it.
    """

    tail: float
    late_cost: float
    alone_cost: float
    surge_per_s: float
    likely: float


@dataclass(slots=True)
class Watched:
    """A surge that goes on."""

    began: int
    before: float
    most: float
    total: float = 0.0


class Tracker:
    """What is known of the demand of one instance, second by second.

    Args:
        attach_s: from asking for capacity until it serves.
        slack_s: what calls may wait.
        unit_per_s: surges below that are noise.
        prices: what is weighed; it may be set anew at any time.
    """

    def __init__(
        self,
        attach_s: int,
        slack_s: float,
        unit_per_s: float,
        prices: Prices,
    ) -> None:
        self.attach_s, self.slack_s = attach_s, slack_s
        self.unit_per_s, self.prices = unit_per_s, prices
        self.at = 0
        self.quick = self.middle = self.slow = 0.0
        self.varying = 1.0
        self.quiet_s = 0
        self.awake_per_s = 0.0
        self.asleep = False
        self._idling = Idling()
        self.reserve_per_s = 0.0
        self.surge: Watched | None = None
        self.recurrence = Recurrence()
        self.drift = Drift()
        self._risen = 0.5
        self._calm_at = math.ceil(_WARM_S) + attach_s
        self._previous = 0.0
        self._before: deque[float] = deque()
        self._gains = [1 - math.exp(-1 / window) for window in (QUICK_S, MIDDLE_S, SLOW_S)]

    @property
    def level_per_s(self) -> float:
        """The demand, without noise."""
        if self.surge is None:
            return self.slow
        sure = self.quick - 2 * math.sqrt(max(self.quick, 1.0) / (2 * QUICK_S))
        return max(self.slow, self.middle, sure)

    @property
    def margin_per_s(self) -> float:
        """What is to be had beyond the level."""
        rate = max(self.slow, 1.0)
        noise = (
            self.varying * math.log(2 * self.slack_s * rate / self.prices.tail) / (2 * self.slack_s)
        )
        return max(noise, self._risen * math.sqrt(rate))

    @property
    def expected_per_s(self) -> float:
        """What a surge that has begun grows to, as those before did; 0 for none."""
        surge, most = self.surge, max(self.attach_s + 2, _WATCH_S)
        if surge is None or not self.recurrence.surges or self.at - surge.began > most:
            return 0.0
        return surge.before + self.recurrence.size(self.prices.likely)

    def rebase(self, attach_s: int, unit_per_s: float) -> None:
        """Other capacity is got from now on; what was learned of the demand stays."""
        self.attach_s, self.unit_per_s = attach_s, unit_per_s
        while len(self._before) > attach_s + 2:
            self._before.popleft()

    def see(self, arrived: float) -> None:
        """One second has gone by, in which so many calls came."""
        self.at += 1
        if not arrived:
            self._pausing()
        else:
            if self.quiet_s > 1:
                self._idling.ended(self.quiet_s)
            self.quiet_s, self.asleep = 0, False
        if self.asleep or not self.paused:
            self._average(arrived)
        if self.at % BLOCK_S == 0:
            self._look_ahead()
        if self.surge is None:
            self._notice()
        else:
            self._calm_at = self.at + self.attach_s + 3
            self._watch(self.surge, arrived)

    def _average(self, arrived: float) -> None:
        quick, middle, slow = self._gains
        self.quick += quick * (arrived - self.quick)
        self.middle += middle * (arrived - self.middle)
        self.slow += slow * (arrived - self.slow)
        self._before.append(self.slow)
        if len(self._before) > self.attach_s + 2:
            self._learn_margin(arrived, self._before.popleft())
        self._previous = arrived

    @property
    def paused(self) -> bool:
        """So long without a call is no chance."""
        return self.quiet_s * self.awake_per_s > _NO_CHANCE

    def _pausing(self) -> None:
        if not self.quiet_s:
            self.awake_per_s = self.slow
        self.quiet_s += 1
        prices, others = self.prices, self.awake_per_s * (self.attach_s + 1)
        lost = prices.alone_cost + prices.late_cost * others
        worth_s = lost / max(self.unit_per_s, self.awake_per_s)
        self.asleep = self.asleep or not self._idling.keeps(self.quiet_s, worth_s)

    def _learn_margin(self, arrived: float, before: float) -> None:
        if before <= 1 or self.at < self._calm_at:
            return
        # Half the squared step from second to second: a trend doesn't look like noise.
        step = (arrived - self._previous) ** 2 / 2
        off = min(step / max(self.slow, 1.0), _OUTLIER * self.varying)
        self.varying = max(1.0, self.varying + (off - self.varying) / _VARIED_S)
        quick, middle = 2 * QUICK_S, 2 * MIDDLE_S
        # What a window's calls need, as they may wait for `slack_s` after its end.
        needed = max(
            self.quick * quick / (quick + self.slack_s),
            self.middle * middle / (middle + self.slack_s),
        )
        self.drift.saw((needed - before) / math.sqrt(before))

    def _look_ahead(self) -> None:
        self.recurrence.passed(self.at - BLOCK_S)
        self._risen = self.drift.margin(max(self.slow, 1.0), self.prices.late_cost)
        until = self.at + self.attach_s + 1 + BLOCK_S
        free = self.surge is None
        self.reserve_per_s = (
            self.recurrence.reserve(self.at, until, self.prices.surge_per_s) if free else 0.0
        )

    def _notice(self) -> None:
        spread = math.sqrt(self.varying * max(self.slow, 1.0) / (2 * QUICK_S))
        more = max(_SURE * spread, (_SURGE - 1) * self.slow, self.unit_per_s)
        if self.quick > self.slow + more and self.at > _WARM_S:
            self.surge = Watched(self.at, self.slow, self.middle)
            self.reserve_per_s = 0.0

    def _watch(self, surge: Watched, arrived: float) -> None:
        surge.most = max(surge.most, self.middle)
        surge.total += arrived
        lasted = self.at - surge.began
        if lasted > _CONFIRM_S and self.middle < _SURGE * surge.before:
            self.surge = None
        elif lasted >= max(self.attach_s + 10, _WATCH_S):
            more = max(self.unit_per_s, (_SURGE - 1) * surge.before)
            if surge.total / lasted >= surge.before + more:
                self.recurrence.surged(surge.began, surge.most - surge.before)
            self.slow = max(self.slow, self.middle)
            self.surge = None
