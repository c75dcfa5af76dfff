"""Load that is planned anew while it is on, made by the real processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from eais_client.load.brain.plan import Driver, Driving, ModelLoad, Open, Phase, Spacing, Stretch
from eais_client.load.checking import Prepared, write_prepared
from eais_client.load.generator.processes import Generators
from eais_client.load.record import PhaseRecord, Seen
from eais_client.load.target import TargetKind, TargetSpec

NULL = TargetSpec(TargetKind.PYTHON, "null", "eais_client.load.testing.null:Null")


@dataclass
class Heard:
    """What is told of a live phase."""

    requests: list[Seen] = field(default_factory=list)
    began: list[float] = field(default_factory=list)
    begins: threading.Event = field(default_factory=threading.Event)

    def begun(self, at: float) -> None:
        self.began.append(at)
        self.begins.set()

    def seen(self, requests: Sequence[Seen]) -> None:
        self.requests += requests


@contextmanager
def generators(folder: Path, driver: Driver, processes: int) -> Iterator[Generators]:
    write_prepared(folder, Prepared(({"x": np.zeros(1, np.float32)},)))
    driving = Driving(driver, processes=processes)
    with Generators([NULL], [ModelLoad("x", "")], driving) as made:
        made.prepare({"x": folder})
        yield made


def evenly(per_s: float, seconds: float) -> Open:
    return Open(Spacing.CONSTANT, (Stretch(seconds, per_s, per_s),))


@pytest.mark.parametrize(("driver", "processes"), [(Driver.THREADS, 2), (Driver.TASKS, 1)])
def test_a_plan_that_changes_is_kept_to_the_moment(
    tmp_path: Path, driver: Driver, processes: int
) -> None:
    heard, records = Heard(), list[PhaseRecord]()
    with generators(tmp_path / "x", driver, processes) as made:
        # Of the first plan hardly anything is ever due: who sleeps for it is woken.
        phase = Phase("live", evenly(0.1, 100), 100)
        thread = threading.Thread(target=lambda: records.append(made.run(0, phase, live=heard)))
        thread.start()
        assert heard.begins.wait(10)
        fast = made.replan(evenly(100, 50), 50)
        thread.join(0.7)
        off = made.replan(Open(Spacing.CONSTANT, ()), 0)
        thread.join(20)
    (record,) = records
    due = np.array(sorted(each.due for each in heard.requests))
    assert (due >= fast).all()
    assert (due < off).all()
    assert len(due) == pytest.approx((off - fast) * 100, abs=2)
    assert np.diff(due) == pytest.approx(0.01, abs=1e-6)
    assert {each.fault for each in heard.requests} == {""}
    tally = record.models["x"]
    assert (tally.due, tally.answered, tally.unanswered) == (len(due), len(due), 0)
    assert not record.interrupted
    assert record.seconds == pytest.approx(off - heard.began[0], abs=0.01)


def test_what_is_stopped_is_told_of_to_the_last_request(tmp_path: Path) -> None:
    heard, records = Heard(), list[PhaseRecord]()
    with generators(tmp_path / "x", Driver.THREADS, 1) as made:
        phase = Phase("live", evenly(50, 100), 100)
        thread = threading.Thread(target=lambda: records.append(made.run(0, phase, live=heard)))
        thread.start()
        assert heard.begins.wait(10)
        thread.join(0.5)
        made.stop()
        thread.join(20)
    (record,) = records
    assert record.interrupted
    assert len(heard.requests) == record.models["x"].due > 0
