"""The verbs that take an op_id: the user plane's, and by `Operators` the operators'. (Brain)

A refusal that changed nothing isn't stored: the same op_id may be sent again.
Everything else is an operation with one answer, which is stored.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace

from eais.device_type import DeviceType
from eais.errors import EaisError, Unavailable, UsageError
from eais.instance import InstanceState
from eais.ratio import UNSAID
from eais_pool.brain import facts, line, resizing, sleeping
from eais_pool.brain.binding_facts import LimitsSaid
from eais_pool.brain.draft import Draft
from eais_pool.brain.events import OpRequested
from eais_pool.brain.grants import drain, send_grant, unbind
from eais_pool.brain.host_verbs import OPERATOR_VERBS, Operators, not_found
from eais_pool.brain.placing import check_possible, reserve
from eais_pool.brain.quotas import (
    OPERATORS_MOST,
    check_create,
    check_operation,
    check_operators,
    operations_of,
)
from eais_pool.brain.records import Failure, InstanceRecord, OpRecord, OpVerb, Undo
from eais_pool.brain.settings import Settings
from eais_pool.brain.vnics import check_asked
from eais_pool.brain.waiting_records import Waiting
from eais_pool.policy import Policy

_ATTACHED = (InstanceState.BOUND, InstanceState.IN_USE, InstanceState.DRAINING)


class Verbs:
    """Decides requests of front-ends."""

    def __init__(self, settings: Settings, policy: Policy, new_id: Callable[[], str]) -> None:
        self._settings = settings
        self._policy = policy
        self._new_id = new_id
        operators = Operators(settings)
        self._by_verb: Mapping[OpVerb, Callable[[Draft, OpRequested], None]] = {
            **dict.fromkeys(OPERATOR_VERBS, operators.request),
            OpVerb.CREATE: self._create,
            OpVerb.ATTACH: self._attach,
            OpVerb.START: self._start,
            OpVerb.STOP: self._stop,
            OpVerb.DETACH: self._detach,
            OpVerb.DELETE: self._delete,
            OpVerb.RESIZE: self._resize,
        }

    def request(self, draft: Draft, event: OpRequested) -> None:
        """Decide one request; raises `EaisError` for a refusal that is not to be stored."""
        check_op_id(event.op_id)
        known = draft.state.ops.get((event.tenant, event.op_id))
        if known is None and event.verb in OPERATOR_VERBS:
            if len(draft.state.ops) >= OPERATORS_MOST:
                check_operators(operations_of(draft.state, event.tenant))
            self._by_verb[event.verb](draft, event)
        elif known is None:
            check_operation(self._settings.quotas, draft.state, event.tenant, event.verb)
            line.check_wait(event.wait_s)
            self._by_verb[event.verb](draft, event)
        elif known.params != event.params:
            raise UsageError(
                "IDEMPOTENCY_MISMATCH", "this op_id was used for another request; make a new one"
            )
        elif known.answer is not None:
            draft.repeat(event.tenant, event.op_id, known.answer)

    def _create(self, draft: Draft, event: OpRequested) -> None:
        instance = self._made(draft, event, ephemeral=False)
        _begin(draft, event, instance)
        _succeed(draft, instance)

    def _made(self, draft: Draft, event: OpRequested, *, ephemeral: bool) -> str:
        kind = DeviceType.parse(event.type)
        check_create(self._settings.quotas, draft.state, event.tenant)
        self._check_price(kind, event.policy.price_cap_per_h)
        _check_near(draft, event)
        if kind.kind is not None and event.policy.ratio != UNSAID:
            raise UsageError("RATIO", f"a ratio is of type auto, not of {kind.text}")
        instance = self._new_id()
        tolerance = event.policy.tolerance or kind.default_tolerance
        self._settings.vnics.check_cap(event.tenant, event.policy.vnic_cap_bytes_per_s)
        policy = replace(event.policy, tolerance=None)
        made = facts.InstanceCreated(
            instance, event.tenant, kind.text, tolerance, ephemeral, policy
        )
        draft.record(made)
        return instance

    def _check_price(self, wanted: DeviceType, cap_per_h: float) -> None:
        if wanted.kind is None or not cap_per_h:
            return
        cost = self._settings.prices.of(wanted.kind, wanted.milli)
        if cost > cap_per_h:
            text = f"{wanted.text} costs {cost:.3g}/h, the cap is {cap_per_h:.3g}/h"
            raise UsageError("ARGUMENT", text)

    def _attach(self, draft: Draft, event: OpRequested) -> None:
        if event.instance and event.type:
            raise UsageError("ARGUMENT", "name an instance or a type, not both")
        if not event.type and not event.policy.is_default:
            raise UsageError("ARGUMENT", "a policy is said when an instance is made: name a type")
        undo = Undo.UNBIND
        if event.type:
            instance = self._made(draft, event, ephemeral=True)
            undo = Undo.DELETE
        elif event.instance:
            instance = _own(draft, event).id
        else:
            instance = _first_bindable(draft, event)
        record = draft.state.instances[instance]
        if record.state in _ATTACHED and record.frontend == event.frontend:
            undo = Undo.NOTHING
        else:
            self._bind(draft, event, record)
        if event.limits:
            draft.record(LimitsSaid(instance, event.limits))
        if event.no_start:
            _begin(draft, event, instance)
            _succeed(draft, instance)
        else:
            self._started(draft, event, instance, undo)

    def _bind(self, draft: Draft, event: OpRequested, instance: InstanceRecord) -> None:
        if instance.state in _ATTACHED:
            raise UsageError(
                "WRONG_STATE",
                f"{instance.id} is attached to another front-end",
                hint="detach it first",
            )
        if instance.state is not InstanceState.BINDABLE:
            raise _wrong_state(instance, "attach")
        address = self._settings.addresses.first_free(draft.state.index.first_free)
        check_asked(event.vnic)
        bound = facts.InstanceBound(instance.id, event.frontend, address, event.vnic, event.net)
        draft.record(bound)

    def _start(self, draft: Draft, event: OpRequested) -> None:
        known = draft.state.instances.get(event.instance)
        if known is not None and sleeping.is_wake((event.tenant, known.op_id)):
            self._leave_line(draft, event)
        instance = _own(draft, event)
        if instance.state not in _ATTACHED:
            raise _wrong_state(instance, "start", hint="attach it first")
        if instance.frontend != event.frontend:
            raise UsageError("WRONG_STATE", f"{instance.id} is attached to another front-end")
        self._started(draft, event, instance.id, Undo.NOTHING)

    def _started(self, draft: Draft, event: OpRequested, instance: str, undo: Undo) -> None:
        """Begin the operation; it ends now if the instance is IN_USE, else with its grant."""
        record = draft.state.instances[instance]
        if record.state is InstanceState.IN_USE:
            _begin(draft, event, instance)
            _succeed(draft, instance)
            return
        if draft.state.line:
            self._line_up(draft, event, record, undo)
            return
        try:
            reserved = reserve(draft, record, self._policy, self._settings)
        except EaisError as error:
            if not event.wait_s or error.reason not in line.NO_ROOM:
                raise
            self._line_up(draft, event, record, undo)
            return
        _begin(draft, event, instance, undo)
        lease = draft.state.lease(reserved.key)
        if lease is not None:
            send_grant(draft, lease, self._settings)

    def _line_up(
        self, draft: Draft, event: OpRequested, instance: InstanceRecord, undo: Undo
    ) -> None:
        """Begin the operation at the end of the line; it may be its turn at once."""
        refusal: EaisError | None = None
        try:
            check_possible(draft.state, instance, self._policy, self._settings)
        except EaisError as error:
            if not event.wait_s or error.reason not in line.NO_ROOM:
                raise
            refusal = error
        line.check_line(draft.state, event.tenant, self._settings)
        _begin(draft, event, instance.id, undo, line.waiting(draft.now, event.wait_s))
        if refusal is None:
            line.serve(draft, self._policy, self._settings)
        if not event.wait_s and (event.tenant, event.op_id) in draft.state.line:
            raise line.passed_over(draft.state, self._settings)

    def _leave_line(self, draft: Draft, event: OpRequested) -> bool:
        """Who stops or detaches what waits doesn't wait for it any more."""
        instance = draft.state.instances.get(event.instance)
        if instance is None or instance.tenant != event.tenant:
            return False
        return line.cancel(draft, instance, f"{event.verb.value} came meanwhile")

    def _resize(self, draft: Draft, event: OpRequested) -> None:
        """Begin the operation; it ends when the new shares serve, or one of them can't."""
        instance = _own(draft, event)
        DeviceType.parse(event.type)
        if instance.state is not InstanceState.IN_USE:
            raise _wrong_state(instance, "resize", hint="attach or start it first")
        begun = resizing.begin(draft, instance, self._policy, self._settings, event.type)
        _begin(draft, event, instance.id)
        if not begun:
            _succeed(draft, instance.id)

    def _end_changes(self, draft: Draft, event: OpRequested) -> None:
        """What the pool or a resize has under way is no reason to wait for who wants it gone."""
        instance = draft.state.instances.get(event.instance)
        if instance is not None and instance.tenant == event.tenant:
            why = Failure("INSTANCE_STOPPED", f"{instance.id}: {event.verb.value} came meanwhile")
            resizing.cancel(draft, instance, why, self._settings)
            sleeping.end(draft, instance, why, self._settings)

    def _stop(self, draft: Draft, event: OpRequested) -> None:
        if self._leave_line(draft, event):
            self._end_changes(draft, event)
            _begin(draft, event, event.instance)
            _succeed(draft, event.instance)
            return
        self._end_changes(draft, event)
        instance = _own(draft, event)
        if instance.state not in _ATTACHED:
            raise _wrong_state(instance, "stop")
        _begin(draft, event, instance.id)
        if instance.state is InstanceState.BOUND:
            _succeed(draft, instance.id)
        else:
            drain(draft, instance, self._settings)

    def _detach(self, draft: Draft, event: OpRequested) -> None:
        self._leave_line(draft, event)
        self._end_changes(draft, event)
        instance = _own(draft, event, or_deleted=True)
        state = instance.state
        if state is InstanceState.FAILED and not instance.ephemeral:
            raise _wrong_state(instance, "detach")
        _begin(draft, event, instance.id)
        if state is InstanceState.IN_USE:
            drain(draft, instance, self._settings)
            return
        if state is InstanceState.BOUND:
            unbind(draft, instance)
        elif state is InstanceState.FAILED:
            draft.record(facts.InstanceDeleted(instance.id, draft.now))
        _succeed(draft, instance.id)

    def _delete(self, draft: Draft, event: OpRequested) -> None:
        instance = _own(draft, event)
        if instance.state in _ATTACHED:
            raise _wrong_state(instance, "delete", hint="detach it first")
        _begin(draft, event, instance.id)
        draft.record(facts.InstanceDeleted(instance.id, draft.now))
        _succeed(draft, instance.id)


def check_op_id(op_id: str) -> None:
    """`UsageError` ARGUMENT, unless it is a UUID in its canonical form."""
    try:
        canonical = str(uuid.UUID(op_id)) == op_id
    except ValueError:
        canonical = False
    if not canonical:
        raise UsageError("ARGUMENT", "op_id must be a UUID in its lower-case form with dashes")


def _own(draft: Draft, event: OpRequested, *, or_deleted: bool = False) -> InstanceRecord:
    """The caller's instance, if no other operation is under way on it."""
    instance = draft.state.instances.get(event.instance)
    if instance is None or instance.tenant != event.tenant:
        raise not_found(event.instance)
    if instance.state is InstanceState.DELETED and not or_deleted:
        raise not_found(event.instance)
    if instance.op_id:
        verb = draft.state.ops[instance.tenant, instance.op_id].verb
        raise Unavailable(
            "BUSY",
            f"{instance.id}: {verb.value} is under way",
            metadata={"push_back_ms": "200"},
        )
    return instance


def _check_near(draft: Draft, event: OpRequested) -> None:
    """Nobody is near what isn't there, or isn't theirs."""
    near = event.policy.neighbours.near
    other = draft.state.instances.get(near) if near else None
    gone = other is None or other.state is InstanceState.DELETED
    if near and (gone or other is None or other.tenant != event.tenant):
        raise not_found(near)


def _first_bindable(draft: Draft, event: OpRequested) -> str:
    own = (
        instance
        for instance in draft.state.instances.values()
        if instance.tenant == event.tenant and instance.state is InstanceState.BINDABLE
    )
    first = min(own, key=lambda instance: instance.serial, default=None)
    if first is None:
        raise UsageError(
            "NOT_FOUND", "there is no instance to attach", hint="name a type, or create one first"
        )
    return first.id


def _wrong_state(instance: InstanceRecord, verb: str, hint: str = "") -> UsageError:
    text = f"{instance.id} is {instance.state.value}, which has no {verb}"
    if instance.state is InstanceState.FAILED:
        hint = "delete it, and attach another one"
    return UsageError("WRONG_STATE", text, hint=hint)


def _begin(
    draft: Draft,
    event: OpRequested,
    instance: str,
    undo: Undo = Undo.NOTHING,
    waits: Waiting | None = None,
) -> None:
    op = OpRecord(
        tenant=event.tenant,
        op_id=event.op_id,
        verb=event.verb,
        params=event.params,
        instance=instance,
        since=draft.now,
        undo=undo,
        waits=waits,
    )
    draft.record(facts.OpBegun(op))


def _succeed(draft: Draft, instance: str) -> None:
    draft.succeed(draft.state.instances[instance])
