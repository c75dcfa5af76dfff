"""The processes that make load, against targets of known behaviour."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from eais.errors import UsageError
from eais_client.load.brain.plan import (
    Closed,
    Driver,
    Driving,
    ModelLoad,
    Open,
    Phase,
    Spacing,
    Stretch,
)
from eais_client.load.brain.schedule import schedule_verdict
from eais_client.load.checking import Prepared, write_prepared
from eais_client.load.generator.processes import Generators, LiveCounts
from eais_client.load.record import PhaseRecord, Tally
from eais_client.load.target import ServerTimes, TargetKind, TargetSpec
from eais_client.load.testing.null import Null

DRIVERS = pytest.mark.parametrize("driver", list(Driver))
MODELS = (ModelLoad("a", "", 3), ModelLoad("b", "", 1))
X = np.ones(1, np.float32)


def known(**settings: object) -> TargetSpec:
    place = "eais_client.load.testing.known:KnownTarget"
    return TargetSpec(
        TargetKind.PYTHON, "known", place, {name: str(value) for name, value in settings.items()}
    )


class Silent(Null):
    """Its own account can be asked for once."""

    def server_times(self, model: ModelLoad) -> ServerTimes:
        raise OSError("it is gone")


def evenly(per_s: float, seconds: float, warm_s: float = 0.0) -> Phase:
    whole = Stretch(warm_s + seconds, per_s, per_s)
    return Phase(f"{per_s:g}/s", Open(Spacing.CONSTANT, (whole,)), seconds, warm_s)


@contextmanager
def generators(folder: Path, target: TargetSpec, driving: Driving) -> Iterator[Generators]:
    with Generators([target], MODELS, driving) as made:
        for model in MODELS:
            write_prepared(folder / model.name, Prepared(({"x": X},), ((X,),), "exact"))
        made.prepare({model.name: folder / model.name for model in MODELS})
        yield made


def made(folder: Path, target: TargetSpec, driving: Driving, phase: Phase) -> PhaseRecord:
    with generators(folder, target, driving) as all_of:
        return all_of.run(0, phase)


def totals(record: PhaseRecord) -> Tally:
    """Of all models."""
    whole = Tally()
    for each in record.models.values():
        for name in ("due", "sent", "answered", "checked", "wrong", "unanswered"):
            setattr(whole, name, getattr(whole, name) + getattr(each, name))
        whole.errors.update(each.errors)
        whole.latency.add(each.latency)
        for part, histogram in each.parts.items():
            whole.parts.setdefault(part, Tally().latency).add(histogram)
    return whole


@DRIVERS
def test_each_request_that_is_due_is_sent_once_by_one_of_the_processes(
    tmp_path: Path, driver: Driver
) -> None:
    driving = Driving(driver, processes=2, check_share=1.0)
    record = made(tmp_path, known(mean_ms=2), driving, evenly(300, 1.0, warm_s=0.5))
    whole = totals(record)
    # The request that is due with the begin of measuring falls to either side of it.
    assert 299 <= whole.due <= 301
    assert (whole.sent, whole.answered, whole.checked) == (whole.due,) * 3
    assert whole.latency.get_value_at_percentile(0) >= 1_990
    assert sum(each.due for each in record.intervals.values()) == whole.due
    assert sum(each.answered for each in record.intervals.values()) == whole.answered
    assert record.lag.get_total_count() == whole.sent
    assert record.models["a"].due > 2 * record.models["b"].due > 0
    assert (record.faults, record.interrupted) == ([], False)
    assert str(whole.sent) in schedule_verdict(record).said


@DRIVERS
def test_callers_of_a_closed_loop_wait_for_their_answers(tmp_path: Path, driver: Driver) -> None:
    phase = Phase("4", Closed(4), 1.0)
    whole = totals(made(tmp_path, known(mean_ms=20), Driving(driver, processes=2), phase))
    assert 20 <= whole.answered <= 200
    assert (whole.due, whole.sent, whole.unanswered) == (whole.answered, whole.answered, 0)


def test_where_the_time_went_is_what_the_target_says(tmp_path: Path) -> None:
    record = made(tmp_path, known(mean_ms=20, servers=1), Driving(), Phase("2", Closed(2), 1.0))
    parts = totals(record).parts
    assert parts["compute"].get_value_at_percentile(50) == pytest.approx(20_000, rel=0.01)
    assert parts["queue"].get_max_value() > 1_000


@DRIVERS
def test_what_is_refused_or_wrong_is_no_answer(tmp_path: Path, driver: Driver) -> None:
    target = known(mean_ms=1, refuse_share=0.3, wrong_share=0.3)
    whole = totals(made(tmp_path, target, Driving(driver, check_share=1.0), evenly(300, 1.0)))
    assert set(whole.errors) == {"RESOURCE_EXHAUSTED"}
    assert whole.wrong > 30
    assert whole.errors["RESOURCE_EXHAUSTED"] > 30
    assert whole.answered + whole.wrong + whole.errors.total() == whole.due
    assert whole.latency.get_total_count() == whole.answered


def test_answers_are_checked_at_their_share(tmp_path: Path) -> None:
    whole = totals(made(tmp_path, known(mean_ms=1), Driving(check_share=0.2), evenly(500, 1.0)))
    assert 50 < whole.checked < 150


def test_a_target_that_dies_is_said_to(tmp_path: Path) -> None:
    record = made(tmp_path, known(mean_ms=1, dies_after=100), Driving(), evenly(200, 1.0))
    whole = totals(record)
    assert (whole.answered, whole.errors["UNAVAILABLE"]) == (100, whole.due - 100)
    assert record.intervals[0].failed == whole.due - 100


@DRIVERS
def test_calls_that_never_return_have_failed_when_their_time_is_over(
    tmp_path: Path, driver: Driver
) -> None:
    driving = Driving(driver, timeout_s=0.5, max_in_flight=256)
    whole = totals(made(tmp_path, known(mean_ms=1, hangs_after=50), driving, evenly(100, 1.0)))
    assert whole.answered == 50
    assert whole.errors["DEADLINE_EXCEEDED"] == whole.due - 50


def test_what_no_caller_was_free_for_is_unanswered(tmp_path: Path) -> None:
    driving = Driving(timeout_s=0.5, max_in_flight=4)
    whole = totals(made(tmp_path, known(mean_ms=1, hangs_after=50), driving, evenly(100, 1.0)))
    assert (whole.answered, whole.errors["DEADLINE_EXCEEDED"]) == (50, 4)
    assert whole.unanswered == whole.due - 54


def test_tasks_go_on_without_calls_that_never_return(tmp_path: Path) -> None:
    driving = Driving(Driver.TASKS, timeout_s=0.3, max_in_flight=4)
    whole = totals(made(tmp_path, known(mean_ms=1, hangs_after=50), driving, evenly(100, 1.0)))
    assert whole.errors["DEADLINE_EXCEEDED"] > 4


@DRIVERS
def test_requests_that_were_due_in_a_stall_waited_for_its_end(
    tmp_path: Path, driver: Driver
) -> None:
    # Within a second and a half there is one whole stall: 75 of 300 were due in it.
    target = known(mean_ms=1, stall_every_s=1.0, stall_s=0.5)
    latency = totals(made(tmp_path, target, Driving(driver), evenly(200, 2.0))).latency
    assert latency.get_max_value() > 450_000
    assert latency.get_value_at_percentile(75) > 200_000


@DRIVERS
def test_what_there_is_when_it_is_stopped_is_told(tmp_path: Path, driver: Driver) -> None:
    heard = list[LiveCounts]()
    with generators(tmp_path, known(mean_ms=1), Driving(driver, processes=2)) as all_of:

        def told(counts: LiveCounts) -> None:
            heard.append(counts)
            if counts.second > 0.9:
                all_of.stop()

        record = all_of.run(0, evenly(100, 60.0), told)
        again = all_of.run(0, evenly(100, 0.3))
    whole = totals(record)
    assert record.interrupted
    assert 0 < record.seconds < 20
    assert whole.unanswered <= 2
    assert whole.answered > 20
    assert heard[0].phase == record.phase
    assert not again.interrupted


def test_a_target_that_no_longer_knows_its_times_costs_no_figures(tmp_path: Path) -> None:
    target = TargetSpec(TargetKind.PYTHON, "silent", f"{__name__}:Silent")
    with generators(tmp_path, target, Driving()) as made:
        record = made.run(0, evenly(50, 0.5))
    assert sum(tally.answered for tally in record.models.values()) == 25
    assert record.faults == []
    said = record.server_unseen.rpartition("; ")[2]
    assert said == "the target's own times aren't known: BUG: OSError: it is gone"


def test_a_process_that_dies_is_told_of_and_its_load_is_unanswered(tmp_path: Path) -> None:
    with generators(tmp_path, known(mean_ms=1), Driving(processes=2)) as all_of:
        killer = threading.Timer(0.6, os.kill, (all_of.pids()[1], signal.SIGKILL))
        killer.start()
        record = all_of.run(0, evenly(200, 1.5))
        killer.join()
        after = all_of.run(0, evenly(200, 0.3))
    whole = totals(record)
    assert record.faults == [
        "PROCESS_FAILED: process 1 of those that make load was ended by signal 9"
    ]
    assert 298 <= whole.due <= 300
    assert whole.unanswered >= 60
    assert not schedule_verdict(record).kept
    assert len(after.faults) == 1
    assert totals(after).answered >= 25


def test_a_phase_takes_its_time_though_nothing_more_is_due(tmp_path: Path) -> None:
    phase = Phase("trace", Open(moments=(0.1, 0.2)), 0.8)
    record = made(tmp_path, known(mean_ms=1), Driving(), phase)
    assert record.seconds == pytest.approx(0.8)
    assert totals(record).answered == 2


def test_what_is_used_is_measured_from_the_first_second_on(tmp_path: Path) -> None:
    with generators(tmp_path, known(mean_ms=1), Driving()) as all_of:
        record = all_of.run(0, Phase("1", Closed(1), 1.5))
    first = next(each for each in record.usage if each.second == 0)
    assert first.client_cores > 0
    assert first.client_rss_mb > 10
    assert record.server_unseen


def test_ctrl_c_is_not_for_the_processes_that_make_load(tmp_path: Path) -> None:
    with generators(tmp_path, known(mean_ms=1), Driving()) as all_of:
        (pid,) = all_of.pids()
        assert os.getpgid(pid) == pid
        os.kill(pid, signal.SIGINT)
        assert totals(all_of.run(0, evenly(100, 0.2))).answered > 10


def test_a_target_that_cant_be_opened_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="no setting 'speed'"),
        generators(tmp_path, known(speed=3), Driving(processes=2)),
    ):
        pytest.fail("it was opened")


PARENT = """
from eais_client.load.brain.plan import *
from eais_client.load.generator.processes import Generators
from eais_client.load.target import ServerTimes, TargetKind, TargetSpec
from eais_client.load.testing.null import Null
spec = TargetSpec(TargetKind.PYTHON, "n", "eais_client.load.testing.null:Null")
made = Generators([spec], [ModelLoad("a", "")], Driving()).__enter__()
print(*made.pids(), flush=True)
input()
"""


def test_processes_dont_outlive_the_one_that_asked_for_them() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    child = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.wait(10)
    parent.stdin.close()
    parent.stdout.close()
    # A descriptor of a process can be read from when it has ended.
    poll = select.poll()
    poll.register(child, 1)
    assert poll.poll(20_000)
    os.close(child)
