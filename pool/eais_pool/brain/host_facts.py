"""Facts about hosts and their devices, as the pool's state takes them in. (Brain)"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from eais_pool.brain import facts, lease_moves
from eais_pool.brain.facts import Fact
from eais_pool.brain.loads import LoadsChanged, with_loads

if TYPE_CHECKING:
    from eais_pool.brain.state import PoolState


def _host_registered(state: PoolState, fact: facts.HostRegistered) -> None:
    host = fact.host
    used = state.used_milli(host.host)
    here = {device.id for device in host.devices}
    before = state.hosts.get(host.host)
    kept = [
        replace(device, present=False)
        for device in (before.devices if before else ())
        if device.id not in here and used.get(device.id)
    ]
    if before:
        host = replace(host, cordoned=before.cordoned, draining=before.draining)
    state.put_host(replace(host, devices=(*host.devices, *kept)))
    state.settle_devices(host.host)
    _unstick(state, host.host)


def _host_went_away(state: PoolState, fact: facts.HostWentAway) -> None:
    state.put_host(replace(state.hosts[fact.host], reachable=False, away_at=fact.at))
    for lease in state.leases_on(fact.host):
        state.put_lease(lease_moves.lost(lease, state.ledger_time(fact.at)))


def _host_offered(state: PoolState, fact: facts.HostOffered) -> None:
    state.put_host(replace(state.hosts[fact.host], net=fact.net))


def _host_cordoned(state: PoolState, fact: facts.HostCordoned) -> None:
    host = state.hosts[fact.host]
    state.put_host(replace(host, cordoned=fact.cordoned, draining=fact.draining))
    _unstick(state, fact.host)


def _device_health_changed(state: PoolState, fact: facts.DeviceHealthChanged) -> None:
    host = state.hosts[fact.host]
    devices = tuple(
        replace(device, health=fact.health, why=fact.why) if device.id == fact.device else device
        for device in host.devices
    )
    state.put_host(replace(host, devices=devices))
    _unstick(state, fact.host)


def _loads_changed(state: PoolState, fact: LoadsChanged) -> None:
    state.put_host(with_loads(state.hosts[fact.host], fact))


def _unstick(state: PoolState, name: str) -> None:
    """Forget why leases couldn't be moved away that needn't be any more."""
    host = state.hosts[name]
    for lease in state.leases_on(name):
        if lease.stuck and not (host.draining or lease.on_bad(host)):
            state.put_lease(replace(lease, stuck=None))


HOST_FACTS: Final[Mapping[type[Fact], Callable[[PoolState, Any], None]]] = {
    facts.HostRegistered: _host_registered,
    facts.HostWentAway: _host_went_away,
    facts.HostOffered: _host_offered,
    facts.HostCordoned: _host_cordoned,
    facts.DeviceHealthChanged: _device_health_changed,
    LoadsChanged: _loads_changed,
}
