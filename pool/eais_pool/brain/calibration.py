"""What units really serve, where calls wait for them: profiles are of idle devices. (Brain)

As long as calls wait for too long and all that was asked for serves, what is answered is what
it can do. If that is less than was forecast for several seconds, it is what is counted with.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

from eais.device_type import DeviceKind
from eais_pool.policy.ratio.control import Seen
from eais_pool.policy.ratio.offers import Offer

WINDOW_S: Final = 5
LEAST: Final = 0.1
"""Of what was forecast; less than that has another cause."""
_NOTICED: Final = 0.9
_BEARABLE: Final = 0.25
"""Of the slack: what waits longer says that no unit was idle."""
_RECOVERS: Final = 1.0003
"""A second: what kept a device busy goes by, in some ten minutes by a fifth."""

Size = tuple[DeviceKind, int]


@dataclass(slots=True)
class Calibration:
    """Of one instance."""

    _parts: dict[Size, float] = field(default_factory=dict)
    _seen: deque[Seen] = field(default_factory=lambda: deque(maxlen=WINDOW_S + 1))

    def see(self, seen: Seen, offer: Offer, slack_s: float) -> None:
        """A second has gone by; `offer` is the one in use, as it is counted with."""
        for size, part in self._parts.items():
            self._parts[size] = min(1.0, part * _RECOVERS)
        self._seen.append(seen)
        units = seen.observed.units
        same = all(each.observed == seen.observed for each in self._seen)
        if not same or not units or (seen.observed.kind, seen.observed.unit_milli) != offer.size:
            return
        capacity = units * offer.unit_per_s
        busy = all(each.waiting > _BEARABLE * slack_s * capacity for each in self._seen)
        if len(self._seen) > WINDOW_S and busy:
            first, *rest = self._seen
            came = sum(each.arrived for each in rest)
            served = (came + first.waiting - seen.waiting) / len(rest)
            if 0 < served < _NOTICED * capacity:
                part = self._parts.get(offer.size, 1.0) * served / capacity
                self._parts[offer.size] = max(LEAST, part)
                self._seen.clear()

    def of(self, offer: Offer) -> Offer:
        """An offer by what its units were seen to serve."""
        part = round(self._parts.get(offer.size, 1.0), 2)
        return offer if part >= 1 else replace(offer, unit_per_s=offer.unit_per_s * part)
