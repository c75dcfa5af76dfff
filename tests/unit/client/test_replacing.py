"""Streams made anew after a renewal: no call is lost, none is sent twice, nothing is counted."""

from __future__ import annotations

from eais.errors import make_error
from eais_client.brain import call_events as ev
from eais_client.brain.call_state import LinkState
from tests.unit.client.test_calls import DIED, REFUSED, Brain, refused, worker


def renewed(*workers: int) -> Brain:
    """A brain with an open stream to each worker, numbered as they are; then a renewal."""
    streams = workers or (1,)
    brain = Brain(*streams).connected(*streams)
    brain.tell(ev.Renewed())
    return brain


def states(brain: Brain) -> list[LinkState]:
    return [link.state for link in brain.state.links]


def test_an_open_stream_gets_a_successor_at_once() -> None:
    assert renewed().said == [ev.Connect(2, worker(1))]


def test_each_open_stream_gets_its_own() -> None:
    assert renewed(1, 2).said == [ev.Connect(3, worker(1)), ev.Connect(4, worker(2))]


def test_calls_go_on_the_old_stream_until_the_new_one_is_open() -> None:
    brain = renewed()
    assert brain.submit(1) == [ev.Send(1, 1, 1)]
    brain.tell(ev.StreamOpened(2))
    assert brain.submit(2) == [ev.Send(2, 2, 1)]


def test_the_old_stream_ends_when_its_last_call_is_answered_on_it() -> None:
    brain = renewed()
    brain.submit(1)
    brain.submit(2)
    assert brain.tell(ev.StreamOpened(2)) == []
    assert brain.tell(ev.Answered(1)) == [ev.Complete(1)]
    assert brain.tell(ev.Answered(2)) == [ev.Complete(2), ev.Disconnect(1)]
    assert states(brain) == [LinkState.OPEN]
    assert brain.state.replaced == 1


def test_an_old_stream_without_calls_ends_at_once() -> None:
    assert renewed().tell(ev.StreamOpened(2)) == [ev.Disconnect(1)]


def test_moving_takes_no_token_and_counts_no_attempt() -> None:
    brain = renewed()
    brain.submit(1)
    tokens = brain.state.budget.tokens
    brain.tell(ev.StreamOpened(2))
    assert brain.state.budget.tokens == tokens
    assert brain.state.calls[1].attempts == 1
    brain.tell(ev.Answered(1))
    assert not brain.failures()
    assert brain.state.retries == 0


def test_a_call_on_the_leaving_stream_is_cancelled_there() -> None:
    brain = renewed()
    brain.submit(1)
    brain.tell(ev.StreamOpened(2))
    assert brain.tell(ev.Abandoned(1)) == [ev.Cancel(1, 1), ev.Disconnect(1)]


def test_a_refusal_on_the_leaving_stream_is_retried_on_the_new_one() -> None:
    brain = renewed()
    brain.submit(1)
    brain.tell(ev.StreamOpened(2))
    brain.tell(refused(1, "BUSY", stream=1))
    brain.later(0.1)
    assert brain.of(ev.Send) == [ev.Send(1, 2, 1)]


def test_a_leaving_stream_that_breaks_loses_its_calls_to_the_new_one() -> None:
    brain = renewed()
    brain.submit(1)
    brain.tell(ev.StreamOpened(2))
    brain.tell(ev.StreamBroken(1, DIED))
    brain.later(0.1)
    assert brain.of(ev.Send) == [ev.Send(1, 2, 1)]
    assert states(brain) == [LinkState.OPEN]
    assert brain.state.retries == 1


def test_a_successor_that_fails_is_tried_again_and_no_call_notices() -> None:
    brain = renewed()
    tokens = brain.state.budget.tokens
    brain.tell(ev.StreamBroken(2, REFUSED))
    (wake,) = brain.of(ev.WakeAt)
    assert isinstance(wake, ev.WakeAt)
    assert brain.submit(1) == [ev.Send(1, 1, 1)]
    brain.later(wake.at - brain.now)
    assert brain.of(ev.Connect) == [ev.Connect(3, worker(1))]
    brain.tell(ev.StreamOpened(3))
    assert brain.submit(2) == [ev.Send(2, 3, 1)]
    assert brain.state.budget.tokens == tokens


def test_a_successor_that_is_refused_for_good_fails_no_call() -> None:
    brain = renewed()
    brain.submit(1)
    brain.tell(ev.StreamBroken(2, make_error("CERT_EXPIRED", "no")))
    assert not brain.failures()
    assert brain.submit(2) == [ev.Send(2, 1, 1)]


def test_when_the_old_stream_breaks_first_the_successor_is_waited_for() -> None:
    brain = renewed()
    brain.submit(1)
    brain.tell(ev.StreamBroken(1, DIED))
    assert not brain.of(ev.Find)
    brain.later(0.1)
    assert not brain.of(ev.Connect)
    assert brain.tell(ev.StreamOpened(2)) == [ev.Send(1, 2, 1)]


def test_a_worker_that_drains_gets_no_successor() -> None:
    brain = renewed()
    assert ev.Disconnect(2) in brain.tell(ev.StreamDraining(1))
    assert not brain.of(ev.Connect)


def test_a_worker_that_left_the_endpoint_set_gets_none_either() -> None:
    brain = renewed(1, 2)
    brain.submit(1)
    brain.tell(ev.Endpoints(1, (worker(2),)))
    assert brain.of(ev.Disconnect) == [ev.Disconnect(3)]


def test_a_second_renewal_while_the_first_is_under_way_leads_to_the_newest() -> None:
    brain = renewed()
    assert brain.tell(ev.Renewed()) == []
    brain.tell(ev.StreamOpened(2))
    assert brain.of(ev.Connect) == [ev.Connect(3, worker(1))]
    brain.tell(ev.StreamOpened(3))
    assert not brain.of(ev.Connect)
    assert not brain.state.replacing


def test_a_stream_that_was_being_opened_is_replaced_once_it_is() -> None:
    brain = Brain(1)
    brain.submit(1)
    brain.tell(ev.Renewed())
    assert not brain.of(ev.Connect)
    said = brain.tell(ev.StreamOpened(1))
    assert said == [ev.Send(1, 1, 1), ev.Connect(2, worker(1))]


def test_a_new_stream_after_a_renewal_needs_no_other() -> None:
    brain = Brain(1)
    brain.tell(ev.Renewed())
    brain.submit(1)
    assert brain.tell(ev.StreamOpened(1)) == [ev.Send(1, 1, 1)]
    assert not brain.state.replacing


def test_the_endpoint_set_does_not_revive_a_leaving_stream() -> None:
    brain = renewed()
    brain.submit(1)
    brain.tell(ev.StreamOpened(2))
    brain.tell(ev.Endpoints(1, (worker(1),)))
    assert sorted(states(brain), key=str) == [LinkState.LEAVING, LinkState.OPEN]
    assert brain.submit(2) == [ev.Send(2, 2, 1)]


def test_a_worker_that_left_the_endpoint_set_gets_no_more_calls_on_its_new_stream() -> None:
    brain = renewed()
    brain.submit(1)
    brain.tell(ev.StreamOpened(2))
    brain.tell(ev.Endpoints(1, (worker(2),)))
    assert brain.submit(2)[0] == ev.Connect(3, worker(2))
