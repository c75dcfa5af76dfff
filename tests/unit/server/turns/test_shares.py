from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eais_server.turns.brain import Limits
from eais_server.turns.brain import actions as do
from eais_server.turns.brain import events as on
from tests.unit.server.turns.world import MS, Lengths, Process, S, World, always

POINTS = 2.0
eighths = st.integers(1, 7).map(lambda n: 125 * n)


def lengths(seed: int, about_us: int) -> Lengths:
    """Random ones, half of it to one and a half of it."""
    source = random.Random(seed)
    return lambda: source.randint(about_us // 2, about_us + about_us // 2) * 1000


def pair(light: Lengths, heavy: Lengths) -> World:
    world = World()
    world.join(Process(1, 250, light))
    world.join(Process(2, 750, heavy))
    return world


@pytest.mark.parametrize(("light_us", "heavy_us"), [(1000, 1000), (500, 50_000), (50_000, 500)])
def test_a_quarter_and_three_quarters_whatever_a_batch_takes(light_us: int, heavy_us: int) -> None:
    world = pair(lengths(1, light_us), lengths(2, heavy_us))
    world.run(S)
    shares = world.shares(10 * S)
    assert shares[1] == pytest.approx(25, abs=POINTS)
    assert world.said == []


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.tuples(eighths, st.sampled_from([1500, 7000, 70_000])), min_size=2, max_size=4),
    st.integers(0, 99),
)
@example([(125, 1000), (875, 100_000)], 0)
def test_shares_are_as_the_weights(asked: list[tuple[int, int]], seed: int) -> None:
    world = World()
    for number, (weight, about_us) in enumerate(asked):
        world.join(Process(number, weight, lengths(seed + number, about_us)))
    world.run(S)
    shares = world.shares(10 * S)
    total = sum(weight for weight, _ in asked)
    for number, (weight, _) in enumerate(asked):
        assert shares[number] == pytest.approx(100 * weight / total, abs=POINTS)
    assert world.said == []


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["join", "leave", "run"]), st.integers(0, 5), eighths),
        min_size=4,
        max_size=12,
    ),
    st.integers(0, 99),
)
def test_who_comes_and_goes_starves_nobody(doings: list[tuple[str, int, int]], seed: int) -> None:
    world = World()
    for number, (what, who, weight) in enumerate(doings):
        if what == "join" and who not in world.processes:
            world.join(Process(who, weight, lengths(seed + number, 5000)))
        elif what == "leave" and who in world.processes:
            world.leave(world.processes[who])
        used = world.used(S // 2)
        total = sum(p.weight for p in world.processes.values())
        for process in world.processes.values():
            # The first turns after a change are off by a batch or two.
            fair = S // 2 * process.weight / total
            assert used[process.id] >= fair - 0.05 * S
    assert world.said == []


def test_a_third_that_comes_and_goes_moves_the_others_within_a_second() -> None:
    world = pair(lengths(1, 1000), lengths(2, 20_000))
    world.run(5 * S)
    third = world.join(Process(3, 1000, lengths(3, 5000)))
    world.run(S // 4)
    shares = world.shares(S // 2)
    assert shares[1] == pytest.approx(12.5, abs=5)
    assert shares[3] == pytest.approx(50, abs=5)
    world.leave(third)
    world.run(S // 4)
    assert world.shares(S // 2)[1] == pytest.approx(25, abs=5)


def test_who_is_alone_never_asks() -> None:
    world = World()
    alone = world.join(Process(1, 250, always(MS)))
    turns = world.device.turn
    assert world.used(S)[1] >= 0.97 * S
    assert world.device.turn == turns
    assert not alone.waits
    assert world.look_at is None, "somebody looks, though there is nothing to see"


def test_idle_ones_cost_the_busy_one_nothing() -> None:
    world = World()
    busy = world.join(Process(1, 250, always(MS), always(0)))
    world.join(Process(2, 750, always(MS), always(1000 * S))).next = 1000 * S
    assert world.used(10 * S)[1] >= 0.999 * 10 * S
    assert world.device.turn == 1
    assert not busy.waits


def test_what_one_leaves_unused_the_other_has() -> None:
    world = World()
    world.join(Process(1, 750, always(2 * MS), always(30 * MS)))
    world.join(Process(2, 250, always(5 * MS), always(0)))
    used = world.used(10 * S)
    assert sum(used.values()) >= 0.93 * 10 * S
    assert used[2] >= 0.85 * 10 * S


def test_who_asks_for_less_than_its_share_doesnt_wait_for_a_round() -> None:
    world = World()
    light = world.join(Process(1, 750, always(2 * MS), always(8 * MS)))
    world.join(Process(2, 250, always(MS), always(0)))
    world.run(5 * S)
    assert light.longest_wait <= 4 * MS


@pytest.mark.parametrize("idle_s", [1, 10])
def test_nobody_saves_up(idle_s: int) -> None:
    world = pair(always(5 * MS), always(5 * MS))
    world.run(S)
    world.processes[1].pause = always(idle_s * S)
    world.run(MS * 100)
    world.run(idle_s * S)
    world.processes[1].pause = always(20_000)
    while not world.processes[1].left:
        world.run(MS)
    assert world.used(S)[1] <= 0.25 * S + 40 * MS


def test_who_sleeps_in_its_turns_harms_others_within_bounds() -> None:
    # A turn is held and not used, as long as it may be.
    world = pair(always(1), always(5 * MS))
    sleeper = world.processes[1]
    sleeper.batch, sleeper.pause = always(1), always(MS // 2)
    used = world.used(10 * S)
    assert used[2] >= 0.4 * 10 * S


# those that take more than they are given


LIARS = {
    "never asks": lambda: Process(1, 250, always(5 * MS), asks=False),
    "never ends": lambda: Process(1, 250, always(5 * MS), gives_back=False),
    "says that it ended": lambda: Process(
        1, 250, always(5 * MS), gives_back=False, tells_truth=False
    ),
}


@pytest.mark.parametrize("lie", LIARS)
def test_a_liar_gains_nothing_and_ends(lie: str) -> None:
    world = World()
    liar = world.join(LIARS[lie]())
    world.join(Process(2, 750, always(5 * MS)))
    world.run(2 * S)
    shares = world.shares(10 * S)
    assert shares[1] <= 25 + POINTS
    assert do.Stop(1) in world.said
    assert do.Resume(1) in world.said
    world.run(60 * S)
    assert liar.killed
    assert [action for action in world.said if action.sharer == 2] == []


def test_the_order_is_withhold_stop_kill() -> None:
    world = World()
    world.join(Process(1, 250, always(20 * MS), asks=False))
    world.join(Process(2, 750, always(20 * MS)))
    world.run(60 * S)
    kinds = [type(action) for action in world.said]
    assert kinds[:3] == [do.Withhold, do.Stop, do.Resume]
    assert kinds[-1] is do.Kill


def test_a_long_batch_is_paid_for_and_forgiven() -> None:
    world = World()
    slow = world.join(Process(1, 500, always(800 * MS)))
    world.join(Process(2, 500, always(MS)))
    shares = world.shares(20 * S)
    assert shares[1] == pytest.approx(50, abs=POINTS)
    assert world.said == []
    assert not slow.killed


def test_a_batch_above_the_limit_has_its_share_and_is_stopped_meanwhile() -> None:
    world = World()
    slow = world.join(Process(1, 250, always(4 * S)))
    world.join(Process(2, 750, always(5 * MS)))
    world.run(4 * S)
    shares = world.shares(60 * S)
    assert shares[1] == pytest.approx(25, abs=POINTS)
    assert do.Stop(1) in world.said
    assert not slow.killed, "each of its batches came to its end"


@pytest.mark.parametrize("weight", [125, 875])
def test_no_process_is_stopped_for_long_and_none_gains_by_that(weight: int) -> None:
    world = World()
    world.join(Process(1, weight, always(5 * MS), asks=False))
    world.join(Process(2, 1000 - weight, always(5 * MS)))
    world.run(2 * S)
    assert world.shares(10 * S)[1] <= weight / 10 + POINTS
    assert world.longest_stop <= Limits().stop_ns + 2 * Limits().look_ns


def test_who_is_excused_has_its_share_and_lives() -> None:
    world = World()
    world.join(Process(1, 250, always(20 * MS), asks=False))
    world.join(Process(2, 750, always(20 * MS)))
    world.tell(on.Excused(1, True))
    world.run(S)
    assert world.shares(60 * S)[1] == pytest.approx(25, abs=POINTS)
    assert do.Kill(1) not in world.said
    world.tell(on.Excused(1, False))
    world.run(60 * S)
    assert do.Kill(1) in world.said
    world.tell(on.Excused(9, True))


def test_where_nobody_waits_nobody_overruns() -> None:
    world = World()
    world.join(Process(1, 250, always(MS), asks=False))
    world.join(Process(2, 750, always(MS))).next = 1000 * S
    world.run(30 * S)
    assert world.said == []


def test_a_device_that_doesnt_tell_is_charged_by_who_holds_it() -> None:
    world = World(metered=False)
    world.join(Process(1, 250, always(2 * MS)))
    world.join(Process(2, 750, always(7 * MS)))
    world.run(S)
    assert world.shares(10 * S)[1] == pytest.approx(25, abs=POINTS)


def test_to_be_woken_is_nobodys_use_of_a_device_that_doesnt_tell() -> None:
    """The one with the smaller share is woken for fewer batches at a time."""
    world = World(metered=False, wakes_ns=3 * MS // 2)
    world.join(Process(1, 250, always(5 * MS)))
    world.join(Process(2, 750, always(5 * MS)))
    world.run(S)
    assert world.shares(10 * S)[1] == pytest.approx(25, abs=0.5)


def test_who_doesnt_begin_its_turn_pays_for_it_all_the_same() -> None:
    """It holds a device that doesn't tell, and says that it never began."""
    world = World(metered=False)
    silent = world.join(Process(1, 500, always(7 * MS)))
    silent.tells = False
    world.join(Process(2, 500, always(7 * MS)))
    world.run(S)
    # 2 ms of each turn of 20.
    assert world.shares(10 * S)[1] < 56


def test_a_batch_that_never_ends_is_found_without_a_meter() -> None:
    world = World(metered=False)
    endless = world.join(Process(1, 250, always(20 * MS), gives_back=False))
    world.join(Process(2, 750, always(20 * MS)))
    world.run(90 * S)
    assert endless.killed
