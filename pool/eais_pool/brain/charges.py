"""What is charged: share × lease time × the price of its kind. (Brain)

A share is charged for from when its host has it until its host has given it back, at the rate
of all that an instance has at that moment: an instance that is moved or resized is charged for
both, old and new, while both are there. One whose host can't be asked (LOST) isn't charged for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eais.device_type import DeviceKind
from eais.share import ShareState
from eais_pool.policy.prices import Prices

if TYPE_CHECKING:
    from eais_pool.brain.state import PoolState

HOUR_S: Final = 3600.0
_CHARGED: Final = (ShareState.GRANTED, ShareState.DRAINING)


@dataclass(frozen=True, slots=True)
class Meter:
    """What was charged until `at` (boot clock), and what an hour costs since.

    `cost` and `per_h` are in the unit of the pool's prices.
    """

    cost: float = 0.0
    per_h: float = 0.0
    at: float = 0.0

    def until(self, now: float) -> float:
        """What is charged until `now`."""
        return self.cost + charge(self.per_h, now - self.at)

    def at_rate(self, per_h: float, now: float) -> Meter:
        """The meter from `now` on, when the rate becomes another."""
        return Meter(self.until(now), per_h, now)

    def reaches_in_s(self, cost: float, now: float) -> float:
        """Seconds from `now` until so much is charged; inf: never at this rate."""
        left = cost - self.until(now)
        if left <= 0:
            return 0.0
        return left / self.per_h * HOUR_S if self.per_h > 0 else float("inf")


def charge(per_h: float, seconds: float) -> float:
    """What so many seconds at a rate come to; a time that went backwards to nothing."""
    return per_h * max(0.0, seconds) / HOUR_S


def rate_per_h(prices: Prices, shares: Iterable[tuple[str, int]]) -> float:
    """What shares, as (kind, milli-devices), cost an hour."""
    return sum(prices.of(DeviceKind(kind), milli) for kind, milli in shares)


def charged_shares(state: PoolState, instance: str) -> list[tuple[str, int]]:
    """The shares that an instance is charged for now, as (kind, milli-devices)."""
    found: list[tuple[str, int]] = []
    for lease in state.leases.get(instance, ()):
        host = state.hosts[lease.host]
        for share in lease.shares if lease.opened else ():
            device = host.device(share.device)
            if device is not None and share.state in _CHARGED:
                found.append((device.kind, share.milli))
    return found
