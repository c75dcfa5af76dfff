"""The verbs of the management plane: hosts go out of placement, instances are taken away. (Brain)

Each ends as it begins. How far a drain is, is asked of the pool's state.
"""

from __future__ import annotations

from dataclasses import replace

from eais.errors import Unavailable, UsageError
from eais.instance import InstanceState
from eais_pool.brain import defragmenting, evacuating, facts
from eais_pool.brain.actions import Notice
from eais_pool.brain.defrag_records import DefragBegun, Defragmentation
from eais_pool.brain.draft import Draft
from eais_pool.brain.events import OpRequested
from eais_pool.brain.grants import cancel_move, close, roll_back, unbind, wind_up
from eais_pool.brain.records import Answer, Failure, InstanceRecord, LeasePhase, OpRecord, OpVerb
from eais_pool.brain.settings import Settings
from eais_pool.brain.views import view_of

OPERATOR_VERBS = (OpVerb.CORDON, OpVerb.UNCORDON, OpVerb.DRAIN, OpVerb.FORCE_DETACH, OpVerb.DEFRAG)

#: What the front-end of an instance is told that an operator took away.
FORCED = Failure("FORCE_DETACHED", "an operator of the pool detached it")

_ID_LIMIT = 64


def not_found(instance: str) -> UsageError:
    """The one answer for what isn't there and what is another tenant's."""
    return UsageError("NOT_FOUND", f"there is no instance {instance[:_ID_LIMIT]!r}")


class Operators:
    """Decides requests of operators."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def request(self, draft: Draft, event: OpRequested) -> None:
        """Decide one; raises `EaisError` for a refusal that is not to be stored."""
        if event.verb is OpVerb.FORCE_DETACH:
            answer = self._force_detach(draft, event.instance)
        elif event.verb is OpVerb.DEFRAG:
            answer = _defrag(draft, event)
        else:
            answer = self._set_host(draft, event)
        op = OpRecord(
            event.tenant, event.op_id, event.verb, event.params, event.instance, draft.now
        )
        draft.record(facts.OpDone(replace(op, answer=answer, answered_at=draft.now)))
        draft.repeat(event.tenant, event.op_id, answer)

    def _set_host(self, draft: Draft, event: OpRequested) -> Answer:
        host = draft.state.hosts.get(event.host)
        if host is None:
            raise UsageError("NOT_FOUND", f"there is no host {event.host[:_ID_LIMIT]!r}")
        if event.device:
            evacuating.ask(draft, event)
            return Answer()
        cordoned = event.verb is not OpVerb.UNCORDON
        draining = event.verb is OpVerb.DRAIN or (cordoned and host.draining)
        if (cordoned, draining) != (host.cordoned, host.draining):
            draft.record(facts.HostCordoned(event.host, cordoned, draining))
        if host.draining and not draining:
            self._stay(draft, event.host)
        return Answer()

    def _stay(self, draft: Draft, host: str) -> None:
        """The drain of `host` ends where it is."""
        for lease in draft.state.leases_on(host):
            if lease.phase is LeasePhase.OPEN:
                cancel_move(draft, lease.instance, self._settings)

    def _force_detach(self, draft: Draft, name: str) -> Answer:
        instance = draft.state.instances.get(name)
        if instance is None or instance.state is InstanceState.DELETED:
            raise not_found(name)
        frontend = instance.frontend
        self._end(draft, instance)
        left = draft.state.instances[name]
        if left.state is InstanceState.FAILED and left.ephemeral:
            draft.record(facts.InstanceDeleted(name, draft.now))
        if frontend:
            epoch = left.next_epoch
            draft.record(facts.InstanceFenced(name, epoch, FORCED.reason, FORCED.message))
            news = Notice(left.tenant, frontend, name, FORCED.reason, FORCED.message)
            draft.tell(news)
        left = draft.state.instances[name]
        return Answer(view=view_of(draft.state, left, self._settings.vnic_driver))

    def _end(self, draft: Draft, instance: InstanceRecord) -> None:
        """End what is under way on it, its lease and its binding, whatever its host says."""
        cancel_move(draft, instance.id, self._settings)
        lease = draft.state.live_lease(instance.id)
        if instance.state is InstanceState.IN_USE:
            if instance.op_id:
                draft.answer(instance.tenant, instance.op_id, Answer(failure=FORCED))
            draft.record(facts.InstanceDraining(instance.id))
        if lease is not None:
            # Nobody is to be served by it any more: there is no grace.
            close(draft, lease, replace(self._settings, drain_grace_ms=0))
        if instance.op_id and instance.state is InstanceState.BOUND:
            roll_back(draft, instance, FORCED)
        elif instance.op_id and instance.state is InstanceState.DRAINING:
            wind_up(draft, instance)
        elif instance.state is InstanceState.IN_USE:
            draft.record(facts.InstanceStopped(instance.id))
        left = draft.state.instances[instance.id]
        if left.state is InstanceState.BOUND:
            unbind(draft, left)


def _defrag(draft: Draft, event: OpRequested) -> Answer:
    """Take over a plan, or end the one under way."""
    asked, record = event.defrag, draft.state.defrag
    under_way = record is not None and not record.is_over
    assert asked is not None, "it is said what is asked for"
    if asked.stop:
        if not under_way:
            raise UsageError("WRONG_STATE", "no defragmentation is under way")
        defragmenting.stop(draft, "an operator ended it")
    elif under_way:
        raise Unavailable(
            "BUSY",
            "a defragmentation is under way",
            hint="`eais defrag --stop` ends it",
            metadata={"push_back_ms": "1000"},
        )
    elif asked.plan is not None:
        made = Defragmentation(event.frontend, event.op_id, asked.plan)
        draft.record(DefragBegun(made))
    return Answer()
