"""Another server at a worker's address: asked about once, then said; never dialled in a loop."""

from __future__ import annotations

from eais_client.brain import call_events as ev
from eais_client.instances import Address, Worker
from tests.unit.client.test_calls import STRANGER, Brain, worker

MOVED = Worker(1, Address("127.0.0.1", 9999, "1.ei-1.pool.internal"))


def mistaken(*workers: int) -> Brain:
    """A brain with a waiting call whose worker's address answers as somebody else."""
    brain = Brain(*(workers or (1,)))
    brain.submit(1)
    brain.tell(ev.StreamBroken(1, STRANGER))
    return brain


def test_whoever_knows_where_the_workers_are_is_asked_first() -> None:
    brain = mistaken()
    assert brain.of(ev.Find) == [ev.Find()]
    assert not brain.failures()


def test_a_worker_that_moved_is_dialled_where_it_is_now() -> None:
    brain = mistaken()
    brain.tell(ev.Endpoints(1, (MOVED,), found=True))
    assert brain.of(ev.Connect) == [ev.Connect(2, MOVED)]
    assert brain.tell(ev.StreamOpened(2)) == [ev.Send(1, 2, 1)]


def test_the_same_address_again_fails_the_calls_with_what_was_found_there() -> None:
    brain = mistaken()
    brain.tell(ev.Endpoints(1, (worker(1),), found=True))
    assert brain.failures() == {1: "SERVER_UNTRUSTED"}
    assert not brain.of(ev.Connect)


def test_nothing_is_dialled_while_nobody_has_answered() -> None:
    brain = mistaken()
    for _ in range(5):
        brain.later(2.0)
        assert not brain.of(ev.Connect)
        assert not brain.failures()


def test_an_answer_to_an_older_question_settles_nothing() -> None:
    brain = Brain()
    brain.submit(1)  # there is no worker: one is asked for
    assert brain.of(ev.Find)
    brain.tell(ev.Endpoints(1, (worker(1),)))  # which the Watch tells first
    brain.tell(ev.StreamBroken(1, STRANGER))
    brain.tell(ev.Endpoints(1, (worker(1),), found=True))
    assert not brain.failures()
    brain.later(2.0)
    brain.tell(ev.Endpoints(1, (worker(1),), found=True))
    assert brain.failures() == {1: "SERVER_UNTRUSTED"}


def test_the_next_call_looks_again() -> None:
    brain = mistaken()
    brain.tell(ev.Endpoints(1, (worker(1),), found=True))
    brain.now += 2.0
    assert ev.Connect(2, worker(1)) in brain.submit(2)


def test_a_restarted_worker_is_dialled_at_once() -> None:
    brain = mistaken()
    again = worker(1, incarnation=2)
    assert ev.Connect(2, again) in brain.tell(ev.Endpoints(1, (again,), found=True))


def test_another_worker_takes_the_calls() -> None:
    brain = mistaken(1, 2)
    assert brain.tell(ev.StreamOpened(2)) == [ev.Send(1, 2, 1)]
