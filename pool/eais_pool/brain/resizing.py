"""An open lease gets other shares under live calls: new ones beside the old, then without. (Brain)

The host is told to add the new shares to the lease that it holds, under the same epoch; it
starts their workers with the sessions that the instance has. Once all of them serve, in one
event, the instance is of its new type and the old shares are taken back. What fails before that
leaves the instance as it was. What a host has is what its reports list: a share is GRANTED when
it is listed, and FREE when one that is leaving isn't any more.
"""

from __future__ import annotations

from typing import Final

from eais.device_type import DeviceType
from eais.errors import Unavailable, make_error
from eais.share import ShareState
from eais_pool.brain import facts
from eais_pool.brain.actions import Revoke
from eais_pool.brain.draft import Draft
from eais_pool.brain.events import GrantAccepted, ShareFailed, SharesGone
from eais_pool.brain.grants import cancel_move, move_failed, send_grant
from eais_pool.brain.lease_changes import Resize, ResizeCause
from eais_pool.brain.placing import picks_beside
from eais_pool.brain.ratio_records import RatioFailed
from eais_pool.brain.records import (
    Answer,
    Failure,
    InstanceRecord,
    LeasePhase,
    LeaseRecord,
    SharePick,
    WorkerRecord,
)
from eais_pool.brain.settings import Settings
from eais_pool.policy import Placement, Policy

LONGEST_S: Final = 600.0
"""A resize takes no longer, whatever its host says."""


def begin(
    draft: Draft, instance: InstanceRecord, policy: Policy, settings: Settings, wanted: str
) -> bool:
    """Reserve what an IN_USE instance of type `wanted` has, beside what it has.

    False if that is what it has already.

    Raises:
        EaisError: as a start; HOST_UNREACHABLE; BUSY while its host takes its lease up again.
    """
    lease = draft.state.live_lease(instance.id)
    if lease is None:
        raise AssertionError(f"{instance.id} is IN_USE without a lease")
    if instance.type == DeviceType.parse(wanted).text:
        return False
    if lease.lost:
        raise Unavailable("HOST_UNREACHABLE", f"its back-end {lease.host} can't be reached now")
    if lease.resize is not None and lease.resize.cause is ResizeCause.RATIO:
        stopped = Failure("INSTANCE_STOPPED", f"{instance.id}: {wanted} was asked for meanwhile")
        give_up(draft, lease, stopped, settings)
        lease = draft.state.lease(lease.key) or lease
    if lease.coming or any(share.state is ShareState.RESERVED for share in lease.shares):
        text = f"its back-end {lease.host} is just taking it up again"
        raise make_error("BUSY", text, metadata={"push_back_ms": "1000"})
    placed = picks_beside(draft.state, lease, wanted, policy, settings)
    begin_with(draft, lease, placed, DeviceType.parse(wanted).text, settings)
    return True


def begin_with(
    draft: Draft, lease: LeaseRecord, placed: Placement, wanted: str, settings: Settings
) -> None:
    """Reserve `placed` beside what an OPEN lease has; its instance is `wanted` then."""
    cancel_move(draft, lease.instance, settings)
    resize = Resize(wanted, placed.why, placed.weighed)
    draft.record(facts.SharesReserved(*lease.key, placed.shares, resize))
    _grant(draft, lease, settings)


def cancel(draft: Draft, instance: InstanceRecord, why: Failure, settings: Settings) -> None:
    """What else is asked for goes before a resize that is under way."""
    lease = draft.state.live_lease(instance.id)
    if lease is not None and lease.coming:
        give_up(draft, lease, why, settings)


def granted(draft: Draft, event: GrantAccepted, settings: Settings) -> None:
    """A host answers a grant once more: perhaps one to which shares were added."""
    lease = draft.state.lease(event.key)
    if lease is not None and lease.phase is LeasePhase.OPEN:
        news(draft, lease, event.held.workers, settings)


def news(
    draft: Draft, lease: LeaseRecord, workers: tuple[WorkerRecord, ...], settings: Settings
) -> None:
    """The host of an OPEN lease said which workers it has."""
    here = {worker.n for worker in workers}
    came = [n for n in lease.unlisted if n in here]
    if came:
        draft.record(facts.SharesGranted(*lease.key, _picks(lease, came)))
    # What was never listed may still be on its way; who was told to take it says when it is gone.
    went = [n for n in lease.leaving if n not in here and n not in lease.unlisted]
    if went:
        draft.record(facts.SharesReleased(*lease.key, _picks(lease, went)))
    strays = sorted(here - {share.n for share in lease.shares})
    if strays:
        take_back(draft, lease, strays, settings)
    lost = [n for n in lease.coming if n not in here and n not in lease.unlisted]
    serving = {worker.n for worker in workers if worker.serving}
    if lost:
        text = f"the back-end {lease.host} gave share {lost[0]} up"
        give_up(draft, lease, Failure("PROCESS_FAILED", text), settings)
    elif lease.coming and serving.issuperset(lease.coming):
        _finish(draft, lease, settings)


def gone(draft: Draft, event: SharesGone) -> None:
    """A host hasn't what it was told to take back."""
    lease = draft.state.lease(event.key)
    went = [n for n in event.numbers if lease and n in lease.leaving]
    if lease is not None and went:
        draft.record(facts.SharesReleased(*lease.key, _picks(lease, went)))


def _finish(draft: Draft, lease: LeaseRecord, settings: Settings) -> None:
    """The new shares serve: the old ones go, and who asked is answered."""
    resize = lease.resize
    assert resize is not None, f"{lease.key} has shares that come for nothing"
    stay = [s.n for s in lease.shares if s.n not in (*lease.coming, *lease.leaving)]
    draft.record(facts.InstanceResized(*lease.key))
    asked = resize.cause is ResizeCause.OPERATION
    going = stay if asked else [n for n in stay if n in resize.instead]
    if going:
        take_back(draft, lease, going, settings)
    if asked:
        draft.succeed(draft.state.instances[lease.instance])


def failed(draft: Draft, event: ShareFailed, settings: Settings) -> None:
    """A host can't serve a share that was to be added."""
    lease = draft.state.lease(event.key)
    if lease is not None and event.n in lease.coming:
        give_up(draft, lease, event.failure, settings)


def give_up(draft: Draft, lease: LeaseRecord, failure: Failure, settings: Settings) -> None:
    """The instance stays as it is; who asked is told why. If nobody did, it is tried again."""
    instance = draft.state.instances[lease.instance]
    take_back(draft, lease, list(lease.coming), settings)
    cause = lease.resize.cause if lease.resize else ResizeCause.OPERATION
    match cause:
        case ResizeCause.OPERATION:
            draft.answer(instance.tenant, instance.op_id, Answer(failure=failure))
        case ResizeCause.DEVICES:
            move_failed(draft, lease.instance, lease.host, failure)
        case ResizeCause.RATIO:
            draft.record(RatioFailed(instance.id, f"{failure.reason}: {failure.message}"))


def held_again(
    draft: Draft, lease: LeaseRecord, workers: tuple[WorkerRecord, ...], settings: Settings
) -> None:
    """The host of an OPEN lease is back, with these workers: say again what was to be done."""
    news(draft, lease, workers, settings)
    now = draft.state.lease(lease.key)
    if now is None:
        return
    if now.leaving:
        take_back(draft, now, list(now.leaving), settings)
    if now.coming and not _devices_there(draft, now):
        lost = Failure("DEVICE_LOST", "the back-end no longer has the device")
        give_up(draft, now, lost, settings)
    elif not {worker.n for worker in workers}.issuperset(now.coming):
        _grant(draft, now, settings)


def _devices_there(draft: Draft, lease: LeaseRecord) -> bool:
    host = draft.state.hosts[lease.host]
    devices = [host.device(s.device) for s in lease.shares if s.n in lease.coming]
    return all(device is not None and not device.overdrawn for device in devices)


def nothing_left(draft: Draft, lease: LeaseRecord) -> None:
    """The host has nothing of the lease any more: what was to leave has left."""
    if lease.leaving:
        draft.record(facts.SharesReleased(*lease.key, _picks(lease, list(lease.leaving))))


def on_tick(draft: Draft, settings: Settings) -> None:
    """Give those up whose host is away, or at it, for too long."""
    for lease in [each for each in draft.state.all_leases() if each.coming]:
        instance = draft.state.instances[lease.instance]
        since = _since(draft, instance, lease)
        away_at = max(since, draft.state.hosts[lease.host].away_at)
        if lease.lost and draft.now - away_at >= settings.grant_timeout_s:
            text = f"the back-end {lease.host} can't be reached; {instance.id} stays as it is"
        elif draft.now - since >= LONGEST_S:
            text = f"the back-end {lease.host} didn't get it done; {instance.id} stays as it is"
        else:
            continue
        give_up(draft, lease, Failure("HOST_UNREACHABLE", text), settings)


def _since(draft: Draft, instance: InstanceRecord, lease: LeaseRecord) -> float:
    if lease.resize is not None and lease.resize.cause is not ResizeCause.OPERATION:
        return lease.resize.since
    return draft.state.ops[instance.tenant, instance.op_id].since


def take_back(draft: Draft, lease: LeaseRecord, numbers: list[int], settings: Settings) -> None:
    """Want these shares gone; the host is told now, or when it returns."""
    known = {share.n for share in lease.shares}
    mine = tuple(n for n in numbers if n in known)
    if mine:
        draft.record(facts.SharesDraining(*lease.key, mine))
    revoke = Revoke(lease.instance, lease.epoch, settings.drain_grace_ms, tuple(numbers))
    draft.send(lease.host, revoke)


def _grant(draft: Draft, lease: LeaseRecord, settings: Settings) -> None:
    now = draft.state.lease(lease.key)
    if now is not None:
        send_grant(draft, now, settings)


def _picks(lease: LeaseRecord, numbers: list[int]) -> tuple[SharePick, ...]:
    found = (SharePick(s.n, s.device, s.milli, s.unit) for s in lease.shares if s.n in numbers)
    return tuple(found)
