"""What is told of the requests that were due within a step."""

from __future__ import annotations

from eais_client.load.brain.plan import Stretch
from eais_client.load.brain.scenario_figures import (
    StepResult,
    cut,
    first_right,
    of_requests,
    within,
)
from eais_client.load.record import Seen


def test_what_failed_ranks_behind_what_was_answered() -> None:
    right = [Seen(n, n / 1000) for n in range(1, 100)]
    made = of_requests([*right, Seen(0.0, 0.0, "NO_WORKER")], slo_s=0.09)
    assert (made.requests, made.lost, made.wrong, made.late) == (100, 1, 0, 9)
    assert (made.p50_ms, made.p99_ms, made.max_ms) == (50.0, 99.0, 99.0)
    made = of_requests([*right[1:], Seen(0, 0, "WRONG"), Seen(0, 0, "UNANSWERED")], None)
    assert (made.lost, made.wrong, made.late, made.p99_ms) == (1, 1, None, None)
    assert made.reasons == {"UNANSWERED": 1}


def test_of_nothing_nothing_is_said() -> None:
    made = of_requests([], 0.1)
    assert (made.requests, made.late, made.p50_ms, made.p99_ms, made.max_ms) == (
        0,
        0,
        None,
        None,
        None,
    )


def test_one_request_is_every_percentile() -> None:
    made = of_requests([Seen(0.0, 0.002)], None)
    assert (made.p50_ms, made.p99_ms) == (2.0, 2.0)


def test_a_request_is_of_the_step_in_which_it_was_due() -> None:
    seen = [Seen(0.5, 9.0), Seen(1.0, 0.1), Seen(1.9, 5.0), Seen(7.0, 0.1)]
    # The second step took no time.
    assert within(seen, [1.0, 2.0, 2.0]) == [seen[1:3], [], seen[3:]]


def test_the_first_answer_after_a_death_is_of_a_request_due_after_it() -> None:
    seen = [Seen(0.9, 0.3), Seen(1.1, 0.0, "NO_WORKER"), Seen(1.2, 0.5), Seen(1.3, 0.3)]
    assert first_right(seen, 1.0) == seen[3]
    assert first_right(seen, 1.3) is None


def test_a_plan_that_was_cut_ends_where_the_rate_was() -> None:
    plan = (Stretch(10.0, 0.0, 20.0), Stretch(10.0, 20.0, 20.0))
    assert cut(plan, 5.0) == (Stretch(5.0, 0.0, 10.0),)
    assert cut(plan, 12.0) == (plan[0], Stretch(2.0, 20.0, 20.0))
    assert cut(plan, 0.0) == ()


def test_a_step_as_data() -> None:
    step = StepResult("kill worker", 1.23456, 0.5, "killed", of_requests([Seen(2, 0.01)], 0.02))
    assert step.data() == {
        "step": "kill worker",
        "began_s": 1.235,
        "seconds": 0.5,
        "said": "killed",
        "failed": False,
        "requests": 1,
        "lost": 0,
        "wrong": 0,
        "late": 0,
        "p50_ms": 10.0,
        "p99_ms": 10.0,
        "max_ms": 10.0,
        "error_reasons": {},
    }
