from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from eais.errors import EaisError, make_error
from eais_server.worker.admission import busy
from eais_server.worker.calls import (
    Action,
    Asked,
    Budget,
    CallLimits,
    Refuse,
    Service,
    Start,
    StreamCalls,
)

EI = "ei-1"
EPOCH = 5
LIMITS = CallLimits(calls=4, held_bytes=100)


@dataclass
class Door:
    """A gate that is closed when the test says so."""

    closed: EaisError | None = None

    def refusal(self, asked: Asked) -> EaisError | None:
        return self.closed

    def busy(self, asked: Asked) -> EaisError:
        return busy(0.007)


@dataclass
class Bench:
    """One stream's calls under small limits."""

    sessions: set[str] = field(default_factory=lambda: {"s"})
    budget: Budget = field(default_factory=lambda: Budget(LIMITS.held_bytes))
    frontend: str = "fe"
    gate: Door = field(default_factory=Door)

    def __post_init__(self) -> None:
        service = Service(EI, EPOCH)
        self.calls = StreamCalls(
            service, self.sessions, self.budget, LIMITS, self.frontend, self.gate
        )

    def run(self, call_id: int = 1, **changes: Any) -> list[Action]:
        fields: dict[str, Any] = {"instance": EI, "epoch": EPOCH, "session": "s"}
        return self.calls.on_run(Asked(call_id, **(fields | changes)))

    def handed(self, call_id: int = 1, **changes: Any) -> Asked:
        (action,) = self.run(call_id, **changes)
        assert isinstance(action, Start)
        return action.asked


def reasons(actions: list[Action]) -> list[str]:
    """Each action by name, refusals by reason."""
    return [a.error.reason if isinstance(a, Refuse) else type(a).__name__ for a in actions]


def test_a_call_without_pieces_starts_at_once() -> None:
    bench = Bench()
    asked = bench.handed(inline_bytes=10)
    assert (len(bench.calls), bench.budget.held) == (1, 10)
    assert bench.calls.on_answered(asked)
    assert (len(bench.calls), bench.budget.held) == (0, 0)


def test_a_call_starts_when_its_last_piece_is_here_in_any_order_of_tensors() -> None:
    bench = Bench()
    assert bench.run(deferred=(4, 0, 2)) == []
    assert bench.calls.on_piece(1, 2, 0, b"yz") == []
    assert bench.calls.on_piece(1, 0, 0, b"ab") == []
    (action,) = bench.calls.on_piece(1, 0, 2, b"cd")
    assert isinstance(action, Start)
    assert [bytes(b) for b in action.buffers] == [b"abcd", b"", b"yz"]


def test_nothing_is_allocated_before_it_is_here() -> None:
    bench = Bench()
    bench.run(deferred=(90,))
    assert bench.budget.held == 90
    call = bench.calls._calls[1]
    assert [tensor.have for tensor in call.tensors] == [0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"instance": "ei-2"}, "NOT_FOUND"),
        ({"instance": ""}, "NOT_FOUND"),
        ({"instance": "ei-2", "epoch": 1, "session": "t"}, "NOT_FOUND"),
        ({"epoch": EPOCH - 1}, "STALE_EPOCH"),
        ({"epoch": 0, "session": "t"}, "STALE_EPOCH"),
        ({"epoch": EPOCH + 1}, "DRAINING"),
        ({"session": "t"}, "SESSION_UNKNOWN"),
        ({"deferred": (60, 41)}, "INPUT_SIZE"),
        ({"inline_bytes": 101}, "INPUT_SIZE"),
    ],
)
def test_calls_that_are_not_taken(changes: dict[str, Any], reason: str) -> None:
    bench = Bench()
    assert reasons(bench.run(**changes)) == [reason]
    assert (len(bench.calls), bench.budget.held) == (0, 0)


def test_a_stale_call_is_told_the_epoch_that_holds() -> None:
    (action,) = Bench().run(epoch=1)
    assert isinstance(action, Refuse)
    assert action.error.metadata == {"epoch": "5"}


def test_an_id_in_flight_is_refused_and_the_first_call_goes_on() -> None:
    bench = Bench()
    first = bench.handed(1)
    assert reasons(bench.run(1)) == ["DUPLICATE_ID"]
    assert bench.calls.on_answered(first)
    assert isinstance(bench.run(1)[0], Start)


def test_too_many_calls_and_too_many_bytes_are_pushed_back() -> None:
    bench = Bench()
    for call_id in range(LIMITS.calls):
        bench.handed(call_id)
    (action,) = bench.run(9)
    assert isinstance(action, Refuse)
    assert action.error.reason == "BUSY"
    assert action.error.metadata == {"push_back_ms": "7"}
    bench = Bench()
    bench.run(1, deferred=(60,))
    assert reasons(bench.run(2, deferred=(60,))) == ["BUSY"]
    bench.calls.on_cancel(1)
    assert bench.run(3, deferred=(60,)) == []


def test_a_call_that_would_come_too_late_is_refused_before_anything_is_kept() -> None:
    bench = Bench(gate=Door(busy(0.2)))
    (action,) = bench.run(1, deferred=(60,))
    assert isinstance(action, Refuse)
    assert action.error.metadata == {"push_back_ms": "200"}
    assert (len(bench.calls), bench.budget.held) == (0, 0)


def test_what_is_wrong_with_a_call_comes_before_that_there_is_no_time() -> None:
    bench = Bench(gate=Door(busy(0.2)))
    assert reasons(bench.run(1, epoch=EPOCH - 1)) == ["STALE_EPOCH"]
    assert reasons(bench.run(1, inline_bytes=101)) == ["INPUT_SIZE"]


def test_who_holds_most_bytes_leaves_room_for_others() -> None:
    greedy = Bench(frontend="greedy")
    other = Bench(frontend="other", budget=greedy.budget)
    taken = sum(greedy.run(number, deferred=(10,)) == [] for number in range(4))
    assert taken == 4
    greedy.calls.limits = CallLimits(calls=100, held_bytes=100)
    while greedy.run(len(greedy.calls) + 10, deferred=(10,)) == []:
        pass
    assert greedy.budget.held == 50
    assert other.run(1, deferred=(50,)) == []


def test_who_holds_nothing_may_take_all_that_is_free() -> None:
    budget = Budget(100)
    assert budget.take("a", 100)
    assert not budget.take("b", 1)
    budget.give("a", 100)
    assert budget.take("b", 30)
    assert budget.take("a", 70)
    assert not budget._by_owner["c"]


def test_a_budget_forgets_who_holds_nothing() -> None:
    budget = Budget(100)
    budget.take("a", 30)
    assert not budget.take("b", 90)
    budget.give("a", 30)
    assert budget.held == 0
    assert not budget._by_owner


def test_streams_share_one_budget() -> None:
    one = Bench()
    other = Bench(budget=one.budget)
    one.run(deferred=(80,))
    assert reasons(other.run(deferred=(30,))) == ["BUSY"]


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        ((0, 3, b"x"), "CHUNK_GAP"),
        ((0, 1, b"x"), "CHUNK_OVERLAP"),
        ((0, 2, b"xyz"), "INPUT_SIZE"),
        ((1, 0, b"x"), "INPUT_SIZE"),
        ((1 << 31, 0, b"x"), "INPUT_SIZE"),
    ],
)
def test_pieces_that_do_not_fit_end_their_call_alone(
    piece: tuple[int, int, bytes], reason: str
) -> None:
    bench = Bench()
    bench.run(1, deferred=(4,))
    bench.run(2, deferred=(4,))
    assert bench.calls.on_piece(1, 0, 0, b"ab") == []
    assert reasons(bench.calls.on_piece(1, *piece)) == [reason]
    assert bench.calls.on_piece(1, 0, 2, b"cd") == []
    assert reasons(bench.calls.on_piece(2, 0, 0, b"abcd")) == ["Start"]


def test_more_than_announced_ends_even_a_call_that_runs() -> None:
    bench = Bench()
    bench.run(1, deferred=(2,))
    bench.calls.on_piece(1, 0, 0, b"ab")
    assert reasons(bench.calls.on_piece(1, 0, 2, b"c")) == ["Stop", "INPUT_SIZE"]


def test_a_cancel_is_answered_once_and_stops_what_runs() -> None:
    bench = Bench()
    asked = bench.handed(1)
    assert reasons(bench.calls.on_cancel(1)) == ["Stop", "CANCELLED"]
    assert bench.calls.on_cancel(1) == []
    assert not bench.calls.on_answered(asked)
    bench.run(2, deferred=(4,))
    assert reasons(bench.calls.on_cancel(2)) == ["CANCELLED"]


def test_an_answer_of_an_ended_call_is_not_the_next_calls() -> None:
    bench = Bench()
    old = bench.handed(1)
    bench.calls.on_cancel(1)
    new = bench.handed(1)
    assert not bench.calls.on_answered(old)
    assert bench.calls.on_answered(new)


def test_cancels_and_pieces_of_unknown_calls_mean_nothing() -> None:
    bench = Bench()
    assert bench.calls.on_cancel(9) == []
    assert bench.calls.on_piece(9, 0, 0, b"x") == []
    assert bench.calls.on_end(9, make_error("RUN_TIMEOUT", "late")) == []


def test_a_drain_lets_what_is_here_finish() -> None:
    bench = Bench()
    asked = bench.handed(1)
    bench.run(2, deferred=(2,))
    bench.calls.draining = True
    assert reasons(bench.run(3)) == ["DRAINING"]
    assert reasons(bench.calls.on_piece(2, 0, 0, b"ab")) == ["Start"]
    assert bench.calls.on_answered(asked)


def test_a_closed_stream_stops_all_and_answers_none() -> None:
    bench = Bench()
    bench.handed(1, inline_bytes=1)
    bench.run(2, deferred=(2,))
    assert reasons(bench.calls.on_closed()) == ["Stop", "Stop"]
    assert (len(bench.calls), bench.budget.held) == (0, 0)


def test_a_session_that_comes_is_seen() -> None:
    bench = Bench()
    assert reasons(bench.run(1, session="t")) == ["SESSION_UNKNOWN"]
    bench.sessions.add("t")
    assert reasons(bench.run(1, session="t")) == ["Start"]


class AnyOrder(RuleBasedStateMachine):
    """Whatever a client sends: one answer a call, the budget balanced, never too many bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.answers: dict[Asked, int] = {}
        self.running: list[Asked] = []
        self.closed = False

    def apply(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Start):
                assert [len(b) for b in action.buffers] == list(action.asked.deferred)
                self.running.append(action.asked)
            elif isinstance(action, Refuse):
                self.answers[action.asked] = self.answers.get(action.asked, 0) + 1

    @precondition(lambda self: not self.closed)
    @rule(
        call_id=st.integers(0, 3),
        epoch=st.integers(EPOCH - 1, EPOCH + 1),
        inline=st.integers(0, 30),
        deferred=st.lists(st.integers(0, 40), max_size=2),
    )
    def run_call(self, call_id: int, epoch: int, inline: int, deferred: list[int]) -> None:
        asked = Asked(call_id, EI, epoch, "s", inline, tuple(deferred))
        self.answers[asked] = 0
        self.apply(self.bench.calls.on_run(asked))

    @precondition(lambda self: not self.closed)
    @rule(
        call_id=st.integers(0, 3),
        tensor=st.integers(0, 2),
        offset=st.integers(0, 20),
        size=st.integers(0, 20),
        right=st.booleans(),
    )
    def piece(self, call_id: int, tensor: int, offset: int, size: int, right: bool) -> None:
        call = self.bench.calls._calls.get(call_id)
        if right and call and tensor < len(call.tensors):
            offset = call.tensors[tensor].have
        self.apply(self.bench.calls.on_piece(call_id, tensor, offset, bytes(size)))

    @rule(call_id=st.integers(0, 3))
    def cancel(self, call_id: int) -> None:
        self.apply(self.bench.calls.on_cancel(call_id))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        asked = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if self.bench.calls.on_answered(asked):
            self.answers[asked] += 1

    @precondition(lambda self: not self.closed)
    @rule()
    def close(self) -> None:
        self.apply(self.bench.calls.on_closed())
        self.closed = True

    @invariant()
    def balanced(self) -> None:
        calls = self.bench.calls._calls.values()
        assert self.bench.budget.held == sum(call.asked.size for call in calls) <= 100
        assert len(calls) <= LIMITS.calls
        for call in calls:
            assert sum(tensor.have for tensor in call.tensors) + call.missing == sum(
                call.asked.deferred
            )

    @invariant()
    def one_answer_each(self) -> None:
        open_calls = {call.asked for call in self.bench.calls._calls.values()}
        for asked, count in self.answers.items():
            if asked in open_calls:
                assert count == 0
            elif not self.closed:
                assert count == 1
            else:
                assert count <= 1


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, deadline=None)
