from __future__ import annotations

from dataclasses import replace

import pytest

from eais.errors import REASONS
from eais.instance import InstanceState
from eais.instance_policy import InstancePolicy, RingPolicy
from eais.share import ShareState
from eais.tolerance import Tolerance
from eais_pool.brain.actions import Grant, Journal, Refuse, Reply, Revoke, Send
from eais_pool.brain.events import (
    GrantAccepted,
    GrantFailed,
    HostLost,
    ManagerStarted,
    OpRequested,
    Released,
    SessionsChanged,
    Tick,
    UsageReported,
    WorkersChanged,
)
from eais_pool.brain.host_records import Endpoint
from eais_pool.brain.ledger_records import UsageRecord
from eais_pool.brain.records import (
    Failure,
    HeldLease,
    LeaseKey,
    LeasePhase,
    OpVerb,
    SharePick,
    WorkerRecord,
)
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import SETTINGS, Pool, op_id

FIRST = "ei-0000000000000001"
DAY = 86_400.0


def linked(pool: Pool) -> frozenset[str]:
    return frozenset(h.host for h in pool.shell.state.hosts.values() if h.reachable)


# The way of an instance


def test_attach_by_type_creates_binds_and_starts() -> None:
    pool = Pool(FakeHost())
    pool.ask("attach", type="cpu.2")
    (send,) = pool.shell.said_of(Send)
    assert send == Send(
        "h1",
        Grant(
            FIRST,
            "acme",
            1,
            (SharePick(1, "cpu0", 2000),),
            "127.64.16.16",
            "loopback",
            600,
            "exact",
        ),
    )
    assert pool.instance(FIRST).state is InstanceState.BOUND
    assert pool.published() == [(FIRST, "BOUND")]
    pool.shell.feed(pool.hosts["h1"].obey(send.command))
    view = pool.view()
    assert (view.id, view.state, view.epoch, view.ephemeral) == (
        FIRST,
        InstanceState.IN_USE,
        1,
        True,
    )
    assert (view.frontend, view.host, view.listener) == ("box", "h1", Endpoint("127.0.0.1", 4000))
    (worker,) = view.workers
    assert (worker.n, worker.kind, worker.share_milli, worker.serving) == (1, "cpu", 2000, True)
    assert pool.published() == [(FIRST, "IN_USE")]
    pool.end()


def test_detach_undoes_all_that_attach_did() -> None:
    pool = Pool(FakeHost())
    made = pool.attached()
    pool.ask("detach", made.id)
    (send,) = pool.shell.said_of(Send)
    assert send.command == Revoke(made.id, 1, 5000)
    assert pool.published() == [(made.id, "DRAINING")]
    pool.shell.feed(pool.hosts["h1"].obey(send.command))
    assert pool.view().state is InstanceState.DELETED
    assert pool.published() == [(made.id, "DELETED")]
    assert pool.shell.state.leases == {}
    pool.end()


def test_a_created_instance_goes_through_all_of_its_life() -> None:
    pool = Pool(FakeHost())
    pool.ask("create", type="cpu.1")
    made = pool.view()
    assert (made.state, made.epoch, made.address) == (InstanceState.BINDABLE, 0, "")
    pool.ask("attach", made.id, no_start=True)
    assert pool.view().state is InstanceState.BOUND
    for epoch in (1, 2):
        pool.ask("start", made.id)
        pool.deliver()
        assert pool.view().epoch == epoch
        pool.ask("stop", made.id)
        pool.deliver()
        assert pool.view().state is InstanceState.BOUND
    pool.ask("detach", made.id)
    assert pool.view().state is InstanceState.BINDABLE
    pool.ask("delete", made.id)
    assert pool.view().state is InstanceState.DELETED
    pool.published()
    pool.end()


def test_attach_of_nothing_named_takes_the_first_bindable() -> None:
    pool = Pool(FakeHost())
    pool.ask("create", type="cpu.1", tenant="other")
    pool.ask("create", type="cpu.1")
    pool.ask("create", type="cpu.1")
    pool.shell.said_of(Reply)
    pool.ask("attach", no_start=True)
    assert pool.view().id == "ei-0000000000000002"
    pool.ask("attach", no_start=True)
    assert pool.view().id == "ei-0000000000000003"
    pool.ask("attach", no_start=True)
    assert pool.failure().reason == "NOT_FOUND"
    pool.published()
    pool.end()


def test_attach_again_to_the_same_front_end_is_fine_and_starts() -> None:
    pool = Pool(FakeHost())
    made = pool.attached()
    pool.ask("attach", made.id)
    assert pool.view() == made
    pool.ask("stop", made.id)
    pool.deliver()
    pool.view()
    pool.ask("attach", made.id, no_start=True)
    assert pool.view().state is InstanceState.BOUND
    pool.ask("attach", made.id)
    pool.deliver()
    assert (pool.view().state, pool.instance(made.id).epoch) == (InstanceState.IN_USE, 2)
    pool.published()
    pool.end()


def test_addresses_come_from_the_plan_and_are_given_again() -> None:
    pool = Pool(FakeHost())
    first, second = pool.attached(), pool.attached()
    assert (first.address, second.address) == ("127.64.16.16", "127.64.16.17")
    pool.ask("detach", first.id)
    pool.deliver()
    pool.view()
    pool.published()
    assert pool.attached().address == "127.64.16.16"
    pool.end()


# Refusals


@pytest.mark.parametrize("verb", ["attach", "start", "stop", "detach", "delete"])
def test_not_yours_is_not_there(verb: str) -> None:
    pool = Pool(FakeHost())
    made = pool.attached()
    pool.ask(verb, made.id, tenant="other")
    foreign = pool.failure()
    gone = Pool(FakeHost())
    gone.ask(verb, made.id, tenant="other")
    assert foreign == gone.failure()
    assert foreign.reason == "NOT_FOUND"
    pool.end()


@pytest.mark.parametrize(
    ("verb", "state", "reason"),
    [
        ("start", "BINDABLE", "WRONG_STATE"),
        ("stop", "BINDABLE", "WRONG_STATE"),
        ("delete", "BOUND", "WRONG_STATE"),
        ("delete", "IN_USE", "WRONG_STATE"),
        ("start", "DELETED", "NOT_FOUND"),
        ("attach", "DELETED", "NOT_FOUND"),
        ("delete", "DELETED", "NOT_FOUND"),
    ],
)
def test_verbs_in_states_that_have_none(verb: str, state: str, reason: str) -> None:
    pool = Pool(FakeHost())
    pool.ask("create", type="cpu.1")
    made = pool.view().id
    if state == "DELETED":
        pool.ask("delete", made)
    elif state != "BINDABLE":
        pool.ask("attach", made, no_start=state == "BOUND")
    pool.deliver()
    pool.shell.said_of(Reply)
    pool.published()
    assert pool.instance(made).state.value == state
    pool.ask(verb, made)
    assert pool.failure().reason == reason
    pool.end()


@pytest.mark.parametrize(
    ("verb", "state"), [("stop", "BOUND"), ("start", "IN_USE"), ("detach", "BINDABLE")]
)
def test_verbs_that_have_nothing_to_do_are_answered(verb: str, state: str) -> None:
    pool = Pool(FakeHost())
    pool.ask("create", type="cpu.1")
    made = pool.view().id
    if state != "BINDABLE":
        pool.ask("attach", made, no_start=state == "BOUND")
        pool.deliver()
        pool.view()
    pool.published()
    pool.ask(verb, made)
    assert pool.view().state.value == state
    pool.end()


def test_detach_of_what_was_detached_is_fine() -> None:
    pool = Pool(FakeHost())
    made = pool.attached()
    for _ in range(2):
        pool.ask("detach", made.id)
        pool.deliver()
        assert pool.view().state is InstanceState.DELETED
    pool.published()
    pool.end()


def test_another_front_end_of_the_tenant_may_end_but_not_take() -> None:
    pool = Pool(FakeHost())
    made = pool.attached()
    for verb in ("attach", "start"):
        pool.ask(verb, made.id, frontend="laptop")
        assert pool.failure().reason == "WRONG_STATE"
    pool.ask("detach", made.id, frontend="laptop")
    pool.deliver()
    assert pool.view().state is InstanceState.DELETED
    assert pool.published() == [(made.id, "DRAINING"), (made.id, "DELETED")]
    pool.end()


@pytest.mark.parametrize("bad", ["", "x", "0" * 32, "{" + op_id(1) + "}", op_id(0xABC).upper()])
def test_op_ids_are_uuids(bad: str) -> None:
    pool = Pool(FakeHost())
    pool.shell.feed(OpRequested(OpVerb.CREATE, "acme", "box", bad, type="cpu.1"))
    assert pool.failure().reason == "ARGUMENT"
    assert pool.shell.state.instances == {}
    pool.end()


def test_an_instance_and_a_type_is_one_too_many() -> None:
    pool = Pool(FakeHost())
    pool.ask("attach", FIRST, type="cpu.1")
    assert pool.failure().reason == "ARGUMENT"
    pool.end()


def test_what_is_refused_at_once_leaves_nothing_and_may_be_sent_again() -> None:
    pool = Pool()
    op = pool.ask("attach", type="cpu.1")
    refused = pool.failure()
    assert (refused.reason, refused.metadata) == ("NO_DEVICE", (("push_back_ms", "1000"),))
    assert pool.shell.state.instances == {}
    assert pool.shell.state.ops == {}
    host = FakeHost()
    pool.hosts["h1"] = host
    pool.shell.feed(host.join())
    pool.ask("attach", type="cpu.1", op=op)
    pool.deliver()
    assert pool.view().state is InstanceState.IN_USE
    pool.published()
    pool.end()


def test_while_an_operation_is_under_way_others_must_wait() -> None:
    pool = Pool(FakeHost())
    pool.ask("attach", type="cpu.1")
    for verb in ("attach", "start", "stop", "detach", "delete"):
        pool.ask(verb, FIRST)
        busy = pool.failure()
        assert busy.reason == "BUSY"
        assert REASONS[busy.reason].retryable
    pool.deliver()
    pool.view()
    pool.published()
    pool.end()


# Idempotency


def test_the_same_op_id_gives_the_stored_answer() -> None:
    pool = Pool(FakeHost())
    op = pool.ask("attach", type="cpu.1")
    pool.deliver()
    made = pool.view()
    pool.ask("stop", made.id)
    pool.deliver()
    pool.view()
    pool.ask("attach", type="cpu.1", op=op)
    assert pool.view() == made
    pool.published()
    pool.end()


def test_a_repetition_while_it_is_under_way_waits_for_the_same_answer() -> None:
    pool = Pool(FakeHost())
    op = pool.ask("attach", type="cpu.1")
    pool.ask("attach", type="cpu.1", op=op)
    assert pool.shell.said_of(Reply) == []
    assert pool.shell.said_of(Refuse) == []
    pool.deliver()
    assert pool.view().state is InstanceState.IN_USE
    assert len(pool.shell.state.instances) == 1
    pool.published()
    pool.end()


POLICY = InstancePolicy(RingPolicy.OFF, 50_000)


def test_a_policy_goes_with_the_instance_to_whoever_grants_it() -> None:
    pool = Pool(FakeHost())
    pool.ask("attach", type="cpu.1", policy=POLICY)
    (send,) = pool.shell.said_of(Send)
    assert isinstance(send.command, Grant)
    assert send.command.policy == POLICY
    pool.shell.feed(pool.hosts["h1"].obey(send.command))
    assert pool.view().policy == POLICY
    pool.published()
    pool.end()


@pytest.mark.parametrize("verb", ["create", "attach"])
def test_a_tolerance_takes_the_place_of_the_types(verb: str) -> None:
    pool = Pool(FakeHost())
    pool.ask(verb, type="cpu.1", policy=InstancePolicy(tolerance=Tolerance.BF16))
    made = pool.instance(FIRST)
    assert (made.tolerance, made.policy) == ("bf16", InstancePolicy())


def test_a_tolerance_is_part_of_what_an_op_id_names() -> None:
    asked = OpRequested(OpVerb.CREATE, "t", "fe", "op", type="cpu.1")
    told = replace(asked, policy=InstancePolicy(tolerance=Tolerance.BF16))
    assert told.params != asked.params
    assert not any("tolerance" in part for part in asked.params)


@pytest.mark.parametrize("instance", ["", "ei-0000000000000001"])
def test_the_policy_of_an_instance_is_said_when_it_is_made(instance: str) -> None:
    pool = Pool(FakeHost())
    pool.ask("create", type="cpu.1", policy=POLICY)
    assert pool.view().policy == POLICY
    pool.ask("attach", instance, policy=InstancePolicy(RingPolicy.ON))
    assert pool.failure().reason == "ARGUMENT"
    pool.published()
    pool.end()


@pytest.mark.parametrize("other", ["verb", "type", "no_start", "policy", "frontend"])
def test_the_same_op_id_for_something_else_is_a_mismatch(other: str) -> None:
    pool = Pool(FakeHost())
    op = pool.ask("attach", type="cpu.1")
    event = OpRequested(OpVerb.ATTACH, "acme", "box", op, type="cpu.1")
    match other:
        case "verb":
            event = replace(event, verb=OpVerb.CREATE)
        case "type":
            event = replace(event, type="cpu.2")
        case "no_start":
            event = replace(event, no_start=True)
        case "policy":
            event = replace(event, policy=POLICY)
        case _:
            event = replace(event, frontend="laptop")
    pool.shell.feed(event)
    assert pool.failure().reason == "IDEMPOTENCY_MISMATCH"
    pool.deliver()
    pool.view()
    pool.published()
    pool.end()


def test_op_ids_of_two_tenants_are_two() -> None:
    pool = Pool(FakeHost())
    op = pool.ask("create", type="cpu.1")
    pool.ask("create", type="cpu.2", tenant="other", op=op)
    assert len(pool.shell.said_of(Reply)) == 2
    pool.end()


def test_answers_and_deleted_instances_are_kept_for_a_day() -> None:
    pool = Pool(FakeHost())
    op = pool.ask("attach", type="cpu.1")
    pool.deliver()
    made = pool.view()
    pool.ask("detach", made.id)
    pool.deliver()
    pool.view()
    pool.shell.now += DAY
    pool.shell.feed(Tick(linked(pool)))
    pool.ask("attach", type="cpu.1", op=op)
    assert pool.view() == made
    pool.shell.now += 1
    pool.shell.feed(Tick(linked(pool)))
    assert (pool.shell.state.ops, pool.shell.state.instances) == ({}, {})
    pool.ask("detach", made.id)
    assert pool.failure().reason == "NOT_FOUND"
    pool.published()
    pool.end()


def test_after_a_reboot_answers_are_kept_for_a_day_again() -> None:
    pool = Pool(FakeHost())
    pool.ask("create", type="cpu.1")
    pool.view()
    pool.shell.now = 5.0
    pool.shell.feed(ManagerStarted("boot-2"))
    pool.shell.feed(Tick(frozenset()))
    (op,) = pool.shell.state.ops.values()
    assert op.answered_at == 5.0
    pool.end()


# Grants that fail


def test_a_failed_grant_of_an_ephemeral_leaves_it_deleted() -> None:
    host = FakeHost()
    host.failure = Failure("ISOLATION_UNAVAILABLE", "no")
    pool = Pool(host)
    op = pool.ask("attach", type="cpu.1")
    pool.deliver()
    assert pool.failure() == host.failure
    assert pool.instance(FIRST).state is InstanceState.DELETED
    assert pool.shell.state.leases == {}
    pool.ask("attach", type="cpu.1", op=op)
    assert pool.failure() == host.failure
    assert len(pool.shell.state.instances) == 1
    pool.published()
    pool.end()


def test_a_failed_grant_undoes_the_binding_that_attach_made_and_no_other() -> None:
    host = FakeHost()
    pool = Pool(host)
    pool.ask("create", type="cpu.1")
    made = pool.view().id
    host.failure = Failure("NO_WORKER", "no")
    pool.ask("attach", made)
    pool.deliver()
    pool.failure()
    assert pool.instance(made).state is InstanceState.BINDABLE
    pool.ask("attach", made, no_start=True)
    pool.view()
    for verb in ("attach", "start"):
        pool.ask(verb, made)
        pool.deliver()
        assert pool.failure().reason == "NO_WORKER"
        assert pool.instance(made).state is InstanceState.BOUND
    host.failure = None
    pool.ask("start", made)
    pool.deliver()
    assert pool.view().epoch == 4
    pool.published()
    pool.end()


def test_a_host_that_vanishes_while_it_grants_is_given_up_in_time() -> None:
    pool = Pool(FakeHost())
    pool.ask("attach", type="cpu.1")
    pool.shell.said_of(Send)
    pool.shell.feed(HostLost("h1"))
    pool.shell.now += SETTINGS.grant_timeout_s - 1
    pool.shell.feed(Tick(frozenset()))
    assert pool.instance(FIRST).op_id
    pool.shell.now += 1
    pool.shell.feed(Tick(frozenset()))
    assert pool.failure().reason == "HOST_UNREACHABLE"
    assert pool.instance(FIRST).state is InstanceState.DELETED
    (lease,) = pool.shell.state.all_leases()
    assert (lease.phase, lease.lost) == (LeasePhase.CLOSING, True)
    pool.published()
    pool.end()


def test_a_grant_that_was_given_up_is_revoked_when_its_host_returns_with_it() -> None:
    host = FakeHost()
    pool = Pool(host)
    pool.ask("attach", type="cpu.1")
    (send,) = pool.shell.said_of(Send)
    pool.shell.feed(HostLost("h1"))
    pool.shell.now += 60
    pool.shell.feed(Tick(frozenset()))
    host.obey(send.command)
    pool.shell.feed(host.join())
    assert [lease.shares[0].state for lease in pool.shell.state.all_leases()] == [
        ShareState.DRAINING
    ]
    pool.deliver()
    assert (host.leases, pool.shell.state.leases) == ({}, {})
    pool.shell.said_of(Reply)
    pool.published()
    pool.end()


def test_a_host_that_does_not_answer_is_told_to_forget_it() -> None:
    pool = Pool(FakeHost())
    pool.ask("attach", type="cpu.1")
    pool.shell.said_of(Send)
    pool.shell.now += 30
    pool.shell.feed(Tick(linked(pool)))
    assert pool.failure().reason == "HOST_UNREACHABLE"
    (send,) = pool.shell.said_of(Send)
    assert isinstance(send.command, Revoke)
    held = HeldLease(FIRST, 1, "acme", "127.64.16.16")
    pool.shell.feed(GrantAccepted("h1", held))
    pool.shell.feed(Released("h1", FIRST, 1))
    assert pool.shell.state.leases == {}
    pool.published()
    pool.end()


# Hosts that come and go


def test_an_instance_in_use_stays_so_while_its_host_is_away() -> None:
    host = FakeHost()
    pool = Pool(host)
    made = pool.attached()
    pool.shell.feed(HostLost("h1"))
    (lease,) = pool.shell.state.all_leases()
    assert lease.shares[0].state is ShareState.LOST
    assert pool.instance(made.id).state is InstanceState.IN_USE
    pool.ask("attach", type="cpu.1")
    assert pool.failure().reason == "NO_DEVICE"
    pool.shell.feed(host.join())
    (lease,) = pool.shell.state.all_leases()
    assert (lease.shares[0].state, lease.epoch) == (ShareState.GRANTED, 1)
    assert pool.published() == []
    pool.end()


def test_losing_a_host_that_never_joined_or_is_lost_already_is_nothing() -> None:
    pool = Pool(FakeHost())
    pool.shell.feed(HostLost("h1"))
    written = list(pool.shell.journal)
    for name in ("h1", "h9"):
        pool.shell.feed(HostLost(name))
    assert pool.shell.journal == written
    pool.end()


@pytest.mark.parametrize("verb", ["stop", "detach"])
def test_stop_and_detach_do_not_wait_for_a_lost_host(verb: str) -> None:
    host = FakeHost()
    pool = Pool(host)
    made = pool.attached()
    pool.shell.feed(HostLost("h1"))
    pool.ask(verb, made.id)
    wanted = InstanceState.BOUND if verb == "stop" else InstanceState.DELETED
    assert pool.view().state is wanted
    assert pool.shell.said_of(Send) == []
    pool.shell.feed(host.join())
    pool.deliver()
    assert (host.leases, pool.shell.state.leases) == ({}, {})
    pool.published()
    pool.end()


@pytest.mark.parametrize("verb", ["stop", "detach"])
def test_stop_and_detach_end_when_their_host_is_lost_meanwhile(verb: str) -> None:
    host = FakeHost()
    pool = Pool(host)
    made = pool.attached()
    pool.ask(verb, made.id)
    pool.shell.said_of(Send)
    pool.shell.feed(Tick(frozenset()))
    assert pool.view().state in (InstanceState.BOUND, InstanceState.DELETED)
    host.leases.clear()
    pool.shell.feed(host.join())
    assert pool.shell.state.leases == {}
    pool.published()
    pool.end()


@pytest.mark.parametrize("verb", ["stop", "detach"])
def test_stop_and_detach_do_not_wait_for_ever_for_a_host_that_releases_nothing(verb: str) -> None:
    host = FakeHost()
    pool = Pool(host)
    made = pool.attached()
    pool.ask(verb, made.id)
    pool.shell.said_of(Send)
    pool.shell.now += 34.9
    pool.shell.feed(Tick(linked(pool)))
    assert pool.shell.said_of(Reply) == []
    pool.shell.now += 0.2
    pool.shell.feed(Tick(linked(pool)))
    assert pool.view().state in (InstanceState.BOUND, InstanceState.DELETED)
    assert pool.shell.state.used_milli("h1") == {"cpu0": 1000}  # its workers may live yet
    pool.published()
    pool.shell.feed(Released("h1", made.id, 1))
    assert pool.shell.state.leases == {}
    pool.end()


def test_a_host_takes_no_second_lease_of_an_instance_whose_first_it_may_still_have() -> None:
    hosts = FakeHost("h1"), FakeHost("h2")
    pool = Pool(*hosts)
    made = pool.attached()
    pool.ask("stop", made.id)
    (stop,) = pool.shell.said_of(Send)
    pool.shell.feed(HostLost("h1"))
    pool.view()
    pool.ask("start", made.id)
    pool.deliver()
    started = pool.view()
    assert (started.host, started.epoch) == ("h2", 2)
    assert len(pool.shell.state.leases[made.id]) == 2
    pool.shell.feed(hosts[0].join())
    pool.deliver()
    assert (stop.host, hosts[0].leases) == ("h1", {})
    assert pool.instance(made.id).state is InstanceState.IN_USE
    pool.published()
    pool.end()


def test_a_host_that_still_drains_an_instance_takes_no_new_lease_of_it() -> None:
    host = FakeHost()
    pool = Pool(host)
    made = pool.attached()
    pool.shell.feed(HostLost("h1"))
    pool.ask("stop", made.id)
    pool.view()
    pool.shell.feed(host.join())
    pool.ask("start", made.id)
    assert pool.failure().reason == "NO_DEVICE"
    pool.deliver()
    pool.ask("start", made.id)
    pool.deliver()
    assert pool.view().epoch == 2
    pool.published()
    pool.end()


def test_a_host_that_lost_its_disk_is_granted_again_under_the_same_epoch() -> None:
    host = FakeHost()
    pool = Pool(host)
    made = pool.attached()
    host.leases.clear()
    pool.shell.feed(host.join())
    (lease,) = pool.shell.state.all_leases()
    assert (lease.phase, lease.shares[0].state) == (LeasePhase.OPEN, ShareState.RESERVED)
    pool.deliver()
    assert [key[1] for key in host.leases] == [1]
    assert pool.instance(made.id).state is InstanceState.IN_USE
    pool.published()
    pool.end()


def test_an_instance_whose_host_cannot_grant_again_has_failed() -> None:
    host = FakeHost()
    pool = Pool(host)
    made = pool.attached()
    host.leases.clear()
    host.failure = Failure("NO_WORKER", "no")
    pool.shell.feed(host.join())
    pool.deliver()
    failed = pool.instance(made.id)
    assert (failed.state, failed.reason, failed.detail) == (InstanceState.FAILED, "NO_WORKER", "no")
    assert pool.published() == [(made.id, "FAILED")]
    pool.ask("start", made.id)
    refused = pool.failure()
    assert (refused.reason, refused.hint) == ("WRONG_STATE", "delete it, and attach another one")
    pool.ask("detach", made.id)
    assert pool.view().state is InstanceState.DELETED
    pool.published()
    pool.end()


def test_a_failed_instance_that_was_created_is_deleted_not_detached() -> None:
    host = FakeHost()
    pool = Pool(host)
    pool.ask("create", type="cpu.1")
    made = pool.view().id
    pool.ask("attach", made)
    pool.deliver()
    pool.view()
    pool.shell.feed(Released("h1", made, 1))
    assert pool.instance(made).reason == "DEVICE_LOST"
    pool.ask("detach", made)
    refused = pool.failure()
    assert (refused.reason, refused.hint) == ("WRONG_STATE", "delete it, and attach another one")
    pool.ask("delete", made)
    assert pool.view().state is InstanceState.DELETED
    pool.published()
    pool.end()


def test_leases_that_nobody_gave_are_revoked_and_counted_until_they_are_gone() -> None:
    host = FakeHost()
    stray = HeldLease("ei-stray", 7, "acme", "127.64.16.16", (SharePick(1, "cpu0", 4000),))
    host.leases["ei-stray", 7] = stray
    pool = Pool(host)
    (send,) = pool.shell.said_of(Send)
    assert send.command == Revoke("ei-stray", 7, 5000)
    pool.ask("attach", type="cpu.1")
    assert pool.failure().reason == "NO_DEVICE"
    pool.shell.feed(host.obey(send.command))
    assert pool.attached().address == "127.64.16.16"
    pool.end()


def test_a_host_cannot_speak_for_the_leases_of_another() -> None:
    pool = Pool(FakeHost("h1"), FakeHost("h2"))
    made = pool.attached()
    before = pool.shell.state.copy()
    key = ("h2", made.id, 1)
    pool.shell.feed(Released(*key))
    pool.shell.feed(GrantFailed(*key, Failure("BUG", "x")))
    pool.shell.feed(WorkersChanged(*key, ()))
    pool.shell.feed(UsageReported(*key, UsageRecord(1)))
    assert pool.shell.state == before
    pool.shell.feed(GrantAccepted("h2", HeldLease(made.id, 1, "acme", "")))
    (send,) = pool.shell.said_of(Send)
    assert (send.host, type(send.command)) == ("h2", Revoke)
    assert pool.instance(made.id) == before.instances[made.id]
    pool.ask("detach", made.id)
    pool.shell.feed(Released(*key))
    assert pool.instance(made.id).state is InstanceState.DRAINING
    pool.deliver()
    pool.view()
    pool.published()
    pool.end()


def test_an_instance_whose_device_is_gone_has_failed_and_its_share_is_revoked() -> None:
    host = FakeHost(devices=[device("gpu0", "gpu", 1000), device("gpu1", "gpu", 1000)])
    pool = Pool(host)
    made = pool.attached("gpu.1")
    pool.shell.feed(HostLost("h1"))
    host.devices = host.devices[1:]
    pool.shell.feed(host.join())
    assert pool.instance(made.id).reason == "DEVICE_LOST"
    assert [d.id for d in pool.shell.state.hosts["h1"].devices] == ["gpu1", "gpu0"]
    pool.deliver()
    assert [d.id for d in pool.shell.state.hosts["h1"].devices] == ["gpu1"]
    assert pool.published() == [(made.id, "FAILED")]
    pool.end()


def test_a_grant_on_a_device_that_shrank_is_rolled_back() -> None:
    host = FakeHost()
    pool = Pool(host)
    pool.ask("attach", type="cpu.4")
    pool.shell.said_of(Send)
    pool.shell.feed(HostLost("h1"))
    host.devices = (device(milli=2000),)
    pool.shell.feed(host.join())
    assert pool.failure().reason == "DEVICE_LOST"
    assert pool.shell.state.leases == {}
    pool.published()
    assert pool.attached("cpu.2").state is InstanceState.IN_USE
    pool.end()


def test_below_isolation_2_a_host_serves_one_tenant() -> None:
    pool = Pool(FakeHost(isolation=1))
    made = pool.attached()
    pool.ask("attach", type="cpu.1", tenant="other")
    refused = pool.failure()
    assert refused.reason == "ISOLATION_UNAVAILABLE"
    assert "acme" not in refused.message
    pool.attached()
    pool.ask("detach", made.id)
    pool.deliver()
    pool.view()
    pool.published()
    pool.end()


def test_news_of_a_lease_is_kept_and_shown() -> None:
    pool = Pool(FakeHost())
    made = pool.attached()
    key = LeaseKey("h1", made.id, 1)
    moved = WorkerRecord(1, Endpoint("127.64.16.16", 6000), 2, False, 2)
    extra = replace(moved, n=9)
    pool.shell.feed(WorkersChanged(*key, (moved, extra)))
    assert pool.published() == [(made.id, "IN_USE")]
    pool.shell.feed(WorkersChanged(*key, (moved, extra)))
    # A worker for which the lease has no share is to go, however often it is listed.
    stray = Send("h1", Revoke(made.id, 1, SETTINGS.drain_grace_ms, (9,)))
    assert pool.shell.said_of(Send) == [stray, stray]
    pool.shell.feed(SessionsChanged(*key, ("c3BlYw==",)))
    pool.shell.feed(UsageReported(*key, UsageRecord(3, 4, 5, 6)))
    lease = pool.shell.state.lease(key)
    assert lease is not None
    assert (lease.sessions, lease.usage.requests) == (("c3BlYw==",), 3)
    # A host that lost its file of counters counts anew; what it said once stays said.
    pool.shell.feed(UsageReported(*key, UsageRecord(1, 9, 0, 0)))
    lease = pool.shell.state.lease(key)
    assert lease is not None
    assert lease.usage == UsageRecord(3, 9, 5, 6)
    pool.ask("attach", made.id)
    (worker,) = pool.view().workers
    assert (worker.endpoint.port, worker.incarnation, worker.serving) == (6000, 2, False)
    assert pool.published() == []
    pool.end()


# The manager's own restarts


def test_a_restarted_manager_waits_for_its_hosts_and_changes_no_epoch() -> None:
    host = FakeHost()
    pool = Pool(host)
    made = pool.attached()
    pool.shell.state = pool.shell.replayed()
    pool.shell.feed(ManagerStarted("boot-1"))
    assert not pool.shell.state.hosts["h1"].reachable
    pool.shell.feed(host.join())
    pool.ask("attach", made.id)
    assert pool.view() == made
    assert pool.published() == []
    pool.end()


def test_a_grant_that_was_under_way_goes_on_after_a_restart() -> None:
    host = FakeHost()
    pool = Pool(host)
    op = pool.ask("attach", type="cpu.1")
    pool.shell.said.clear()
    pool.shell.now += 29
    pool.shell.feed(ManagerStarted("boot-1"))
    pool.shell.now += 29
    pool.shell.feed(Tick(frozenset()))
    pool.ask("attach", type="cpu.1", op=op)
    pool.shell.feed(host.join())
    (send,) = pool.shell.said_of(Send)
    assert isinstance(send.command, Grant)
    assert (send.command.instance, send.command.epoch) == (FIRST, 1)
    pool.shell.feed(host.obey(send.command))
    assert (pool.view().epoch, len(host.leases)) == (1, 1)
    pool.published()
    pool.end()


# The contract of the list of actions


def test_the_journal_comes_first() -> None:
    pool = Pool(FakeHost())
    event = OpRequested(OpVerb.ATTACH, "acme", "box", op_id(1), type="cpu.1")
    actions = pool.shell.decide(event)
    assert [type(action).__name__ for action in actions] == ["Journal", "Send", "Publish"]
    assert isinstance(actions[0], Journal)
    assert pool.shell.state.instances == {}
    pool.end()
