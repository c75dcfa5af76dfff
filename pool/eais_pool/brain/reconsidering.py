"""What `auto` took before anything was known is chosen once more when something is. (Brain)

The first profile of its model on what an instance has moves it at most once, and only one that has
an SLO and that something cheaper, or quick enough, is expected to meet: as a resize does it, on
its host and under live calls, for which the operation is the pool's own. It stays `auto`. What
can't be done leaves it where it is, and isn't tried again. As long as nothing is known of what it
has, that something dearer is known to do is no reason to leave.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from eais.errors import EaisError
from eais.instance import InstanceState
from eais_pool.brain import facts
from eais_pool.brain.auto import chosen_of, explained, in_words, model_of
from eais_pool.brain.draft import Draft
from eais_pool.brain.placing import host_views, picks_beside
from eais_pool.brain.records import InstanceRecord, LeasePhase, LeaseRecord, OpRecord, OpVerb
from eais_pool.brain.resizing import begin_with
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import PoolState
from eais_pool.policy import DeviceView, HostView, Policy
from eais_pool.policy.choosing import Candidate, Choice, Verdict

AUTO: Final = "auto"


def reconsider(draft: Draft, models: Iterable[str], policy: Policy, settings: Settings) -> None:
    """Profiles of these models came."""
    fresh = frozenset(models)
    for instance in list(draft.state.instances.values()):
        lease = draft.state.live_lease(instance.id)
        if lease is None or not _is_due(draft.state, instance, lease):
            continue
        if model_of(draft.state, instance) in fresh:
            _reconsider(draft, instance, lease, policy, settings)


def _is_due(state: PoolState, instance: InstanceRecord, lease: LeaseRecord) -> bool:
    waits = instance.op_id or lease.coming or lease.leaving or lease.phase is not LeasePhase.OPEN
    # Work leaves bad devices by itself.
    held = not lease.lost and not lease.on_bad(state.hosts[lease.host])
    tried = (instance.tenant, _op_id(lease)) in state.ops
    in_use = instance.state is InstanceState.IN_USE and instance.type == AUTO
    return in_use and held and lease.provisional and not waits and not tried


def _reconsider(
    draft: Draft, instance: InstanceRecord, lease: LeaseRecord, policy: Policy, settings: Settings
) -> None:
    choice = chosen_of(draft.state, instance, own_views(draft.state, lease, settings), settings)
    if choice.chosen is None or choice.provisional or not _knows(draft.state, lease, choice):
        return
    asked = instance.policy.slo_p99_us > 0 and not choice.best_effort
    has = _has(draft.state, lease, choice.chosen.candidate)
    if asked and not has:
        _move(draft, instance, lease, choice, policy, settings)
    else:
        stays = "it stays" if has else "it stays, though by what is known now"
        confirmed = facts.ChoiceConfirmed(*lease.key, f"{stays}: {choice.why}", in_words(choice))
        draft.record(confirmed)


def _move(
    draft: Draft,
    instance: InstanceRecord,
    lease: LeaseRecord,
    choice: Choice,
    policy: Policy,
    settings: Settings,
) -> None:
    assert choice.chosen is not None
    wanted = choice.chosen.candidate.type
    try:
        placed = picks_beside(draft.state, lease, wanted, policy, settings)
    except EaisError:
        return  # there is no room beside what it has
    op = OpRecord(
        tenant=instance.tenant,
        op_id=_op_id(lease),
        verb=OpVerb.RESIZE,
        params=(OpVerb.RESIZE.value, AUTO, wanted),
        instance=instance.id,
        since=draft.now,
    )
    begin_with(draft, lease, explained(placed, choice), AUTO, settings)
    draft.record(facts.OpBegun(op))


def own_views(state: PoolState, lease: LeaseRecord, settings: Settings) -> list[HostView]:
    """Its host alone, with what it has counted as free: it may well stay."""
    (here,) = (view for view in host_views(state, "", settings) if view.host == lease.host)
    return [replace(here, devices=tuple(without_lease(lease, each) for each in here.devices))]


def without_lease(lease: LeaseRecord, view: DeviceView) -> DeviceView:
    """A device with what a lease has of it counted as free."""
    taken, free_milli = list(view.taken), view.free_milli
    for share in lease.shares:
        if share.device == view.id:
            taken.remove((share.milli, share.unit))
            free_milli += share.milli
    return replace(view, taken=tuple(taken), free_milli=free_milli)


def _knows(state: PoolState, lease: LeaseRecord, choice: Choice) -> bool:
    """Whether there is a forecast of what it has."""
    known = {Verdict.CHOSEN, Verdict.DEARER, Verdict.TOO_SLOW, Verdict.OVERLOADED}
    of_its = (each for each in choice.considered if _has(state, lease, each.candidate))
    return any(each.verdict in known for each in of_its)


def _has(state: PoolState, lease: LeaseRecord, chosen: Candidate) -> bool:
    """Whether that is what it has."""
    host = state.hosts[lease.host]
    kinds = {d.kind for share in lease.shares if (d := host.device(share.device)) is not None}
    milli = sum(share.milli for share in lease.shares)
    return kinds == {chosen.runner.kind.value} and milli == chosen.share_milli


def _op_id(lease: LeaseRecord) -> str:
    """Of the pool's own operation on a lease, of which there is one; callers' are UUIDs."""
    return f"auto {lease.instance} {lease.epoch}"
