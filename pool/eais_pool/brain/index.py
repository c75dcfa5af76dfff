"""What is asked of a state's records all the time, kept in step with them. (Brain)

It says nothing that the records don't: it is made of them, changes with each of them, and is no
part of what is written.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from eais.instance import InstanceState
from eais.share import ShareState
from eais_pool.brain.host_records import HostRecord
from eais_pool.brain.layered import Layered
from eais_pool.brain.records import InstanceRecord, LeasePhase, LeaseRecord
from eais_pool.policy import HostView

K = TypeVar("K")

BLOCK_BITS: Final = 16
"""Addresses that differ in so many low bits alone are in one block."""


Shown = tuple[HostRecord, tuple[LeaseRecord, ...] | None, HostView]
"""A host, its leases if it has any, and how both are shown to the policy."""


@dataclass(slots=True)
class Index:
    """Of one state.

    Attributes:
        on_host: the leases of each host that has any, in the order in which they came there.
        milli: milli-devices that a tenant has or is getting, by (tenant, kind); without those
            that are being taken back from a host that can't be asked.
        instances: by tenant, how many aren't DELETED.
        troubled: hosts that drain, or have a bad device.
        views: hosts as they were shown to the policy last, with what they were made of; whoever
            asks for one sees whether that is so still, so that layers have it in common.
    """

    on_host: MutableMapping[str, tuple[LeaseRecord, ...]] = field(default_factory=dict)
    milli: MutableMapping[tuple[str, str], int] = field(default_factory=dict)
    instances: MutableMapping[str, int] = field(default_factory=dict)
    troubled: MutableMapping[str, None] = field(default_factory=dict)
    _held: MutableMapping[str, int] = field(default_factory=dict)
    _blocks: MutableMapping[int, int] = field(default_factory=dict)
    views: tuple[dict[str, Shown], dict[str, Shown]] = field(default_factory=lambda: ({}, {}))
    _names: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        hosts: Mapping[str, HostRecord],
        instances: Iterable[InstanceRecord],
        leases: Iterable[LeaseRecord],
    ) -> Index:
        """That of these records."""
        made = cls()
        for host in hosts.values():
            made.notice(host)
        for instance in instances:
            made.hold(instance.address)
            if instance.state is not InstanceState.DELETED:
                made.count(instance.tenant, 1)
        for lease in leases:
            made.replace(hosts, None, lease)
        return made

    def layer(self) -> Index:
        """One that changes apart from this one, as long as this one doesn't."""
        return Index(
            Layered(self.on_host),
            Layered(self.milli),
            Layered(self.instances),
            Layered(self.troubled),
            Layered(self._held),
            Layered(self._blocks),
            self.views,
            self._names,
        )

    def shown(self, *, beyond_loopback: bool) -> dict[str, Shown]:
        """The views that were made for such a pool last."""
        return self.views[beyond_loopback]

    def names_of(self, hosts: Mapping[str, HostRecord]) -> list[str]:
        """The names of all hosts, in order; a pool never forgets one."""
        if len(self._names) != len(hosts):
            self._names[:] = sorted(hosts)
        return self._names

    def notice(self, host: HostRecord) -> None:
        """A host is as it is now."""
        if host.draining or any(device.is_bad for device in host.devices):
            self.troubled[host.host] = None
        else:
            self.troubled.pop(host.host, None)

    def count(self, tenant: str, change: int) -> None:
        """A tenant has so many instances more."""
        _add(self.instances, tenant, change)

    def replace(
        self, hosts: Mapping[str, HostRecord], old: LeaseRecord | None, new: LeaseRecord | None
    ) -> None:
        """A lease came, changed, or went: both are of one key, None where there is none."""
        for lease, sign in ((old, -1), (new, 1)):
            if lease is not None:
                self.weigh(hosts.get(lease.host), lease, sign)
                self.hold(lease.address, sign)
        if old is not None and new is not None:
            self._put(new.host, tuple(new if e is old else e for e in self.on_host[new.host]))
        elif new is not None:
            self._put(new.host, (*self.on_host.get(new.host, ()), new))
        elif old is not None:
            self._put(old.host, tuple(each for each in self.on_host[old.host] if each is not old))

    def _put(self, host: str, leases: tuple[LeaseRecord, ...]) -> None:
        if leases:
            self.on_host[host] = leases
        else:
            del self.on_host[host]

    def weigh(self, host: HostRecord | None, lease: LeaseRecord, sign: int) -> None:
        """Count what a lease has of its host's devices (1), or no longer (-1)."""
        if host is None or _given_back(lease):
            return
        for share in lease.shares:
            device = host.device(share.device)
            if device is not None:
                _add(self.milli, (lease.tenant, device.kind), sign * share.milli)

    def hold(self, address: str, sign: int = 1) -> None:
        """An address is held by one more, or by one less (-1)."""
        place = _place(address)
        if place is None:
            return
        was_held = address in self._held
        _add(self._held, address, sign)
        if was_held != (address in self._held):
            block, bit = place
            self._blocks[block] = self._blocks.get(block, 0) ^ (1 << bit)

    def says(self) -> tuple[Mapping[Any, Any], ...]:
        """All of it, to be compared with another's, which may have had leases in another order."""
        leases = {host: frozenset(here) for host, here in self.on_host.items()}
        blocks = {block: bits for block, bits in self._blocks.items() if bits}
        counts = (dict(self.milli), dict(self.instances), dict(self._held))
        return (leases, *counts, blocks, dict(self.troubled))

    def first_free(self, first: int, last: int) -> str:
        """The lowest IPv4 address of that range which nobody holds; "" if there is none."""
        address = first
        while address <= last:
            block, bit = address >> BLOCK_BITS, address & ((1 << BLOCK_BITS) - 1)
            held = self._blocks.get(block, 0) >> bit
            run = (~held & (held + 1)).bit_length() - 1
            end = (block + 1) << BLOCK_BITS
            if address + run < end:
                return str(ipaddress.IPv4Address(address + run)) if address + run <= last else ""
            address = end
        return ""


def _add(counts: MutableMapping[K, int], key: K, change: int) -> None:
    """Nothing is kept of what comes to 0."""
    count = counts.get(key, 0) + change
    if count:
        counts[key] = count
    else:
        counts.pop(key, None)


def _place(address: str) -> tuple[int, int] | None:
    """Its block, and its bit there; None for what is no IPv4 address: the pool plans no other."""
    try:
        number = int(ipaddress.IPv4Address(address))
    except ValueError:
        return None
    return number >> BLOCK_BITS, number & ((1 << BLOCK_BITS) - 1)


def _given_back(lease: LeaseRecord) -> bool:
    return lease.phase is LeasePhase.CLOSING and any(
        share.state is ShareState.LOST for share in lease.shares
    )
