"""Bad devices: nothing is granted there, and what is there moves, without anybody's asking."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eais_pool.brain.actions import CheckDevice, Grant, Publish, Reply, Revoke, Send
from eais_pool.brain.events import (
    DeviceReported,
    HostLost,
    ManagerStarted,
    OpRequested,
    Tick,
)
from eais_pool.brain.records import Failure, LeasePhase, LeaseRecord, OpVerb
from eais_pool.brain.resizing import LONGEST_S
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import SETTINGS, Pool, op_id

WHY = "a known answer was wrong"


def two_gpus(name: str = "h1") -> FakeHost:
    gpus = [device("gpu0", "gpu", 1000), device("gpu1", "gpu", 1000)]
    return FakeHost(name, [device(), *gpus])


def lease_of(pool: Pool, instance: str) -> LeaseRecord:
    found = pool.shell.state.live_lease(instance)
    assert found is not None
    return found


def devices_of(pool: Pool, instance: str) -> list[tuple[int, str, int]]:
    return [(s.n, s.device, s.milli) for s in lease_of(pool, instance).shares]


def says(pool: Pool, health: str, name: str = "gpu0", host: str = "h1") -> None:
    """The host says how its device is; its links are as they were."""
    pool.shell.feed(DeviceReported(host, name, health, "" if health == "ok" else WHY))


def ticks(pool: Pool, seconds: float = 0.0) -> None:
    """Time passes."""
    pool.shell.now += seconds
    pool.shell.feed(Tick(frozenset(pool.hosts)))


def asks(pool: Pool, name: str = "gpu0", n: int = 90) -> None:
    verb = OpVerb.UNCORDON
    pool.shell.feed(OpRequested(verb, "", "op", op_id(n), host="h1", device=name))


@pytest.mark.parametrize("health", ["suspect", "bad"])
def test_what_is_not_ok_is_granted_to_nobody(health: str) -> None:
    pool = Pool(two_gpus())
    says(pool, health)
    assert devices_of(pool, pool.attached("gpu").id) == [(1, "gpu1", 1000)]
    pool.ask("attach", type="gpu")
    refused = pool.failure()
    assert refused.reason == "NO_DEVICE"
    says(pool, "ok")
    assert devices_of(pool, pool.attached("gpu").id) == [(1, "gpu0", 1000)]


def test_a_device_that_can_enforce_no_share_is_granted_to_nobody() -> None:
    lends_none = replace(device("gpu0", "gpu", 1000), unenforced="too little memory")
    pool = Pool(FakeHost("h1", [device(), lends_none, device("gpu1", "gpu", 1000)]))
    assert devices_of(pool, pool.attached("gpu").id) == [(1, "gpu1", 1000)]


def test_an_instance_on_a_bad_device_gets_another_one_under_the_same_epoch() -> None:
    pool = Pool(two_gpus())
    name = pool.attached("gpu.1-2").id
    says(pool, "suspect")
    assert not pool.shell.said_of(Send)
    says(pool, "bad")
    (send,) = pool.shell.said_of(Send)
    assert isinstance(send.command, Grant)
    assert [(s.n, s.device) for s in send.command.shares] == [(1, "gpu0"), (2, "gpu1")]
    pool.shell.feed(pool.hosts["h1"].obey(send.command))
    assert [send.command for send in pool.shell.said_of(Send)] == [
        Revoke(name, 1, SETTINGS.drain_grace_ms, (1,))
    ]
    assert not pool.shell.said_of(Reply)
    pool.shell.feed(pool.hosts["h1"].obey(Revoke(name, 1, 0, (1,))))
    assert devices_of(pool, name) == [(2, "gpu1", 500)]
    lease = lease_of(pool, name)
    assert (lease.epoch, lease.stuck) == (1, None)
    assert lease.why.startswith(f"gpu0 is bad ({WHY}): gradient for gpu.1-2")


def test_only_what_is_on_the_bad_device_is_replaced() -> None:
    three = [device(f"gpu{n}", "gpu", 1000) for n in range(3)]
    pool = Pool(FakeHost("h1", [device(), *three]))
    name = pool.attached("gpu.2").id
    says(pool, "bad")
    pool.deliver()
    assert devices_of(pool, name) == [(2, "gpu1", 1000), (3, "gpu2", 1000)]
    assert pool.shell.state.instances[name].type == "gpu.2"


def test_one_that_finds_nothing_on_its_host_goes_to_another() -> None:
    pool = Pool(FakeHost("h1", [device("gpu0", "gpu", 1000)]), two_gpus("h2"))
    name = pool.attached("gpu").id
    says(pool, "bad")
    pool.deliver()
    lease = lease_of(pool, name)
    assert (lease.host, lease.epoch, lease.phase) == ("h2", 2, LeasePhase.OPEN)


def test_one_that_finds_nothing_at_all_moves_once_something_is_free() -> None:
    pool = Pool(two_gpus())
    name, other = pool.attached("gpu").id, pool.attached("gpu").id
    says(pool, "bad")
    assert not pool.shell.said_of(Send)
    stuck = lease_of(pool, name).stuck
    assert stuck is not None
    assert stuck.why.startswith("NO_DEVICE")
    said = [publish.view for publish in pool.shell.said_of(Publish)]
    view = next(each for each in said if each.id == name)
    why = f"gpu0 failed ({WHY}), and no other device is free"
    assert (view.reason, view.detail) == ("DEVICE_LOST", why)
    pool.ask("detach", other)
    pool.deliver()
    assert devices_of(pool, name) == [(2, "gpu1", 1000)]
    assert lease_of(pool, name).stuck is None


def test_one_that_finds_nothing_can_be_resized_to_another_type() -> None:
    pool = Pool(FakeHost("h1", [device(), device("gpu0", "gpu", 1000)]))
    name = pool.attached("gpu").id
    says(pool, "bad")
    pool.shell.said.clear()
    pool.ask("resize", name, type="cpu.1")
    pool.deliver()
    assert devices_of(pool, name) == [(2, "cpu0", 1000)]
    assert pool.shell.state.instances[name].type == "cpu.1"


def test_a_device_that_comes_back_is_no_reason_to_move() -> None:
    pool = Pool(two_gpus())
    name, other = pool.attached("gpu").id, pool.attached("gpu").id
    says(pool, "bad")
    says(pool, "ok")
    assert lease_of(pool, name).stuck is None
    pool.ask("detach", other)
    pool.deliver()
    assert devices_of(pool, name) == [(1, "gpu0", 1000)]


def test_an_auto_instance_takes_any_kind() -> None:
    pool = Pool(FakeHost("h1", [device("gpu0", "gpu", 1000), device(milli=1000)]))
    other = pool.attached("cpu").id
    name = pool.attached("auto").id
    [(_, where, _)] = devices_of(pool, name)
    assert where == "gpu0"
    pool.ask("detach", other)
    pool.deliver()
    says(pool, "bad")
    pool.deliver()
    assert [each[:2] for each in devices_of(pool, name)] == [(2, "cpu0")]


def test_a_share_that_fails_is_tried_again_after_a_while_and_not_at_once() -> None:
    pool = Pool(two_gpus())
    host = pool.hosts["h1"]
    name = pool.attached("gpu.1-2").id
    host.failure = Failure("MODEL_MEMORY", "too large")
    says(pool, "bad")
    for _ in range(3):
        pool.deliver()
    assert devices_of(pool, name) == [(1, "gpu0", 500)]
    stuck = lease_of(pool, name).stuck
    assert stuck is not None
    assert stuck.why == "MODEL_MEMORY: too large"
    host.failure = None
    ticks(pool)
    pool.deliver()
    assert [each[1] for each in devices_of(pool, name)] == ["gpu0"]
    ticks(pool, SETTINGS.move_retry_s)
    pool.deliver()
    assert [each[1] for each in devices_of(pool, name)] == ["gpu1"]


def test_a_host_that_never_gets_it_done_is_given_up() -> None:
    pool = Pool(two_gpus())
    name = pool.attached("gpu.1-2").id
    says(pool, "bad")
    ticks(pool, LONGEST_S)
    assert not lease_of(pool, name).coming
    stuck = lease_of(pool, name).stuck
    assert stuck is not None
    assert stuck.why.startswith("HOST_UNREACHABLE")


def test_its_owner_may_stop_it_meanwhile() -> None:
    pool = Pool(two_gpus())
    name = pool.attached("gpu.1-2").id
    says(pool, "bad")
    pool.ask("stop", name)
    pool.deliver()
    view = pool.view()
    assert view.state == "BOUND"
    assert not pool.shell.state.used_milli("h1")


def test_its_owner_may_not_resize_it_meanwhile() -> None:
    pool = Pool(two_gpus())
    name = pool.attached("gpu.1-2").id
    says(pool, "bad")
    pool.ask("resize", name, type="cpu")
    assert pool.failure().reason == "BUSY"
    pool.deliver()
    pool.ask("resize", name, type="cpu")
    pool.deliver()
    assert pool.view().type == "cpu"


def test_what_a_host_says_when_it_joins_counts() -> None:
    pool = Pool(host := two_gpus())
    name = pool.attached("gpu").id
    bad = replace(device("gpu0", "gpu", 1000), health="bad", why=WHY)
    host.devices = (host.devices[0], bad, host.devices[2])
    pool.shell.feed(HostLost("h1"))
    pool.shell.feed(host.join())
    pool.deliver()
    assert devices_of(pool, name) == [(2, "gpu1", 1000)]


def test_health_survives_the_manager() -> None:
    pool = Pool(two_gpus())
    says(pool, "bad")
    pool.shell.feed(ManagerStarted("boot-2"))
    found = pool.shell.state.hosts["h1"].device("gpu0")
    assert found is not None
    assert (found.health, found.why) == ("bad", WHY)


def test_an_operators_check_is_asked_of_the_host_and_grants_again_when_it_passes() -> None:
    pool = Pool(two_gpus())
    says(pool, "bad")
    asks(pool)
    found = pool.shell.state.hosts["h1"].device("gpu0")
    assert found is not None
    assert found.health == "checking"
    (send,) = pool.shell.said_of(Send)
    assert send.command == CheckDevice("gpu0")
    assert len(pool.shell.said_of(Reply)) == 1
    pool.shell.feed(pool.hosts["h1"].obey(send.command))
    assert devices_of(pool, pool.attached("gpu").id) == [(1, "gpu0", 1000)]


def test_an_operators_check_that_fails_changes_nothing() -> None:
    pool = Pool(two_gpus())
    pool.hosts["h1"].health = ("bad", WHY)
    says(pool, "bad")
    asks(pool)
    pool.deliver()
    found = pool.shell.state.hosts["h1"].device("gpu0")
    assert found is not None
    assert (found.health, found.why) == ("bad", WHY)


@pytest.mark.parametrize(
    ("name", "reason"), [("gpu9", "NOT_FOUND"), ("cpu0", "ARGUMENT"), ("gpu0", "HOST_UNREACHABLE")]
)
def test_what_can_not_be_checked_is_refused(name: str, reason: str) -> None:
    pool = Pool(two_gpus())
    if reason == "HOST_UNREACHABLE":
        pool.shell.feed(HostLost("h1"))
    asks(pool, name)
    assert pool.failure().reason == reason


def test_news_of_a_device_that_nobody_knows_changes_nothing() -> None:
    pool = Pool(two_gpus())
    before = pool.shell.state.hosts
    says(pool, "bad", "gpu9")
    assert pool.shell.state.hosts == before
