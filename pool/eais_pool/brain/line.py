"""The line of operations that wait for room: who joins it, is served, and gives up. (Brain)

Served in the order of `fair_order`. One that finds no room lets those behind it take what it
could use for `overtake_s`, since its own may come free meanwhile; then it reserves: nobody gets
a kind that it could use before it does, unless it can't be placed even where all is free now.
Within a tenant nobody overtakes for the same kinds. One whose tenant has its whole quota waits,
and holds up nobody.
"""

from __future__ import annotations

from typing import Final

from eais.device_type import DeviceKind, DeviceType
from eais.errors import EaisError, Unavailable, UsageError, make_error
from eais_pool.brain.binding_facts import LineLeft
from eais_pool.brain.draft import Draft
from eais_pool.brain.fair_order import InLine, fair_order
from eais_pool.brain.grants import roll_back, send_grant
from eais_pool.brain.placing import fits_when_free, reserve
from eais_pool.brain.quotas import WEIGHT, in_force, milli_of
from eais_pool.brain.records import Failure, InstanceRecord, OpRecord
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import OpKey, PoolState
from eais_pool.brain.waiting_records import WAIT_MOST_S, Position, Waiting
from eais_pool.policy import Policy

NO_ROOM: Final = frozenset({"NO_DEVICE", "ISOLATION_UNAVAILABLE"})
"""The refusals that time may mend."""
_KINDS: Final = frozenset(kind.value for kind in DeviceKind)


def check_wait(wait_s: float) -> float:
    """`wait_s`; `UsageError` ARGUMENT if nobody may wait so long."""
    if not 0 <= wait_s <= WAIT_MOST_S:
        raise UsageError("ARGUMENT", f"wait is 0 to {WAIT_MOST_S:g} s, not {wait_s:g}")
    return wait_s


def check_line(state: PoolState, tenant: str, settings: Settings) -> None:
    """`Unavailable` QUEUE_FULL if nobody more, or no more of the tenant's, may wait."""
    own = sum(owner == tenant for owner, _ in state.line)
    later = {"push_back_ms": str(settings.push_back_ms)}
    if len(state.line) >= settings.line_most:
        text = f"{len(state.line)} operations wait in line, and no more may"
        raise Unavailable("QUEUE_FULL", text, hint="later", metadata=later)
    if own >= settings.line_most_of:
        text = f"{own} operations of this tenant wait in line, and no more may"
        raise Unavailable("QUEUE_FULL", text, hint="end some of them", metadata=later)


def waiting(now: float, wait_s: float) -> Waiting:
    """The place in line of an operation that joins it now."""
    return Waiting(now, now + wait_s)


def in_line(state: PoolState, settings: Settings) -> list[InLine]:
    """All that wait, the next one first."""
    line = [_in_line(state, key) for key in state.line]
    tenants = {each.tenant for each in line}
    held = {tenant: milli_of(state, tenant) for tenant in tenants}
    weights = {tenant: weight_of(state, tenant, settings) for tenant in tenants}
    return fair_order(line, held, _capacity(state), weights)


def positions(state: PoolState, settings: Settings) -> dict[str, Position]:
    """Where instances stand whose operations wait."""
    line = in_line(state, settings)
    return {
        state.ops[each.key].instance: Position(place, len(line))
        for place, each in enumerate(line, start=1)
    }


def weight_of(state: PoolState, tenant: str, settings: Settings) -> float:
    """A tenant's part of what is waited for, among those of others."""
    return float(in_force(settings.quotas, state, tenant).get(WEIGHT, 1))


def serve(draft: Draft, policy: Policy, settings: Settings) -> None:
    """Grant what there is room for to those who wait, in their order."""
    if not draft.state.line:
        return
    reserved: frozenset[str] = frozenset()
    own: dict[str, frozenset[str]] = {}
    for asked in in_line(draft.state, settings):
        instance = draft.state.instances[draft.state.ops[asked.key].instance]
        closed = reserved | own.get(asked.tenant, frozenset())
        if asked.kinds <= closed:
            continue
        refusal = _grant(draft, asked.key, instance, closed, policy, settings)
        if refusal is None or refusal.reason == "QUOTA":
            continue
        if refusal.reason not in NO_ROOM and not closed:
            roll_back(draft, instance, Failure.of(refusal))
        elif fits_when_free(draft.state, instance, policy, settings):
            own[asked.tenant] = own.get(asked.tenant, frozenset()) | asked.kinds
            if draft.now - asked.since >= settings.overtake_s:
                reserved |= asked.kinds


def on_tick(draft: Draft, gone: frozenset[OpKey], settings: Settings) -> None:
    """Let those leave the line whose time is over, or whose callers have gone."""
    late = [op for op in _waiting_ops(draft.state) if op.waits and op.waits.until <= draft.now]
    left = [op for op in _waiting_ops(draft.state) if (op.tenant, op.op_id) in gone]
    if not late and not left:
        return
    places = positions(draft.state, settings)
    for op in late:
        instance = draft.state.instances[op.instance]
        roll_back(draft, instance, _too_late(op, instance, places[op.instance], settings))
    for op in left:
        if op not in late:
            cancel(draft, draft.state.instances[op.instance], "nobody asks for it any more")


def cancel(draft: Draft, instance: InstanceRecord, why: str) -> bool:
    """Let the operation under way on `instance` leave the line, if it is there."""
    key = (instance.tenant, instance.op_id)
    if key not in draft.state.line:
        return False
    roll_back(draft, instance, Failure("CANCELLED", f"{instance.id} left the line: {why}"))
    return True


def passed_over(state: PoolState, settings: Settings) -> EaisError:
    """What one is told that won't wait, of what those in line wait for."""
    text = f"what is free is kept for the {len(state.line) - 1} that wait in line"
    later = {"push_back_ms": str(settings.push_back_ms)}
    return make_error("NO_DEVICE", text, hint="--wait 30s waits with them", metadata=later)


def _grant(
    draft: Draft,
    key: OpKey,
    instance: InstanceRecord,
    closed: frozenset[str],
    policy: Policy,
    settings: Settings,
) -> EaisError | None:
    """Reserve of the kinds that aren't `closed` and have it granted; or why that can't be now."""
    try:
        reserved = reserve(draft, instance, policy, settings, closed)
    except EaisError as error:
        return error
    draft.record(LineLeft(*key, draft.now))
    lease = draft.state.lease(reserved.key)
    if lease is not None:
        send_grant(draft, lease, settings)
    return None


def _waiting_ops(state: PoolState) -> list[OpRecord]:
    return [state.ops[key] for key in state.line]


def _too_late(
    op: OpRecord, instance: InstanceRecord, place: Position, settings: Settings
) -> Failure:
    waited = op.waits.until - op.waits.since if op.waits else 0.0
    text = f"nothing came free for {instance.type} in {waited:g} s; it was {place}"
    metadata = (("push_back_ms", str(settings.push_back_ms)),)
    return Failure("NO_DEVICE", text, "wait longer, or take a smaller type", metadata)


def _in_line(state: PoolState, key: OpKey) -> InLine:
    op = state.ops[key]
    wanted = DeviceType.parse(state.instances[op.instance].type)
    kinds = frozenset({wanted.kind.value}) if wanted.kind else _KINDS
    return InLine(key, kinds, wanted.milli, op.waits.since if op.waits else op.since)


def _capacity(state: PoolState) -> dict[str, int]:
    found: dict[str, int] = {}
    for host in state.hosts.values():
        for device in host.devices if host.reachable else ():
            if device.present:
                found[device.kind] = found.get(device.kind, 0) + device.capacity_milli
    return found
