"""Bindings that end by themselves: by time, by what they cost, by doing nothing. (Brain)

At each tick those that have limits are looked at. One that has reached one of them is detached as
its owner would: calls in flight end, nothing is left. What else is under way on it ends first. So
none ends early, and none later than the tick after its limit, but where its host is silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final

from eais.instance import InstanceState
from eais_pool.brain import facts, line, resizing, sleeping
from eais_pool.brain.actions import Notice
from eais_pool.brain.binding_facts import (
    Binding,
    BindingUsed,
    LimitNear,
    LimitReached,
    LimitsBegan,
)
from eais_pool.brain.charges import HOUR_S, charge
from eais_pool.brain.draft import Draft
from eais_pool.brain.grants import drain, unbind
from eais_pool.brain.layered import touched
from eais_pool.brain.records import Failure, InstanceRecord, OpRecord, OpVerb
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import PoolState

WARNED_S: Final = 60.0
"""Front-ends are told so long before time or money is over, or with half of it left."""
_ATTACHED: Final = (InstanceState.BOUND, InstanceState.IN_USE, InstanceState.DRAINING)


def on_tick(draft: Draft, used: Mapping[str, float], settings: Settings) -> None:
    """Warn of what is near, and end what is due.

    Args:
        used: when instances with a limit of idleness last had calls, as far as it was seen; boot
            clock.
    """
    now = draft.state.ledger_time(draft.now)
    for binding in list(draft.state.bindings.values()):
        instance = draft.state.instances[binding.instance]
        if not binding.since:
            continue
        why = reached(draft.state, binding, now)
        if why is not None and why.reason == "IDLE_DETACHED" and _is_used(draft, binding, used):
            why = None
        if why is not None:
            _end(draft, instance, why, settings)
        else:
            _warn(draft, instance, binding, now)


def begin(draft: Draft) -> None:
    """The last that an event decides: bindings that were granted by it begin."""
    for name in touched(draft.state.instances) & draft.state.bindings.keys():
        if not draft.state.bindings[name].since and not draft.state.instances[name].op_id:
            draft.record(LimitsBegan(name, draft.state.ledger_time(draft.now)))


def reached(state: PoolState, binding: Binding, now: float) -> Failure | None:
    """The limit that a binding has reached; `now`: ledger time."""
    limits = binding.limits
    if limits.ttl_s and now - binding.since >= limits.ttl_s:
        text = f"its time is over: it was attached for {_time(limits.ttl_s)}"
        return Failure("TTL_OVER", text, "attach again, with a longer --ttl or none")
    if limits.budget and spent(state, binding, now) >= limits.budget:
        text = f"its budget of {limits.budget:g} is spent"
        return Failure("BUDGET_SPENT", text, "attach again, with another --budget or none")
    if limits.idle_s and now - binding.used_at >= limits.idle_s:
        text = f"it had no call for {_time(limits.idle_s)}"
        return Failure("IDLE_DETACHED", text, "attach again; a longer --idle-detach waits longer")
    return None


def spent(state: PoolState, binding: Binding, now: float) -> float:
    """What a binding was charged until `now`, ledger time; what a lost host holds included."""
    leases = state.leases.get(binding.instance, ())
    held = (share for lease in leases for share in lease.charged)
    return binding.spent + sum(
        charge(share.price_per_h * share.milli / 1000, now - share.since) for share in held
    )


def left_s(state: PoolState, binding: Binding, now: float) -> tuple[float, float]:
    """Seconds until its time and its budget are over, as it is charged now; inf: never."""
    limits = binding.limits
    time_s = binding.since + limits.ttl_s - now if limits.ttl_s and binding.since else inf
    leases = state.leases.get(binding.instance, ())
    held = (share for lease in leases for share in lease.charged)
    per_h = sum(share.price_per_h * share.milli / 1000 for share in held)
    money_s = inf
    if limits.budget and per_h:
        money_s = (limits.budget - spent(state, binding, now)) / per_h * HOUR_S
    return time_s, money_s


def _warn(draft: Draft, instance: InstanceRecord, binding: Binding, now: float) -> None:
    """Tell its front-end, once of each, what is over soon."""
    time_s, money_s = left_s(draft.state, binding, now)
    near = (
        ("time", "its time", time_s, min(WARNED_S, binding.limits.ttl_s / 2)),
        ("budget", f"its budget of {binding.limits.budget:g}", money_s, WARNED_S),
    )
    for name, what, left, within_s in near:
        if left <= within_s and name not in binding.warned:
            draft.record(LimitNear(instance.id, name))
            text = f"{what} is over in {_time(max(0.0, left))}, and it is detached then"
            draft.tell(Notice(instance.tenant, instance.frontend, instance.id, "LIMIT_NEAR", text))


def _is_used(draft: Draft, binding: Binding, used: Mapping[str, float]) -> bool:
    """Whether there were calls within the limit after all, or nobody can know; that is noted."""
    lease = draft.state.live_lease(binding.instance)
    now = draft.state.ledger_time(draft.now)
    at = draft.state.ledger_time(used[binding.instance]) if binding.instance in used else 0.0
    if lease is not None and lease.lost:
        at = now
    if now - at >= binding.limits.idle_s:
        return False
    draft.record(BindingUsed(binding.instance, at))
    return True


def _end(draft: Draft, instance: InstanceRecord, why: Failure, settings: Settings) -> None:
    """Detach it, once nothing else is under way on it."""
    line.cancel(draft, instance, why.message)
    instance = draft.state.instances[instance.id]
    resizing.cancel(draft, instance, why, settings)
    sleeping.end(draft, instance, why, settings)
    instance = draft.state.instances.get(instance.id, instance)
    if instance.op_id or instance.state not in _ATTACHED:
        return
    draft.record(LimitReached(instance.id, why.reason, why.message))
    draft.tell(Notice(instance.tenant, instance.frontend, instance.id, why.reason, why.message))
    instance = draft.state.instances[instance.id]
    if instance.state is InstanceState.BOUND:
        unbind(draft, instance)
        return
    op = OpRecord(
        tenant=instance.tenant,
        op_id=f"{sleeping.DETACH}{instance.id} {instance.epoch}",
        verb=OpVerb.DETACH,
        params=(OpVerb.DETACH.value, sleeping.DETACH),
        instance=instance.id,
        since=draft.now,
    )
    draft.record(facts.OpBegun(op))
    drain(draft, draft.state.instances[instance.id], settings)


def _time(seconds: float) -> str:
    """As people say it: "90 s", "2 h"."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:.3g} s" if seconds < 60 else f"{seconds:.0f} s"
