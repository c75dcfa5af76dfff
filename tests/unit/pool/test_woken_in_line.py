"""What is woken while nothing is free waits in line for room, with those that attach."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eais.device_type import DeviceKind
from eais.instance import InstanceState
from eais_pool.brain.actions import Reply
from eais_pool.brain.events import InstanceNeeded, ManagerStarted, Tick
from eais_pool.brain.settings import Settings
from eais_pool.brain.sleeping import WANTED_S
from eais_pool.presence import GONE_AFTER_S, Presence
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import SETTINGS, Pool
from tests.unit.pool.test_ratio_changes import LINKED, asleep, choose


def one_device(settings: Settings = SETTINGS) -> Pool:
    return Pool(FakeHost("h1", [device(milli=1000)]), settings=settings)


def full(settings: Settings = SETTINGS) -> tuple[Pool, str, str]:
    """A pool, one of its instances that sleeps, and the one that has all there is."""
    pool = one_device(settings)
    sleeper = asleep(pool)
    pool.shell.said_of(Reply)
    return pool, sleeper, pool.attached("cpu.1").id


def needed(pool: Pool, name: str, after_s: float = 0.0) -> None:
    pool.shell.now += after_s
    pool.shell.feed(InstanceNeeded(name))


def tick(pool: Pool, after_s: float = 0.0) -> None:
    pool.shell.now += after_s
    pool.shell.feed(Tick(LINKED))


def line(pool: Pool) -> list[str]:
    """The instances whose operations wait, the oldest first."""
    return [pool.shell.state.ops[key].instance for key in pool.shell.state.line]


def given_up(pool: Pool, name: str) -> None:
    """Its owner detaches it, and all that follows is done."""
    pool.ask("detach", name)
    pool.deliver()
    pool.shell.said_of(Reply)


def is_up(pool: Pool, name: str) -> bool:
    return pool.instance(name).state is InstanceState.IN_USE


def test_who_called_before_another_attached_is_served_before_it() -> None:
    pool, sleeper, other = full()
    needed(pool, sleeper)
    pool.shell.now += 1.0
    waits = pool.ask("attach", type="cpu.1", wait_s=3600)
    late = pool.shell.state.ops["acme", waits].instance
    assert line(pool) == [sleeper, late]
    given_up(pool, other)
    assert (is_up(pool, sleeper), is_up(pool, late)) == (True, False)
    given_up(pool, sleeper)
    assert is_up(pool, late)


def test_who_attached_before_a_call_came_is_served_before_it() -> None:
    pool, sleeper, other = full()
    waits = pool.ask("attach", type="cpu.1", wait_s=3600)
    first = pool.shell.state.ops["acme", waits].instance
    needed(pool, sleeper, 1.0)
    assert line(pool) == [first, sleeper]
    given_up(pool, other)
    assert (is_up(pool, sleeper), is_up(pool, first)) == (False, True)


def test_calls_that_say_so_again_keep_its_place_and_it_leaves_when_none_does() -> None:
    pool, sleeper, _ = full()
    presence = Presence(lambda: pool.shell.now)
    needed(pool, sleeper)
    for _n in range(5):
        needed(pool, sleeper, WANTED_S - 1)
        assert not presence.gone(pool.shell.state), "nobody asks for its answer"
        tick(pool)
        assert line(pool) == [sleeper]
    assert WANTED_S > GONE_AFTER_S
    tick(pool, WANTED_S)
    assert line(pool) == []
    assert (pool.instance(sleeper).asleep, pool.instance(sleeper).wanted_at) == (True, 0.0)
    assert not any(op.startswith("wake") for _, op in pool.shell.state.ops)
    needed(pool, sleeper)
    assert line(pool) == [sleeper]


@pytest.mark.parametrize("verb", ["stop", "detach"])
def test_its_owner_has_it_leave_the_line(verb: str) -> None:
    pool, sleeper, other = full()
    needed(pool, sleeper)
    asked = pool.ask(verb, sleeper)
    shown = {reply.op_id: reply.answer.view for reply in pool.shell.said_of(Reply)}[asked]
    assert shown is not None
    assert shown.state.value == {"stop": "BOUND", "detach": "DELETED"}[verb]
    assert line(pool) == []
    given_up(pool, other)
    tick(pool)
    assert not is_up(pool, sleeper)


def test_its_owners_start_takes_its_place_and_one_that_is_refused_leaves_it_there() -> None:
    pool, sleeper, other = full()
    needed(pool, sleeper)
    pool.ask("start", sleeper)
    assert pool.failure().reason == "NO_DEVICE"
    assert line(pool) == [sleeper]
    start = pool.ask("start", sleeper, wait_s=30)
    assert list(pool.shell.state.line) == [("acme", start)]
    pool.shell.said_of(Reply)
    given_up(pool, other)
    assert is_up(pool, sleeper)


def test_it_waits_on_after_a_restart_of_the_manager() -> None:
    pool, sleeper, other = full()
    needed(pool, sleeper)
    pool.shell.feed(ManagerStarted("boot-2"))
    pool.shell.feed(pool.hosts["h1"].join())
    assert line(pool) == [sleeper]
    given_up(pool, other)
    assert is_up(pool, sleeper)


def test_while_the_line_is_full_it_waits_outside_and_goes_before_nobody() -> None:
    pool, sleeper, other = full(replace(SETTINGS, line_most=1))
    waits = pool.ask("attach", type="cpu.1", wait_s=3600)
    first = pool.shell.state.ops["acme", waits].instance
    needed(pool, sleeper)
    assert line(pool) == [first]
    given_up(pool, other)
    assert is_up(pool, first)
    tick(pool)
    assert line(pool) == [sleeper]
    given_up(pool, first)
    assert is_up(pool, sleeper)


def test_a_start_that_its_controller_wants_but_no_call_does_not_wait_in_line() -> None:
    pool, sleeper, _ = full()
    choose(pool, sleeper, DeviceKind.CPU, 1, 1000)
    assert line(pool) == []
    assert pool.instance(sleeper).asleep
    assert pool.shell.state.ratios[sleeper][-1].failed.startswith("NO_DEVICE: ")
