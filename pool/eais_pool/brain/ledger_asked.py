"""What is asked of the ledger, and what it says: sums by a few words. (Brain)

What is open, an interval that isn't over or a count that has no row yet, is of the pool's state;
all else is rows. Both are sums of the same kind, and are added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Final

from eais.device_type import WHOLE_MILLI
from eais_pool.brain.charges import charge
from eais_pool.brain.ledger_records import CountLine, growth
from eais_pool.brain.records import LeaseRecord
from eais_pool.brain.state import PoolState


class By(StrEnum):
    """What is told apart."""

    TENANT = "tenant"
    INSTANCE = "instance"
    MODEL = "model"
    KIND = "kind"


#: What `CountLine` counts, and with time and cost all that is summed.
COUNTS: Final = tuple(each.name for each in fields(CountLine) if each.name != "model")
SUMS: Final = ("device_s", "cost", *COUNTS)


@dataclass(frozen=True, slots=True)
class Asked:
    """Of which time (ledger time), and of which tenant, "" for all; `last_row`: of the ledger."""

    since: float
    until: float
    by: tuple[By, ...] = ()
    tenant: str = ""
    last_row: int = 0


@dataclass(frozen=True, slots=True)
class Used:
    """What was used and charged of one thing that is told apart; "" where it isn't.

    Attributes:
        device_s: share × seconds: half a device for ten seconds is five.
        cost: in the unit of the pool's prices.
        vnic_bytes_in, ...: by vNICs of the kernel; of no model.
    """

    tenant: str = ""
    instance: str = ""
    kind: str = ""
    model: str = ""
    device_s: float = 0.0
    cost: float = 0.0
    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    busy_ns: int = 0
    vnic_bytes_in: int = 0
    vnic_bytes_out: int = 0
    vnic_packets_in: int = 0
    vnic_packets_out: int = 0

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is of."""
        return (self.tenant, self.instance, self.kind, self.model)


def summed(found: Iterable[Used]) -> list[Used]:
    """One of each key, in their order."""
    sums: dict[tuple[str, str, str, str], Used] = {}
    for each in found:
        before = sums.get(each.key)
        sums[each.key] = each if before is None else _added(before, each)
    return [sums[key] for key in sorted(sums)]


def _added(one: Used, other: Used) -> Used:
    sums = {name: getattr(one, name) + getattr(other, name) for name in SUMS}
    return replace(one, **sums)


def still_open(state: PoolState, asked: Asked, now: float) -> Iterator[Used]:
    """What has no row yet; `now` is ledger time."""
    for lease in state.all_leases():
        if not asked.tenant or lease.tenant == asked.tenant:
            yield from _charges(lease, asked, now)
            yield from _counts(lease, asked, now)


def _charges(lease: LeaseRecord, asked: Asked, now: float) -> Iterator[Used]:
    until = min(asked.until, lease.lost_at or now)
    for share in lease.charged:
        seconds = until - max(share.since, asked.since)
        if seconds > 0:
            device_s = seconds * share.milli / WHOLE_MILLI
            cost = charge(share.price_per_h, device_s)
            yield Used(**_names(asked.by, lease, share.kind, ""), device_s=device_s, cost=cost)


def _counts(lease: LeaseRecord, asked: Asked, now: float) -> Iterator[Used]:
    began = lease.booked_at or now
    part = _part(began, now, asked)
    kinds = {share.kind for share in lease.charged}
    kind = kinds.pop() if len(kinds) == 1 else ""
    for line in growth(lease.usage, lease.booked) if part else ():
        counts = {name: round(getattr(line, name) * part) for name in COUNTS}
        yield Used(**_names(asked.by, lease, kind, line.model), **counts)


def _part(began: float, ended: float, asked: Asked) -> float:
    """How much of a time is in the one that is asked of."""
    if ended <= began:
        return 1.0 if asked.since <= ended <= asked.until else 0.0
    return max(0.0, min(ended, asked.until) - max(began, asked.since)) / (ended - began)


def _names(by: tuple[By, ...], lease: LeaseRecord, kind: str, model: str) -> dict[str, Any]:
    return {
        "tenant": lease.tenant if By.TENANT in by else "",
        "instance": lease.instance if By.INSTANCE in by else "",
        "kind": kind if By.KIND in by else "",
        "model": model if By.MODEL in by else "",
    }
