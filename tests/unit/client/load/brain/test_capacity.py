from __future__ import annotations

import pytest

from eais.errors import UsageError
from eais_client.load.brain import md1
from eais_client.load.brain.capacity import Bound, Capacity, Search
from eais_client.load.brain.trials import Goal, Trial, TrialResult
from tests.unit.client.load.brain.queues import Machine, constant


def searched(goal: Goal, machine: Machine) -> Capacity:
    search = Search(goal)
    while trial := search.next():
        search.told(machine(trial))
    return search.found()


def test_a_known_queues_capacity_is_found() -> None:
    found = searched(Goal(slo_s=0.01, first_per_s=300.0), Machine(constant(0.001), 0.01, 1))
    true = md1.capacity(0.001, 0.01, 0.99)
    assert found.bound is Bound.SLO
    assert found.per_s == pytest.approx(true, rel=0.05)
    assert found.high is not None
    assert found.low < found.per_s < found.high
    assert found.said.startswith(f"{found.per_s:.4g}/s with 99 % answered within 10 ms")


def test_a_rate_that_nobody_asked_for_isnt_tried() -> None:
    machine = Machine(constant(0.001), 0.01, 1)
    found = searched(Goal(slo_s=0.01, low_per_s=50, high_per_s=200), machine)
    assert {50 <= each.rate_per_s <= 200 for each in found.trials} == {True}
    assert (found.bound, found.per_s, found.high) == (Bound.HIGHEST, 200, None)
    assert found.said == (
        "at least 200/s, the highest rate asked for: 99 % are answered within 10 ms"
    )


def test_a_target_that_is_too_slow_for_any_rate_carries_nothing() -> None:
    found = searched(Goal(slo_s=0.01, first_per_s=8.0), Machine(constant(0.02), 0.01, 1))
    assert (found.bound, found.per_s) == (Bound.LOWEST, 0)
    assert found.said == "even at 1/s fewer than 99 % are answered within 10 ms"


def test_where_the_generator_is_the_limit_it_says_so() -> None:
    def at_most_500(trial: Trial) -> TrialResult:
        due = int(trial.rate_per_s)
        seconds = trial.warm_s + trial.seconds
        blocks = ((due, 0),) * int(trial.seconds)
        return TrialResult(trial.rate_per_s, seconds, blocks, kept=trial.rate_per_s <= 500)

    search = Search(Goal(slo_s=0.01))
    while trial := search.next():
        search.told(at_most_500(trial))
    found = search.found()
    assert found.bound is Bound.GENERATOR
    assert 500 / 1.15 <= found.per_s <= 500
    assert found.said.endswith("beyond that the generator, and not the target, is the limit")


def test_when_time_is_up_there_is_what_is_known() -> None:
    found = searched(Goal(slo_s=0.01, budget_s=30), Machine(constant(0.001), 0.01, 1))
    assert found.bound is Bound.TIME
    assert found.seconds <= 30
    assert found.said == f"30 s were too short; at least {found.per_s:.4g}/s so far"


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ({"slo_s": 0.0}, "an SLO of 0 s"),
        ({"slo_s": 0.1, "share": 1.0}, "a share of 1 within"),
        ({"slo_s": 0.1, "low_per_s": 5.0, "high_per_s": 2.0}, "rates from 5/s to 2/s"),
    ],
)
def test_what_cant_be_sought_is_told(goal: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Goal(**goal)
