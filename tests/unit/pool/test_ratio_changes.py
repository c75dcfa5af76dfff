"""An instance's ratio, said or decided: which shares it has, how they change, and none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eais.device_type import DeviceKind
from eais.instance import InstanceState
from eais.instance_policy import InstancePolicy
from eais.ratio import RatioPolicy
from eais_pool.brain.actions import Reply, Revoke, Send
from eais_pool.brain.events import (
    HostLost,
    InstanceNeeded,
    ManagerStarted,
    OpRequested,
    RatioChosen,
    Tick,
)
from eais_pool.brain.quotas import Quotas
from eais_pool.brain.ratio_changes import change_of, is_controlled, observed_of
from eais_pool.brain.records import Failure, LeaseRecord, OpVerb
from eais_pool.brain.sleeping import WANTED_S
from eais_pool.policy.ratio.control import Amount, Bounds, Decision, RatioController, Seen
from eais_pool.policy.ratio.offers import Offer
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import SETTINGS, Pool, op_id

AUTO = InstancePolicy(ratio=RatioPolicy.checked("auto"))
GPU = DeviceKind.GPU
CPU = DeviceKind.CPU
LINKED = frozenset({"h1"})


def machine(name: str = "h1") -> FakeHost:
    return FakeHost(name, [device(milli=4000), device("gpu0", "gpu", 1000)])


def attached(pool: Pool, policy: InstancePolicy = AUTO) -> str:
    pool.ask("attach", type="auto", policy=policy)
    pool.deliver()
    view = pool.view()
    pool.published()
    return view.id


def lease_of(pool: Pool, instance: str) -> LeaseRecord:
    found = pool.shell.state.live_lease(instance)
    assert found is not None
    return found


def shares(pool: Pool, instance: str) -> list[tuple[str, int]]:
    return sorted((share.device, share.milli) for share in lease_of(pool, instance).shares)


def wanting(*amount: object, **more: int) -> Decision:
    """A decision that asks for this."""
    controller = RatioController([Offer(GPU, 125, 10.0, 1.0)], bounds=Bounds())
    wanted = Amount(*amount, **more)  # type: ignore[arg-type]
    return replace(controller.see(Seen(0)), requested=wanted, why="because")


def choose(pool: Pool, instance: str, *amount: object, **more: int) -> None:
    pool.shell.feed(RatioChosen(instance, wanting(*amount, **more)))


def asleep(pool: Pool) -> str:
    name = attached(pool)
    choose(pool, name)
    pool.deliver()
    pool.published()
    return name


@pytest.mark.parametrize(
    ("ratio", "has"),
    [
        ("2:0.25", [("cpu0", 1000), ("cpu0", 1000), ("gpu0", 250)]),
        ("1:0", [("cpu0", 1000)]),
        ("0:1", [("gpu0", 1000)]),
    ],
)
def test_a_ratio_that_was_said_is_what_it_gets(ratio: str, has: list[tuple[str, int]]) -> None:
    pool = Pool(machine())
    name = attached(pool, InstancePolicy(ratio=RatioPolicy.checked(ratio)))
    assert shares(pool, name) == has
    assert f"the ratio {ratio} was asked for" in lease_of(pool, name).why
    assert not is_controlled(pool.instance(name))


def test_a_ratio_is_had_of_one_host_or_not_at_all() -> None:
    small = FakeHost("h0", [device(milli=1000), device("gpu0", "gpu", 1000)])
    pool = Pool(small, machine())
    name = attached(pool, InstancePolicy(ratio=RatioPolicy.checked("2:0.5")))
    assert lease_of(pool, name).host == "h1"
    pool.ask("attach", type="auto", policy=InstancePolicy(ratio=RatioPolicy.checked("5:1")))
    assert pool.failure().reason == "NO_DEVICE"
    pool.ask("attach", type="auto", policy=InstancePolicy(ratio=RatioPolicy.checked("2:1")))
    assert pool.failure().reason == "NO_DEVICE"


def test_the_cheapest_kind_of_accelerator_is_tried_first() -> None:
    npu = device("npu0", "npu", 1000)
    pool = Pool(FakeHost("h1", [device(), device("gpu0", "gpu", 1000), npu]))
    policy = InstancePolicy(ratio=RatioPolicy.checked("0:1"))
    assert shares(pool, attached(pool, policy)) == [("npu0", 1000)]
    assert shares(pool, attached(pool, policy)) == [("gpu0", 1000)]


def test_a_ratio_is_within_the_quota() -> None:
    pool = Pool(machine(), settings=replace(SETTINGS, quotas=Quotas({"gpu": 250})))
    pool.ask("attach", type="auto", policy=InstancePolicy(ratio=RatioPolicy.checked("0:0.5")))
    failure = pool.failure()
    assert failure.reason == "QUOTA"
    assert shares(pool, attached(pool, InstancePolicy(ratio=RatioPolicy.checked("0:0.25"))))


def test_a_ratio_is_of_type_auto() -> None:
    pool = Pool(machine())
    pool.ask("attach", type="gpu.1", policy=AUTO)
    assert pool.failure().reason == "RATIO"


def test_kinds_that_were_not_named_are_not_taken() -> None:
    pool = Pool(machine())
    policy = InstancePolicy(ratio=RatioPolicy.checked("auto", kinds=["gpu"]))
    assert {place for place, _ in shares(pool, attached(pool, policy))} == {"gpu0"}


def test_more_comes_beside_what_there_is() -> None:
    pool = Pool(machine())
    name = attached(pool)
    assert shares(pool, name) == [("cpu0", 1000)]
    choose(pool, name, CPU, 3, 1000)
    pool.deliver()
    assert shares(pool, name) == [("cpu0", 1000)] * 3
    assert 1 in {share.n for share in lease_of(pool, name).shares}
    assert lease_of(pool, name).why == "because"
    assert pool.instance(name).type == "auto"
    pool.published()
    pool.end()


def test_another_kind_serves_before_the_old_one_goes() -> None:
    pool = Pool(machine())
    name = attached(pool)
    choose(pool, name, GPU, 2, 125)
    (grant,) = pool.shell.said_of(Send)
    assert len(lease_of(pool, name).shares) == 3
    pool.shell.feed(pool.hosts["h1"].obey(grant.command))
    (revoke,) = pool.shell.said_of(Send)
    assert revoke.command == Revoke(name, 1, SETTINGS.drain_grace_ms, (1,))
    pool.shell.feed(pool.hosts["h1"].obey(revoke.command))
    assert shares(pool, name) == [("gpu0", 125)] * 2
    assert not pool.shell.said_of(Reply)


def test_less_is_taken_back_at_once_and_a_share_of_another_size_is_replaced() -> None:
    pool = Pool(machine())
    name = attached(pool)
    choose(pool, name, GPU, 3, 125, 2)
    pool.deliver()
    assert shares(pool, name) == [("cpu0", 1000)] * 2 + [("gpu0", 125)] * 3
    choose(pool, name, GPU, 1, 125, 1)
    pool.deliver()
    assert shares(pool, name) == [("cpu0", 1000), ("gpu0", 125)]
    assert not change_of(pool.shell.state, lease_of(pool, name), Amount(GPU, 1, 125, 1))
    choose(pool, name, GPU, 1, 500)
    pool.deliver()
    assert shares(pool, name) == [("gpu0", 500)]
    assert observed_of(pool.shell.state, name, GPU, 125) == Amount(GPU, 4, 125)
    assert observed_of(pool.shell.state, name, CPU, 1000) == Amount(GPU, 4, 125)


def test_of_what_there_is_no_room_for_it_gets_what_there_is_and_keeps_what_it_has() -> None:
    pool = Pool(FakeHost("h1", [device(milli=1000), device("gpu0", "gpu", 1000)]))
    other = pool.attached("gpu.3-4")
    name = attached(pool)
    choose(pool, name, GPU, 5, 125)
    pool.deliver()
    assert shares(pool, name) == [("cpu0", 1000)] + [("gpu0", 125)] * 2
    assert pool.instance(other.id).state is InstanceState.IN_USE


def test_what_cannot_be_had_is_noted_with_the_decision() -> None:
    pool = Pool(machine())
    pool.attached("gpu.1")
    name = attached(pool)
    choose(pool, name, GPU, 1, 125)
    assert shares(pool, name) == [("cpu0", 1000)]
    assert pool.shell.state.ratios[name][-1].failed.startswith("NO_DEVICE: ")
    pool.hosts["h1"].failure = Failure("PROCESS_FAILED", "it fell over")
    choose(pool, name, CPU, 2, 1000)
    pool.deliver()
    assert shares(pool, name) == [("cpu0", 1000)]
    assert pool.shell.state.ratios[name][-1].failed == "PROCESS_FAILED: it fell over"
    pool.published()
    pool.end()


def test_a_decision_comes_after_what_else_is_under_way() -> None:
    pool = Pool(machine())
    name = attached(pool)
    choose(pool, name, GPU, 1, 125)
    choose(pool, name, CPU, 4, 1000)
    assert len(pool.shell.state.ratios[name]) == 1
    pool.ask("stop", name)
    pool.deliver()
    assert pool.view().state is InstanceState.BOUND
    choose(pool, name, CPU, 4, 1000)
    assert pool.instance(name).state is InstanceState.BOUND


def test_a_resize_that_its_owner_asks_for_comes_first_and_ends_the_ratio() -> None:
    pool = Pool(machine())
    name = attached(pool)
    choose(pool, name, CPU, 2, 1000)
    pool.ask("resize", name, type="gpu.1-2")
    pool.deliver()
    assert pool.view().type == "gpu.1-2"
    assert shares(pool, name) == [("gpu0", 500)]
    assert not is_controlled(pool.instance(name))


def test_scaled_to_zero_it_holds_nothing_and_is_shown_in_use() -> None:
    pool = Pool(machine())
    name = asleep(pool)
    assert pool.instance(name).state is InstanceState.BOUND
    assert pool.shell.state.used_milli("h1") == {}
    pool.ask("create", type="cpu")  # any answer shows how others see it
    pool.view()
    pool.shell.feed(InstanceNeeded(name))
    assert pool.published()[-1] == (name, "IN_USE")


def test_a_call_wakes_it_under_a_new_epoch() -> None:
    pool = Pool(machine())
    name = asleep(pool)
    pool.shell.feed(InstanceNeeded(name))
    pool.shell.feed(InstanceNeeded(name))
    pool.deliver()
    record = pool.instance(name)
    assert (record.state, record.epoch, record.asleep) == (InstanceState.IN_USE, 2, False)
    pool.shell.said_of(Reply)
    pool.shell.feed(Tick(LINKED))
    assert all(not op.startswith("wake") for _, op in pool.shell.state.ops)
    pool.published()
    pool.end()


def test_it_is_woken_once_its_old_lease_is_gone() -> None:
    pool = Pool(machine())
    name = attached(pool)
    choose(pool, name)
    pool.shell.feed(InstanceNeeded(name))
    assert pool.instance(name).state is InstanceState.BOUND
    pool.deliver()
    assert pool.instance(name).state is InstanceState.IN_USE


def test_a_wake_that_fails_is_tried_again_by_the_next_call_alone() -> None:
    pool = Pool(machine())
    name = asleep(pool)
    pool.hosts["h1"].failure = Failure("PROCESS_FAILED", "it fell over")
    pool.shell.feed(InstanceNeeded(name))
    pool.deliver()
    record = pool.instance(name)
    assert (record.state, record.asleep, record.wanted_at) == (InstanceState.BOUND, True, 0.0)
    pool.hosts["h1"].failure = None
    pool.shell.feed(Tick(LINKED))
    pool.deliver()
    assert pool.instance(name).asleep
    pool.shell.feed(InstanceNeeded(name))
    pool.deliver()
    assert pool.instance(name).state is InstanceState.IN_USE


def test_who_finds_no_room_waits_and_is_forgotten_when_it_called_too_long_ago() -> None:
    pool = Pool(machine())
    name = asleep(pool)
    others = [pool.attached("cpu.4").id, pool.attached("gpu.1").id]
    pool.shell.feed(InstanceNeeded(name))
    assert pool.instance(name).asleep
    pool.ask("detach", others[0])
    pool.deliver()
    assert pool.instance(name).state is InstanceState.IN_USE
    choose(pool, name)
    pool.deliver()
    pool.shell.said_of(Reply)
    pool.attached("cpu.4")
    pool.shell.feed(InstanceNeeded(name))
    pool.shell.now += WANTED_S
    pool.shell.feed(Tick(LINKED))
    assert pool.instance(name).wanted_at == 0.0
    assert not pool.shell.state.line


@pytest.mark.parametrize("waking", [False, True])
@pytest.mark.parametrize("verb", ["stop", "detach"])
def test_its_owner_stops_and_detaches_it(verb: str, waking: bool) -> None:
    pool = Pool(machine())
    name = asleep(pool)
    if waking:
        pool.shell.feed(InstanceNeeded(name))
    pool.ask(verb, name)
    pool.deliver()
    replies = pool.shell.said_of(Reply)
    shown = replies[-1].answer.view
    assert shown is not None
    assert shown.state.value == {"stop": "BOUND", "detach": "DELETED"}[verb]
    pool.shell.feed(InstanceNeeded(name))
    pool.shell.feed(Tick(LINKED))
    assert not pool.instance(name).asleep
    assert pool.shell.state.used_milli("h1") == {}
    if verb == "stop":
        pool.ask("start", name)
        pool.deliver()
        assert pool.view().state is InstanceState.IN_USE


def test_its_owner_starts_it() -> None:
    pool = Pool(machine())
    name = asleep(pool)
    pool.ask("start", name)
    pool.deliver()
    assert (pool.view().state, pool.instance(name).asleep) == (InstanceState.IN_USE, False)


def test_it_sleeps_through_a_restart_of_the_manager_and_the_loss_of_its_host() -> None:
    pool = Pool(machine())
    name = asleep(pool)
    pool.shell.feed(HostLost("h1"))
    pool.shell.feed(InstanceNeeded(name))
    pool.shell.feed(ManagerStarted("boot-2"))
    assert pool.instance(name).wanted_at == pool.shell.now
    pool.shell.feed(pool.hosts["h1"].join())
    pool.shell.feed(Tick(LINKED))
    pool.deliver()
    assert pool.instance(name).state is InstanceState.IN_USE


def test_decisions_that_are_kept_are_the_last() -> None:
    pool = Pool(machine())
    name = attached(pool)
    for n in range(70):
        choose(pool, name, CPU, 1 + n % 2, 1000)
        pool.deliver()
    kept = pool.shell.state.ratios[name]
    assert len(kept) == 64
    assert kept[-1].decision.requested == Amount(CPU, 2, 1000)
    pool.ask("detach", name)
    pool.deliver()
    pool.view()
    pool.shell.now += SETTINGS.answer_kept_s + 1
    pool.shell.feed(Tick(LINKED))
    assert not pool.shell.state.ratios


def test_one_of_several_kinds_moves_whole() -> None:
    pool = Pool(machine(), machine("h2"))
    name = attached(pool, InstancePolicy(ratio=RatioPolicy.checked("2:0.25")))
    before = lease_of(pool, name).host
    drain = OpRequested(OpVerb.DRAIN, "", "root", op_id(99), host=before)
    pool.shell.feed(drain)
    pool.deliver()
    after = lease_of(pool, name)
    assert after.host != before
    assert shares(pool, name) == [("cpu0", 1000), ("cpu0", 1000), ("gpu0", 250)]
