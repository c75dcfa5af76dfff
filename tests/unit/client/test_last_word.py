"""A call that used up its attempts fails of what its host says of the model."""

from __future__ import annotations

import pytest

from eais.errors import make_error
from eais_client.brain import call_events as ev
from tests.unit.client.test_calls import DIED, Brain


def dead(*calls: int) -> Brain:
    """A brain whose calls died with three workers."""
    brain = Brain(1).connected()
    for call in calls:
        brain.submit(call)
    for stream in (1, 2, 3):
        brain.tell(ev.StreamBroken(stream, DIED))
        if stream < 3:
            brain.later(1.0)
            brain.tell(ev.StreamOpened(stream + 1))
    return brain


def lost(reason: str) -> ev.SessionLost:
    return ev.SessionLost("s", make_error(reason, "no"))


def test_it_is_asked_once_for_all_and_nothing_fails_yet() -> None:
    brain = dead(1, 2)
    assert brain.of(ev.Reopen) == [ev.Reopen("s")]
    assert not brain.failures()


def test_a_quarantined_model_is_what_they_fail_of() -> None:
    brain = dead(1, 2)
    brain.tell(lost("MODEL_QUARANTINED"))
    assert brain.failures() == {1: "MODEL_QUARANTINED", 2: "MODEL_QUARANTINED"}


@pytest.mark.parametrize("reason", ["HOST_UNREACHABLE", "NOT_FOUND", "MODEL_LOST"])
def test_else_they_fail_of_their_workers_death(reason: str) -> None:
    brain = dead(1)
    brain.tell(lost(reason))
    assert brain.failures() == {1: "WORKER_DIED"}


def test_a_session_that_is_well_leaves_it_at_the_workers_death() -> None:
    brain = dead(1)
    brain.tell(ev.SessionOpened("s", 1))
    assert brain.failures() == {1: "WORKER_DIED"}


def test_it_is_never_sent_a_fourth_time() -> None:
    brain = dead(1)
    brain.later(1.0)
    brain.tell(ev.StreamOpened(4))
    brain.submit(2)
    assert ev.Send(1, 4, 1) not in brain.said
    brain.tell(ev.SessionOpened("s", 1))
    assert brain.failures() == {1: "WORKER_DIED"}
    assert brain.of(ev.Send) == [ev.Send(2, 4, 1)]


def test_an_answer_that_never_comes_is_waited_for_as_long_as_an_endpoint() -> None:
    brain = dead(1)
    brain.later(29.0)
    assert not brain.failures()
    brain.later(1.0)
    assert brain.failures() == {1: "WORKER_DIED"}


def test_a_deadline_ends_the_wait() -> None:
    brain = Brain(1).connected()
    brain.submit(1, deadline_at=brain.now + 5.0, watched=False)
    for stream in (1, 2, 3):
        brain.tell(ev.StreamBroken(stream, DIED))
        if stream < 3:
            brain.later(1.0)
            brain.tell(ev.StreamOpened(stream + 1))
    brain.later(3.0)
    assert brain.failures() == {1: "DEADLINE_EXCEEDED"}


def test_a_session_that_is_closed_ends_it() -> None:
    brain = dead(1)
    brain.tell(ev.SessionDropped("s"))
    assert brain.failures() == {1: "SESSION_CLOSED"}
