"""Work leaves bad devices, under live calls, without anybody's asking. (Brain)

What a host says of a device's health is its word: what isn't ok is granted to nobody. An instance
that has shares of a bad device gets others in their place: on the same host beside those it keeps,
under the same epoch; else it moves to another host, as when its host drains. While nothing fits it
stays, with the reason at its lease, and is tried again as soon as something is free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from eais.errors import EaisError, Unavailable, UsageError
from eais_pool.brain import facts
from eais_pool.brain.actions import CheckDevice
from eais_pool.brain.draft import Draft
from eais_pool.brain.events import DeviceReported, OpRequested
from eais_pool.brain.grants import send_grant
from eais_pool.brain.host_records import CHECKING, HEALTHS, HostRecord
from eais_pool.brain.lease_changes import Resize, ResizeCause
from eais_pool.brain.placing import picks_instead
from eais_pool.brain.records import LeasePhase, LeaseRecord
from eais_pool.brain.settings import Settings
from eais_pool.policy import Policy

_SHOWN = 64

Elsewhere = Callable[[Draft, LeaseRecord], bool]
"""Begins to move the instance of a lease to another host, if that can be now."""


def reported(draft: Draft, event: DeviceReported) -> None:
    """A host says how one of its devices is."""
    device = draft.state.hosts[event.host].device(event.device)
    if device is None or event.health not in HEALTHS:
        return
    if (device.health, device.why) != (event.health, event.why):
        changed = facts.DeviceHealthChanged(event.host, event.device, event.health, event.why)
        draft.record(changed)


def ask(draft: Draft, event: OpRequested) -> None:
    """An operator wants a device back: its host checks it, and says how it is.

    Raises:
        UsageError: NOT_FOUND; ARGUMENT, it is one of those that nobody watches.
        Unavailable: HOST_UNREACHABLE.
    """
    host = draft.state.hosts[event.host]
    device = host.device(event.device)
    if device is None or not device.present:
        text = f"host {host.host} has no device {event.device[:_SHOWN]!r}"
        raise UsageError("NOT_FOUND", text)
    if device.kind == "cpu":
        raise UsageError("ARGUMENT", "cores are never bad: there is nothing to check")
    if not host.reachable:
        raise Unavailable("HOST_UNREACHABLE", f"the back-end {host.host} can't be reached now")
    draft.record(facts.DeviceHealthChanged(host.host, device.id, CHECKING, device.why))
    draft.send(host.host, CheckDevice(device.id))


def advance(draft: Draft, policy: Policy, settings: Settings, elsewhere: Elsewhere) -> None:
    """Begin to move what is on bad devices, as far as that can be now."""
    for name in sorted(draft.state.index.troubled):
        host = draft.state.hosts[name]
        if host.reachable and not host.draining and any(device.is_bad for device in host.devices):
            for lease in _stranded(draft, host, settings):
                if not _begin(draft, lease, policy, settings):
                    elsewhere(draft, lease)


def _stranded(draft: Draft, host: HostRecord, settings: Settings) -> Iterator[LeaseRecord]:
    for lease in draft.state.leases_on(host.host):
        tried_at = lease.stuck.tried_at if lease.stuck else 0.0
        due = not tried_at or draft.now - tried_at >= settings.move_retry_s
        still = lease.phase is LeasePhase.OPEN and not lease.coming
        moving = draft.state.moving_lease(lease.instance) is not None
        if due and still and not moving and lease.on_bad(host):
            yield lease


def _begin(draft: Draft, lease: LeaseRecord, policy: Policy, settings: Settings) -> bool:
    """Reserve others in the place of the bad shares on the same host; False if none fit."""
    host = draft.state.hosts[lease.host]
    bad = lease.on_bad(host)
    try:
        placed = picks_instead(draft.state, lease, bad, policy, settings)
    except EaisError:
        return False
    devices = {share.device for share in lease.shares if share.n in bad}
    why = "; ".join(f"{d.id} is bad ({d.why})" for d in host.devices if d.id in devices)
    kind = draft.state.instances[lease.instance].type
    resize = Resize(
        kind, f"{why}: {placed.why}", placed.weighed, bad, draft.now, ResizeCause.DEVICES
    )
    draft.record(facts.SharesReserved(*lease.key, placed.shares, resize))
    grown = draft.state.lease(lease.key)
    if grown is not None:
        send_grant(draft, grown, settings)
    return True
