"""How many units of one kind serve an instance, and when that number changes. (Brain)

- *More* is asked for when what waits, and what comes until more could serve, would have to wait
  too long; when a surge is expected or has begun; and, where attaching takes longer than calls
  may wait, as soon as the forecast says so.
- *Less* is a matter of ski rental (Karlin, Manasse, Rudolph and Sleator, "Competitive snoopy
  caching", Algorithmica 3, 1988): what is had in vain is kept until its rent has reached what a
  change costs, which is at most twice what who knows the future would pay. So a large excess goes
  at once and a small one later; one that is needed again meanwhile begins anew.
- *The last unit* goes when its rent has reached what the next call, then late, would cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from eais_pool.policy.ratio.recurrence import BLOCK_S
from eais_pool.policy.ratio.tracking import Tracker

_PART_OF_SLACK: Final = 0.5
"""Of what calls may wait, how much they may be expected to."""
_REACTION_S: Final = 5
"""Where attaching takes so long, more is asked for before anything waits."""
_DEARER: Final = 4 / 3
_HOLD_LEAST_S: Final = BLOCK_S
"""What is got for a surge is held for that at least."""


class Cause(StrEnum):
    """Why a number of units is what it is."""

    STEADY = "steady"
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
        tail: what part of calls may be late at all: 0.01 for a p99.
        patience_s: after which callers give up.
    """

    slack_s: float = 1.0
    attach_s: int = 1
    change_cost_s: float = 30.0
    tail: float = 0.01
    patience_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("slack_s", "change_cost_s", "patience_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} = {getattr(self, name)}: must be above 0")
        if self.attach_s < 0:
            raise ValueError(f"attach_s = {self.attach_s}: must not be below 0")
        if not 0 < self.tail < 1:
            raise ValueError(f"tail = {self.tail}: must be between 0 and 1")

    @property
    def late_cost(self) -> float:
        """Of a late call, in rents of what it takes to answer one in time.

        As many answers as one late in a `tail` allows, and a third more, to stay below it.
        """
        return _DEARER / self.tail

    @property
    def worth_per_s(self) -> float:
        """How likely a surge must be, in a second, for units to be held ready for it.

        They are paid for from the asking on and held for some seconds; without them as many
        units' worth of calls are late until they could have been asked for and serve.
        """
        held = self.attach_s + 1 + _HOLD_LEAST_S
        return held / (self.late_cost * _HOLD_LEAST_S * (self.attach_s + 2))

    @property
    def likely(self) -> float:
        """How likely units must be needed for a surge that has begun."""
        paid = self.attach_s + self.change_cost_s
        return min(1.0, paid / (self.late_cost * (self.attach_s + 2)))

    def tracker(self, unit_per_s: float) -> Tracker:
        """One that forecasts for these."""
        return Tracker(
            attach_s=self.attach_s,
            slack_s=self.slack_s,
            tail=self.tail,
            worth_per_s=self.worth_per_s,
            likely=self.likely,
            unit_per_s=unit_per_s,
        )


class Hold:
    """Keeps what is no longer needed until its rent has reached what a change costs."""

    def __init__(self, change_cost_s: float) -> None:
        self._limit = change_cost_s
        self.paid_s = 0.0
        self._most = 0

    def again(self) -> None:
        """All of it is needed: begin anew."""
        self.paid_s, self._most = 0.0, 0

    def lower(self, has: int, needed: int) -> int:
        """A second in which `needed` (below `has`) would have done: what to have from now on."""
        self._most = max(self._most, needed)
        self.paid_s += has - needed
        if self.paid_s < self._limit:
            return has
        lowered = self._most
        self.again()
        return lowered


class Scaler:
    """Decides the number of units; `unit_per_s` is what one of them serves."""

    def __init__(self, economy: Economy, unit_per_s: float) -> None:
        self.economy = economy
        self.unit_per_s = unit_per_s
        self.tracker = economy.tracker(unit_per_s)
        self.hold = Hold(economy.change_cost_s)
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
        self.tracker.rebase(economy.attach_s, economy.worth_per_s, economy.likely, unit_per_s)
        self.hold.again()

    def see(self, arrived: float, waiting: float, ready: int, requested: int) -> int:
        """One second has gone by: the number of units to ask for.

        Args:
            arrived: calls that came in it.
            waiting: calls that still wait.
            ready, requested: units that serve, and that were asked for.
        """
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
            self.cause = Cause.STEADY
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
        return self.tracker.quiet_s >= self.economy.late_cost / self.unit_per_s or (
            not self.tracker.slow
        )

    def _units(self, per_s: float) -> int:
        return math.ceil(per_s / self.unit_per_s - 1e-9)
