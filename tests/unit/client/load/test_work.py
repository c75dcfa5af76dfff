"""When the callers of an open loop send, and what a new plan changes."""

from __future__ import annotations

import random
import threading

import numpy as np

from eais_client.load.generator.work import CHECKED_FIRST, GRACE_S, Work


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def work(clock: Clock, *due: float, end: float = 10.0, live: bool = False) -> Work:
    return Work(
        models=(),
        models_of=np.zeros(1, np.int64),
        due=np.array(due),
        callers=1,
        begin=0.0,
        end=end,
        timeout_s=1.0,
        check_share=0.0,
        seed=1,
        live=live,
        now=clock,
    )


def test_what_is_due_is_told_at_once() -> None:
    clock = Clock()
    made = work(clock, 1.0, 2.0)
    clock.now = 3.0
    assert [made.wait_for(number) for number in range(3)] == [1.0, 2.0, None]


def test_after_the_grace_nothing_is_sent() -> None:
    clock = Clock()
    made = work(clock, 1.0)
    clock.now = 10.0 + GRACE_S
    assert made.wait_for(0) is None


def test_a_new_plan_keeps_what_was_due_before_it() -> None:
    clock = Clock()
    made = work(clock, 1.0, 2.0, 3.0)
    made.replan(1.5, np.array([1.6, 1.7]), 5.0)
    clock.now = 4.0
    assert [made.wait_for(number) for number in range(4)] == [1.0, 1.6, 1.7, None]
    assert made.end == 5.0


def test_who_sleeps_for_a_moment_hears_of_the_new_plan() -> None:
    clock = Clock()
    made = work(clock, 9.0, live=True)
    told: list[float | None] = []
    sleeper = threading.Thread(target=lambda: told.append(made.wait_for(0)))
    sleeper.start()
    clock.now = 2.0
    made.replan(1.0, np.array([1.5]), 10.0)
    sleeper.join(5)
    assert told == [1.5]


def test_who_found_nothing_due_waits_for_a_new_plan_in_a_live_phase() -> None:
    clock = Clock()
    made = work(clock, live=True)
    told: list[float | None] = []
    sleeper = threading.Thread(target=lambda: told.append(made.wait_for(0)))
    sleeper.start()
    clock.now = 2.0
    made.replan(1.0, np.array([1.5]), 10.0)
    sleeper.join(5)
    assert told == [1.5]


def test_who_sleeps_is_woken_by_the_end() -> None:
    made = work(Clock(), 9.0)
    told: list[float | None] = []
    sleeper = threading.Thread(target=lambda: told.append(made.wait_for(0)))
    sleeper.start()
    made.stop()
    sleeper.join(5)
    assert told == [None]


def test_the_first_measured_answers_are_checked_and_then_a_share_of_all() -> None:
    made = work(Clock())
    made.check_share, made.measured_from = 0.1, 5.0
    chance = random.Random(3)
    assert not any(made.checks(1.0, random.Random(1)) for _ in range(3))
    assert all(made.checks(5.0, chance) for _ in range(CHECKED_FIRST))
    later = sum(made.checks(6.0, chance) for _ in range(1000))
    assert 60 < later < 140
    made.check_share = 0.0
    assert not made.checks(6.0, chance)
