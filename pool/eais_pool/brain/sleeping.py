"""Scaled to zero: an instance gives its shares back until a call comes. (Brain)

It stays bound to its front-end, which sees it IN_USE with no worker: calls wait, and say that
they do. The first one starts it again, as its owner could, by an operation of the pool's own.
While its old lease is still being taken back, or nothing is free, that waits in line for room
with all others, for as long as calls come that say so.
"""

from __future__ import annotations

from typing import Final

from eais.errors import EaisError
from eais.instance import InstanceState
from eais_pool.brain import facts, line
from eais_pool.brain.draft import Draft
from eais_pool.brain.grants import cancel_move, close, send_grant
from eais_pool.brain.placing import check_possible, reserve
from eais_pool.brain.ratio_records import InstanceSlept, InstanceWanted, SleepEnded
from eais_pool.brain.records import Answer, Failure, InstanceRecord, LeaseRecord, OpRecord, OpVerb
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import OpKey
from eais_pool.brain.waiting_records import WAIT_MOST_S, Waiting
from eais_pool.policy import Policy

WANTED_S: Final = 60.0
"""A call that said so longer ago has given up."""
_SAID_AGAIN_S: Final = 5.0
_WAKE: Final = "wake "
DETACH: Final = "limit "
"""How the names of the pool's own operations begin: no caller's does."""


def sleep(draft: Draft, lease: LeaseRecord, settings: Settings) -> None:
    """Have an IN_USE instance, on which nothing is under way, give back its OPEN lease."""
    cancel_move(draft, lease.instance, settings)
    draft.record(InstanceSlept(lease.instance))
    close(draft, lease, settings)


def needed(draft: Draft, instance: str, policy: Policy, settings: Settings) -> None:
    """A call came for an instance that has no worker."""
    record = draft.state.instances.get(instance)
    if record is None or not record.asleep:
        return
    if not record.wanted_at or draft.now - record.wanted_at >= _SAID_AGAIN_S:
        draft.record(InstanceWanted(instance, draft.now))
    wake(draft, record, policy, settings)


def wake(draft: Draft, instance: InstanceRecord, policy: Policy, settings: Settings) -> bool:
    """Start an instance that is asleep; False if that can't be now.

    One that a call wants waits in line then, and doesn't go before those who do.
    """
    record = draft.state.instances[instance.id]
    op = _operation(draft, record)
    if record.op_id or (op.tenant, op.op_id) in draft.state.ops:
        return False
    if draft.state.line:
        return _line_up(draft, record, policy, settings)
    try:
        reserved = reserve(draft, record, policy, settings)
    except EaisError as error:
        if error.reason not in line.NO_ROOM:
            return False
        return _line_up(draft, record, policy, settings)
    draft.record(facts.OpBegun(op))
    lease = draft.state.lease(reserved.key)
    if lease is not None:
        send_grant(draft, lease, settings)
    return True


def _operation(draft: Draft, instance: InstanceRecord, waits: Waiting | None = None) -> OpRecord:
    return OpRecord(
        tenant=instance.tenant,
        op_id=f"{_WAKE}{instance.id} {instance.epoch + 1}",
        verb=OpVerb.START,
        params=(OpVerb.START.value, _WAKE),
        instance=instance.id,
        since=draft.now,
        waits=waits,
    )


def _line_up(draft: Draft, instance: InstanceRecord, policy: Policy, settings: Settings) -> bool:
    """Wait in line if a call does; whether it was its turn at once."""
    if not instance.wanted_at:
        return False
    try:
        line.check_line(draft.state, instance.tenant, settings)
        check_possible(draft.state, instance, policy, settings)
    except EaisError as error:
        if error.reason not in line.NO_ROOM:
            return False
    # It leaves when no call waits any more (`advance`): calls say so again, and keep its place.
    waits = line.waiting(draft.now, WAIT_MOST_S)
    draft.record(facts.OpBegun(_operation(draft, instance, waits)))
    line.serve(draft, policy, settings)
    return draft.state.live_lease(instance.id) is not None


def advance(draft: Draft, policy: Policy, settings: Settings) -> None:
    """Wake those that are wanted, as far as that can be now."""
    for instance in [each for each in draft.state.instances.values() if each.wanted_at]:
        late = draft.now - instance.wanted_at >= WANTED_S
        if late and is_wake((instance.tenant, instance.op_id)):
            line.cancel(draft, instance, "no call waits for it any more")
        elif late and not instance.op_id:
            draft.record(InstanceWanted(instance.id, 0.0))
        else:
            wake(draft, instance, policy, settings)


def freed(draft: Draft, instance: str, policy: Policy, settings: Settings) -> None:
    """A host has taken back what an instance had: perhaps that was waited for."""
    record = draft.state.instances.get(instance)
    if record is not None and record.wanted_at:
        wake(draft, record, policy, settings)


def end(draft: Draft, instance: InstanceRecord, why: Failure, settings: Settings) -> None:
    """Its owner wants it stopped or gone: no call wakes it, nor goes on to."""
    lease = draft.state.live_lease(instance.id)
    if is_wake((instance.tenant, instance.op_id)):
        if lease is not None:
            close(draft, lease, settings)
        draft.answer(instance.tenant, instance.op_id, Answer(failure=why))
    elif instance.op_id:
        return
    if draft.state.instances[instance.id].asleep:
        draft.record(SleepEnded(instance.id))


def is_wake(key: OpKey) -> bool:
    """Whether an operation is the pool's own, to wake an instance: nobody asks for its answer."""
    return key[1].startswith(_WAKE)


def over(draft: Draft) -> tuple[tuple[str, str], ...]:
    """The pool's own operations that were answered: nobody asks for them again."""
    return tuple(
        key
        for key, op in draft.state.ops.items()
        if op.answer is not None and op.op_id.startswith((_WAKE, DETACH))
    )


def is_up(instance: InstanceRecord) -> bool:
    """Whether it serves calls, or would if one came."""
    return instance.state is InstanceState.IN_USE or instance.asleep
