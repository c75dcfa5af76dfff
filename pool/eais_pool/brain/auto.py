"""`auto`: the cheapest share that is expected to do, by profiles and prices. (Brain)

What is asked for is what the instance's owner said (SLO, rate, price cap, tolerance), for the
model that the instance, or another of its tenant's that the same front-end had, opened last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from eais.device_type import DeviceKind, DeviceType
from eais.errors import make_error
from eais.tolerance import Tolerance
from eais_pool.brain.quotas import left_of
from eais_pool.brain.records import InstanceRecord
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import PoolState
from eais_pool.policy import Ask, DeviceView, HostView, Placement, Policy
from eais_pool.policy.candidates import candidates, of_device, text_of
from eais_pool.policy.choosing import Candidate, Choice, Considered, choose, ready_text
from eais_pool.policy.forecasting import Demand

WEIGHED_MOST: Final = 64
"""Candidates that are kept with a lease, in words: the cheapest."""


def place_auto(
    state: PoolState,
    instance: InstanceRecord,
    ask: Ask,
    hosts: Sequence[HostView],
    policy: Policy,
    settings: Settings,
) -> Placement | None:
    """Shares for an `auto` instance, and why these; None: nothing may be chosen by what it costs.

    `ask` is what is to be placed, but for its type and the devices that will do.

    Raises:
        EaisError: ARGUMENT, or NO_DEVICE: nothing is within the price cap, or nothing now.
    """
    views = serving_views(state, instance, hosts, settings, ask.without)
    choice = chosen_of(state, instance, views, settings)
    if choice.chosen is None:
        _refuse(instance, choice, settings)
        return None
    chosen = choice.chosen.candidate
    model = model_of(state, instance)
    only = frozenset(
        (view.host, each.id) for view in views for each in _as_chosen(view, chosen, model)
    )
    wanted = replace(ask, type=DeviceType.parse(chosen.type), only=only)
    placed = policy.place(wanted, hosts)
    return explained(placed, choice) if isinstance(placed, Placement) else None


def chosen_of(
    state: PoolState, instance: InstanceRecord, views: Sequence[HostView], settings: Settings
) -> Choice:
    """What is chosen of these hosts' devices, for the model that is known; its `why` names it."""
    demand, model = demand_of(instance), model_of(state, instance)
    curves = state.profiles.curves(model) if model else {}
    allowed = candidates(views, demand.tolerance, model, allowed_sizes(instance))
    choice = choose(demand, allowed, curves, settings.prices)
    words = f"{choice.why}, for model {model[:12]}" if model else choice.why
    simulated = choice.chosen is not None and choice.chosen.candidate.simulated
    return replace(choice, why=f"{words} (simulated)" if simulated else words)


def explained(placed: Placement, choice: Choice) -> Placement:
    """A placement of what was chosen, with all that was considered."""
    return replace(placed, why=choice.why, weighed=in_words(choice), provisional=choice.provisional)


def in_words(choice: Choice) -> tuple[str, ...]:
    """All that was considered."""
    return tuple(map(_in_words, choice.considered[:WEIGHED_MOST]))


def allowed_sizes(instance: InstanceRecord) -> Mapping[DeviceKind, frozenset[int]] | None:
    """The kinds and sizes that its owner named; None: all will do."""
    ratio = instance.policy.ratio
    return ratio.sizes if ratio.kinds else None


def demand_of(instance: InstanceRecord) -> Demand:
    """What its owner asks of devices."""
    policy = instance.policy
    return Demand(
        slo_p99_s=policy.slo_p99_us / 1e6 or None,
        rate_per_s=policy.rate_per_s or None,
        price_cap_per_h=policy.price_cap_per_h or None,
        tolerance=Tolerance.checked(instance.tolerance),
    )


def model_of(state: PoolState, instance: InstanceRecord) -> str:
    """The model that it is chosen for: of those opened last, the first that has a profile."""
    tenants = [each for each in state.instances.values() if each.tenant == instance.tenant]
    mine = [each for each in tenants if each.opened_by == instance.frontend]
    mine.sort(key=lambda each: (each.id == instance.id, each.serial), reverse=True)
    models = dict.fromkeys(model for each in mine for model in reversed(each.models))
    return next((model for model in models if state.profiles.of(model)), "")


def serving_views(
    state: PoolState,
    instance: InstanceRecord,
    hosts: Sequence[HostView],
    settings: Settings,
    without: frozenset[str] = frozenset(),
) -> list[HostView]:
    """The hosts with what of each device the tenant may have now, but for these kinds."""
    left = left_of(settings.quotas, state, instance.tenant)
    found = []
    for host in hosts:
        devices = tuple(
            replace(each, free_milli=min(each.free_milli, left.get(each.kind, each.free_milli)))
            for each in host.devices
            if each.kind not in without
        )
        is_open = host.open and host.may_serve(instance.tenant)
        found.append(replace(host, open=is_open, devices=devices))
    return found


def _as_chosen(view: HostView, chosen: Candidate, model: str) -> Iterator[DeviceView]:
    """Those of a host's devices that would do what was chosen, as soon."""
    for each in view.devices:
        sizes = (chosen.share_milli,)
        if any(_does(found, chosen) for found in of_device(each, model=model, sizes=sizes)):
            yield each


def _does(found: Candidate, chosen: Candidate) -> bool:
    same = (found.runner, found.share_milli) == (chosen.runner, chosen.share_milli)
    return same and found.image is chosen.image and found.setup_s <= chosen.setup_s


def _refuse(instance: InstanceRecord, choice: Choice, settings: Settings) -> None:
    """Raise what a price cap leaves; without one, whoever has room is taken."""
    if choice.refusal is None or not instance.policy.price_cap_per_h:
        return
    later = choice.refusal.reason == "NO_DEVICE"
    metadata = {"push_back_ms": str(settings.push_back_ms)} if later else {}
    raise make_error(choice.refusal.reason, choice.refusal.message, metadata=metadata)


def _in_words(each: Considered) -> str:
    candidate = each.candidate
    label = ", simulated" if candidate.simulated else ""
    runner = f"{candidate.runner.device_model}, {text_of(candidate.runner)}{label}"
    ready = ready_text(candidate)
    why = f"{each.why}; {ready}" if ready else each.why
    return f"{candidate.type} ({runner}): {each.verdict.value}: {why}"
