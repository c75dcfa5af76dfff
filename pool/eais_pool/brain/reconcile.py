"""A listener's link comes up: what it holds against what it should hold. (Brain)

Truth is the host's own leases together with the journal: wanted and held is
granted; wanted and not held is granted again under the same epoch, since
whatever worked under it has exited; held and not wanted is revoked. One that is on its way
to a host is granted there again, held or not: the answer says when it has arrived.
"""

from __future__ import annotations

from eais_pool.brain import facts, resizing
from eais_pool.brain.draft import Draft
from eais_pool.brain.events import HostJoined
from eais_pool.brain.grants import (
    abandon,
    close,
    closed,
    found,
    lose_host,
    opened,
    send_grant,
)
from eais_pool.brain.host_records import HostRecord
from eais_pool.brain.records import Failure, HeldLease, LeaseKey, LeasePhase, LeaseRecord
from eais_pool.brain.settings import Settings
from eais_pool.brain.vnics import vnic_on


def on_host_joined(draft: Draft, event: HostJoined, settings: Settings) -> None:
    """Take in what the host has; settle each of its leases."""
    name = event.host.host
    known = draft.state.hosts.get(name)
    if known is not None and known.reachable:
        lose_host(draft, name)
    draft.record(facts.HostRegistered(event.host))
    held = {LeaseKey(name, lease.instance, lease.epoch): lease for lease in event.leases}
    expected = draft.state.leases_on(name)
    for lease in expected:
        _settle(draft, lease, held.get(lease.key), settings)
    names = {lease.key for lease in expected}
    for key, stray in held.items():
        if key not in names:
            found(draft, name, stray, settings)


def _settle(draft: Draft, lease: LeaseRecord, held: HeldLease | None, settings: Settings) -> None:
    wanted = lease.phase is not LeasePhase.CLOSING
    if wanted and _devices_there(draft.state.hosts[lease.host], lease):
        if held is not None and lease.phase is not LeasePhase.MOVING:
            _opened(draft, lease, held, settings)
        else:
            _grant_again(draft, lease, settings)
        return
    if held is not None:
        close(draft, lease, settings)
    else:
        closed(draft, lease)
    if wanted:
        lost = Failure("DEVICE_LOST", "the back-end no longer has the device")
        abandon(draft, lease, lost, settings)


def _opened(draft: Draft, lease: LeaseRecord, held: HeldLease, settings: Settings) -> None:
    was_open = lease.phase is LeasePhase.OPEN
    opened(draft, lease, held)
    now = draft.state.lease(lease.key)
    if was_open and now is not None:
        resizing.held_again(draft, now, held.workers, settings)


def _grant_again(draft: Draft, lease: LeaseRecord, settings: Settings) -> None:
    """Under the same epoch, at the address that the host has now."""
    state = draft.state
    host, instance = state.hosts[lease.host], state.instances[lease.instance]
    vnic = vnic_on(state, host, instance, settings, lease)
    resizing.nothing_left(draft, lease)
    draft.record(facts.LeaseReservedAgain(*lease.key, vnic.address, vnic.driver, vnic.link))
    again = draft.state.lease(lease.key)
    if again is not None:
        send_grant(draft, again, settings)


def _devices_there(host: HostRecord, lease: LeaseRecord) -> bool:
    passing = {*lease.coming, *lease.leaving}
    devices = (host.device(share.device) for share in lease.shares if share.n not in passing)
    return all(device is not None and not device.overdrawn for device in devices)
