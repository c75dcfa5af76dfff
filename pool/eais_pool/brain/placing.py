"""Asking the policy: the pool's hosts as it sees them, and its answer as a lease. (Brain)"""

from __future__ import annotations

from eais.device_type import DeviceType
from eais.errors import make_error
from eais_pool.brain import facts
from eais_pool.brain.draft import Draft
from eais_pool.brain.records import HostRecord, InstanceRecord
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import PoolState
from eais_pool.policy import Ask, DeviceView, HostView, Policy, Refusal


def reserve(
    draft: Draft, instance: InstanceRecord, policy: Policy, settings: Settings
) -> facts.LeaseReserved:
    """Reserve shares for a BOUND instance under its next epoch.

    Raises:
        EaisError: what the policy refused with; NO_DEVICE says when to ask again.
    """
    ask = Ask(instance.tenant, DeviceType.parse(instance.type))
    placed = policy.place(ask, host_views(draft.state, instance.id))
    if isinstance(placed, Refusal):
        later = {"push_back_ms": str(settings.push_back_ms)}
        metadata = later if placed.reason == "NO_DEVICE" else {}
        raise make_error(placed.reason, placed.message, metadata=metadata)
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
