"""How many units of one kind serve an instance, and when that number changes. (Brain)

- *More* is asked for when what waits, and what comes until more could serve, would have to wait
  too long; when a surge is expected or has begun; and, where attaching takes longer than calls
  may wait, as soon as the forecast says so.
- *Less* is a matter of ski rental (Karlin, Manasse, Rudolph and Sleator, "Competitive snoopy
  caching", Algorithmica 3, 1988): what is had in vain is kept until its rent has reached what a
  change costs, which is at most twice what who knows the future would pay. So a large excess goes
  at once and a small one later; one that is needed again meanwhile begins anew.
- *In a pause* what serves stays for as long as that is worth it (`idling`); then all of it goes.
- What a late call is worth is adapted, so that as many are late as were said (`lateness`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from eais_pool.policy.ratio.lateness import Lateness
from eais_pool.policy.ratio.recurrence import BLOCK_S
from eais_pool.policy.ratio.tracking import Prices, Tracker

_PART_OF_SLACK: Final = 0.5
"""Of what calls may wait, how much they may be expected to."""
_REACTION_S: Final = 5
"""Where attaching takes so long, more is asked for before anything waits."""
_DEARER: Final = 4 / 3
_IN_TURN: Final = 12.0
"""A surge leaves all late that come in its time, and a lead is paid once for several blocks: so it
weighs so much more than a late call does elsewhere. Set by recorded demand, see docs/ratio.md."""
_HOLD_LEAST_S: Final = 5
"""What is got for a surge is held for that at least."""


class Cause(StrEnum):
    """Why a number of units is what it is."""

    STEADY = "steady"
    PAUSE = "pause"
    WAITING = "waiting"
    SURGE = "surge"
    RESERVE = "reserve"
    FORECAST = "forecast"
    HELD = "held"
    BREAK_EVEN = "break-even"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Economy:
    """What is weighed against what.

    Attributes:
        slack_s: what calls may wait.
        attach_s: from asking for a unit until it serves; paid for, too.
        change_cost_s: of one unit more or less, in seconds of its rent.
        late_target: what part of calls may be late at all.
        patience_s: after which callers give up.
    """

    slack_s: float = 1.0
    attach_s: int = 1
    change_cost_s: float = 30.0
    late_target: float = 0.0005
    patience_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("slack_s", "change_cost_s", "patience_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} = {getattr(self, name)}: must be above 0")
        if self.attach_s < 0:
            raise ValueError(f"attach_s = {self.attach_s}: must not be below 0")
        if not 0 < self.late_target < 1:
            raise ValueError(f"late_target = {self.late_target}: must be between 0 and 1")

    @property
    def regain_s(self) -> float:
        """What giving a unit back and getting it again costs, in seconds of its rent.

        It is paid for from the asking on, and serves nothing for `attach_s`.
        """
        return max(self.change_cost_s, float(self.attach_s))

    def prices(self, tail: float) -> Prices:
        """What is weighed by, if each decision may leave that part of calls late.

        A surge is worth being ready for if it is so likely in a second: units are paid for from
        the asking on and held for some seconds; without them as many units' worth of calls are late
        until they could have been asked for and serve. What is got for a surge that has begun
        is paid for until a change's cost is reached.
        """
        late_cost = _DEARER / tail
        reach_s = self.attach_s + 2
        held_s = self.attach_s + 1 + _HOLD_LEAST_S
        return Prices(
            tail=tail,
            late_cost=late_cost / _IN_TURN,
            alone_cost=late_cost,
            surge_per_s=held_s / (late_cost * _HOLD_LEAST_S * reach_s),
            likely=min(1.0, (self.attach_s + self.regain_s) / (late_cost * reach_s)),
        )


class Hold:
    """Keeps what is no longer needed until its rent has reached what a change costs."""

    def __init__(self, change_cost_s: float) -> None:
        self.limit_s = change_cost_s
        self.paid_s = 0.0
        self._most = 0

    def again(self) -> None:
        """All of it is needed: begin anew."""
        self.paid_s, self._most = 0.0, 0

    def lower(self, has: int, needed: int) -> int:
        """A second in which `needed` (below `has`) would have done: what to have from now on."""
        self._most = max(self._most, needed)
        self.paid_s += has - needed
        if self.paid_s < self.limit_s:
            return has
        lowered = self._most
        self.again()
        return lowered


class Scaler:
    """Decides the number of units; `unit_per_s` is what one of them serves."""

    def __init__(self, economy: Economy, unit_per_s: float) -> None:
        self.economy = economy
        self.unit_per_s = unit_per_s
        self.lateness = Lateness(economy.late_target, economy.slack_s)
        self.tracker = Tracker(
            economy.attach_s, economy.slack_s, unit_per_s, economy.prices(self.lateness.tail)
        )
        self.hold = Hold(economy.regain_s)
        self.cause = Cause.IDLE
        self.needed = 0

    @property
    def required_per_s(self) -> float:
        """The throughput that the demand needs, with margin and reserve; 0 if there is none."""
        tracker = self.tracker
        if not tracker.reserve_per_s and self._asleep():
            return 0.0
        usual = tracker.level_per_s + tracker.margin_per_s + tracker.reserve_per_s
        return max(usual, tracker.expected_per_s)

    def rebase(self, economy: Economy, unit_per_s: float) -> None:
        """Units of another kind are counted from now on."""
        self.economy, self.unit_per_s = economy, unit_per_s
        self.tracker.rebase(economy.attach_s, unit_per_s)
        self.tracker.prices = economy.prices(self.lateness.tail)
        self.hold.limit_s = economy.regain_s
        self.hold.again()

    def see(self, arrived: float, waiting: float, ready: int, requested: int) -> int:
        """One second has gone by: the number of units to ask for.

        Args:
            arrived: calls that came in it.
            waiting: calls that still wait.
            ready, requested: units that serve, and that were asked for.
        """
        self.lateness.saw(arrived, waiting)
        if not self.tracker.at % BLOCK_S:
            self.tracker.prices = self.economy.prices(self.lateness.tail)
        self.tracker.see(arrived)
        self.needed = needed = self._units(self.required_per_s)
        if not needed and not waiting:
            self.hold.again()
            self.cause = Cause.IDLE
            return 0
        more = self._behind(waiting, ready, requested)
        if more is not None:
            self.hold.again()
            self.cause = Cause.WAITING
            return max(requested + 1, more, needed)
        if needed > requested and self._in_advance():
            self.hold.again()
            return needed
        bearable = _PART_OF_SLACK * self.economy.slack_s * requested * self.unit_per_s
        if needed >= requested or waiting > bearable:
            self.hold.again()
            self.cause = Cause.PAUSE if self.tracker.paused else Cause.STEADY
            return requested
        return self._less(needed, requested)

    def _less(self, needed: int, requested: int) -> int:
        found = self.hold.lower(requested, needed)
        self.cause = Cause.HELD if found == requested else Cause.BREAK_EVEN
        return found

    def _behind(self, waiting: float, ready: int, requested: int) -> int | None:
        """What it takes if calls would wait too long, else None."""
        economy, rate = self.economy, self.tracker.quick
        capacity, patience = requested * self.unit_per_s, economy.patience_s * rate
        drain_s = max(2 * economy.slack_s, economy.attach_s / 3)
        if requested > ready:
            late = min(waiting, patience) / max(4 * economy.slack_s, economy.attach_s / 2)
            enough = rate + late <= capacity or rate + self.tracker.margin_per_s <= capacity
        else:
            enough = (
                self._ahead(waiting, ready, requested)
                <= _PART_OF_SLACK * economy.slack_s * capacity
            )
        if enough:
            return None
        behind = max(0.0, min(self._ahead(waiting, ready, requested), patience))
        return self._units(rate + behind / drain_s)

    def _ahead(self, waiting: float, ready: int, requested: int) -> float:
        """Calls that will wait one second after what is asked for now could serve."""
        attach_s = self.economy.attach_s
        served = (ready * attach_s + requested) * self.unit_per_s
        return waiting + (attach_s + 1) * self.tracker.quick - served

    def _in_advance(self) -> bool:
        tracker = self.tracker
        if tracker.expected_per_s:
            self.cause = Cause.SURGE
        elif tracker.reserve_per_s:
            self.cause = Cause.RESERVE
        elif self.economy.attach_s >= _REACTION_S * self.economy.slack_s:
            self.cause = Cause.FORECAST
        else:
            return False
        return True

    def _asleep(self) -> bool:
        return self.tracker.asleep or not self.tracker.slow

    def _units(self, per_s: float) -> int:
        return math.ceil(per_s / self.unit_per_s - 1e-9)
