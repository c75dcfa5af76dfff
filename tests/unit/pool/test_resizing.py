"""An open lease gets other shares under live calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eais.instance import InstanceState
from eais_pool.brain.actions import Command, Grant, Reply, Revoke, Send
from eais_pool.brain.events import (
    HostLost,
    ManagerStarted,
    OpRequested,
    ShareFailed,
    Tick,
    WorkersChanged,
)
from eais_pool.brain.quotas import Quotas
from eais_pool.brain.records import Failure, LeaseKey, LeaseRecord, OpVerb
from eais_pool.brain.resizing import LONGEST_S
from eais_pool.brain.view_records import InstanceView
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import SETTINGS, Pool, op_id

NO_ROOM = Failure("NO_DEVICE", "no room")


def gpus() -> FakeHost:
    return FakeHost("h1", [device(), device("gpu0", "gpu", 1000), device("fpga0", "fpga", 1000)])


def attached(pool: Pool, of: str = "cpu.2") -> str:
    return pool.attached(of).id


def lease_of(pool: Pool, instance: str) -> LeaseRecord:
    found = pool.shell.state.live_lease(instance)
    assert found is not None
    return found


def commands(pool: Pool) -> list[Command]:
    """What the hosts were told, and didn't hear."""
    return [send.command for send in pool.shell.said_of(Send)]


def kinds(view: InstanceView) -> list[tuple[str, int]]:
    return [(worker.kind, worker.share_milli) for worker in view.workers]


def test_the_new_shares_serve_before_the_old_ones_go() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    pool.ask("resize", name, type="gpu.1-2")
    (grant,) = commands(pool)
    assert isinstance(grant, Grant)
    assert [(s.n, s.device, s.milli) for s in grant.shares] == [(1, "cpu0", 2000), (2, "gpu0", 500)]
    assert grant.epoch == 1
    assert not pool.shell.said_of(Reply)
    host = pool.hosts["h1"]
    pool.shell.feed(host.obey(grant))
    view = pool.view()
    assert (view.type, view.epoch) == ("gpu.1-2", 1)
    assert kinds(view) == [("cpu", 2000), ("gpu", 500)]
    assert commands(pool) == [Revoke(name, 1, SETTINGS.drain_grace_ms, (1,))]
    pool.shell.feed(host.obey(Revoke(name, 1, 0, (1,))))
    assert [(s.n, s.device) for s in lease_of(pool, name).shares] == [(2, "gpu0")]
    assert pool.shell.state.used_milli("h1") == {"gpu0": 500}


def test_from_kind_to_kind_and_back_and_no_number_is_used_twice() -> None:
    pool = Pool(gpus())
    name = attached(pool, "cpu")
    for number, wanted in enumerate(["gpu", "fpga.1-2", "cpu", "cpu.3", "cpu"], start=2):
        pool.ask("resize", name, type=wanted)
        pool.deliver()
        assert pool.view().type == wanted
        (share,) = lease_of(pool, name).shares
        assert share.n == number
    pool.published()
    pool.end()


def test_what_it_is_already_is_answered_at_once() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    pool.ask("resize", name, type="cpu.2")
    assert pool.view().type == "cpu.2"
    assert not commands(pool)


def test_a_share_that_can_not_be_served_leaves_the_instance_as_it_was() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    why = lease_of(pool, name).why
    pool.hosts["h1"].failure = NO_ROOM
    pool.ask("resize", name, type="gpu")
    pool.deliver()
    assert pool.failure() == NO_ROOM
    assert lease_of(pool, name).why == why
    assert pool.shell.state.instances[name].type == "cpu.2"
    assert [share.n for share in lease_of(pool, name).shares] == [1]
    pool.hosts["h1"].failure = None
    pool.ask("resize", name, type="gpu")
    pool.deliver()
    assert pool.view().type == "gpu"
    assert [share.n for share in lease_of(pool, name).shares] == [3]
    assert "gpu0" in lease_of(pool, name).why


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ("gpu.2", "ARGUMENT"),
        ("npu", "TYPE_UNKNOWN"),
        ("what", "TYPE_UNKNOWN"),
        ("", "TYPE_UNKNOWN"),
    ],
)
def test_what_its_host_can_never_give_is_refused(wanted: str, reason: str) -> None:
    pool = Pool(gpus())
    name = attached(pool)
    pool.ask("resize", name, type=wanted)
    assert pool.failure().reason == reason


def test_a_full_device_is_refused_and_nothing_begun() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    attached(pool, "gpu.3-4")
    pool.ask("resize", name, type="gpu.1-2")
    assert pool.failure().reason == "NO_DEVICE"
    assert not commands(pool)


def test_a_quota_is_asked() -> None:
    settings = replace(SETTINGS, quotas=Quotas({"gpu": 500}))
    pool = Pool(gpus(), settings=settings)
    name = attached(pool)
    pool.ask("resize", name, type="gpu")
    assert pool.failure().reason == "QUOTA"


def test_only_what_is_in_use_is_resized() -> None:
    pool = Pool(gpus())
    pool.ask("create", type="cpu")
    name = pool.view().id
    pool.ask("resize", name, type="gpu")
    assert pool.failure().reason == "WRONG_STATE"
    pool.ask("resize", "ei-ffffffffffffffff", type="gpu")
    assert pool.failure().reason == "NOT_FOUND"


def test_it_is_resized_once_at_a_time() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    pool.ask("resize", name, type="gpu")
    pool.ask("resize", name, type="fpga")
    assert pool.failure().reason == "BUSY"


@pytest.mark.parametrize("verb", ["stop", "detach"])
def test_who_wants_it_gone_need_not_wait(verb: str) -> None:
    pool = Pool(gpus())
    name = attached(pool)
    resize = pool.ask("resize", name, type="gpu")
    ended = pool.ask(verb, name)
    pool.deliver()
    replies = {reply.op_id: reply.answer for reply in pool.shell.said_of(Reply)}
    failure = replies[resize].failure
    assert failure is not None
    assert failure.reason == "INSTANCE_STOPPED"
    assert replies[ended].view is not None
    assert not pool.shell.state.used_milli("h1")


def test_while_its_host_takes_it_up_again_it_isnt_resized() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    pool.shell.feed(HostLost("h1"))
    pool.hosts["h1"].leases.clear()
    pool.shell.feed(pool.hosts["h1"].join())
    pool.ask("resize", name, type="gpu")
    assert pool.failure().reason == "BUSY"


def coming(pool: Pool) -> tuple[str, LeaseKey]:
    """An instance to which a share comes that its host has, and that doesn't serve yet."""
    name = attached(pool)
    pool.ask("resize", name, type="gpu")
    (grant,) = commands(pool)
    host = pool.hosts["h1"]
    host.obey(grant)
    key = (name, 1)
    held = host.leases[key]
    slow = tuple(replace(worker, serving=worker.n == 1) for worker in held.workers)
    host.leases[key] = replace(held, workers=slow)
    pool.shell.feed(WorkersChanged("h1", *key, slow))
    pool.published()
    assert not pool.shell.said
    return name, LeaseKey("h1", *key)


def test_a_share_that_was_there_and_isnt_any_more_ends_it() -> None:
    """What the host said of its failure was lost with a link."""
    pool = Pool(gpus())
    name, key = coming(pool)
    host = pool.hosts["h1"]
    pool.shell.feed(HostLost("h1"))
    pool.shell.feed(host.join())
    host.obey(Revoke(name, 1, 0, (2,)))
    pool.shell.feed(WorkersChanged(*key, host.leases[name, 1].workers))
    assert pool.failure().reason == "PROCESS_FAILED"
    pool.deliver()
    assert [share.n for share in lease_of(pool, name).shares] == [1]


def test_what_comes_is_charged_from_when_it_serves_and_what_goes_until_then() -> None:
    pool = Pool(gpus())
    name, _ = coming(pool)
    host = pool.hosts["h1"]
    pool.shell.now += 10
    pool.shell.feed(HostLost("h1"))
    pool.shell.now += 10
    pool.shell.feed(host.join())
    assert (pool.charged(name), pool.lines()) == ([(1, 1, 1000.0)], [])
    pool.shell.now += 10
    ready = tuple(replace(worker, serving=True) for worker in host.leases[name, 1].workers)
    pool.shell.feed(WorkersChanged("h1", name, 1, ready))
    pool.shell.now += 10
    pool.deliver()
    assert pool.view().type == "gpu"
    assert pool.charged(name) == [(1, 2, 1030.0)]
    assert pool.lines() == [(1, 1, 1000.0, 1030.0)]


def test_a_share_that_its_host_hadnt_when_it_left_is_charged_when_it_has() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    pool.ask("resize", name, type="gpu")
    commands(pool)
    pool.shell.feed(HostLost("h1"))
    pool.shell.feed(pool.hosts["h1"].join())
    assert pool.charged(name) == [(1, 1, 1000.0)]
    pool.shell.now += 5
    pool.deliver()
    assert pool.view().type == "gpu"
    assert (pool.charged(name), pool.lines()) == ([(1, 2, 1005.0)], [(1, 1, 1000.0, 1005.0)])
    assert lease_of(pool, name).unlisted == ()


def test_a_share_that_may_still_come_is_taken_until_its_host_says_that_it_isnt_there() -> None:
    pool = Pool(FakeHost("h1", [device(), *(device(f"gpu{n}", "gpu", 1000) for n in range(2))]))
    name = attached(pool)
    pool.ask("resize", name, type="gpu.2")
    commands(pool)
    pool.shell.feed(ShareFailed("h1", name, 1, 2, NO_ROOM))
    assert pool.failure() == NO_ROOM
    pool.shell.feed(WorkersChanged("h1", name, 1, pool.hosts["h1"].leases[name, 1].workers))
    assert pool.shell.state.used_milli("h1") == {"cpu0": 2000, "gpu0": 1000, "gpu1": 1000}
    pool.deliver()
    assert pool.shell.state.used_milli("h1") == {"cpu0": 2000}


def test_the_lost_device_of_a_share_that_comes_costs_that_share() -> None:
    pool = Pool(gpus())
    name, _ = coming(pool)
    host = pool.hosts["h1"]
    host.devices = host.devices[:1]
    pool.shell.feed(HostLost("h1"))
    pool.shell.feed(host.join())
    assert pool.failure().reason == "DEVICE_LOST"
    pool.deliver()
    assert pool.instance(name).state is InstanceState.IN_USE
    assert [share.n for share in lease_of(pool, name).shares] == [1]


def test_the_lost_device_of_a_share_that_leaves_costs_nothing() -> None:
    pool = Pool(gpus())
    name = attached(pool, "gpu")
    pool.ask("resize", name, type="cpu")
    (grant,) = commands(pool)
    host = pool.hosts["h1"]
    pool.shell.feed(host.obey(grant))
    assert pool.view().type == "cpu"
    commands(pool)
    host.devices = host.devices[:1]
    pool.shell.feed(HostLost("h1"))
    pool.shell.feed(host.join())
    pool.deliver()
    assert pool.instance(name).state is InstanceState.IN_USE
    assert [share.device for share in lease_of(pool, name).shares] == ["cpu0"]


def test_a_host_that_is_away_for_a_moment_ends_nothing() -> None:
    pool = Pool(gpus())
    name, _ = coming(pool)
    pool.shell.now += 10 * SETTINGS.grant_timeout_s
    pool.shell.feed(HostLost("h1"))
    pool.shell.feed(Tick(frozenset()))
    assert not pool.shell.said_of(Reply)
    pool.shell.feed(pool.hosts["h1"].join())
    assert lease_of(pool, name).coming == (2,)


def test_a_host_that_never_gets_it_done_ends_it() -> None:
    pool = Pool(gpus())
    coming(pool)
    pool.shell.now += LONGEST_S
    pool.shell.feed(Tick(frozenset(["h1"])))
    assert pool.failure().reason == "HOST_UNREACHABLE"


def test_a_host_that_comes_back_is_told_again_what_was_to_be_added() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    pool.ask("resize", name, type="gpu")
    commands(pool)  # lost with the link
    pool.shell.feed(HostLost("h1"))
    pool.shell.feed(pool.hosts["h1"].join())
    pool.deliver()
    assert pool.view().type == "gpu"
    assert [share.device for share in lease_of(pool, name).shares] == ["gpu0"]


def test_a_host_that_comes_back_is_told_again_what_was_to_leave() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    pool.ask("resize", name, type="gpu")
    (grant,) = commands(pool)
    pool.shell.feed(pool.hosts["h1"].obey(grant))
    assert pool.view().type == "gpu"
    commands(pool)  # lost with the link
    pool.shell.feed(HostLost("h1"))
    pool.shell.feed(pool.hosts["h1"].join())
    assert commands(pool) == [Revoke(name, 1, SETTINGS.drain_grace_ms, (1,))]


def test_a_host_that_lost_its_disk_is_granted_what_is_wanted_alone() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    pool.ask("resize", name, type="gpu")
    (grant,) = commands(pool)
    pool.shell.feed(pool.hosts["h1"].obey(grant))
    pool.shell.said.clear()
    pool.shell.feed(HostLost("h1"))
    pool.hosts["h1"].leases.clear()
    pool.shell.feed(pool.hosts["h1"].join())
    (again,) = commands(pool)
    assert isinstance(again, Grant)
    assert [share.device for share in again.shares] == ["gpu0"]
    pool.shell.feed(pool.hosts["h1"].obey(again))
    assert [share.n for share in lease_of(pool, name).shares] == [2]


def test_a_host_that_stays_away_ends_it() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    pool.ask("resize", name, type="gpu")
    commands(pool)
    pool.shell.feed(HostLost("h1"))
    pool.shell.now += SETTINGS.grant_timeout_s
    pool.shell.feed(Tick(frozenset()))
    assert pool.failure().reason == "HOST_UNREACHABLE"
    pool.shell.feed(pool.hosts["h1"].join())
    pool.deliver()
    assert [share.n for share in lease_of(pool, name).shares] == [1]
    assert pool.shell.state.used_milli("h1") == {"cpu0": 2000}


def test_a_manager_that_comes_back_goes_on() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    asked = pool.ask("resize", name, type="gpu")
    commands(pool)
    pool.shell.state = pool.shell.replayed()
    pool.shell.feed(ManagerStarted("boot-1"))
    pool.shell.feed(pool.hosts["h1"].join())
    pool.deliver()
    pool.shell.said.clear()
    pool.shell.feed(OpRequested(OpVerb.RESIZE, "acme", "box", asked, name, "gpu"))
    assert pool.view().type == "gpu"


def test_a_worker_that_the_pool_never_asked_for_goes() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    host = pool.hosts["h1"]
    (key, held), *_ = host.leases.items()
    more = replace(held.workers[0], n=9)
    host.leases[key] = replace(held, workers=(*held.workers, more))
    pool.shell.feed(HostLost("h1"))
    pool.shell.feed(host.join())
    assert commands(pool) == [Revoke(name, 1, SETTINGS.drain_grace_ms, (9,))]


def test_an_operator_takes_it_away_amid_it() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    pool.ask("resize", name, type="gpu")
    pool.shell.said.clear()
    operate = OpRequested(OpVerb.FORCE_DETACH, "", "ops", op_id(900), name)
    pool.shell.feed(operate)
    replies = {reply.tenant: reply.answer for reply in pool.shell.said_of(Reply)}
    failure = replies["acme"].failure
    assert failure is not None
    assert failure.reason == "FORCE_DETACHED"
    pool.deliver()
    assert not pool.shell.state.leases


def test_a_lease_that_its_host_gives_back_amid_it_ends_it() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    pool.ask("resize", name, type="gpu")
    pool.shell.said.clear()
    pool.shell.feed(pool.hosts["h1"].obey(Revoke(name, 1, 0)))
    assert pool.failure().reason == "DEVICE_LOST"


def test_a_share_that_isnt_serving_yet_is_waited_for() -> None:
    pool = Pool(gpus())
    name = attached(pool)
    pool.ask("resize", name, type="gpu")
    (grant,) = commands(pool)
    accepted = pool.hosts["h1"].obey(grant)
    held = pool.hosts["h1"].leases[name, 1]
    slow = tuple(replace(worker, serving=worker.n == 1) for worker in held.workers)
    pool.shell.feed(WorkersChanged("h1", name, 1, slow))
    assert not pool.shell.said_of(Reply)
    pool.shell.feed(accepted)
    assert pool.view().type == "gpu"
