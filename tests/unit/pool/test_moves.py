"""Hosts that are cordoned and drained, instances that move, and those that are taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from eais.instance import InstanceState
from eais.share import ShareState
from eais_pool.brain.actions import Grant, Notice, Refuse, Reopen, Reply, Revoke, Send
from eais_pool.brain.codec import from_json, to_json
from eais_pool.brain.events import (
    GrantGoesOn,
    HostLost,
    ManagerStarted,
    OpRequested,
    Released,
    SessionsChanged,
    Tick,
)
from eais_pool.brain.host_records import Endpoint
from eais_pool.brain.quotas import Quotas
from eais_pool.brain.records import Failure, LeasePhase, OpVerb
from eais_pool.brain.view_records import InstanceView
from eais_pool.snapshot import Snapshot
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import SETTINGS, Pool, op_id

SESSIONS = ("c3BlYzE=", "c3BlYzI=")
ALL = ("h1", "h2", "h3")


class Moving(Pool):
    """A pool with operators."""

    operated = 0

    def operate(self, verb: OpVerb, *, host: str = "", instance: str = "", op: str = "") -> None:
        """Ask as an operator."""
        Moving.operated += 1
        made = op or op_id(1_000_000 + Moving.operated)
        self.shell.feed(OpRequested(verb, "", "ops", made, instance, host=host))

    def drain(self, host: str) -> None:
        """Drain a host; nothing is left to be read but commands and news."""
        self.operate(OpVerb.DRAIN, host=host)
        assert {reply.answer.failure for reply in self.shell.said_of(Reply)} == {None}

    def tick(self, after_s: float = 1.0, linked: Sequence[str] = ALL) -> None:
        """Time passes."""
        self.shell.now += after_s
        self.shell.feed(Tick(frozenset(linked) & frozenset(self.hosts)))

    def used(self, instance: str) -> tuple[str, int, LeasePhase]:
        """The lease that it has: host, epoch, phase."""
        lease = self.shell.state.live_lease(instance)
        assert lease is not None
        return lease.host, lease.epoch, lease.phase

    def with_sessions(self) -> InstanceView:
        """An instance on h1 that has two sessions."""
        made = self.attached()
        self.shell.feed(SessionsChanged("h1", made.id, made.epoch, SESSIONS))
        return made

    def stuck(self, instance: str) -> str:
        """Why it can't move."""
        lease = self.shell.state.live_lease(instance)
        return lease.stuck.why if lease and lease.stuck else ""

    def news(self) -> list[str]:
        """The reasons of the notices that were told."""
        return [notice.reason for notice in self.shell.said_of(Notice)]


def two_hosts(**settings: Any) -> Moving:
    return Moving(FakeHost("h1"), FakeHost("h2"), settings=replace(SETTINGS, **settings))


def test_a_cordoned_host_is_given_nothing_until_it_is_taken_in_again() -> None:
    pool = two_hosts()
    pool.operate(OpVerb.CORDON, host="h1")
    assert pool.shell.said_of(Reply)
    assert pool.attached().host == "h2"
    pool.shell.feed(pool.hosts["h1"].join())
    assert pool.shell.state.hosts["h1"].cordoned
    assert pool.attached().host == "h2"
    pool.operate(OpVerb.UNCORDON, host="h1")
    assert pool.shell.said_of(Reply)
    assert pool.attached("cpu.3").host == "h1"
    pool.end()


def test_an_instance_moves_beside_the_lease_that_it_has() -> None:
    pool = two_hosts()
    made = pool.with_sessions()
    before = pool.instance(made.id)
    pool.drain("h1")
    (send,) = pool.shell.said_of(Send)
    grant = send.command
    assert isinstance(grant, Grant)
    assert (send.host, grant.epoch, grant.sessions) == ("h2", 2, SESSIONS)
    assert pool.used(made.id) == ("h1", 1, LeasePhase.OPEN)
    assert pool.instance(made.id).epoch == before.epoch
    assert pool.published() == []
    pool.shell.now += 60
    pool.shell.feed(pool.hosts["h2"].obey(grant))
    assert pool.used(made.id) == ("h2", 2, LeasePhase.OPEN)
    assert pool.published() == [(made.id, "IN_USE")]
    assert pool.instance(made.id).epoch == 2
    assert pool.news() == ["DRAINING"]
    (revoke,) = pool.shell.said_of(Send)
    assert (revoke.host, revoke.command) == ("h1", Revoke(made.id, 1, SETTINGS.drain_grace_ms))
    # One ends as the other begins.
    assert pool.lines() == [(1, 1, 1000.0, 1060.0)]
    assert pool.charged(made.id) == [(2, 1, 1060.0)]
    pool.shell.now += 3
    pool.shell.feed(pool.hosts["h1"].obey(revoke.command))
    assert len(pool.lines()) == 1
    assert pool.shell.state.leases_on("h1") == []
    pool.end()


def test_sources_are_the_old_host_and_others_of_the_tenant() -> None:
    def at(name: str) -> FakeHost:
        return FakeHost(name, [device(milli=1000)])

    pool = Moving(at("h1"), at("h2"), at("h3"))
    made = pool.with_sessions()
    pool.attached()
    for host in pool.shell.state.hosts.values():
        with_plane = replace(host, management_plane=Endpoint("127.0.0.1", 5000))
        pool.shell.state.hosts[host.host] = with_plane
    pool.operate(OpVerb.DRAIN, host="h1")
    (send,) = pool.shell.said_of(Send)
    assert isinstance(send.command, Grant)
    assert (send.host, send.command.instance) == ("h3", made.id)
    assert send.command.sources == ("h1", "h2")


def test_at_most_a_few_instances_of_a_host_move_at_once() -> None:
    pool = two_hosts(moves_at_once=2)
    for _ in range(4):
        pool.attached()
    pool.drain("h1")
    assert len([s for s in pool.shell.said_of(Send) if isinstance(s.command, Grant)]) == 2
    pool.tick()
    assert pool.shell.said_of(Send) == []
    for lease in list(pool.shell.state.all_leases()):
        if lease.phase is LeasePhase.MOVING:
            pool.shell.said.append(Send("h2", _grant_again(lease.instance, lease.epoch)))
    pool.deliver()
    assert {lease.host for lease in pool.shell.state.all_leases()} == {"h2"}
    pool.published()
    pool.news()
    pool.end()


def _grant_again(instance: str, epoch: int) -> Grant:
    return Grant(instance, "acme", epoch, (), "127.64.16.16", "loopback", 600, "exact")


def test_what_fits_nowhere_stays_with_the_reason_and_is_tried_again() -> None:
    pool = Moving(FakeHost("h1"))
    made = pool.attached()
    pool.drain("h1")
    assert pool.stuck(made.id).startswith("NO_DEVICE: ")
    facts = len(pool.shell.journal)
    pool.tick()
    assert len(pool.shell.journal) == facts
    other = FakeHost("h2")
    pool.hosts["h2"] = other
    pool.shell.feed(other.join())
    pool.deliver()
    assert pool.used(made.id) == ("h2", 2, LeasePhase.OPEN)
    pool.published()
    pool.news()
    pool.end()


def test_a_tenant_at_its_quota_is_moved_all_the_same() -> None:
    quotas = Quotas(default={"cpu": 1000})
    hosts = FakeHost("h1"), FakeHost("h2")
    pool = Moving(*hosts, settings=replace(SETTINGS, quotas=quotas))
    made = pool.attached("cpu.1")
    pool.drain("h1")
    pool.deliver()
    assert pool.used(made.id)[0] == "h2"
    pool.operate(OpVerb.CORDON, host="h1")
    pool.drain("h2")
    assert pool.stuck(made.id).startswith("NO_DEVICE: ")


def test_auto_stays_of_its_kind_where_that_can_be() -> None:
    gpus = [device("gpu0", "gpu", 1000)]
    first = FakeHost("h1", [device(milli=1000)])
    pool = Moving(first, FakeHost("h2", [*gpus, device(milli=1000)]), FakeHost("h3", gpus))
    made = pool.attached("auto")
    assert made.host == "h1"
    pool.drain("h1")
    pool.deliver()
    lease = pool.shell.state.live_lease(made.id)
    assert lease is not None
    assert (lease.host, lease.shares[0].device) == ("h2", "cpu0")
    pool.operate(OpVerb.CORDON, host="h1")
    pool.drain("h2")
    pool.deliver()
    assert pool.used(made.id)[0] == "h3"


def test_auto_has_as_much_where_it_is_moved_to() -> None:
    gpus = [device("gpu0", "gpu", 1000)]
    pool = Moving(FakeHost("h1", gpus), FakeHost("h2", gpus))
    made = pool.attached("auto")
    pool.drain("h1")
    pool.deliver()
    lease = pool.shell.state.live_lease(made.id)
    assert lease is not None
    assert (lease.host, [share.milli for share in lease.shares]) == ("h2", [125])


def test_what_auto_is_just_leaving_is_not_taken_along() -> None:
    pool = two_hosts()
    made = pool.attached("cpu.1-8")
    pool.ask("resize", made.id, type="auto")
    (grant,) = pool.shell.said_of(Send)
    pool.shell.feed(pool.hosts["h1"].obey(grant.command))
    pool.drain("h1")  # before h1 says that the eighth is gone
    pool.deliver()
    lease = pool.shell.state.live_lease(made.id)
    assert lease is not None
    assert (lease.host, [share.milli for share in lease.shares]) == ("h2", [1000])


def test_a_move_under_way_is_in_a_snapshot() -> None:
    pool = two_hosts()
    made = pool.with_sessions()
    pool.hosts["h2"].missing = 1
    pool.drain("h1")
    pool.deliver()
    pool.hosts["h2"].failure = Failure("STORE_FULL", "no room")
    pool.operate(OpVerb.CORDON, host="h1")
    text = to_json(Snapshot.of(pool.shell.state, 9))
    assert from_json(Snapshot, text).state() == pool.shell.state
    moving = pool.shell.state.moving_lease(made.id)
    assert moving is not None
    assert moving.arrival is not None


def test_a_host_that_fails_to_take_it_is_tried_last() -> None:
    pool = Moving(FakeHost("h1"), FakeHost("h2"), FakeHost("h3"))
    made = pool.attached()
    pool.hosts["h2"].failure = Failure("STORE_FULL", "no room")
    pool.drain("h1")
    pool.deliver()
    assert pool.used(made.id) == ("h1", 1, LeasePhase.OPEN)
    assert pool.stuck(made.id) == "STORE_FULL: no room"
    pool.tick()
    assert pool.shell.said_of(Send) == []
    pool.tick(SETTINGS.move_retry_s)
    (send,) = pool.shell.said_of(Send)
    assert isinstance(send.command, Grant)
    assert (send.host, send.command.epoch) == ("h3", 3)
    pool.shell.feed(pool.hosts["h3"].obey(send.command))
    assert pool.used(made.id) == ("h3", 3, LeasePhase.OPEN)


def test_a_host_that_says_nothing_is_given_up_and_one_that_goes_on_is_not() -> None:
    pool = two_hosts()
    made = pool.attached()
    pool.drain("h1")
    (send,) = pool.shell.said_of(Send)
    for _ in range(10):
        pool.tick(20)
        pool.shell.feed(GrantGoesOn("h2", made.id, 2))
    assert pool.shell.said_of(Send) == []
    pool.tick(SETTINGS.grant_timeout_s)
    (revoke,) = pool.shell.said_of(Send)
    assert revoke.command == Revoke(made.id, 2, SETTINGS.drain_grace_ms)
    assert pool.stuck(made.id).startswith("HOST_UNREACHABLE: ")
    assert pool.used(made.id) == ("h1", 1, LeasePhase.OPEN)
    # What comes too late is taken back.
    pool.hosts["h2"].obey(send.command)
    pool.shell.feed(pool.hosts["h2"].obey(revoke.command))
    assert [lease.host for lease in pool.shell.state.all_leases()] == ["h1"]


@pytest.mark.parametrize("verb", ["stop", "detach"])
def test_its_tenant_may_end_it_meanwhile(verb: str) -> None:
    pool = two_hosts()
    made = pool.attached()
    pool.drain("h1")
    (send,) = pool.shell.said_of(Send)
    pool.hosts["h2"].obey(send.command)
    pool.ask(verb, made.id)
    pool.deliver()
    ended = InstanceState.BOUND if verb == "stop" else InstanceState.DELETED
    assert pool.view().state is ended
    assert pool.shell.state.leases == {}
    assert pool.hosts["h2"].leases == {}
    if verb == "stop":
        pool.ask("start", made.id)
        pool.deliver()
        assert (pool.view().host, pool.instance(made.id).epoch) == ("h2", 3)


def test_uncordoned_a_drain_ends_where_it_is() -> None:
    pool = two_hosts()
    made = pool.attached()
    pool.drain("h1")
    (send,) = pool.shell.said_of(Send)
    pool.hosts["h2"].obey(send.command)
    pool.operate(OpVerb.UNCORDON, host="h1")
    pool.deliver()
    assert pool.used(made.id) == ("h1", 1, LeasePhase.OPEN)
    assert pool.hosts["h2"].leases == {}
    for _ in range(3):
        pool.tick()
    assert pool.shell.said_of(Send) == []
    assert pool.published() == []


def test_a_host_that_cannot_be_reached_is_drained_all_the_same() -> None:
    pool = two_hosts()
    made = pool.with_sessions()
    pool.shell.feed(HostLost("h1"))
    pool.drain("h1")
    (send,) = pool.shell.said_of(Send)
    assert isinstance(send.command, Grant)
    assert (send.command.sessions, send.command.sources) == (SESSIONS, ())
    pool.shell.feed(pool.hosts["h2"].obey(send.command))
    assert pool.used(made.id) == ("h2", 2, LeasePhase.OPEN)
    (left,) = pool.shell.state.leases_on("h1")
    assert {share.state for share in left.shares} == {ShareState.LOST}
    pool.shell.feed(pool.hosts["h1"].join())
    pool.deliver()
    assert pool.shell.state.leases_on("h1") == []
    assert pool.hosts["h1"].leases == {}


def test_what_nobody_has_is_asked_of_the_front_end_for_a_while() -> None:
    pool = two_hosts()
    made = pool.with_sessions()
    pool.hosts["h2"].missing = 1
    pool.drain("h1")
    pool.deliver()
    (reopen,) = pool.shell.said_of(Reopen)
    assert (reopen.frontend, reopen.epoch, reopen.host) == ("box", 2, "h2")
    assert pool.used(made.id) == ("h1", 1, LeasePhase.OPEN)
    pool.shell.feed(SessionsChanged("h2", made.id, 2, SESSIONS[:1]))
    pool.tick(1.0)
    assert pool.used(made.id)[0] == "h1"
    pool.shell.feed(SessionsChanged("h2", made.id, 2, SESSIONS))
    assert pool.used(made.id) == ("h2", 2, LeasePhase.OPEN)
    (view,) = (lease.workers for lease in [pool.shell.state.live_lease(made.id)] if lease)
    assert len(view) == 1


def test_who_does_not_bring_it_is_moved_without() -> None:
    pool = two_hosts()
    made = pool.with_sessions()
    pool.hosts["h2"].missing = 1
    pool.drain("h1")
    pool.deliver()
    pool.tick(SETTINGS.reopen_wait_s)
    assert pool.used(made.id) == ("h2", 2, LeasePhase.OPEN)


def test_a_target_that_is_lost_and_returns_is_granted_again() -> None:
    pool = two_hosts()
    made = pool.attached()
    pool.drain("h1")
    (send,) = pool.shell.said_of(Send)
    pool.hosts["h2"].obey(send.command)
    pool.shell.feed(HostLost("h2"))
    assert pool.used(made.id) == ("h1", 1, LeasePhase.OPEN)
    pool.shell.feed(pool.hosts["h2"].join())
    (again,) = pool.shell.said_of(Send)
    assert again == send
    pool.shell.feed(pool.hosts["h2"].obey(again.command))
    assert pool.used(made.id) == ("h2", 2, LeasePhase.OPEN)


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_a_target_that_lacked_models_is_moved_to_only_once_it_says_so_again(boot: str) -> None:
    pool = two_hosts()
    made = pool.with_sessions()
    pool.hosts["h2"].missing = 1
    pool.drain("h1")
    pool.deliver()
    assert len(pool.shell.said_of(Reopen)) == 1
    pool.shell.state = pool.shell.replayed()
    pool.shell.now = 5.0 if boot == "boot-2" else pool.shell.now + SETTINGS.reopen_wait_s
    pool.shell.feed(ManagerStarted(boot))
    pool.hosts["h2"].leases.clear()
    for host in ("h1", "h2"):
        pool.shell.feed(pool.hosts[host].join())
    pool.tick()
    assert pool.used(made.id) == ("h1", 1, LeasePhase.OPEN)
    pool.deliver()
    (reopen,) = pool.shell.said_of(Reopen)
    assert (reopen.instance, reopen.epoch) == (made.id, 2)
    pool.tick(SETTINGS.reopen_wait_s)
    assert pool.used(made.id) == ("h2", 2, LeasePhase.OPEN)


def test_a_manager_that_restarts_in_the_middle_goes_on() -> None:
    pool = two_hosts()
    made = pool.attached()
    pool.drain("h1")
    (send,) = pool.shell.said_of(Send)
    pool.hosts["h2"].obey(send.command)
    pool.shell.state = pool.shell.replayed()
    pool.shell.now = 5.0
    pool.shell.feed(ManagerStarted("boot-2"))
    for host in ("h1", "h2"):
        pool.shell.feed(pool.hosts[host].join())
    pool.deliver()
    assert pool.used(made.id) == ("h2", 2, LeasePhase.OPEN)
    assert pool.shell.state.hosts["h1"].draining
    assert pool.hosts["h1"].leases == {}


# Force-detach


def forced(pool: Moving, instance: str) -> InstanceView:
    pool.operate(OpVerb.FORCE_DETACH, instance=instance)
    replies = [reply for reply in pool.shell.said_of(Reply) if not reply.tenant]
    (view,) = (reply.answer.view for reply in replies)
    assert view is not None
    return view


def test_an_instance_is_taken_away_under_a_new_epoch() -> None:
    pool = two_hosts()
    pool.ask("create", type="cpu.1")
    made = pool.view()
    pool.ask("attach", made.id)
    pool.deliver()
    pool.view()
    pool.published()
    gone = forced(pool, made.id)
    assert (gone.state, gone.epoch, gone.reason) == (InstanceState.BINDABLE, 2, "FORCE_DETACHED")
    assert pool.published() == [(made.id, "BINDABLE")]
    assert pool.news() == ["FORCE_DETACHED"]
    (send,) = pool.shell.said_of(Send)
    assert send.command == Revoke(made.id, 1, 0)
    pool.shell.feed(pool.hosts["h1"].obey(send.command))
    pool.ask("attach", made.id)
    pool.deliver()
    again = pool.view()
    assert (again.epoch, again.reason) == (3, "")


def test_it_ends_what_is_under_way_and_is_answered_again() -> None:
    pool = two_hosts()
    pool.ask("attach", type="cpu.1")
    (instance,) = pool.shell.state.instances
    pool.operate(OpVerb.FORCE_DETACH, instance=instance, op=op_id(7_000_000))
    replies = {reply.tenant: reply.answer for reply in pool.shell.said_of(Reply)}
    failure = replies["acme"].failure
    assert failure is not None
    assert failure.reason == "FORCE_DETACHED"
    assert pool.instance(instance).state is InstanceState.DELETED
    pool.operate(OpVerb.FORCE_DETACH, instance=instance, op=op_id(7_000_000))
    (again,) = pool.shell.said_of(Reply)
    assert again.answer == replies[""]
    pool.operate(OpVerb.FORCE_DETACH, instance="ei-1", op=op_id(7_000_000))
    (refusal,) = pool.shell.said_of(Refuse)
    assert refusal.failure.reason == "IDEMPOTENCY_MISMATCH"


def test_it_does_not_wait_for_a_drain_nor_for_a_host() -> None:
    pool = two_hosts()
    draining, lost = pool.attached(), pool.attached()
    pool.ask("stop", draining.id)
    pool.shell.said_of(Send)
    assert forced(pool, draining.id).state is InstanceState.DELETED
    pool.shell.feed(HostLost("h1"))
    assert forced(pool, lost.id).state is InstanceState.DELETED
    pool.shell.feed(Released("h1", lost.id, lost.epoch))


@pytest.mark.parametrize("verb", [OpVerb.CORDON, OpVerb.DRAIN, OpVerb.FORCE_DETACH])
def test_what_is_not_there_is_not_found(verb: OpVerb) -> None:
    pool = two_hosts()
    pool.operate(verb, host="h9", instance="ei-9")
    (refusal,) = pool.shell.said_of(Refuse)
    assert refusal.failure.reason == "NOT_FOUND"
    pool.end()
