"""Asking the policy: the pool's hosts as it sees them, and its answer as a lease. (Brain)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eais.device_type import DeviceType
from eais.errors import make_error
from eais_pool.brain import facts
from eais_pool.brain.draft import Draft
from eais_pool.brain.quotas import check_start, kind_refusal
from eais_pool.brain.records import HostRecord, InstanceRecord
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import PoolState
from eais_pool.policy import Ask, DeviceView, HostView, Placement, Policy, Refusal


def reserve(
    draft: Draft, instance: InstanceRecord, policy: Policy, settings: Settings
) -> facts.LeaseReserved:
    """Reserve shares for a BOUND instance under its next epoch.

    Raises:
        EaisError: QUOTA; what the policy refused with: NO_DEVICE says when to ask again.
    """
    placed = _placed(draft.state, instance, policy, settings)
    fact = facts.LeaseReserved(
        host=placed.host,
        instance=instance.id,
        epoch=instance.epoch + 1,
        tenant=instance.tenant,
        address=instance.address,
        shares=placed.shares,
        why=placed.why,
    )
    draft.record(fact)
    return fact


def _placed(
    state: PoolState, instance: InstanceRecord, policy: Policy, settings: Settings
) -> Placement:
    ask = Ask(instance.tenant, DeviceType.parse(instance.type))
    full = check_start(settings.quotas, state, ask.tenant, ask.type)
    hosts = host_views(state, instance.id)
    placed = policy.place(ask, [_without(host, full) for host in hosts] if full else hosts)
    if full and isinstance(placed, Refusal):
        placed = policy.place(ask, hosts)
        if isinstance(placed, Placement):
            kind = _kind_of(placed, hosts)
            raise kind_refusal(settings.quotas, state, ask.tenant, ask.type, kind)
    if isinstance(placed, Refusal):
        later = {"push_back_ms": str(settings.push_back_ms)}
        metadata = later if placed.reason == "NO_DEVICE" else {}
        raise make_error(placed.reason, placed.message, metadata=metadata)
    return placed


def _without(host: HostView, kinds: frozenset[str]) -> HostView:
    devices = tuple(device for device in host.devices if device.kind not in kinds)
    return replace(host, devices=devices)


def _kind_of(placed: Placement, hosts: Sequence[HostView]) -> str:
    [host] = (host for host in hosts if host.host == placed.host)
    return next(device.kind for device in host.devices if device.id == placed.shares[0].device)


def host_views(state: PoolState, instance: str) -> list[HostView]:
    """All hosts in order of name; one that still holds a lease of `instance` takes no other."""
    held = {lease.host for lease in state.leases.get(instance, ())}
    return [_view(state, state.hosts[name], name not in held) for name in sorted(state.hosts)]


def _view(state: PoolState, host: HostRecord, takes_it: bool) -> HostView:
    used = state.used_milli(host.host)
    devices = tuple(
        DeviceView(
            id=device.id,
            kind=device.kind,
            capacity_milli=device.capacity_milli,
            granularity_milli=device.granularity_milli,
            share_limit_milli=device.share_limit_milli,
            free_milli=max(0, device.capacity_milli - used.get(device.id, 0)),
        )
        for device in host.devices
        if device.present
    )
    tenants = frozenset(lease.tenant for lease in state.leases_on(host.host))
    return HostView(host.host, host.reachable and takes_it, host.isolation, tenants, devices)
