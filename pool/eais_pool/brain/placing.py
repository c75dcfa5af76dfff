"""Asking the policy: the pool's hosts as it sees them, and its answer as a lease. (Brain)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eais.device_type import DeviceKind, DeviceType, type_text
from eais.errors import EaisError, make_error
from eais_pool.brain import facts
from eais_pool.brain.auto import place_auto
from eais_pool.brain.compound import check_parts, place_parts, place_ratio
from eais_pool.brain.draft import Draft
from eais_pool.brain.host_records import DeviceRecord, HostRecord
from eais_pool.brain.layered import touched_in, unlayered
from eais_pool.brain.neighbours import placed_among
from eais_pool.brain.net_links import AUTO
from eais_pool.brain.quotas import check_start, kind_refusal
from eais_pool.brain.records import InstanceRecord, LeaseRecord, ShareRecord
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import PoolState
from eais_pool.brain.vnics import can_have, check_vnic, is_within_reach, vnic_on
from eais_pool.policy import Ask, DeviceView, HostView, Placement, Policy, Refusal


def reserve(
    draft: Draft,
    instance: InstanceRecord,
    policy: Policy,
    settings: Settings,
    closed: frozenset[str] = frozenset(),
) -> facts.LeaseReserved:
    """Reserve shares for a BOUND instance under its next epoch, of no kind that is `closed`.

    Raises:
        EaisError: QUOTA; what the policy refused with: NO_DEVICE says when to ask again.
    """
    check_vnic(draft.state, instance)
    hosts = host_views(draft.state, instance.id, settings)
    placed = _chosen(draft.state, instance, hosts, policy, settings, closed)
    return _reserved(draft, instance, placed, settings)


def check_possible(
    state: PoolState, instance: InstanceRecord, policy: Policy, settings: Settings
) -> None:
    """Raise what `reserve` would; nothing is reserved."""
    hosts = host_views(state, instance.id, settings)
    _chosen(state, instance, hosts, policy, settings)


def fits_when_free(
    state: PoolState, instance: InstanceRecord, policy: Policy, settings: Settings
) -> bool:
    """Whether the instance could be placed on the hosts of now if nobody had anything there."""
    hosts = [_emptied(view) for view in host_views(state, instance.id, settings)]
    try:
        _chosen(state, instance, hosts, policy, settings)
    except EaisError:
        return False
    return True


def _emptied(host: HostView) -> HostView:
    devices = tuple(
        replace(each, free_milli=each.capacity_milli, taken=()) for each in host.devices
    )
    return replace(host, tenants=frozenset(), devices=devices)


def reserve_elsewhere(
    draft: Draft, lease: LeaseRecord, policy: Policy, settings: Settings
) -> facts.LeaseReserved:
    """Reserve shares on another host for the instance of an OPEN lease, under its next epoch.

    Of the kinds that it has first, for which its tenant's quota isn't asked: nothing is taken
    beyond what the tenant has. Hosts that failed to take it so far come last.

    Raises:
        EaisError: as `reserve`.
    """
    state, instance = draft.state, draft.state.instances[lease.instance]
    hosts = host_views(state, instance.id, settings)

    def place(among: Sequence[HostView]) -> Placement:
        return _elsewhere(state, lease, among, policy, settings)

    placed = placed_among(state, instance, hosts, place, settings)
    return reserve_move(draft, lease, placed, settings)


def picks_on(
    state: PoolState,
    lease: LeaseRecord,
    wanted: str,
    host: str,
    only: frozenset[tuple[str, str]] | None,
    policy: Policy,
    settings: Settings,
) -> Placement:
    """Shares on `host`, `only` of these devices, as many as the instance of an OPEN lease has.

    Raises:
        EaisError: what the policy refused with.
    """
    there = [view for view in host_views(state, lease.instance, settings) if view.host == host]
    ask = replace(_ask(state, state.instances[lease.instance], wanted), only=only)
    placed = policy.place(ask, there)
    if isinstance(placed, Refusal):
        raise _refused(state, placed, settings)
    return placed


def reserve_move(
    draft: Draft, lease: LeaseRecord, placed: Placement, settings: Settings
) -> facts.LeaseReserved:
    """Reserve these shares for the instance of an OPEN lease, to take that one's place."""
    instance = draft.state.instances[lease.instance]
    return _reserved(draft, instance, placed, settings, moving=True)


def _elsewhere(
    state: PoolState,
    lease: LeaseRecord,
    hosts: Sequence[HostView],
    policy: Policy,
    settings: Settings,
) -> Placement:
    """Shares as those of a lease, on one of these hosts; hosts that failed to take it come last."""
    instance = state.instances[lease.instance]
    tried = lease.stuck.tried if lease.stuck else ()
    fresh = [replace(host, open=False) if host.host in tried else host for host in hosts]
    auto = DeviceType.parse(instance.type).kind is None
    parts = _types_of(state, lease) if auto else (instance.type,)
    others = frozenset(kind.value for kind in DeviceKind) - _kinds_of(state, lease)
    ask = _ask(state, instance, instance.type, others)
    placed = place_parts(ask, parts, fresh, policy)
    if isinstance(placed, Refusal) and tried:
        placed = place_parts(ask, parts, hosts, policy)
    if isinstance(placed, Placement):
        return placed
    if not auto:
        raise _refused(state, placed, settings)
    return _placed(state, instance, hosts, policy, settings)


def picks_beside(
    state: PoolState, lease: LeaseRecord, wanted: str, policy: Policy, settings: Settings
) -> Placement:
    """Shares of type `wanted` on the host of an OPEN lease, beside those it has, numbered on.

    Raises:
        EaisError: QUOTA; what the policy refused with.
    """
    views = host_views(state, "", settings)
    here = [view for view in views if view.host == lease.host]
    instance = replace(state.instances[lease.instance], type=DeviceType.parse(wanted).text)
    placed = _placed(state, instance, here, policy, settings)
    return numbered_on(lease, placed)


def picks_of_types(
    state: PoolState, lease: LeaseRecord, types: tuple[str, ...], policy: Policy, settings: Settings
) -> Placement:
    """Shares of these types on the host of an OPEN lease, beside those it has, numbered on.

    As many of them as there are: those that come first.

    Raises:
        EaisError: QUOTA; what the policy refused with: not even the first can be had.
    """
    instance = state.instances[lease.instance]
    here = [view for view in host_views(state, "", settings) if view.host == lease.host]
    ask = _ask(state, instance, instance.type)
    for most in range(len(types), 1, -1):
        try:
            check_parts(state, instance.tenant, types[:most], settings)
        except EaisError:
            continue
        placed = place_parts(ask, types[:most], here, policy)
        if isinstance(placed, Placement):
            return numbered_on(lease, placed)
    check_parts(state, instance.tenant, types[:1], settings)
    placed = place_parts(ask, types[:1], here, policy)
    if isinstance(placed, Refusal):
        raise _refused(state, placed, settings)
    return numbered_on(lease, placed)


def numbered_on(lease: LeaseRecord, placed: Placement) -> Placement:
    """The shares of a placement with numbers that the lease never had."""
    first = lease.numbered
    return replace(placed, shares=tuple(replace(s, n=first + s.n) for s in placed.shares))


def _types_of(state: PoolState, lease: LeaseRecord) -> tuple[str, ...]:
    """The types of the shares that a lease has; "auto" where nobody knows any more."""
    host = state.hosts[lease.host]
    found = [(host.device(s.device), s.milli) for s in _staying(lease) if s.n not in lease.coming]
    types = tuple(type_text(DeviceKind(d.kind), milli) for d, milli in found if d is not None)
    return types or ("auto",)


def picks_instead(
    state: PoolState,
    lease: LeaseRecord,
    numbers: tuple[int, ...],
    policy: Policy,
    settings: Settings,
) -> Placement:
    """Shares in the place of those of an OPEN lease, on its host, numbered on.

    Of the same kind; of an `auto` instance, of another kind if need be. Its tenant's quota isn't
    asked: nothing is taken beyond what it has.

    Raises:
        EaisError: what the policy refused with.
    """
    instance = state.instances[lease.instance]
    here = [view for view in host_views(state, "", settings) if view.host == lease.host]
    old = [share for share in lease.shares if share.n in numbers]
    bad = replace(lease, shares=tuple(old), coming=(), leaving=())
    kinds = _kinds_of(state, bad)
    assert kinds, f"{lease.key} has shares of a device that nobody knows"
    ask = _ask(state, instance, instance.type)
    placed = place_parts(ask, _types_of(state, bad), here, policy)
    auto = DeviceType.parse(instance.type).kind is None
    if isinstance(placed, Refusal) and auto and len(old) == len(lease.shares):
        placed = _placed(state, instance, here, policy, settings, kinds)
    if isinstance(placed, Refusal):
        raise _refused(state, placed, settings)
    return numbered_on(lease, placed)


def _kinds_of(state: PoolState, lease: LeaseRecord) -> frozenset[str]:
    devices = (state.hosts[lease.host].device(share.device) for share in _staying(lease))
    return frozenset(device.kind for device in devices if device is not None)


def _staying(lease: LeaseRecord) -> list[ShareRecord]:
    """Its shares, but for those that it had before, and whose end its host hasn't said yet."""
    return [share for share in lease.shares if share.n not in lease.leaving]


def _reserved(
    draft: Draft,
    instance: InstanceRecord,
    placed: Placement,
    settings: Settings,
    *,
    moving: bool = False,
) -> facts.LeaseReserved:
    vnic = vnic_on(draft.state, draft.state.hosts[placed.host], instance, settings)
    fact = facts.LeaseReserved(
        host=placed.host,
        instance=instance.id,
        epoch=instance.next_epoch,
        tenant=instance.tenant,
        address=vnic.address,
        shares=placed.shares,
        why=f"{placed.why}; {vnic.why}" if vnic.link is not None else placed.why,
        weighed=placed.weighed,
        provisional=placed.provisional,
        vnic_driver=vnic.driver,
        link=vnic.link,
        moving=moving,
        at=draft.now if moving else 0.0,
    )
    draft.record(fact)
    return fact


def _chosen(
    state: PoolState,
    instance: InstanceRecord,
    hosts: Sequence[HostView],
    policy: Policy,
    settings: Settings,
    without: frozenset[str] = frozenset(),
) -> Placement:
    """As `_placed`, with the neighbours that its owner wants."""

    def place(among: Sequence[HostView]) -> Placement:
        return _placed(state, instance, among, policy, settings, without)

    return placed_among(state, instance, hosts, place, settings)


def _placed(
    state: PoolState,
    instance: InstanceRecord,
    hosts: Sequence[HostView],
    policy: Policy,
    settings: Settings,
    without: frozenset[str] = frozenset(),
) -> Placement:
    if instance.policy.ratio.kinds:
        without |= {kind.value for kind in DeviceKind} - set(instance.policy.ratio.sizes)
    ask = _ask(state, instance, instance.type, without)
    fixed = instance.policy.ratio.fixed
    if fixed is not None and ask.type.kind is None:
        return place_ratio(state, ask, fixed, hosts, policy, settings)
    if ask.type.kind is None:
        chosen = place_auto(state, instance, ask, hosts, policy, settings)
        if chosen is not None:
            return chosen
    full = check_start(settings.quotas, state, ask.tenant, ask.type)
    placed = policy.place(replace(ask, without=without | full), hosts)
    if full and isinstance(placed, Refusal):
        placed = policy.place(ask, hosts)
        if isinstance(placed, Placement):
            kind = _kind_of(placed, hosts)
            raise kind_refusal(settings.quotas, state, ask.tenant, ask.type, kind)
    if isinstance(placed, Refusal):
        raise _refused(state, placed, settings)
    return placed


def _refused(state: PoolState, refusal: Refusal, settings: Settings) -> EaisError:
    later = {"push_back_ms": str(settings.push_back_ms)}
    metadata = later if refusal.reason == "NO_DEVICE" else {}
    text = refusal.message + _out_of_reach(state, settings)
    return make_error(refusal.reason, text, metadata=metadata)


def _kind_of(placed: Placement, hosts: Sequence[HostView]) -> str:
    [host] = (host for host in hosts if host.host == placed.host)
    return next(device.kind for device in host.devices if device.id == placed.shares[0].device)


def _out_of_reach(state: PoolState, settings: Settings) -> str:
    """Which hosts aren't asked for being on loopback, as the end of a refusal's text."""
    hosts = state.hosts.values()
    found = sorted(each.host for each in hosts if each.reachable and not _within(each, settings))
    if not found:
        return ""
    return f" (no front-end elsewhere reaches the loopback addresses of {', '.join(found)})"


def _within(host: HostRecord, settings: Settings) -> bool:
    return is_within_reach(host, beyond_loopback=settings.beyond_loopback)


def host_views(state: PoolState, instance: str, settings: Settings) -> list[HostView]:
    """All hosts in order of name, and whether they take `instance`.

    One that still holds a lease of it doesn't, nor one that its front-end couldn't reach.
    A host that didn't change is the same view as before.
    """
    held = {lease.host for lease in state.leases.get(instance, ())}
    views, index = [], state.index
    shown = index.shown(beyond_loopback=settings.beyond_loopback)
    # In a layer, what is below is read at once: there are many hosts, and few that changed.
    hosts, leases = unlayered(state.hosts), unlayered(index.on_host)
    news = touched_in(state.hosts) | touched_in(index.on_host) | held
    for name in index.names_of(state.hosts):
        found = shown.get(name)
        known = found is not None and found[0] is hosts.get(name)
        if found is None or not known or found[1] is not leases.get(name) or name in news:
            view = _view(state, state.hosts[name], settings)
            views.append(replace(view, open=False) if name in held else view)
        else:
            views.append(found[2])
    record = state.instances.get(instance)
    return views if record is None else _with_vnic(state, record, views)


def _with_vnic(state: PoolState, instance: InstanceRecord, views: list[HostView]) -> list[HostView]:
    """Hosts that can't give it the vNIC that it was asked for with don't take it."""
    if instance.vnic in ("", AUTO) and not instance.policy.vnic_cap_bytes_per_s:
        return views
    return [
        view if can_have(state.hosts[view.host], instance) else replace(view, open=False)
        for view in views
    ]


def _free_milli(device: DeviceRecord, used_milli: int) -> int:
    """What may be granted of it; of one that isn't ok nothing."""
    return max(0, device.capacity_milli - used_milli) if device.health == "ok" else 0


def device_views(state: PoolState, host: HostRecord) -> tuple[DeviceView, ...]:
    """The devices that a host has, and what of each is FREE."""
    used = state.used_milli(host.host)
    return tuple(
        DeviceView(
            id=device.id,
            kind=device.kind,
            capacity_milli=device.capacity_milli,
            granularity_milli=device.granularity_milli,
            share_limit_milli=device.share_limit_milli,
            free_milli=_free_milli(device, used.get(device.id, 0)),
            taken=state.taken(host.host, device.id),
            model=device.model,
            simulated=device.simulated,
            runtimes=device.runtimes,
            attach_ms=device.attach_ms,
            loads=device.loads,
        )
        for device in host.devices
        if device.present and not device.unenforced
    )


def _view(state: PoolState, host: HostRecord, settings: Settings) -> HostView:
    """The host as it is; the same view as before if its records are the same, as none changes."""
    shown = state.index.shown(beyond_loopback=settings.beyond_loopback)
    leases, found = state.index.on_host.get(host.host), shown.get(host.host)
    if found is not None and found[0] is host and found[1] is leases:
        return found[2]
    tenants = frozenset(lease.tenant for lease in leases or ())
    is_open = host.reachable and not host.cordoned and _within(host, settings)
    view = HostView(host.host, is_open, host.isolation, tenants, device_views(state, host))
    shown[host.host] = (host, leases, view)
    return view


def _ask(
    state: PoolState, instance: InstanceRecord, wanted: str, without: frozenset[str] = frozenset()
) -> Ask:
    learned = state.asked.learned
    return Ask(instance.tenant, DeviceType.parse(wanted), without, learned=learned)
