"""What a lease used and what is charged for it, as frozen records. (Brain)

Ledger time is seconds since 1970 as the manager's wall clock said when its machine booted, counted
on by the boot clock: it never goes back, and a clock that is set changes no interval.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Final

from eais.net.traffic import NO_TRAFFIC, Traffic


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """Cumulative counters of one model on one lease; `model`: SHA-256 in hex."""

    model: str
    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    busy_ns: int = 0

    def at_least(self, other: ModelUsage) -> ModelUsage:
        """Each counter, or that of `other` if it is larger."""
        return ModelUsage(
            self.model,
            max(self.requests, other.requests),
            max(self.bytes_in, other.bytes_in),
            max(self.bytes_out, other.bytes_out),
            max(self.busy_ns, other.busy_ns),
        )


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """Cumulative counters of one lease: of all its models, and of each that is known by name.

    `vnic`: what its vNIC has carried, if the kernel's.
    """

    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    busy_ns: int = 0
    models: tuple[ModelUsage, ...] = ()
    vnic: Traffic = NO_TRAFFIC

    def at_least(self, other: UsageRecord) -> UsageRecord:
        """Each counter, or that of `other` if it is larger: a host may lose its file of them."""
        return UsageRecord(
            max(self.requests, other.requests),
            max(self.bytes_in, other.bytes_in),
            max(self.bytes_out, other.bytes_out),
            max(self.busy_ns, other.busy_ns),
            _larger(self.models, other.models),
            self.vnic.at_least(other.vnic),
        )


NOTHING_USED: Final = UsageRecord()


def _larger(ours: tuple[ModelUsage, ...], others: tuple[ModelUsage, ...]) -> tuple[ModelUsage, ...]:
    found = {each.model: each for each in others}
    for each in ours:
        known = found.get(each.model)
        found[each.model] = each if known is None else each.at_least(known)
    return tuple(found[model] for model in sorted(found))


@dataclass(frozen=True, slots=True)
class ChargedShare:
    """A share that is charged for.

    Attributes:
        price_per_h: of a whole device of its kind, as configured then.
        since: ledger time.
    """

    n: int
    device: str
    kind: str
    milli: int
    price_per_h: float
    since: float


@dataclass(frozen=True, slots=True)
class ChargeLine:
    """A share was held from `began` to `ended`, ledger time."""

    n: int
    device: str
    kind: str
    milli: int
    price_per_h: float
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class CountLine:
    """What was counted of a model since the last line of it; `model`: "" if it isn't known.

    What the vNIC has carried is of no model.
    """

    model: str
    requests: int
    bytes_in: int
    bytes_out: int
    busy_ns: int
    vnic_bytes_in: int = 0
    vnic_bytes_out: int = 0
    vnic_packets_in: int = 0
    vnic_packets_out: int = 0


def growth(now: UsageRecord, before: UsageRecord) -> tuple[CountLine, ...]:
    """What was counted since `before`, by model, and what is of none that is known."""
    known = {each.model: each for each in before.models}
    lines = [_grown(each, known.get(each.model)) for each in now.models]
    total = _grown(_all(now), _all(before))
    vnic = now.vnic.since(before.vnic)
    rest = CountLine(
        "",
        max(0, total.requests - sum(line.requests for line in lines)),
        max(0, total.bytes_in - sum(line.bytes_in for line in lines)),
        max(0, total.bytes_out - sum(line.bytes_out for line in lines)),
        max(0, total.busy_ns - sum(line.busy_ns for line in lines)),
        vnic.bytes_in,
        vnic.bytes_out,
        vnic.packets_in,
        vnic.packets_out,
    )
    return tuple(_counted([*lines, rest]))


def _all(usage: UsageRecord) -> ModelUsage:
    return ModelUsage("", usage.requests, usage.bytes_in, usage.bytes_out, usage.busy_ns)


def _grown(now: ModelUsage, before: ModelUsage | None) -> CountLine:
    old = before or ModelUsage(now.model)
    return CountLine(
        now.model,
        now.requests - old.requests,
        now.bytes_in - old.bytes_in,
        now.bytes_out - old.bytes_out,
        now.busy_ns - old.busy_ns,
    )


def _counted(lines: Iterable[CountLine]) -> list[CountLine]:
    return [line for line in lines if any(astuple(line)[1:])]
