"""What the pool manager does about an event. (Brain)

`on_event(state, event, now)` decides and changes nothing: it gives a list of
actions, of which `Journal`, if there is one, is the first. Whoever calls it
makes the journal's facts durable, applies them to the state, and only then does
the rest, in order.
"""

from __future__ import annotations

from collections.abc import Callable

from eais.errors import EaisError
from eais.instance import InstanceState
from eais_pool.brain import (
    admissions,
    evacuating,
    facts,
    ledger,
    limits,
    line,
    loads,
    ratio_changes,
    resizing,
    sleeping,
)
from eais_pool.brain.actions import Action, Refuse
from eais_pool.brain.draft import Draft
from eais_pool.brain.events import (
    DemandCounted,
    DeviceReported,
    Event,
    GrantAccepted,
    GrantFailed,
    GrantGoesOn,
    HostJoined,
    HostLost,
    InstanceNeeded,
    JoinRequested,
    ManagerStarted,
    ModelMeasured,
    NetOffered,
    OpRequested,
    RatioChosen,
    Released,
    SessionsChanged,
    ShareFailed,
    SharesGone,
    TenantRequested,
    Tick,
    TokenRequested,
    UsageReported,
    WorkersChanged,
)
from eais_pool.brain.grants import (
    close,
    lose_host,
    on_grant_accepted,
    on_grant_failed,
    on_released,
    roll_back,
    wind_up,
)
from eais_pool.brain.host_verbs import OPERATOR_VERBS
from eais_pool.brain.loads import LoadsReported
from eais_pool.brain.moves import Moves
from eais_pool.brain.reconcile import on_host_joined
from eais_pool.brain.reconsidering import reconsider
from eais_pool.brain.records import Failure, InstanceRecord, LeasePhase, LeaseRecord
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import OpKey, PoolState
from eais_pool.brain.verbs import Verbs
from eais_pool.policy import Policy

#: Events after which there may be room for those in line; what else makes room is seen at a tick.
_MAKES_ROOM = (HostJoined, DeviceReported, GrantFailed, Released, SharesGone, Tick)


DemandEvent = RatioChosen | InstanceNeeded | DemandCounted
_OF_THE_WORLD = ManagerStarted | HostJoined | HostLost | ModelMeasured | Tick | DemandEvent


class Reactor:
    """All of the pool's decisions.

    Attributes:
        settings: the pool's rules.
    """

    def __init__(self, settings: Settings, policy: Policy, new_id: Callable[[], str]) -> None:
        self.settings = settings
        self._policy = policy
        self._verbs = Verbs(settings, policy, new_id)
        self._moves = Moves(settings, policy)

    def on_event(self, state: PoolState, event: Event, now: float) -> list[Action]:
        """What is to be done about `event`; `now` is the boot clock, seconds.

        Raises:
            IllegalMove, KeyError, ValueError: a bug of ours; nothing was changed.
        """
        draft = Draft(state, now, self.settings.vnic_driver)
        if isinstance(event, OpRequested):
            try:
                self._verbs.request(draft, event)
                if event.verb in OPERATOR_VERBS:
                    self._moves.advance(draft)
            except EaisError as error:
                return [Refuse(Failure.of(error))]
        elif isinstance(event, TokenRequested | TenantRequested | JoinRequested):
            try:
                admissions.request(self.settings.quotas, draft, event)
            except EaisError as error:
                return [Refuse(Failure.of(error))]
        elif isinstance(event, _OF_THE_WORLD):
            self._on_world(draft, event)
        elif draft.state.hosts[event.host].reachable:
            # What an older link said last is settled by the next one's Join.
            if isinstance(event, DeviceReported | LoadsReported | NetOffered):
                self._on_host(draft, event)
            else:
                self._on_report(draft, event)
        if isinstance(event, _MAKES_ROOM):
            line.serve(draft, self._policy, self.settings)
        limits.begin(draft)
        ledger.settle(draft, state, self.settings.prices)
        return draft.actions()

    def _on_host(self, draft: Draft, event: DeviceReported | LoadsReported | NetOffered) -> None:
        if isinstance(event, DeviceReported):
            evacuating.reported(draft, event)
            self._moves.advance(draft)
        elif isinstance(event, NetOffered):
            if event.net != draft.state.hosts[event.host].net:
                draft.record(facts.HostOffered(event.host, event.net))
        elif fact := loads.changed(draft.state.hosts[event.host], event):
            draft.record(fact)

    def _on_world(
        self,
        draft: Draft,
        event: ManagerStarted | HostJoined | HostLost | ModelMeasured | Tick | DemandEvent,
    ) -> None:
        match event:
            case RatioChosen() | InstanceNeeded() | DemandCounted():
                self._on_demand(draft, event)
            case ManagerStarted():
                draft.record(facts.PoolStarted(event.boot_id, draft.now, event.wall))
                _lose_unlinked(draft, frozenset())
            case HostJoined():
                on_host_joined(draft, event, self.settings)
                self._moves.advance(draft)
            case HostLost():
                # Unknown: its Join was never decided, since the journal was away.
                host = draft.state.hosts.get(event.host)
                if host is not None and host.reachable:
                    lose_host(draft, event.host)
            case ModelMeasured():
                draft.record(facts.ProfilesMeasured(event.profiles))
                models = {profile.key.digest for profile in event.profiles}
                reconsider(draft, models, self._policy, self.settings)
            case Tick():
                _lose_unlinked(draft, event.linked)
                line.on_tick(draft, event.gone, self.settings)
                self._give_up_grants(draft)
                self._give_up_drains(draft)
                limits.on_tick(draft, dict(event.used), self.settings)
                resizing.on_tick(draft, self.settings)
                self._moves.on_tick(draft)
                sleeping.advance(draft, self._policy, self.settings)
                self._forget(draft)
                ledger.on_tick(draft)

    def _on_demand(self, draft: Draft, event: RatioChosen | InstanceNeeded | DemandCounted) -> None:
        match event:
            case RatioChosen():
                ratio_changes.chosen(draft, event, self._policy, self.settings)
            case InstanceNeeded():
                sleeping.needed(draft, event.instance, self._policy, self.settings)
            case DemandCounted():
                for seen in event.seen:
                    draft.record(seen)

    def _on_report(
        self,
        draft: Draft,
        event: GrantAccepted
        | GrantFailed
        | GrantGoesOn
        | Released
        | ShareFailed
        | SharesGone
        | WorkersChanged
        | SessionsChanged
        | UsageReported,
    ) -> None:
        lease = draft.state.lease(event.key)
        match event:
            case GrantFailed():
                on_grant_failed(draft, event, self.settings)
                self._moves.advance(draft)
            case Released():
                on_released(draft, event, self.settings)
                self._moves.advance(draft)
                sleeping.freed(draft, event.instance, self._policy, self.settings)
            case ShareFailed():
                resizing.failed(draft, event, self.settings)
            case SharesGone():
                resizing.gone(draft, event)
                self._moves.advance(draft)
            case _ if lease is not None and lease.phase is LeasePhase.MOVING:
                self._on_move(draft, lease, event)
            case GrantAccepted():
                on_grant_accepted(draft, event, self.settings)
                resizing.granted(draft, event, self.settings)
                self._moves.advance(draft)
            case GrantGoesOn():
                pass
            case _:
                _on_news(draft, event, self.settings)
        if lease is not None and lease.coming and not _is_resized(draft, lease):
            self._moves.advance(draft)

    def _on_move(
        self,
        draft: Draft,
        lease: LeaseRecord,
        event: GrantAccepted | GrantGoesOn | WorkersChanged | SessionsChanged | UsageReported,
    ) -> None:
        """News of a lease that isn't the instance's yet."""
        match event:
            case GrantAccepted():
                self._moves.accepted(draft, lease, event)
                self._moves.advance(draft)
            case GrantGoesOn():
                self._moves.heard(draft, lease, event)
            case SessionsChanged():
                self._moves.sessions(draft, lease, event)
            case _:
                pass

    def _give_up_grants(self, draft: Draft) -> None:
        for instance in list(draft.state.instances.values()):
            lease = draft.state.live_lease(instance.id) if instance.op_id else None
            if lease is None or lease.phase is not LeasePhase.OPENING:
                continue
            if self._overdue(draft, instance, self.settings.grant_timeout_s):
                close(draft, lease, self.settings)
                text = f"the back-end did not grant in {self.settings.grant_timeout_s:g} s"
                roll_back(draft, instance, Failure("HOST_UNREACHABLE", text))

    def _give_up_drains(self, draft: Draft) -> None:
        """Let a stop or detach end though its host is silent; the shares wait for the host."""
        within_s = self.settings.drain_grace_ms / 1000 + self.settings.grant_timeout_s
        for instance in list(draft.state.instances.values()):
            draining = instance.state is InstanceState.DRAINING
            if draining and self._overdue(draft, instance, within_s):
                wind_up(draft, instance)

    def _overdue(self, draft: Draft, instance: InstanceRecord, within_s: float) -> bool:
        op = draft.state.ops[instance.tenant, instance.op_id]
        return draft.now - op.since >= within_s

    def _forget(self, draft: Draft) -> None:
        before = draft.now - self.settings.answer_kept_s
        old = _answered_before(draft.state, before)
        ops = tuple(dict.fromkeys((*old, *sleeping.over(draft))))
        instances = tuple(
            instance.id
            for instance in draft.state.instances.values()
            if instance.state is InstanceState.DELETED and instance.deleted_at < before
        )
        if ops or instances:
            draft.record(facts.Forgotten(ops, instances))
        admissions.forget(draft, self.settings.answer_kept_s)


def _is_resized(draft: Draft, lease: LeaseRecord) -> bool:
    """Whether shares still come to the lease."""
    now = draft.state.lease(lease.key)
    return now is not None and bool(now.coming)


def _answered_before(state: PoolState, before: float) -> tuple[OpKey, ...]:
    """The oldest operations, as far as all of them were answered by then."""
    found: list[OpKey] = []
    for key, op in state.ops.items():
        if op.answer is None or op.answered_at >= before:
            break
        found.append(key)
    return tuple(found)


def _lose_unlinked(draft: Draft, linked: frozenset[str]) -> None:
    for host in list(draft.state.hosts.values()):
        if host.reachable and host.host not in linked:
            lose_host(draft, host.host)


def _on_news(
    draft: Draft, event: WorkersChanged | SessionsChanged | UsageReported, settings: Settings
) -> None:
    """Something is new about a lease; one that ends is still counted."""
    lease = draft.state.lease(event.key)
    if lease is None or not lease.opened:
        return
    is_open = lease.phase is LeasePhase.OPEN
    match event:
        case UsageReported():
            usage = event.usage.at_least(lease.usage)
            if usage != lease.usage:
                draft.record(facts.LeaseUsage(*lease.key, usage))
        case WorkersChanged():
            if is_open and event.workers != lease.workers:
                draft.record(facts.LeaseWorkers(*lease.key, event.workers))
            if is_open:
                resizing.news(draft, lease, event.workers, settings)
        case SessionsChanged():
            # Of one that ends, too: by what it had opened `auto` is chosen for its front-end.
            if (is_open or event.models) and event.sessions != lease.sessions:
                draft.record(facts.LeaseSessions(*lease.key, event.sessions, event.models))
