"""Facts of the ledger, and how the pool's state takes them in. (Brain)

Their lines are the ledger's rows, written with them: those outlive the facts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from eais_pool.brain.binding_facts import spend
from eais_pool.brain.ledger_records import ChargedShare, ChargeLine, CountLine
from eais_pool.brain.records import OfLease

if TYPE_CHECKING:
    from eais_pool.brain.state import PoolState


@dataclass(frozen=True, slots=True)
class LeaseCharged(OfLease):
    """What a lease is charged for is another now; `lines`: what that ended. `at`: ledger time."""

    tenant: str
    at: float
    charged: tuple[ChargedShare, ...]
    lines: tuple[ChargeLine, ...]


@dataclass(frozen=True, slots=True)
class UsageBooked(OfLease):
    """What a lease has counted since `began`; both in ledger time.

    `kind`: of the devices that it had; "" if they are of several kinds.
    """

    tenant: str
    kind: str
    began: float
    at: float
    lines: tuple[CountLine, ...]


LedgerFact = LeaseCharged | UsageBooked


def lease_charged(state: PoolState, fact: LeaseCharged) -> None:
    """See `LeaseCharged`; a lease that is gone had its last line."""
    spend(state, fact.instance, fact.lines)
    lease = state.lease(fact.key)
    if lease is None:
        return
    lost_at = lease.lost_at if lease.lost and fact.charged else 0.0
    booked_at = lease.booked_at or fact.at
    state.put_lease(replace(lease, charged=fact.charged, lost_at=lost_at, booked_at=booked_at))


def usage_booked(state: PoolState, fact: UsageBooked) -> None:
    """See `UsageBooked`; a lease that is gone had its last line."""
    lease = state.lease(fact.key)
    if lease is not None:
        state.put_lease(replace(lease, booked=lease.usage, booked_at=fact.at))


def set_ledger_time(state: PoolState, at: float, wall: float) -> None:
    """The boot clock is another one: what is held is lost since it was last known to be held."""
    known = [0.0]
    for lease in list(state.all_leases()):
        last = max((lease.booked_at, lease.lost_at, *(share.since for share in lease.charged)))
        known.append(last)
        if lease.charged and not lease.lost_at:
            state.put_lease(replace(lease, lost_at=last))
    state.ledger_offset_s = max(wall, *known) - at
