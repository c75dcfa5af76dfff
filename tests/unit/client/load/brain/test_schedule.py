"""What is said of how a load was made."""

from __future__ import annotations

from eais_client.load.brain.plan import Closed, Driver, Driving, Open, Phase, Spacing, Stretch
from eais_client.load.brain.schedule import lateness_bound_us, schedule_verdict
from eais_client.load.record import PhaseRecord, Tally, Usage, new_histogram


def record(
    lags_us: dict[int, int],
    *,
    service_us: int = 1000,
    due: int | None = None,
    cores: float = 0.3,
    driving: Driving | None = None,
) -> PhaseRecord:
    """Of requests that were sent late by so much: microseconds -> how many."""
    load = Open(Spacing.CONSTANT, (Stretch(10.0, 100.0, 100.0),))
    made = PhaseRecord("t", Phase("100/s", load, 10.0), 0.0, 10.0)
    made.driving = driving or Driving()
    sent = sum(lags_us.values())
    tally = Tally(due=sent if due is None else due, sent=sent, answered=sent)
    for lag, count in lags_us.items():
        made.lag.record_value(lag, count)
        made.blocked.record_value(1, count)
        tally.service.record_value(service_us, count)
    made.models["m"] = tally
    made.usage = [Usage(-1, 9.0, 100.0), Usage(0, cores, 100.0)]
    return made


def test_a_schedule_is_kept_if_99_in_100_are_sent_within_a_millisecond() -> None:
    verdict = schedule_verdict(record({200: 990, 50_000: 10}))
    assert verdict.kept
    assert verdict.said == "99 % of 1000 requests were sent within 0.2 ms of their time"


def test_it_is_not_if_more_are_late_and_figures_say_how_many() -> None:
    verdict = schedule_verdict(record({200: 969, 5_000: 31}))
    assert not verdict.kept
    assert verdict.said.startswith("3.1 % of 1000 requests were sent more than 1 ms late, 1 %")
    assert ", 1 % more than 5 ms, which their latency counts: " in verdict.said


def test_where_answers_take_long_a_late_request_matters_less() -> None:
    slow = record({200: 969, 5_000: 31}, service_us=100_000)
    assert lateness_bound_us(slow) > 9_900
    assert schedule_verdict(slow).kept


def test_who_could_do_no_more_is_told_of_another_process() -> None:
    said = schedule_verdict(record({5_000: 100}, cores=0.97)).said
    assert "used 0.97 cores and could do no more" in said
    assert "--processes 2 or --driver tasks" in said


def test_of_tasks_another_process_alone_is_advised() -> None:
    driving = Driving(driver=Driver.TASKS, processes=2)
    said = schedule_verdict(record({5_000: 100}, cores=1.9, driving=driving)).said
    assert said.endswith("try --processes 3")


def test_who_was_kept_from_the_cpu_is_told_so() -> None:
    said = schedule_verdict(record({5_000: 100}, cores=0.2)).said
    assert "used 0.20 cores, so something else held the CPU" in said


def test_waiting_for_answers_is_not_the_schedules_fault_and_is_said() -> None:
    made = record({100: 1000})
    made.blocked = new_histogram()
    made.blocked.record_value(1, 900)
    made.blocked.record_value(800_000, 100)
    verdict = schedule_verdict(made)
    assert verdict.kept
    assert "10.0 % waited, up to 800 ms, for one of 256 under way" in verdict.said


def test_what_was_never_sent_is_said() -> None:
    assert "; 24 of 1024 that were due were never sent" in (
        schedule_verdict(record({100: 1000}, due=1024)).said
    )


def test_who_ended_it_knows_that_the_rest_was_not_sent() -> None:
    made = record({100: 1000}, due=1024)
    made.interrupted = True
    assert "never sent" not in schedule_verdict(made).said


def test_a_process_that_died_kept_no_schedule() -> None:
    made = record({100: 1000})
    made.faults.append("process 1 of those that make load was ended by signal 9")
    verdict = schedule_verdict(made)
    assert not verdict.kept
    assert "signal 9" in verdict.said


def test_without_requests_there_is_nothing_to_be_late() -> None:
    assert schedule_verdict(record({})).said == "nothing was due"
    assert schedule_verdict(record({}, due=5)).said.startswith("none of 5 that were due was sent")


def test_a_closed_loop_has_no_schedule() -> None:
    made = record({100: 1000})
    made.phase = Phase("4 callers", Closed(4), 10.0)
    assert schedule_verdict(made).kept
