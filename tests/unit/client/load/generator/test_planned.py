"""Which requests each process makes."""

from __future__ import annotations

import numpy as np
import pytest

from eais_client.load.brain.plan import (
    Closed,
    Driving,
    ModelLoad,
    Open,
    Phase,
    Spacing,
    Stretch,
)
from eais_client.load.generator.counts import Counted
from eais_client.load.generator.planned import count_due, due_within, planned

MODELS = (ModelLoad("a", "", 3), ModelLoad("b", "", 1))
POISSON = Open(Spacing.POISSON, (Stretch(10.0, 100.0, 100.0),))
PHASE = Phase("100/s", POISSON, 8.0, 2.0)


@pytest.mark.parametrize("of", [1, 2, 3])
def test_all_processes_together_make_each_request_once(of: int) -> None:
    parts = [planned(PHASE, MODELS, Driving(seed=5), index, of) for index in range(of)]
    due = [each.due for each in parts if each.due is not None]
    assert len(due) == of
    together = np.sort(np.concatenate(due))
    assert together.tolist() == due_within(POISSON, 10.0, 5).tolist()
    assert sum(each.callers for each in parts) == Driving().max_in_flight


def test_models_come_by_their_weight_whichever_process_makes_them() -> None:
    for index in range(2):
        models = planned(PHASE, MODELS, Driving(), index, 2).models_of
        assert (models == 0).mean() == pytest.approx(0.75, abs=0.01)


def test_callers_of_a_closed_loop_are_shared_out() -> None:
    phase = Phase("5", Closed(5), 1.0)
    parts = [planned(phase, MODELS, Driving(), index, 3) for index in range(3)]
    assert [each.callers for each in parts] == [2, 2, 1]
    assert [each.due for each in parts] == [None] * 3


def test_nothing_is_due_after_the_phase() -> None:
    trace = Open(moments=(0.5, 1.5, 2.5))
    assert due_within(trace, 2.0, 1).tolist() == [0.5, 1.5]
    assert due_within(Open(), 2.0, 1).tolist() == []


def test_what_was_due_while_measured_is_counted_by_model_and_second() -> None:
    made = Counted()
    due, models_of = np.array([0.5, 2.0, 2.5, 3.5, 9.0]), np.array([0, 1])
    count_due(made, due, models_of, ["a", "b"], (2.0, 8.0))
    assert {name: tally.due for name, tally in made.models.items()} == {"a": 1, "b": 2}
    assert {second: each.due for second, each in made.intervals.items()} == {0: 2, 1: 1}
