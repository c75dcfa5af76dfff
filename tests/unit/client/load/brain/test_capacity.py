from __future__ import annotations

from dataclasses import replace

import pytest

from eais.errors import UsageError
from eais_client.load.brain import md1
from eais_client.load.brain.capacity import Bound, Capacity, Search
from eais_client.load.brain.plan import Open, Phase, Spacing, Stretch
from eais_client.load.brain.trials import Goal, Trial, TrialResult, phase_of, result_of
from eais_client.load.record import Interval, PhaseRecord
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


def test_the_document_has_its_trials() -> None:
    goal = Goal(slo_s=0.01, low_per_s=50, high_per_s=200)
    data = searched(goal, Machine(constant(0.001), 0.01, 1)).data(goal)
    assert {"per_s": 200, "bound": "highest", "slo_ms": 10, "share": 0.99}.items() <= data.items()
    assert data["trials"][0].keys() == {"rate_per_s", "due", "late", "seconds", "kept"}


def test_a_phase_makes_a_trial_and_its_record_says_what_was_late() -> None:
    trial = Trial(rate_per_s=100.0, seconds=5.0, warm_s=1.0)
    phase = phase_of(trial)
    assert phase == Phase("100/s", Open(Spacing.POISSON, (Stretch(6.0, 100.0, 100.0),)), 5.0, 1.0)
    record = PhaseRecord("ei-7f3a", phase, 0.0, seconds=2.0)
    for second, latencies in {-1: [90_000], 0: [1_000, 2_000, 90_000], 1: [3_000]}.items():
        interval = record.intervals.setdefault(second, Interval(due=len(latencies) + second))
        for latency in latencies:
            interval.latency.record_value(latency)
    result = result_of(trial, record, 0.01, kept=True)
    assert result == TrialResult(100.0, 3.0, ((3, 1), (2, 1)), True)
    assert (result.due, result.late) == (5, 2)


@pytest.mark.slow
def test_within_5_percent_19_times_of_20_and_in_its_interval_as_often() -> None:
    true = md1.capacity(0.001, 0.01, 0.99)
    goal = Goal(slo_s=0.01, first_per_s=500.0)
    found = [searched(goal, Machine(constant(0.001), 0.01, seed)) for seed in range(200)]
    near = sum(abs(each.per_s / true - 1) <= 0.05 for each in found)
    held = sum(each.low <= true <= (each.high or 0.0) for each in found)
    assert near / len(found) >= 0.95
    assert held / len(found) >= 0.92


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
        late = due // 10 if trial.rate_per_s > 500 else 0
        blocks = ((due, late),) * int(trial.seconds)
        return TrialResult(trial.rate_per_s, seconds, blocks, kept=trial.rate_per_s <= 500)

    search = Search(Goal(slo_s=0.01))
    while trial := search.next():
        search.told(at_most_500(trial))
    found = search.found()
    assert found.bound is Bound.GENERATOR
    assert 500 / 1.15 <= found.per_s <= 500
    assert found.said.endswith("beyond that the generator, and not the target, is the limit")


def test_what_is_good_though_it_was_sent_late_is_carried() -> None:
    def always_late(trial: Trial) -> TrialResult:
        machine = Machine(constant(0.001), 0.01, 1)
        return replace(machine(trial), kept=False)

    search = Search(Goal(slo_s=0.01, low_per_s=50, high_per_s=200))
    while trial := search.next():
        search.told(always_late(trial))
    assert (search.found().bound, search.found().per_s) == (Bound.HIGHEST, 200)


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
