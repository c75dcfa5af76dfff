"""Runs on the event loop that last, and those of which it was only thought."""

from __future__ import annotations

import threading

from eais.transport.parts import RunPart
from eais_server.testing.runtime import FakeSession
from eais_server.worker.execution import Execution
from eais_server.worker.inline import Kind
from eais_server.worker.inline_runs import InlineRuns
from eais_server.worker.watchdog import Lasting, Terminable, Watchdog
from tests.unit.server.worker.test_inline import learnt, ticking
from tests.unit.server.worker.test_plane import live


class Watched:
    """A run that is told to end."""

    def __init__(self) -> None:
        self.told = threading.Event()

    def terminate(self) -> None:
        self.told.set()


def test_a_run_that_lasts_is_ended_and_again_after_the_thread_slept() -> None:
    watchdog = Watchdog(overlong_s=0.001)
    for _ in range(2):
        lasting = Watched()
        watchdog.begins(lasting)
        assert lasting.told.wait(20)
        watchdog.ended()
        while not watchdog._asleep:
            threading.Event().wait(0.001)
    watchdog.close()


def test_runs_that_are_over_are_not_ended() -> None:
    watchdog = Watchdog(overlong_s=0.02)
    short = [Watched() for _ in range(1000)]
    for run in short:
        watchdog.begins(run)
        watchdog.ended()
    lasting = Watched()
    watchdog.begins(lasting)
    assert lasting.told.wait(20)
    watchdog.ended()
    assert not any(run.told.is_set() for run in short)
    watchdog.close()


def test_a_run_lasts_by_the_time_for_which_it_had_a_processor() -> None:
    lasting = Lasting(overlong_s=0.02)
    assert not lasting.lasts(1, 5.0)
    assert not lasting.lasts(1, 5.001)  # others had it
    assert lasting.lasts(1, 5.02)
    assert not lasting.lasts(2, 5.04)
    assert lasting.lasts(2, 5.06)


def test_a_run_that_waits_for_something_lasts_too_in_the_end() -> None:
    lasting = Lasting(overlong_s=0.02)
    seen = [lasting.lasts(1, 5.0) for _ in range(10)]
    assert seen == sorted(seen)
    assert 3 < seen.index(True) < 9


class LateWatchdog(Watchdog):
    """Tells each run to end when it is over."""

    def begins(self, run: Terminable) -> None:
        self._run = run

    def ended(self) -> bool:
        assert self._run is not None
        self._run.terminate()
        return True


def test_a_run_that_was_told_to_end_and_did_not_is_answered_and_runs_nothing_again() -> None:
    async def test() -> None:
        clock, kind, fake = ticking(), Kind(), FakeSession(lambda feed: [])
        inline = InlineRuns(Execution(clock), clock, LateWatchdog())
        assert learnt(inline.rights, 1e-5)
        used = [inline.prepared("s", fake)]
        result = inline.run(RunPart(session="s"), used[0], kind)
        assert result is not None
        assert not result.reason
        used.append(inline.prepared("s", fake))
        assert inline.watched("s", used[1], lambda: 1) == 1
        used.append(inline.prepared("s", fake))
        assert [run.terminated for run in used] == [True, True, False]
        assert inline.rights.kind("s", 100) is not None

    live(test)


def test_an_alarm_that_was_meant_for_the_run_before_takes_no_right_away() -> None:
    async def test() -> None:
        clock, fake = ticking(), FakeSession(lambda feed: [])
        inline = InlineRuns(Execution(clock), clock)
        assert learnt(inline.rights, 1e-5)
        prepared = inline.prepared("s", fake)
        prepared.terminate()
        fake.block()
        assert inline.run(RunPart(session="s"), prepared, Kind()) is None
        fake.release()
        again = inline.run(RunPart(session="s"), inline.prepared("s", fake), Kind())
        assert again is not None
        assert not again.reason
        assert inline.rights.kind("s", 100) is not None
        inline.close()

    live(test)
