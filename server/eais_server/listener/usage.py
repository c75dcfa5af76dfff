"""What instances used, across the deaths of their workers. (Brain)

A worker counts from its own start; a lease's counters only grow. What a worker
counted is added to the lease's base when it ends; until then its last word is
added on top.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from eais.telemetry import latency

_MOST: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Counters:
    """Requests answered, bytes of tensors in and out, time of computing, calls by their time.

    They stay at what the wire can carry: a worker may claim anything.
    """

    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    busy_ns: int = 0
    latency: latency.Counts = ()

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            min(_MOST, self.requests + other.requests),
            min(_MOST, self.bytes_in + other.bytes_in),
            min(_MOST, self.bytes_out + other.bytes_out),
            min(_MOST, self.busy_ns + other.busy_ns),
            latency.added(self.latency, other.latency),
        )

    def at_least(self, other: Counters) -> Counters:
        """Each counter, or that of `other` if it is larger."""
        return Counters(
            max(self.requests, other.requests),
            max(self.bytes_in, other.bytes_in),
            max(self.bytes_out, other.bytes_out),
            max(self.busy_ns, other.busy_ns),
            latency.larger(self.latency, other.latency),
        )


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """A lease's counters, all of its workers together."""

    epoch: int
    counters: Counters


@dataclass(slots=True)
class _Account:
    epoch: int
    base: Counters
    live: dict[int, Counters] = field(default_factory=dict)
    told: Counters | None = None

    def total(self) -> Counters:
        return sum(self.live.values(), self.base)


class UsageMeter:
    """The counters of all leases held here."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def open(self, instance: str, epoch: int, base: Counters) -> None:
        """A lease begins, or is found again with what it had counted."""
        self._accounts[instance] = _Account(epoch, base)

    def close(self, instance: str) -> None:
        """The lease is gone."""
        self._accounts.pop(instance, None)

    def beat(self, instance: str, worker: int, counters: Counters) -> None:
        """What a worker has counted so far. It isn't trusted: counters never go back."""
        account = self._accounts.get(instance)
        if account:
            account.live[worker] = counters.at_least(account.live.get(worker, Counters()))

    def ended(self, instance: str, worker: int) -> None:
        """The worker is gone; what it counted stays."""
        account = self._accounts.get(instance)
        if account:
            account.base += account.live.pop(worker, Counters())

    def total(self, instance: str) -> UsageRecord | None:
        """What the lease's workers counted; None for a lease that isn't here."""
        account = self._accounts.get(instance)
        return UsageRecord(account.epoch, account.total()) if account else None

    def changed(self) -> dict[str, UsageRecord]:
        """The leases whose counters grew since they were last asked for here."""
        found = {}
        for instance, account in self._accounts.items():
            total = account.total()
            if total != account.told:
                account.told = total
                found[instance] = UsageRecord(account.epoch, total)
        return found

    def untell(self, instance: str) -> None:
        """The lease's counters couldn't be told: they count as changed."""
        account = self._accounts.get(instance)
        if account:
            account.told = None

    def forget_told(self) -> None:
        """Whoever was told is gone: all leases count as changed."""
        for account in self._accounts.values():
            account.told = None
