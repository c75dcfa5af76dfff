from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from eais_server.turns.brain import ALWAYS
from eais_server.turns.brain import actions as do
from eais_server.turns.page import WAITS, Seat
from eais_server.turns.table import Table, Worker
from eais_server.turns.turn import Turn
from tests.unit.server.turns.seats import claimed, turn_of

MS = 1_000_000
S = 1_000_000_000
DEVICE = "cpu0"


@dataclass
class Stand:
    """A table whose workers' doings are the test's."""

    now: int = S
    signals: list[tuple[int, int]] = field(default_factory=list)
    told: list[do.Action] = field(default_factory=list)
    used: dict[int, int] = field(default_factory=dict)
    turns: dict[int, Turn] = field(default_factory=dict)
    claims: dict[int, memoryview] = field(default_factory=dict)
    pidfds: dict[int, int] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.table = Table(self.told.append, send=self.send, clock=lambda: self.now)

    def send(self, pidfd: int, signum: int) -> None:
        number = next(number for number, fd in self.pidfds.items() if fd == pidfd)
        if number in self.gone:
            raise ProcessLookupError
        self.signals.append((number, signum))

    def join(self, number: int, weight: int = 500, device: str = DEVICE) -> Turn:
        seat = Seat()
        turn = self.turns[number] = turn_of(seat, lambda: self.now)
        self.claims[number] = claimed(seat)
        self.used[number] = 0
        pidfd = self.pidfds[number] = os.pidfd_open(os.getpid())
        self.table.join(Worker(number, device, weight, seat, pidfd, lambda: self.used[number]))
        return turn

    def ask(self, number: int) -> None:
        """As a thread that goes to sleep does."""
        self.claims[number][WAITS] = 1
        self.table.rang(number)

    def take(self, number: int) -> None:
        assert self.turns[number].try_take()
        self.claims[number][WAITS] = 0

    def give(self, number: int) -> None:
        self.turns[number].give()
        self.table.rang(number)

    def past(self, ms: int, **used: int) -> None:
        for name, part in used.items():
            self.used[int(name[1:])] += part * MS
        self.now += ms * MS
        self.table.look_around()

    def until(self, sent: tuple[int, int], **used: int) -> None:
        for _ in range(2000):
            if sent in self.signals:
                return
            self.past(10, **used)
        raise AssertionError(f"{sent} isn't in {self.signals}")


@pytest.fixture
def stand() -> Iterator[Stand]:
    made = Stand()
    yield made
    made.table.close()
    for turn in made.turns.values():
        turn.close()


def test_who_is_alone_runs_free_and_nobody_looks(stand: Stand) -> None:
    alone = stand.join(1)
    assert alone.runs_free
    assert stand.table.due_ns is None


def test_devices_are_apart(stand: Stand) -> None:
    one, other = stand.join(1), stand.join(2, device="cpu1")
    assert one.runs_free
    assert other.runs_free
    assert stand.table.due_ns is None


def test_a_second_one_that_idles_changes_nothing(stand: Stand) -> None:
    one, two = stand.join(1), stand.join(2)
    assert one.runs_free
    assert not two.try_take()


def test_the_free_runner_ends_at_its_batchs_end_when_another_asks(stand: Stand) -> None:
    one, two = stand.join(1), stand.join(2)
    stand.take(1)
    stand.past(100, _1=100)
    stand.ask(2)
    assert not one.runs_free
    assert not two.try_take()
    stand.give(1)
    assert not one.try_take()
    assert two.runs_free, "nobody else wants it now"


def test_the_free_runner_that_idles_loses_the_device_at_once(stand: Stand) -> None:
    one, two = stand.join(1), stand.join(2)
    stand.ask(2)
    assert two.runs_free
    assert not one.try_take()


def test_a_worker_that_dies_in_its_turn_doesnt_keep_it(stand: Stand) -> None:
    stand.join(1)
    two, three = stand.join(2), stand.join(3)
    stand.take(1)
    stand.ask(2)
    stand.table.leave(1)
    assert two.runs_free
    stand.table.leave(2)
    stand.ask(3)
    assert three.runs_free
    assert stand.table.leave(2) is None


def test_who_overruns_is_stopped_by_signal_resumed_and_killed(stand: Stand) -> None:
    stand.join(1)
    stand.join(2)
    stand.ask(1)
    stand.take(1)
    stand.until((2, signal.SIGSTOP), _2=10)
    assert [type(action) for action in stand.told] == [do.Withhold, do.Stop]
    stand.until((2, signal.SIGCONT), _1=10)
    stand.until((2, signal.SIGKILL), _2=10)


def test_a_signal_to_one_that_has_just_exited_is_nothing(stand: Stand) -> None:
    stand.join(1)
    stand.join(2)
    stand.take(1)
    stand.gone.add(2)
    stand.past(100)
    stand.past(1000, _2=1000)
    stand.past(1000, _2=1000)
    assert do.Stop(2) in stand.told
    assert stand.signals == []


def test_at_the_end_all_run_free_and_go_on(stand: Stand) -> None:
    one, two = stand.join(1), stand.join(2)
    stand.take(1)
    stand.until((2, signal.SIGSTOP), _2=10)
    stand.table.close()
    assert (2, signal.SIGCONT) in stand.signals
    assert one.runs_free
    assert two.runs_free
    assert stand.table.due_ns is None


def test_a_worker_that_says_nonsense_hurts_nobody(stand: Stand) -> None:
    one, two = stand.join(1), stand.join(2)
    stand.ask(1)
    for word in range(3):
        stand.claims[2][word] = ALWAYS
    stand.table.rang(2)
    stand.past(1000, _1=1)
    assert one.try_take() or two.try_take()


def test_nobody_is_killed_for_a_load(stand: Stand) -> None:
    stand.join(1)
    stand.join(2)
    stand.take(1)
    stand.table.excuse(2, excused=True)
    for _ in range(2000):
        stand.past(10, _2=10)
    assert (2, signal.SIGSTOP) in stand.signals
    assert (2, signal.SIGKILL) not in stand.signals
    stand.table.excuse(2, excused=False)
    stand.until((2, signal.SIGKILL), _2=10)


def test_unknown_ones_are_nobody(stand: Stand) -> None:
    stand.table.excuse(9, excused=True)
    stand.table.rang(9)
    assert stand.table.leave(9) is None
