"""First fit: the first host, in order of name, whose devices have room. (Brain)

A `cpu` type is one share that spans cores of one device. Of the other kinds,
whole devices are one share each, and a fraction is one share of one device.
`auto` is one whole device of whatever kind is met first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eais.device_type import WHOLE_MILLI, DeviceKind, devices_text
from eais.share_units import unit_for
from eais_pool.brain.records import SharePick
from eais_pool.policy import Ask, DeviceView, HostView, Placement, Refusal

#: Below this level workers of two tenants on one host aren't kept apart.
SHARED_HOST_ISOLATION = 2


@dataclass(frozen=True, slots=True)
class FirstFit:
    """The policy that takes the first place that fits."""

    def place(self, ask: Ask, hosts: Sequence[HostView]) -> Placement | Refusal:
        """See `Policy.place`."""
        for host in hosts:
            if host.open and may_serve(host, ask.tenant):
                shares = _fit(ask, host)
                if shares:
                    return Placement(host.host, shares, _why(ask, host, shares))
        return _refusal(ask, hosts)


def may_serve(host: HostView, tenant: str) -> bool:
    """Whether the host keeps tenants apart well enough to serve this one too."""
    return host.isolation >= SHARED_HOST_ISOLATION or host.tenants <= {tenant}


def _pieces(ask: Ask) -> list[int]:
    if ask.type.kind is DeviceKind.CPU or ask.type.milli < WHOLE_MILLI:
        return [ask.type.milli]
    return [WHOLE_MILLI] * (ask.type.milli // WHOLE_MILLI)


def _kinds(ask: Ask, host: HostView) -> list[str]:
    if ask.type.kind is not None:
        return [ask.type.kind.value]
    return list(dict.fromkeys(device.kind for device in host.devices))


def _fit(ask: Ask, host: HostView) -> tuple[SharePick, ...]:
    """The shares of `host` that `ask` gets, () if it has no room."""
    for kind in _kinds(ask, host):
        devices = [device for device in host.devices if device.kind == kind]
        shares = _fit_pieces(_pieces(ask), devices)
        if shares:
            return shares
    return ()


def _fit_pieces(pieces: list[int], devices: list[DeviceView]) -> tuple[SharePick, ...]:
    left = {device.id: device for device in devices}
    shares: list[SharePick] = []
    for n, milli in enumerate(pieces, start=1):
        views = left.values()
        device = next((d for d in views if _enforceable(d, milli) and d.has_room(milli)), None)
        if device is None:
            return ()
        unit = unit_for(milli, device.capacity_milli, device.taken) or 0
        taken = (*device.taken, (milli, unit))
        left[device.id] = replace(device, free_milli=device.free_milli - milli, taken=taken)
        shares.append(SharePick(n, device.id, milli, unit))
    return tuple(shares)


def _enforceable(device: DeviceView, milli: int) -> bool:
    return milli <= device.share_limit_milli and milli % device.granularity_milli == 0


def _why(ask: Ask, host: HostView, shares: tuple[SharePick, ...]) -> str:
    places = ", ".join(f"{devices_text(share.milli)} of {share.device}" for share in shares)
    return f"first fit for {ask.type.text}: host {host.host} had room ({places})"


def _emptied(host: HostView) -> HostView:
    devices = tuple(
        replace(device, free_milli=device.capacity_milli, taken=()) for device in host.devices
    )
    return replace(host, devices=devices)


def _refusal(ask: Ask, hosts: Sequence[HostView]) -> Refusal:
    """Why nothing fits: never, not enforceable, or not now."""
    if not hosts:
        return Refusal("NO_DEVICE", "no back-end has joined this pool yet")
    if not any(_fit(ask, _emptied(host)) for host in hosts):
        return _impossible(ask, hosts)
    if not any(host.open for host in hosts):
        return Refusal("NO_DEVICE", "no back-end can be reached or takes this instance now")
    if not any(host.open and may_serve(host, ask.tenant) for host in hosts):
        level = SHARED_HOST_ISOLATION
        return Refusal(
            "ISOLATION_UNAVAILABLE",
            f"the back-ends isolate below level {level}, so each serves one tenant, and are taken",
        )
    return Refusal("NO_DEVICE", f"no back-end has room for {ask.type.text} now")


def _impossible(ask: Ask, hosts: Sequence[HostView]) -> Refusal:
    text, kind = ask.type.text, ask.type.kind
    devices = [each for host in hosts for each in host.devices if kind in (None, each.kind)]
    if not devices:
        return Refusal("TYPE_UNKNOWN", _lacks(kind, hosts))
    milli = _pieces(ask)[0]
    grains = {each.granularity_milli for each in devices if milli <= each.share_limit_milli}
    if grains and all(milli % grain for grain in grains):
        what, step = kind or "device", devices_text(min(grains))
        return Refusal(
            "ARGUMENT", f"{text}: shares of a {what} are enforced in steps of {step} here"
        )
    most = max(_most_milli(host, kind) for host in hosts)
    return Refusal("ARGUMENT", f"{text}: no back-end has more than {devices_text(most)} to lend")


def _lacks(kind: DeviceKind | None, hosts: Sequence[HostView]) -> str:
    there = sorted({device.kind for host in hosts for device in host.devices})
    others = f", only {', '.join(there)}" if there else ""
    return f"no back-end of this pool has a {kind or 'device'}{others}"


def _most_milli(host: HostView, kind: DeviceKind | None) -> int:
    sizes = [each.capacity_milli for each in host.devices if kind in (None, each.kind)]
    if kind is DeviceKind.CPU:
        return max(sizes, default=0)
    return sum(sizes)
