"""What is charged: share × lease time × the price of its kind. (Brain)

A share is charged for from when it serves its instance until the pool takes it back: neither
while it is made ready nor while it ends what it has, so that an instance which is moved or resized
is charged for the old or the new, and never for both. A device that failed isn't charged for, nor,
for now, one whose host can't be asked (LOST): `eais_pool.brain.ledger` says what becomes of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.share import ShareState
from eais_pool.brain.ledger_records import ChargedShare
from eais_pool.brain.records import LeasePhase, LeaseRecord
from eais_pool.policy.prices import Prices

if TYPE_CHECKING:
    from eais_pool.brain.state import PoolState

HOUR_S: Final = 3600.0


def charge(per_h: float, seconds: float) -> float:
    """What so many seconds at a rate come to; a time that went backwards to nothing."""
    return per_h * max(0.0, seconds) / HOUR_S


def charged_of(
    state: PoolState, lease: LeaseRecord, prices: Prices, now: float
) -> tuple[ChargedShare, ...]:
    """The shares of a lease that are charged for, from `now` on (ledger time)."""
    if lease.phase is not LeasePhase.OPEN:
        return ()
    host, passing = state.hosts[lease.host], {*lease.coming, *lease.leaving}
    found: list[ChargedShare] = []
    for share in lease.shares:
        device = host.device(share.device)
        serves = share.state is ShareState.GRANTED and share.n not in passing
        if serves and device is not None and device.present and not device.is_bad:
            price = prices.of(DeviceKind(device.kind), WHOLE_MILLI)
            found.append(ChargedShare(share.n, share.device, device.kind, share.milli, price, now))
    return tuple(found)
