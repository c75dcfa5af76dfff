"""Why nothing can be placed: never, not enforceable, or not now. (Brain)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from eais.device_type import WHOLE_MILLI, DeviceKind, devices_text
from eais_pool.policy import SHARED_HOST_ISOLATION, Ask, DeviceView, HostView, Refusal


def _pieces_of(ask: Ask, kind: str) -> tuple[int, int]:
    """How many shares of how many milli-devices it is: a `cpu` type is one that spans cores."""
    if kind == DeviceKind.CPU or ask.type.milli < WHOLE_MILLI:
        return 1, ask.type.milli
    return ask.type.milli // WHOLE_MILLI, WHOLE_MILLI


def _suiting(ask: Ask, host: HostView) -> Iterator[DeviceView]:
    """The devices of a host that will do, whatever is left of them."""
    for device in host.devices:
        named = ask.only is None or (host.host, device.id) in ask.only
        if named and device.kind not in ask.without and ask.type.kind in (None, device.kind):
            yield device


def _enforces(device: DeviceView, milli: int) -> bool:
    """Whether a device can hold a share of that size to it."""
    return milli <= device.share_limit_milli and milli % device.granularity_milli == 0


def refusal(ask: Ask, hosts: Sequence[HostView]) -> Refusal:
    """Why nothing of `hosts` fits."""
    if not hosts:
        return Refusal("NO_DEVICE", "no back-end has joined this pool yet")
    if not any(_could(ask, host) for host in hosts):
        return _impossible(ask, hosts)
    if not any(host.open for host in hosts):
        return Refusal("NO_DEVICE", "no back-end can be reached or takes this instance now")
    if not any(host.open and host.may_serve(ask.tenant) for host in hosts):
        level = SHARED_HOST_ISOLATION
        return Refusal(
            "ISOLATION_UNAVAILABLE",
            f"the back-ends isolate below level {level}, so each serves one tenant, and are taken",
        )
    return Refusal("NO_DEVICE", f"no back-end has room for {ask.type.text} now")


def _could(ask: Ask, host: HostView) -> bool:
    """Whether a host has room for it when nobody has anything of its devices."""
    devices = _suiting(ask, host)
    return _has_room(ask, [replace(d, free_milli=d.capacity_milli, taken=()) for d in devices])


def _has_room(ask: Ask, devices: Sequence[DeviceView]) -> bool:
    for kind in {device.kind for device in devices}:
        count, milli = _pieces_of(ask, kind)
        able = (device for device in devices if device.kind == kind and _enforces(device, milli))
        if sum(each.has_room(milli) for each in able) >= count:
            return True
    return False


def _impossible(ask: Ask, hosts: Sequence[HostView]) -> Refusal:
    text, kind = ask.type.text, ask.type.kind
    devices = [each for host in hosts for each in _suiting(ask, host)]
    if not devices:
        return Refusal("TYPE_UNKNOWN", _lacks(ask, hosts))
    _, milli = _pieces_of(ask, kind.value if kind else devices[0].kind)
    grains = {each.granularity_milli for each in devices if milli <= each.share_limit_milli}
    if grains and all(milli % grain for grain in grains):
        what, step = kind or "device", devices_text(min(grains))
        return Refusal(
            "ARGUMENT", f"{text}: shares of a {what} are enforced in steps of {step} here"
        )
    most = max(_most_milli(ask, host) for host in hosts)
    return Refusal("ARGUMENT", f"{text}: no back-end has more than {devices_text(most)} to lend")


def _lacks(ask: Ask, hosts: Sequence[HostView]) -> str:
    there = {device.kind for host in hosts for device in host.devices} - ask.without
    others = f", only {', '.join(sorted(there))}" if there else ""
    return f"no back-end of this pool has a {ask.type.kind or 'device'}{others}"


def _most_milli(ask: Ask, host: HostView) -> int:
    sizes = [each.capacity_milli for each in _suiting(ask, host)]
    if ask.type.kind is DeviceKind.CPU:
        return max(sizes, default=0)
    return sum(sizes)
