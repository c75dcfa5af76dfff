"""Bindings that end by themselves: neither early nor late, and with all that detaching does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eais.binding_limits import BindingLimits
from eais.device_type import DeviceKind
from eais.errors import UsageError
from eais.instance import InstanceState
from eais.instance_policy import InstancePolicy
from eais.ratio import RatioPolicy
from eais_pool.brain.actions import Notice, Publish, Reply
from eais_pool.brain.binding_facts import cost_of
from eais_pool.brain.events import HostLost, ManagerStarted, RatioChosen, Tick, UsageReported
from eais_pool.brain.ledger_records import UsageRecord
from eais_pool.brain.limits import spent
from eais_pool.brain.ratio_records import RatioRecord
from eais_pool.brain.records import Failure
from eais_pool.policy.prices import Prices
from eais_pool.policy.ratio.control import RatioController, Seen
from eais_pool.policy.ratio.offers import Offer
from eais_pool.snapshot import Snapshot
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import SETTINGS, Pool

PER_S = 3600.0
"""Of a core an hour: 1 a second."""
DEAR = replace(SETTINGS, prices=Prices(dict.fromkeys(DeviceKind, PER_S)))
HOUR = BindingLimits(ttl_s=3600.0)


def pool_of(*devices: object) -> Pool:
    return Pool(FakeHost("h1", devices or [device()]), settings=DEAR)  # type: ignore[arg-type]


def tick(pool: Pool, seconds: float = 1.0, used: dict[str, float] | None = None) -> None:
    pool.shell.now += seconds
    pool.shell.feed(Tick(frozenset(pool.hosts), used=tuple((used or {}).items())))


def attached(pool: Pool, limits: BindingLimits, type: str = "cpu.1") -> str:
    """An instance whose binding has begun at this moment."""
    pool.ask("attach", type=type, limits=limits)
    pool.deliver()
    name = pool.view().id
    tick(pool, 0)
    return name


def notices(pool: Pool) -> list[str]:
    pool.shell.said_of(Publish)
    return [notice.reason for notice in pool.shell.said_of(Notice)]


def ended(pool: Pool, name: str) -> tuple[InstanceState, str]:
    pool.deliver()
    record = pool.instance(name)
    pool.shell.said_of(Publish)
    pool.shell.said_of(Reply)
    return record.state, record.reason


def test_time_ends_a_binding_at_the_tick_after_and_not_before() -> None:
    pool = pool_of()
    name = attached(pool, HOUR)
    tick(pool, 3599.5)
    assert pool.instance(name).state is InstanceState.IN_USE
    assert notices(pool) == ["LIMIT_NEAR"]
    tick(pool, 0.5)
    assert pool.instance(name).state is InstanceState.DRAINING
    assert notices(pool) == ["TTL_OVER"]
    assert ended(pool, name) == (InstanceState.DELETED, "TTL_OVER")
    assert not pool.shell.state.bindings
    pool.end()


def test_a_binding_begins_when_it_is_granted_and_not_while_it_waits_in_line() -> None:
    pool = pool_of(device(milli=1000))
    held = pool.attached("cpu.1")
    pool.ask("attach", type="cpu.1", wait_s=8000, limits=HOUR)
    tick(pool, 4000)
    waiting = next(iter(pool.shell.state.bindings))
    assert not pool.shell.state.bindings[waiting].since
    pool.ask("detach", held.id)
    pool.deliver()
    pool.shell.said_of(Reply)
    assert pool.instance(waiting).state is InstanceState.IN_USE
    tick(pool, 3599)
    assert pool.instance(waiting).state is InstanceState.IN_USE
    tick(pool, 1)
    notices(pool)
    assert ended(pool, waiting) == (InstanceState.DELETED, "TTL_OVER")


def test_a_budget_ends_it_at_what_the_ledger_says() -> None:
    pool = pool_of()
    name = attached(pool, BindingLimits(budget=100.0), "cpu.2")
    tick(pool, 49.5)
    assert pool.instance(name).state is InstanceState.IN_USE
    tick(pool, 1)
    assert notices(pool)[-1] == "BUDGET_SPENT"
    assert ended(pool, name) == (InstanceState.DELETED, "BUDGET_SPENT")
    charged = sum(2 * (end - began) for _, _, began, end in pool.lines())
    assert charged == pytest.approx(101.0)  # at most a tick's more


def test_what_was_spent_goes_on_over_stops_and_other_types_and_hours() -> None:
    pool = pool_of()
    name = attached(pool, BindingLimits(budget=9000.0))
    tick(pool, 4000)  # a line of the ledger ends with the hour
    pool.ask("stop", name)
    pool.deliver()
    tick(pool, 10_000)
    pool.ask("start", name)
    pool.deliver()
    tick(pool, 1000)
    pool.ask("resize", name, type="cpu.2")
    pool.deliver()
    state = pool.shell.state
    now = state.ledger_time(pool.shell.now)
    assert spent(state, state.bindings[name], now) == pytest.approx(5000)
    tick(pool, 1999)
    assert pool.instance(name).state is InstanceState.IN_USE
    tick(pool, 1)
    assert ended(pool, name)[1] == "BUDGET_SPENT"


def test_no_call_for_long_enough_ends_it_and_a_call_does_not() -> None:
    pool = pool_of()
    name = attached(pool, BindingLimits(idle_s=60.0))
    tick(pool, 59)
    began = pool.shell.now
    tick(pool, 1, {name: began})
    assert pool.instance(name).state is InstanceState.IN_USE
    tick(pool, 58, {name: began})
    assert pool.instance(name).state is InstanceState.IN_USE
    tick(pool, 1, {name: began})
    assert notices(pool) == ["IDLE_DETACHED"]
    assert ended(pool, name) == (InstanceState.DELETED, "IDLE_DETACHED")


def test_while_nobody_can_know_whether_it_is_called_it_stays() -> None:
    pool = pool_of()
    name = attached(pool, BindingLimits(idle_s=60.0))
    pool.shell.feed(HostLost("h1"))
    pool.shell.now += 61
    pool.shell.feed(Tick(frozenset()))
    assert pool.instance(name).state is InstanceState.IN_USE
    pool.shell.now += 30
    pool.shell.feed(pool.hosts["h1"].join())
    tick(pool, 29)
    assert pool.instance(name).state is InstanceState.IN_USE
    tick(pool, 1)
    assert pool.instance(name).state is InstanceState.DRAINING


def test_a_manager_that_was_away_ends_what_is_due_but_for_idleness() -> None:
    pool = pool_of()
    timed, idle = attached(pool, HOUR), attached(pool, BindingLimits(idle_s=60.0))
    pool.shell.now += 4000
    pool.shell.feed(ManagerStarted("boot-1", pool.shell.now))
    pool.shell.feed(pool.hosts["h1"].join())
    tick(pool, 1)
    assert pool.instance(timed).state is InstanceState.DRAINING
    assert pool.instance(idle).state is InstanceState.IN_USE
    tick(pool, 59)
    assert pool.instance(idle).state is InstanceState.DRAINING


def test_a_reboot_sets_no_time_back() -> None:
    pool = Pool(FakeHost("h1", [device()]), settings=DEAR)
    pool.shell.now = 1000.0
    pool.shell.feed(ManagerStarted("boot-2", 1e9))
    pool.shell.feed(pool.hosts["h1"].join())
    name = attached(pool, HOUR)
    tick(pool, 1800)
    pool.shell.now = 20.0
    pool.shell.feed(ManagerStarted("boot-3", 1e9 + 1800 + 600))
    pool.shell.feed(pool.hosts["h1"].join())
    tick(pool, 1)
    assert pool.instance(name).state is InstanceState.IN_USE
    tick(pool, 1200)
    assert pool.instance(name).state is InstanceState.DRAINING


def test_one_that_is_asleep_or_stopped_ends_too() -> None:
    pool = pool_of()
    policy = InstancePolicy(slo_p99_us=200_000, ratio=RatioPolicy.checked("auto"))
    pool.ask("attach", type="auto", policy=policy, limits=HOUR)
    pool.deliver()
    asleep, stopped = pool.view().id, attached(pool, HOUR)
    none = RatioController([Offer(DeviceKind.CPU, 1000, 10.0, 1.0)]).see(Seen(0))
    pool.shell.feed(RatioChosen(asleep, RatioRecord(0.0, none).decision))
    pool.ask("stop", stopped)
    pool.deliver()
    assert pool.instance(asleep).asleep
    tick(pool, 3600)
    for name in (asleep, stopped):
        assert ended(pool, name) == (InstanceState.DELETED, "TTL_OVER")


def test_an_instance_that_was_created_is_bindable_again_and_can_be_attached_anew() -> None:
    pool = pool_of()
    pool.ask("create", type="cpu.1")
    name = pool.view().id
    pool.ask("attach", name, limits=BindingLimits(ttl_s=60.0))
    pool.deliver()
    tick(pool, 0)
    tick(pool, 60)
    pool.shell.said_of(Reply)
    assert ended(pool, name) == (InstanceState.BINDABLE, "TTL_OVER")
    pool.ask("attach", name)
    pool.deliver()
    tick(pool, 9999)
    assert pool.instance(name).state is InstanceState.IN_USE
    assert not pool.instance(name).reason


def test_limits_that_are_said_again_take_the_place_of_the_first() -> None:
    pool = pool_of()
    name = attached(pool, BindingLimits(ttl_s=60.0))
    tick(pool, 40)
    pool.shell.said_of(Reply)
    pool.ask("attach", name, limits=BindingLimits(ttl_s=100.0))
    tick(pool, 59)
    assert pool.instance(name).state is InstanceState.IN_USE
    tick(pool, 1)
    assert pool.instance(name).state is InstanceState.DRAINING


def test_a_resize_that_is_under_way_ends_first_and_with_the_reason() -> None:
    pool = pool_of()
    name = attached(pool, BindingLimits(ttl_s=60.0))
    resize = pool.ask("resize", name, type="cpu.2")
    tick(pool, 60)
    replies = {reply.op_id: reply.answer for reply in pool.shell.said_of(Reply)}
    assert replies[resize].failure == Failure(
        "TTL_OVER",
        "its time is over: it was attached for 1 min",
        "attach again, with a longer --ttl or none",
    )
    tick(pool)
    pool.deliver()
    tick(pool)
    assert ended(pool, name) == (InstanceState.DELETED, "TTL_OVER")


def test_what_its_owner_ends_needs_no_limit() -> None:
    pool = pool_of()
    name = attached(pool, HOUR)
    pool.ask("detach", name)
    assert ended(pool, name) == (InstanceState.DELETED, "")
    assert not pool.shell.state.bindings


def test_a_snapshot_keeps_limits() -> None:
    pool = pool_of()
    attached(pool, BindingLimits(3600.0, 50.0, 60.0))
    tick(pool, 5)
    state = pool.shell.state
    assert state.bindings
    assert Snapshot.of(state, 7).state() == state


def test_usage_that_is_reported_changes_no_limit_by_itself() -> None:
    pool = pool_of()
    name = attached(pool, BindingLimits(budget=10.0))
    lease = pool.shell.state.live_lease(name)
    assert lease is not None
    pool.shell.feed(UsageReported(*lease.key, UsageRecord(5, 10, 10, 99)))
    assert pool.shell.state.bindings[name].spent == cost_of([])


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ((-1.0, 0.0, 0.0), "ttl is from 1 s"),
        ((0.5, 0.0, 0.0), "ttl is from 1 s"),
        ((float("inf"), 0.0, 0.0), "ttl is from 1 s to 400 days, not inf s"),
        ((0.0, -2.0, 0.0), "budget is above 0"),
        ((0.0, float("nan"), 0.0), "budget is above 0"),
        ((0.0, 0.0, 1.0), "idle_detach is from 5 s"),
    ],
)
def test_what_no_limit_is(said: tuple[float, float, float], right: str) -> None:
    with pytest.raises(UsageError, match=right):
        BindingLimits.checked(*said)
