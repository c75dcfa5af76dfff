"""What instances used, across the deaths of their workers and of the listener. (Brain)

A worker counts from its own start; a lease's counters only grow. What a worker
counted is added to the lease's base when it ends; until then its last word is
added on top.

A worker's word is a page that outlives it (`eais_server.count_page`). What is kept of a
lease is its counters together with how much of each page is in them: whoever finds a page
adds what has come since, so that nothing is counted twice or lost, wherever this process died.
A page goes once its worker has ended, and all of it is in what is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from eais.net.traffic import NO_TRAFFIC, Traffic
from eais.telemetry import latency
from eais_server.count_page import ModelCounts

VNIC_NEWS_S: Final = 10.0
"""Packets that keep an idle line alive are no news each second."""
MAX_MODELS: Final = 256
"""That are told apart of one lease; what is counted of others is of no model."""
_MOST: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Counters:
    """Requests answered, bytes of tensors in and out, time of computing, calls by their time.

    They stay at what the wire can carry: a worker may claim anything. `models`: those of each
    model that is told apart, by SHA-256 in hex.
    """

    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    busy_ns: int = 0
    latency: latency.Counts = ()
    models: Mapping[str, ModelCounts] = field(default_factory=dict)

    @classmethod
    def of_page(cls, rows: Iterable[ModelCounts]) -> Counters:
        """What a worker's page says."""
        found = tuple(rows)
        total = sum(found, ModelCounts(""))
        named = {row.model: row for row in found if row.model}
        return cls(total.requests, total.bytes_in, total.bytes_out, total.busy_ns, (), _few(named))

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            min(_MOST, self.requests + other.requests),
            min(_MOST, self.bytes_in + other.bytes_in),
            min(_MOST, self.bytes_out + other.bytes_out),
            min(_MOST, self.busy_ns + other.busy_ns),
            latency.added(self.latency, other.latency),
            _few({**self.models, **{k: _of(self, k) + c for k, c in other.models.items()}}),
        )

    def since(self, other: Counters) -> Counters:
        """What came since `other`; nothing where that is larger. Without the times of calls."""
        return Counters(
            max(0, self.requests - other.requests),
            max(0, self.bytes_in - other.bytes_in),
            max(0, self.bytes_out - other.bytes_out),
            max(0, self.busy_ns - other.busy_ns),
            (),
            {k: c.since(_of(other, k)) for k, c in self.models.items()},
        )

    def at_least(self, other: Counters) -> Counters:
        """Each counter, or that of `other` if it is larger."""
        return Counters(
            max(self.requests, other.requests),
            max(self.bytes_in, other.bytes_in),
            max(self.bytes_out, other.bytes_out),
            max(self.busy_ns, other.busy_ns),
            latency.larger(self.latency, other.latency),
            _few({**self.models, **{k: c.at_least(_of(self, k)) for k, c in other.models.items()}}),
        )


def _of(counters: Counters, model: str) -> ModelCounts:
    return counters.models.get(model) or ModelCounts(model)


def _few(models: dict[str, ModelCounts]) -> dict[str, ModelCounts]:
    """The first of them: those that were known before stay."""
    return dict(list(models.items())[:MAX_MODELS]) if len(models) > MAX_MODELS else models


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """A lease's counters, all of its workers together.

    Attributes:
        pages: how much of each page is in them, by its name.
        spent: the pages of workers that have ended.
        vnic: what its vNIC has carried.
        vnic_seen: what of it the vNIC's own counters said last, which may have begun before the
            lease.
    """

    epoch: int
    counters: Counters
    pages: Mapping[str, Counters] = field(default_factory=dict)
    spent: tuple[str, ...] = ()
    vnic: Traffic = NO_TRAFFIC
    vnic_seen: Traffic = NO_TRAFFIC

    def with_pages(self, found: Mapping[str, Counters]) -> UsageRecord:
        """The record when all workers have ended: with what came since in the pages that are here.

        A page that isn't here any more has gone for good.
        """
        counters = self.counters
        for name, counted in found.items():
            counters += counted.since(self.pages.get(name, Counters()))
        return replace(self, counters=counters, pages=found, spent=tuple(found))


@dataclass(slots=True)
class _Account:
    epoch: int
    base: Counters
    live: dict[int, Counters] = field(default_factory=dict)
    told: Counters | None = None
    vnic: Traffic = NO_TRAFFIC
    vnic_seen: Traffic = NO_TRAFFIC
    vnic_told: Traffic = NO_TRAFFIC
    vnic_told_at: float = 0.0
    # By worker; by page.
    names: dict[int, str] = field(default_factory=dict)
    spent: dict[str, Counters] = field(default_factory=dict)

    def total(self) -> Counters:
        return sum(self.live.values(), self.base)

    def record(self) -> UsageRecord:
        live = {name: self.live[worker] for worker, name in self.names.items()}
        pages = {**self.spent, **live}
        return UsageRecord(
            self.epoch, self.total(), pages, tuple(self.spent), self.vnic, self.vnic_seen
        )


class UsageMeter:
    """The counters of all leases held here."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def open(self, instance: str, found: UsageRecord) -> None:
        """A lease begins, or is found again with what it had counted."""
        spent = {name: found.pages[name] for name in found.spent}
        self._accounts[instance] = _Account(
            found.epoch, found.counters, vnic=found.vnic, vnic_seen=found.vnic_seen, spent=spent
        )

    def close(self, instance: str) -> None:
        """The lease is gone."""
        self._accounts.pop(instance, None)

    def beat(self, instance: str, worker: int, counters: Counters, page: str = "") -> None:
        """What a worker has counted so far. It isn't trusted: counters never go back.

        `page`: the name of that which says so; "" if there is none.
        """
        account = self._accounts.get(instance)
        if account:
            account.live[worker] = account.live.get(worker, Counters()).at_least(counters)
            if page:
                account.names[worker] = page

    def ended(self, instance: str, worker: int) -> None:
        """The worker is gone; what it counted stays."""
        account = self._accounts.get(instance)
        if account:
            counted = account.live.pop(worker, Counters())
            account.base += counted
            if page := account.names.pop(worker, ""):
                account.spent[page] = counted
                account.told = None  # to be kept once more, and the page goes

    def carried(self, instance: str, epoch: int, said: Traffic) -> None:
        """What the vNIC's own counters say, which begin anew where its agent was set up anew."""
        account = self._accounts.get(instance)
        if account and account.epoch == epoch:
            account.vnic += said.since(account.vnic_seen)
            account.vnic_seen = said

    def dropped(self, instance: str, pages: Iterable[str]) -> None:
        """These pages are gone, after all that they said was kept."""
        account = self._accounts.get(instance)
        if account:
            for page in pages:
                account.spent.pop(page, None)

    def total(self, instance: str) -> UsageRecord | None:
        """What the lease's workers counted; None for a lease that isn't here."""
        account = self._accounts.get(instance)
        return account.record() if account else None

    def changed(self, now: float) -> dict[str, UsageRecord]:
        """The leases whose counters grew since they were last asked for here.

        `now`: seconds of a clock that never goes back.
        """
        found = {}
        for instance, account in self._accounts.items():
            record = account.record()
            carried = record.vnic != account.vnic_told
            due = carried and now - account.vnic_told_at >= VNIC_NEWS_S
            if record.counters != account.told or due:
                account.told = record.counters
                account.vnic_told, account.vnic_told_at = record.vnic, now
                found[instance] = record
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
