"""What an instance's controller may choose from: offers, bounds, what is weighed. (Brain)"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais_pool.brain.auto import allowed_sizes, demand_of, model_of, serving_views
from eais_pool.brain.placing import host_views
from eais_pool.brain.quotas import left_of
from eais_pool.brain.ratio_records import Basis
from eais_pool.brain.reconsidering import own_views
from eais_pool.brain.records import InstanceRecord, LeaseRecord
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import PoolState
from eais_pool.policy import HostView
from eais_pool.policy.candidates import candidates
from eais_pool.policy.ratio.control import Bounds
from eais_pool.policy.ratio.offers import Offer, offers_of
from eais_pool.policy.ratio.scaling import Economy

ATTACH_S: Final = 3.0
"""Until one was observed."""
_SLACK_S: Final = 1.0
"""Calls may wait for the second in which they are seen, even if the SLO is shorter."""


def basis_of(
    state: PoolState,
    instance: InstanceRecord,
    attach_s: Mapping[DeviceKind, float],
    settings: Settings,
) -> Basis | None:
    """What decisions about an instance follow from now; None: nothing is known of its model.

    `attach_s`: how long a worker of each kind took to serve, as observed.
    """
    lease = state.live_lease(instance.id)
    offers = _offers(state, instance, lease, attach_s, settings)
    if not offers:
        return None
    policy = instance.policy
    economy = Economy(
        slack_s=max(_SLACK_S, policy.slo_p99_us / 1e6),
        change_cost_s=settings.ratio_change_s,
        late_target=policy.ratio.late_target or settings.ratio_late_target,
    )
    bounds = Bounds(
        least_units=policy.ratio.least,
        price_cap_per_h=policy.price_cap_per_h or math.inf,
        cpu_price_per_h=settings.prices.of(DeviceKind.CPU, WHOLE_MILLI),
        awake_s=settings.ratio_awake_s,
    )
    if policy.ratio.most:
        bounds = replace(bounds, most_units=policy.ratio.most)
    return Basis(tuple(offers), economy, bounds)


def _offers(
    state: PoolState,
    instance: InstanceRecord,
    lease: LeaseRecord | None,
    attach_s: Mapping[DeviceKind, float],
    settings: Settings,
) -> list[Offer]:
    model = model_of(state, instance)
    if not model:
        return []
    if lease is None:
        views = serving_views(state, instance, host_views(state, instance.id, settings), settings)
    else:
        views = own_views(state, lease, settings)
    demand = demand_of(instance)
    there = candidates(views, demand.tolerance, model, allowed_sizes(instance))
    found = offers_of(demand, there, state.profiles.curves(model), settings.prices)
    left, held = left_of(settings.quotas, state, instance.tenant), _held(state, lease)
    free = views if lease is None else host_views(state, "", settings)
    here = [view for view in free if lease is None or view.host == lease.host]
    sized = [
        replace(
            each,
            most_units=held.get(each.size, 0) + _more(each, here, left),
            attach_s=float(math.ceil(each.attach_s + attach_s.get(each.kind, ATTACH_S))),
        )
        for each in found
    ]
    return [each for each in sized if each.most_units]


def _more(offer: Offer, views: Sequence[HostView], left: Mapping[str, int]) -> int:
    """How many there are on one host, beside what the instance has: that stays meanwhile."""
    kind, unit = offer.kind.value, offer.unit_milli
    on_hosts = (
        sum(device.free_milli // unit for device in view.devices if device.kind == kind)
        for view in views
        if view.open
    )
    most = max(on_hosts, default=0)
    return min(most, left[kind] // unit) if kind in left else most


def _held(state: PoolState, lease: LeaseRecord | None) -> dict[tuple[DeviceKind, int], int]:
    """Shares that an instance has, by kind and size."""
    found: dict[tuple[DeviceKind, int], int] = {}
    host = state.hosts[lease.host] if lease else None
    for share in lease.shares if lease else ():
        device = host.device(share.device) if host else None
        if device is not None:
            size = (DeviceKind(device.kind), share.milli)
            found[size] = found.get(size, 0) + 1
    return found
