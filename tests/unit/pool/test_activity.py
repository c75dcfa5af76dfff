"""What instances do, from what listeners and front-ends say, under a clock of the test's."""

from __future__ import annotations

import weakref

import pytest

from eais.telemetry import latency
from eais_pool.brain.activity import WINDOW_S, Activities, Counted, FrontEndWord
from eais_pool.brain.records import LeaseKey

LEASE = LeaseKey("h1", "ei-1", 7)
MS = 1_000_000


class Bench:
    def __init__(self) -> None:
        self.now = 1000.0
        self.activities = Activities(lambda: self.now)
        self.requests = 0
        self.busy_ns = 0
        self.counts = [0] * latency.BUCKETS

    def second(self, calls: int, took_ms: float = 1.0) -> None:
        """A second in which so many calls came, and the listener's word at its end."""
        self.now += 1.0
        self.work(calls, took_ms)

    def work(self, calls: int, took_ms: float = 1.0, lease: LeaseKey = LEASE) -> None:
        self.requests += calls
        self.busy_ns += round(calls * took_ms * MS)
        self.counts[latency.bucket(round(took_ms * MS))] += calls
        self.activities.counted(
            lease, Counted(self.requests, self.busy_ns, latency.trimmed(self.counts))
        )


def test_before_the_first_call_there_is_nothing_to_say() -> None:
    bench = Bench()
    assert bench.activities.of("ei-1") is None
    bench.work(0)
    assert bench.activities.of("ei-1") is None


def test_rates_are_those_of_the_window() -> None:
    bench = Bench()
    bench.work(0)
    for _ in range(5):
        bench.second(200, took_ms=2.0)
    early = bench.activities.of("ei-1")
    assert early is not None
    assert early.calls_per_s == pytest.approx(200)
    assert early.busy_cores == pytest.approx(0.4)
    assert 1.6 < early.p50_ms < 2.4
    for _ in range(10):
        bench.second(10, took_ms=50.0)
    late = bench.activities.of("ei-1")
    assert late is not None
    assert late.calls_per_s == pytest.approx(10)
    assert 40 < late.p50_ms < 60


def test_the_slowest_of_a_hundred_calls_is_in_the_p99() -> None:
    bench = Bench()
    bench.work(0)
    bench.second(980)
    bench.work(20, took_ms=100.0)
    found = bench.activities.of("ei-1")
    assert found is not None
    assert found.p50_ms < 2
    assert 80 < found.p99_ms < 120


def test_an_instance_that_rests_says_nothing_and_so_falls_to_zero() -> None:
    bench = Bench()
    bench.work(0)
    bench.second(100)
    bench.now += WINDOW_S / 2
    half = bench.activities.of("ei-1")
    assert half is not None
    assert 0 < half.calls_per_s < 100
    bench.now += WINDOW_S
    rested = bench.activities.of("ei-1")
    assert rested is not None
    assert (rested.calls_per_s, rested.p99_ms, rested.busy_cores) == (0, 0, 0)
    # What comes after a rest isn't spread over it.
    bench.second(50)
    again = bench.activities.of("ei-1")
    assert again is not None
    assert again.calls_per_s == pytest.approx(50 / WINDOW_S)


def test_the_first_word_of_a_line_is_where_counting_begins() -> None:
    """A pool that was away, or a listener, doesn't know in which time the calls were."""
    bench = Bench()
    bench.work(0)
    bench.second(100)
    bench.activities.begun_anew("h2")
    assert bench.activities.of("ei-1") is not None
    bench.activities.begun_anew("h1")
    bench.now += 60
    bench.work(6000)
    found = bench.activities.of("ei-1")
    assert found is not None
    assert found.calls_per_s == 0
    bench.second(30)
    found = bench.activities.of("ei-1")
    assert found is not None
    assert found.calls_per_s == pytest.approx(30)


def test_counters_that_begin_anew_are_no_negative_rates() -> None:
    bench = Bench()
    bench.work(500)
    bench.requests, bench.busy_ns, bench.counts = 0, 0, [0] * latency.BUCKETS
    bench.second(20)
    found = bench.activities.of("ei-1")
    assert found is not None
    assert found.calls_per_s >= 0
    assert found.busy_cores >= 0
    assert 0 < found.p50_ms < 2


def test_leases_of_an_instance_that_moves_add_up_and_go_when_they_are_gone() -> None:
    bench, other = Bench(), LeaseKey("h2", "ei-1", 8)
    bench.work(0)
    bench.activities.counted(other, Counted())
    bench.now += 1.0
    bench.activities.counted(LEASE, Counted(10))
    bench.activities.counted(other, Counted(30))
    found = bench.activities.of("ei-1")
    assert found is not None
    assert found.calls_per_s == pytest.approx(40)
    bench.activities.keep({other})
    found = bench.activities.of("ei-1")
    assert found is not None
    assert found.calls_per_s == pytest.approx(30)
    bench.activities.keep(set())
    assert bench.activities.of("ei-1") is None


def test_processes_of_a_front_end_add_up_until_they_are_gone_or_say_no_more() -> None:
    bench = Bench()
    bench.activities.said("one", "ei-1", FrontEndWord(3, 0.2, 8))
    bench.activities.said("two", "ei-1", FrontEndWord(4, 0.5, 2))
    bench.activities.said("two", "ei-2", FrontEndWord(1, 0.5))
    found = bench.activities.of("ei-1")
    assert found is not None
    assert (found.waiting_calls, found.frontend_cpu) == (7, 0.5)
    assert found.frontend_busy_cores == 1.6
    bench.activities.silent("two")
    found = bench.activities.of("ei-1")
    assert found is not None
    assert (found.waiting_calls, found.frontend_cpu) == (3, 0.2)
    assert bench.activities.of("ei-2") is None
    bench.now += WINDOW_S
    assert bench.activities.of("ei-1") is None


def test_old_words_are_forgotten_though_who_said_them_is_still_there() -> None:
    class Process:
        """Whose words they are."""

    bench, process = Bench(), Process()
    known = weakref.ref(process)
    bench.activities.said(process, "ei-1", FrontEndWord(3, 0.2, 8))
    del process
    bench.activities.keep(set())
    assert known() is not None
    bench.now += WINDOW_S
    bench.activities.keep(set())
    assert known() is None
