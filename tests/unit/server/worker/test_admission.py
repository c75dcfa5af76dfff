"""Who is refused for want of time, until when, and from what measured times."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest

from eais_server.worker.admission import MOST_PUSH_BACK_S, Admission, Promises, Prospect, busy
from eais_server.worker.service_time import MAX_KINDS, ServiceTimes


def call(wait_s: float, left_s: float = inf, **more: bool) -> Prospect:
    known = {"first": False, "idle": False} | more
    return Prospect(wait_s, cost_s=0.01, left_s=left_s, **known)


@pytest.mark.parametrize(
    ("prospect", "taken"),
    [
        (call(0.0), True),
        (call(0.08), True),
        (call(0.1), False),
        (call(0.11, first=True), True),
        (call(5.0, first=True), True),
        (call(0.05, left_s=0.061), True),
        (call(0.05, left_s=0.059), False),
        (call(0.05, left_s=0.059, first=True), False),
        (call(0.0, left_s=0.005), False),
        (call(0.0, left_s=0.005, idle=True), True),
    ],
)
def test_who_would_wait_too_long_or_past_its_deadline_is_not_taken(
    prospect: Prospect, taken: bool
) -> None:
    late_s = Admission(0.1).late_s(prospect)
    assert (late_s <= 0) is taken


def test_push_back_is_how_much_too_long_the_queue_is() -> None:
    over_s = Admission(0.1).late_s(call(0.33))
    assert over_s == pytest.approx(0.25)
    assert Promises().next_s(over_s, 0.01, now_s=50.0) == pytest.approx(0.25)


def test_those_who_are_refused_together_come_back_one_after_the_other() -> None:
    promises = Promises()
    told = [promises.next_s(0.05, 0.005, now_s=50.0) for _ in range(20)]
    assert told[0] == pytest.approx(0.05)
    assert all(later - sooner == pytest.approx(0.005) for sooner, later in pairwise(told))


def test_push_back_has_a_most_and_is_forgotten_with_time() -> None:
    promises = Promises()
    told = [promises.next_s(0.05, 0.1, now_s=50.0) for _ in range(1000)]
    assert max(told) == pytest.approx(MOST_PUSH_BACK_S)
    assert promises.next_s(0.05, 0.1, now_s=60.0) == pytest.approx(0.1)


def test_push_back_is_never_said_as_nothing() -> None:
    assert busy(0.0).metadata == {"push_back_ms": "1"}
    assert busy(0.25).metadata == {"push_back_ms": "250"}


def test_what_is_not_known_is_expected_to_take_no_time() -> None:
    assert ServiceTimes().expected_s("s", 10) == 0.0


def test_a_first_run_that_took_long_is_not_held_against_the_next() -> None:
    times = ServiceTimes()
    times.took("s", 10, 2.0)
    assert times.expected_s("s", 10) == 2.0
    times.took("s", 10, 0.003)
    assert times.expected_s("s", 10) == pytest.approx(0.003)


def test_times_are_by_session_and_size_and_a_new_size_takes_the_newest() -> None:
    times = ServiceTimes()
    for _ in range(3):
        times.took("s", 100, 0.001)
        times.took("s", 1 << 20, 0.1)
        times.took("t", 100, 0.5)
    assert times.expected_s("s", 120) == pytest.approx(0.001)
    assert times.expected_s("s", (1 << 20) + 5) == pytest.approx(0.1)
    assert times.expected_s("s", 1 << 24) == pytest.approx(0.1)
    assert times.expected_s("t", 100) == pytest.approx(0.5)


def test_old_times_give_way() -> None:
    times = ServiceTimes()
    for seconds in [1.0] * 20 + [0.01] * 16:
        times.took("s", 1, seconds)
    assert times.expected_s("s", 1) == pytest.approx(0.01)


def test_what_is_remembered_is_bounded() -> None:
    times = ServiceTimes()
    for number in range(3 * MAX_KINDS):
        times.took(f"s{number}", 1, 0.01)
    assert len(times._kinds) == MAX_KINDS
    assert len(times._newest) <= MAX_KINDS
    assert times.expected_s("s0", 1) == 0.0
