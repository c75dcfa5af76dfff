"""Which vNIC an instance has: of its host's making, or as it is planned. (Brain)"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from eais.errors import EaisError, make_error
from eais.net.plan import KERNEL_DRIVERS
from eais_pool.brain.host_records import HostRecord
from eais_pool.brain.net_links import AUTO, Choice, TakenLink, choose_driver, plan_link
from eais_pool.brain.net_records import NetLink
from eais_pool.brain.records import InstanceRecord, LeaseRecord
from eais_pool.brain.settings import Settings

if TYPE_CHECKING:
    from eais_pool.brain.state import PoolState

_EPOCH_BITS: Final = 20
"""A lease is reserved again far less often than so."""
LOOPBACK: Final = "loopback"
HOST: Final = "host"
#: Those that hosts may have: the pool plans addresses for no other.
DRIVERS: Final = frozenset({LOOPBACK, HOST})


class Vnic(NamedTuple):
    """A driver, and the address that it gives; "" while that is any back-end's.

    `link`: if it is the kernel's. `why`: it and no other.
    """

    driver: str
    address: str
    link: NetLink | None = None
    why: str = ""


def check_asked(driver: str) -> None:
    """Raise `UsageError` ARGUMENT for a driver that nobody can have."""
    known = ("", AUTO, *sorted(DRIVERS), *KERNEL_DRIVERS)
    if driver not in known:
        names = ", ".join(known[1:])
        raise make_error("ARGUMENT", f"no vNIC driver {driver[:32]!a}", hint=f"one of {names}")


def can_have(host: HostRecord, instance: InstanceRecord) -> bool:
    """Whether `instance` can have what it was asked for with on `host`."""
    try:
        _choice(instance, host)
    except EaisError:
        return False
    return True


def check_vnic(state: PoolState, instance: InstanceRecord) -> None:
    """Raise NET_DRIVER if no host can give `instance` the driver, or the cap, asked for."""
    hosts = [host for _, host in sorted(state.hosts.items()) if host.reachable]
    if hosts and not any(can_have(host, instance) for host in hosts):
        first = hosts[0]
        _choice(instance, first)


def vnic_on(
    state: PoolState,
    host: HostRecord,
    instance: InstanceRecord,
    settings: Settings,
    before: LeaseRecord | None = None,
) -> Vnic:
    """What `instance` gets on `host`: the kernel's, the host's own, or the one planned for it.

    `before`: the lease that is there, whose addresses it keeps; and all of it where the host
    can't have it now: who holds the lease will say so.

    Raises:
        EaisError: without `before`: NET_DRIVER, ADDRESSES_EXHAUSTED.
    """
    try:
        choice = _choice(instance, host)
    except EaisError:
        if before is None:
            raise
        return Vnic(before.vnic_driver, before.address, before.link)
    if not choice.driver or instance.net is None or host.net is None:
        return Vnic(host.vnic_driver, host.vnic_address or instance.address, None, choice.why)
    if before is not None and before.link is not None and before.link.driver == choice.driver:
        kept = before.link
        link = replace(
            kept, generation=kept.generation + 1, backend=host.net, frontend=instance.net
        )
    else:
        leases = [lease for lease in state.all_leases() if lease.link is not None]
        link = plan_link(
            choice.driver,
            instance.tenant,
            settings.vnics.of(instance.tenant).network,
            _generation(instance, before),
            instance.net,
            host.net,
            [TakenLink(lease.tenant, lease.link) for lease in leases if lease.link],
            cap_bytes_per_s=settings.vnics.cap(
                instance.tenant, instance.policy.vnic_cap_bytes_per_s
            ),
            turn=instance.serial + instance.next_epoch,
            machines={settings.bind, *_machines(state)},
        )
    return Vnic(choice.driver, link.address, link, choice.why)


def _machines(state: PoolState) -> Iterator[str]:
    """Where hosts, and tunnels to them, are reached by IPv4."""
    for host in state.hosts.values():
        planes = (host.user_plane, host.management_plane)
        places = [plane.address for plane in planes if plane is not None]
        if host.net is not None:
            places.append(host.net.underlay)
        yield from (place for place in places if ":" not in place and place)


def _choice(instance: InstanceRecord, host: HostRecord) -> Choice:
    capped = bool(instance.policy.vnic_cap_bytes_per_s)
    return choose_driver(instance.vnic, host.vnic_driver, instance.net, host.net, capped=capped)


def _generation(instance: InstanceRecord, before: LeaseRecord | None) -> int:
    """Higher than of all links that the instance had: epochs grow, and leave room between them."""
    if before is None:
        return instance.next_epoch << _EPOCH_BITS
    known = before.link.generation if before.link is not None else before.epoch << _EPOCH_BITS
    return known + 1


def vnic_of(
    instance: InstanceRecord, lease: LeaseRecord | None, host: HostRecord | None, planned: str
) -> Vnic:
    """What `instance` has with `lease` on `host`, else what it will have: by `planned`."""
    if lease is not None and host is not None:
        return Vnic(lease.vnic_driver, lease.address, lease.link, _why(instance, lease, host))
    if not instance.address:
        return Vnic("", "")
    return Vnic(planned, "" if planned == HOST else instance.address)


def _why(instance: InstanceRecord, lease: LeaseRecord, host: HostRecord) -> str:
    """Why it is that driver; "" if what it was chosen by is otherwise now."""
    net = (instance.net, host.net)
    if lease.link is not None:
        net = (lease.link.frontend, lease.link.backend)
    try:
        choice = choose_driver(instance.vnic, host.vnic_driver, *net)
    except EaisError:
        return ""
    return choice.why if (choice.driver or host.vnic_driver) == lease.vnic_driver else ""


def is_within_reach(host: HostRecord, *, beyond_loopback: bool) -> bool:
    """Whether the pool's front-ends can reach the instances of `host`.

    `beyond_loopback`: they may be on other machines, where a loopback address is their own.
    """
    return not (beyond_loopback and _is_loopback(host))


def _is_loopback(host: HostRecord) -> bool:
    return host.vnic_driver == LOOPBACK or ipaddress.ip_address(host.vnic_address).is_loopback
