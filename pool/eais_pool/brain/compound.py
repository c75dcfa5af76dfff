"""Shares of several types for one instance, all on one host, as a ratio needs them. (Brain)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from eais.device_type import WHOLE_MILLI, DeviceKind, DeviceType, type_text
from eais.errors import make_error
from eais.ratio import Ratio
from eais_pool.brain.quotas import left_of
from eais_pool.brain.records import SharePick
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import PoolState
from eais_pool.policy import Ask, HostView, Placement, Policy, Refusal
from eais_pool.policy.prices import Prices

_CORE: Final = type_text(DeviceKind.CPU, WHOLE_MILLI)


def parts_of(ratio: Ratio, kind: DeviceKind) -> tuple[str, ...]:
    """The types that a ratio is made of, with accelerators of `kind`: those first."""
    accelerator = ratio.accelerator_milli
    found = [type_text(kind, accelerator)] if accelerator else []
    return (*found, *[_CORE] * ratio.cpu_workers)


def place_ratio(
    state: PoolState,
    ask: Ask,
    ratio: Ratio,
    hosts: Sequence[HostView],
    policy: Policy,
    settings: Settings,
) -> Placement:
    """Shares for an instance of a ratio that stays as it is; `ask` is it, but for its type.

    Raises:
        EaisError: QUOTA; what the policy refused with.
    """
    refused: Refusal | None = None
    for kind in _accelerators(ratio, ask, hosts, settings.prices):
        parts = parts_of(ratio, kind)
        check_parts(state, ask.tenant, parts, settings)
        placed = place_parts(ask, parts, hosts, policy)
        if isinstance(placed, Placement):
            return replace(placed, why=f"the ratio {ratio.text} was asked for: {placed.why}")
        refused = refused or placed
    assert refused is not None, "some kind was tried"
    metadata = {"push_back_ms": str(settings.push_back_ms)} if _later(refused) else {}
    raise make_error(refused.reason, f"{ratio.text}: {refused.message}", metadata=metadata)


def place_parts(
    ask: Ask, parts: Sequence[str], hosts: Sequence[HostView], policy: Policy
) -> Placement | Refusal:
    """Shares of all these types on one host, the first that has room in the policy's order."""
    views, refused = list(hosts), None
    while True:
        first = policy.place(replace(ask, type=DeviceType.parse(parts[0])), views)
        if isinstance(first, Refusal):
            return refused or first
        at = next(n for n, view in enumerate(views) if view.host == first.host)
        whole = _rest(ask, parts[1:], views[at], first, policy)
        if isinstance(whole, Placement):
            return whole
        refused = refused or whole
        views[at] = replace(views[at], open=False)


def check_parts(state: PoolState, tenant: str, parts: Sequence[str], settings: Settings) -> None:
    """`RemoteError` QUOTA unless the tenant may have all these beside what it has."""
    left = left_of(settings.quotas, state, tenant)
    asked: dict[str, int] = {}
    for part in parts:
        wanted = DeviceType.parse(part)
        assert wanted.kind is not None, "a part is of a kind"
        kind = wanted.kind.value
        asked[kind] = asked.get(kind, 0) + wanted.milli
        if asked[kind] > left.get(kind, asked[kind]):
            text = f"a tenant's quota of {kind} has {left[kind] / WHOLE_MILLI:g} left"
            metadata = {"quota": f"{kind}_milli", "asked": str(asked[kind])}
            raise make_error("QUOTA", text, metadata=metadata)


def with_shares(view: HostView, shares: Sequence[SharePick]) -> HostView:
    """The host once these are taken, too."""
    devices = list(view.devices)
    for share in shares:
        at = next(n for n, device in enumerate(devices) if device.id == share.device)
        device = devices[at]
        devices[at] = replace(
            device,
            free_milli=device.free_milli - share.milli,
            taken=(*device.taken, (share.milli, share.unit)),
        )
    return replace(view, devices=tuple(devices))


def _rest(
    ask: Ask, parts: Sequence[str], view: HostView, first: Placement, policy: Policy
) -> Placement | Refusal:
    shares, whys = list(first.shares), [first.why]
    for part in parts:
        here = with_shares(view, shares)
        placed = policy.place(replace(ask, type=DeviceType.parse(part)), [here])
        if isinstance(placed, Refusal):
            return placed
        shares += [replace(share, n=len(shares) + n) for n, share in enumerate(placed.shares, 1)]
        whys.append(placed.why)
    return replace(first, shares=tuple(shares), why="; ".join(dict.fromkeys(whys)))


def _accelerators(
    ratio: Ratio, ask: Ask, hosts: Sequence[HostView], prices: Prices
) -> tuple[DeviceKind, ...]:
    """Kinds of accelerator to try, the cheapest first: those that there are, or one to refuse."""
    there = {device.kind for host in hosts for device in host.devices} - ask.without
    kinds = [kind for kind in DeviceKind if kind is not DeviceKind.CPU and kind.value in there]
    if not ratio.accelerator_milli:
        return (DeviceKind.CPU,)
    found = sorted(kinds, key=lambda kind: (prices.of(kind, WHOLE_MILLI), kind.value))
    return tuple(found) or (DeviceKind.GPU,)


def _later(refusal: Refusal) -> bool:
    return refusal.reason == "NO_DEVICE"
