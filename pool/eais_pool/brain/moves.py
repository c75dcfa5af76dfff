"""Instances of hosts that drain are moved to others, one lease beside the other. (Brain)

So are those that bad devices leave without a place on their host.

A move is a second lease of the instance, MOVING, under the next epoch. Its host is granted
it together with the sessions that the instance has, and where their models are. Only when it
says that it has them does that lease become the instance's: view, endpoints and epoch change
in one event, and the old one is revoked. Whatever fails before that leaves the instance where
it is, serving, with the reason kept at its lease; it is tried again while the host drains.
"""

from __future__ import annotations

from dataclasses import replace

from eais.errors import EaisError
from eais_pool.brain import defragmenting, evacuating, facts
from eais_pool.brain.actions import Notice, Reopen
from eais_pool.brain.draft import Draft
from eais_pool.brain.events import GrantAccepted, GrantGoesOn, SessionsChanged
from eais_pool.brain.grants import close, move_failed, picks_of, send_grant
from eais_pool.brain.placing import reserve_elsewhere
from eais_pool.brain.records import Failure, LeasePhase, LeaseRecord
from eais_pool.brain.settings import Settings
from eais_pool.policy import Policy

# So long nothing is noted of a host that says that it goes on: less than a grant may take.
_NOTED_AGAIN_SHARE = 0.25


class Moves:
    """Begins moves, and ends them."""

    def __init__(self, settings: Settings, policy: Policy) -> None:
        self._settings = settings
        self._policy = policy

    def advance(self, draft: Draft) -> None:
        """Begin as many moves of hosts that drain as may be under way at once, and all that
        bad devices are a reason for; then those of a defragmentation.
        """
        for host in sorted(draft.state.index.troubled):
            if draft.state.hosts[host].draining:
                self._advance_host(draft, host)
        evacuating.advance(draft, self._policy, self._settings, self._begin)
        defragmenting.advance(draft, self._policy, self._settings)

    def _advance_host(self, draft: Draft, host: str) -> None:
        state = draft.state
        held = [each for each in state.leases_on(host) if each.phase is LeasePhase.OPEN]
        still = [each for each in held if not each.coming]
        waiting = [each for each in still if state.moving_lease(each.instance) is None]
        room = self._settings.moves_at_once - (len(still) - len(waiting))
        # Those that failed come last, so that they don't keep others from being tried.
        for lease in sorted(filter(lambda each: self._due(draft, each), waiting), key=_tried_at):
            if room > 0 and self._begin(draft, lease):
                room -= 1

    def _due(self, draft: Draft, lease: LeaseRecord) -> bool:
        tried_at = _tried_at(lease)
        return not tried_at or draft.now - tried_at >= self._settings.move_retry_s

    def _begin(self, draft: Draft, lease: LeaseRecord) -> bool:
        try:
            reserved = reserve_elsewhere(draft, lease, self._policy, self._settings)
        except EaisError as error:
            move_failed(draft, lease.instance, "", Failure.of(error))
            return False
        moving = draft.state.lease(reserved.key)
        if moving is not None:
            send_grant(draft, moving, self._settings)
        return True

    def accepted(self, draft: Draft, lease: LeaseRecord, event: GrantAccepted) -> None:
        """The host of a MOVING lease has granted it, with all sessions or without some."""
        live = draft.state.live_lease(lease.instance)
        held = event.held
        arrived = replace(lease, workers=held.workers, user_plane=held.user_plane)
        if not held.missing or live is None or not live.sessions:
            self._switch(draft, arrived)
        elif lease.arrival is not None and not lease.arrival.asked_at:
            fact = facts.LeaseArrived(*lease.key, held.workers, draft.now, held.user_plane)
            draft.record(fact)
            instance, host = draft.state.instances[lease.instance], draft.state.hosts[lease.host]
            draft.tell(
                Reopen(
                    instance.tenant,
                    instance.frontend,
                    instance.id,
                    lease.epoch,
                    host.host,
                    held.user_plane or host.user_plane,
                    lease.link,
                )
            )

    def heard(self, draft: Draft, lease: LeaseRecord, event: GrantGoesOn) -> None:
        """The host of a MOVING lease is still at it."""
        note_after_s = self._settings.grant_timeout_s * _NOTED_AGAIN_SHARE
        if lease.arrival is not None and draft.now - lease.arrival.heard_at >= note_after_s:
            draft.record(facts.LeaseGoesOn(*lease.key, draft.now))

    def sessions(self, draft: Draft, lease: LeaseRecord, event: SessionsChanged) -> None:
        """Sessions came to a MOVING lease: perhaps those that it was waited for."""
        if event.sessions != lease.sessions:
            draft.record(facts.LeaseSessions(*lease.key, event.sessions))
        live = draft.state.live_lease(lease.instance)
        asked = lease.arrival is not None and bool(lease.arrival.asked_at)
        if asked and live is not None and set(live.sessions) <= set(event.sessions):
            self._switch(draft, lease)

    def on_tick(self, draft: Draft) -> None:
        """End what was waited for long enough; then begin what can be."""
        for lease in list(draft.state.all_leases()):
            if lease.arrival is not None:
                self._wait_no_longer(draft, lease, lease.arrival.heard_at, lease.arrival.asked_at)
        self.advance(draft)

    def _wait_no_longer(
        self, draft: Draft, lease: LeaseRecord, heard_at: float, asked_at: float
    ) -> None:
        settings = self._settings
        if asked_at and not lease.lost and draft.now - asked_at >= settings.reopen_wait_s:
            self._switch(draft, lease)
        elif draft.now - heard_at >= settings.grant_timeout_s:
            close(draft, lease, settings)
            text = f"the back-end {lease.host} did not grant in {settings.grant_timeout_s:g} s"
            failure = Failure("HOST_UNREACHABLE", text)
            move_failed(draft, lease.instance, lease.host, failure)

    def _switch(self, draft: Draft, lease: LeaseRecord) -> None:
        """The instance is there from now on; where it was, it ends."""
        left = draft.state.live_lease(lease.instance)
        instance = draft.state.instances[lease.instance]
        served = (lease.workers, lease.user_plane)
        draft.record(facts.LeaseOpened(*lease.key, lease.tenant, picks_of(lease), *served))
        if left is not None:
            close(draft, left, self._settings)
        text = f"{instance.id} was moved to another back-end"
        draft.tell(Notice(instance.tenant, instance.frontend, instance.id, "DRAINING", text))


def _tried_at(lease: LeaseRecord) -> float:
    return lease.stuck.tried_at if lease.stuck else 0.0
