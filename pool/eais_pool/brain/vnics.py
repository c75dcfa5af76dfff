"""Which vNIC an instance has: of its host's making, or as it is planned. (Brain)"""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

from eais_pool.brain.host_records import HostRecord
from eais_pool.brain.records import InstanceRecord, LeaseRecord

LOOPBACK: Final = "loopback"
HOST: Final = "host"
#: Those that hosts may have: the pool plans addresses for no other.
DRIVERS: Final = frozenset({LOOPBACK, HOST})


class Vnic(NamedTuple):
    """A driver, and the address that it gives; "" while that is any back-end's."""

    driver: str
    address: str


def vnic_on(host: HostRecord, instance: InstanceRecord) -> Vnic:
    """What `instance` gets on `host`: the host's own address, or the one planned for it."""
    return Vnic(host.vnic_driver, host.vnic_address or instance.address)


def vnic_of(instance: InstanceRecord, lease: LeaseRecord | None, planned: str) -> Vnic:
    """What `instance` has with `lease`, else what it will have by the driver `planned`."""
    if lease is not None:
        return Vnic(lease.vnic_driver, lease.address)
    if not instance.address:
        return Vnic("", "")
    return Vnic(planned, "" if planned == HOST else instance.address)


def is_within_reach(host: HostRecord, *, beyond_loopback: bool) -> bool:
    """Whether the pool's front-ends can reach the instances of `host`.

    `beyond_loopback`: they may be on other machines, where a loopback address is their own.
    """
    return not (beyond_loopback and _is_loopback(host))


def _is_loopback(host: HostRecord) -> bool:
    return host.vnic_driver == LOOPBACK or ipaddress.ip_address(host.vnic_address).is_loopback
