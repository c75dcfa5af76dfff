"""Calls of a worker that shares its device."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from eais_server.devices.driver import RunSettings
from eais_server.in_flight import PAGE_BYTES, Marks
from eais_server.testing.runtime import FakeSession
from eais_server.turns.brain import ALWAYS
from eais_server.turns.page import Seat
from eais_server.turns.turn import Turn
from eais_server.worker.execution import Execution, Result
from eais_server.worker.inline import Kind
from eais_server.worker.inline_runs import InlineRuns
from eais_server.worker.runner import Runner
from tests.unit.server.turns.seats import turn_of
from tests.unit.server.worker.test_canary import job
from tests.unit.server.worker.test_execution import part, run_of

WAIT_S = 30.0
RUN = part(run_of(x=np.ones(3, np.float32)))


@pytest.fixture
def seat() -> Iterator[Seat]:
    made = Seat()
    yield made
    made.close()


@pytest.fixture
def turn(seat: Seat) -> Turn:
    """Of a worker that has to wait."""
    made = turn_of(seat, time.monotonic_ns)
    seat.allow(0, 0)
    return made


class Call:
    """One on a thread of its own, of which nothing is known but what it says."""

    def __init__(self, turn: Turn, session: FakeSession, ends_ns: int | None = None) -> None:
        ticks = itertools.count(1000, 10)
        self.prepared = session.prepare(RunSettings())
        self._execution = Execution(lambda: next(ticks), turn)
        self._ends_ns = ends_ns
        self._results: list[Result] = []
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        result = self._execution.run(RUN, (), self.prepared, 7, self._ends_ns)
        self._results.append(result)

    def result(self) -> Result:
        self._thread.join(WAIT_S)
        (found,) = self._results
        return found


def waits(seat: Seat) -> None:
    until = time.monotonic() + WAIT_S
    while not seat.claims().waits:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_run_waits_for_its_turn_and_says_so_of_the_wait(seat: Seat, turn: Turn) -> None:
    session = FakeSession()
    call = Call(turn, session)
    waits(seat)
    assert session.runs == 0
    seat.allow(1, time.monotonic_ns() + 10**12)
    result = call.result()
    assert (result.reason, session.runs) == ("", 1)
    assert result.queue_ns > 7
    assert not seat.claims().inside


def test_a_run_that_is_told_to_end_waits_no_more(seat: Seat, turn: Turn) -> None:
    session = FakeSession()
    call = Call(turn, session)
    waits(seat)
    call.prepared.terminate()
    assert (call.result().reason, session.runs) == ("RUN_FAILED", 0)
    assert not seat.claims().waits


def test_a_run_whose_caller_has_gone_when_it_has_its_turn_isnt_made(seat: Seat, turn: Turn) -> None:
    session = FakeSession()
    call = Call(turn, session, ends_ns=1015)
    waits(seat)
    seat.allow(1, time.monotonic_ns() + 10**12)
    assert (call.result().reason, session.runs) == ("DEADLINE_EXCEEDED", 0)
    assert not seat.claims().inside


def test_the_turn_is_given_back_by_a_run_that_fails(seat: Seat, turn: Turn) -> None:
    session = FakeSession()
    session.fail_next(ValueError("no"))
    seat.allow(1, time.monotonic_ns() + 10**12)
    assert Call(turn, session).result().reason == "BUG"
    assert not seat.claims().inside


def test_the_event_loop_waits_for_no_turn(seat: Seat, turn: Turn) -> None:
    async def test() -> None:
        session = FakeSession()
        inline = InlineRuns(Execution(time.monotonic_ns), time.monotonic_ns, turn=turn)
        prepared = inline.prepared("s", session)
        assert inline.run(RUN, prepared, Kind()) is None
        assert inline.watched("s", prepared, lambda: "ran") is None
        assert session.runs == 0
        seat.allow(1, time.monotonic_ns() + 10**12)
        result = inline.run(RUN, prepared, Kind())
        assert result is not None
        assert (result.reason, session.runs) == ("", 1)
        assert inline.watched("s", prepared, lambda: seat.claims().inside) is True
        assert not seat.claims().inside
        inline.close()

    asyncio.run(test())


def test_from_a_call_to_the_next_a_worker_asks_for_the_device(seat: Seat, turn: Turn) -> None:
    """It takes threads time to find the next one, in which the turn would be another's."""
    seat.allow(1, ALWAYS)

    async def test() -> None:
        idle = asyncio.Event()
        runner = Runner(
            1,
            4,
            queue_limit_s=60.0,
            may_run=lambda stream: True,
            stuck=lambda session: None,
            idle=idle.set,
            marks=Marks(bytearray(PAGE_BYTES)),
            turn=turn,
        )
        assert not seat.claims().waits
        first, second = threading.Event(), threading.Event()
        runner.submit(job(first, "s"))
        runner.submit(job(second, "s"))
        first.set()
        while runner.waiting_jobs:
            assert seat.claims().waits
            await asyncio.sleep(0)
        assert seat.claims().waits
        second.set()
        await asyncio.wait_for(idle.wait(), WAIT_S)
        assert not seat.claims().waits
        runner.close()

    asyncio.run(test())
