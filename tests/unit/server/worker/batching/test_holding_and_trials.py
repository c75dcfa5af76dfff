"""Whom holding and trials keep waiting on the run threads, and whom they mustn't."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from eais.errors import make_error
from eais_server.testing.runtime import FakeSession
from eais_server.worker.batching.kinds import CallKind
from eais_server.worker.batching.policy import RETRY_S
from tests.unit.server.worker.batching.test_runs_together import (
    Bench,
    _round,
    bench,
    double,
    live,
    shares,
    until,
)

S = 1_000_000_000


class Timed:
    """A bench, and the clock of its runner."""

    def __init__(self, made: Bench, now: list[int]) -> None:
        self.bench = made
        self.now = now

    @property
    def kind(self) -> CallKind:
        """Of all of its calls."""
        found = self.bench.runner.batches.kind(self.bench.job(1.0).job.run)
        assert found is not None
        return found

    def trial_s(self, cost_s: float) -> None:
        """Have a trial of two calls begin that takes until the fake is released."""
        b = self.bench
        jobs = [b.job(1.0).job, b.job(2.0).job]
        b.runner.batches.size(self.kind, 2, lambda: jobs, jobs[0].prepare, cost_s)
        b.fake.block()
        b.runner.try_soon()


@asynccontextmanager
async def timed(**options: Any) -> AsyncIterator[Timed]:
    now = [0]
    async with bench(clock=lambda: now[0], **options) as made:
        yield Timed(made, now)


@asynccontextmanager
async def holding() -> AsyncIterator[Timed]:
    """A bench whose calls wait half a minute for three others."""
    async with timed(slo_s=1000.0) as t:
        t.bench.learn(4)
        for _ in range(50):
            t.now[0] += 10 * S
            t.bench.runner.batches.policy.came(t.kind, t.now[0] / 1e9)
        t.now[0] += 10 * S
        yield t


def test_a_call_whose_deadline_is_near_is_not_held() -> None:
    async def test() -> None:
        async with holding() as t:
            (tight,) = t.bench.submit(1.0, ends_ns=t.now[0] + S)
            assert await tight.ran_with() == 1

    live(test)


def test_a_call_that_has_time_is_held() -> None:
    async def test() -> None:
        async with holding() as t:
            (loose,) = t.bench.submit(1.0, ends_ns=t.now[0] + 1000 * S)
            assert not loose.job.running
            assert t.bench.runner.waiting_jobs == 1

    live(test)


def test_a_call_whose_deadline_is_near_has_those_start_that_are_held() -> None:
    async def test() -> None:
        async with holding() as t:
            (loose,) = t.bench.submit(1.0)
            assert not loose.job.running
            # Alone it would wait for a moment only, for the last of four.
            t.now[0] += 10 * S
            tight = t.bench.submit(2.0, ends_ns=t.now[0] + 50 * S)
            assert await shares([loose, *tight]) == [1, 1]

    live(test)


def test_no_trial_is_made_of_calls_that_take_too_long() -> None:
    async def test() -> None:
        async with timed() as t:
            await t.bench.busy()
            calls = t.bench.submit(1.0, 2.0, cost_s=1.5)
            t.bench.fake.release()
            assert await shares(calls) == [1, 1]
            await until(lambda: t.bench.runner.in_flight == 0)
            assert t.bench.fake.runs == 3
            # Nor did one begin.
            assert t.bench.runner.batches.policy.to_try(t.kind, 2, 0) == 2

    live(test)


def test_the_run_of_a_trial_that_goes_on_counts_for_who_comes() -> None:
    async def test() -> None:
        async with timed() as t:
            t.trial_s(cost_s=1000.0)
            assert t.bench.runner.wait_s("a", "a", 0.1) > 1000

    live(test)


def test_the_steps_of_a_trial_between_calls_count_for_who_comes() -> None:
    async def test() -> None:
        async with timed() as t:
            b = t.bench
            t.trial_s(cost_s=0.125)
            b.submit(1.0, cost_s=0.25)
            assert b.runner.wait_s("a", "a", 0.1) >= 0.25 + 0.125
            b.submit(2.0, 3.0, cost_s=0.25)
            # Two of its runs are left, however many calls wait; the one that goes on, at most.
            assert 0.75 + 0.25 <= b.runner.wait_s("a", "a", 0.1) <= 0.75 + 0.25 + 0.25

    live(test)


def test_one_calls_error_in_a_trial_is_no_word_on_the_others() -> None:
    def picky(feed: Any) -> list[Any]:
        if (feed["x"] < 0).any():
            raise make_error("INPUT_REJECTED", "an index out of bounds")
        return double(feed)

    async def test() -> None:
        async with timed() as t:
            b = t.bench
            b.fake = FakeSession(picky)
            await b.busy()
            calls = b.submit(1.0, -2.0)
            b.fake.release()
            for each in calls:
                await each.answer()
            await until(lambda: b.runner.batches.trial is None)
            t.now[0] += 2 * S
            assert await _round(b, 2) == [1, 1]
            await until(lambda: b.runner.batches.trial is None)
            assert await _round(b, 2) == [2, 2]

    live(test)


def test_a_trial_that_had_to_be_ended_is_put_off_for_long() -> None:
    async def test() -> None:
        async with timed() as t:
            b = t.bench
            t.trial_s(cost_s=0.0)
            await asyncio.to_thread(b.fake.entered.acquire)
            trial = b.runner.batches.trial
            assert trial is not None
            trial.prepared.terminate()
            await until(lambda: b.runner.batches.trial is None)
            policy = b.runner.batches.policy
            assert policy.to_try(t.kind, 2, RETRY_S - 1) == 0
            assert policy.to_try(t.kind, 2, RETRY_S) == 2

    live(test)


def test_a_check_that_fails_has_the_size_tried_again() -> None:
    pairs: list[int] = []

    def once(feed: Any) -> list[Any]:
        pairs.append(len(feed["x"]))
        if pairs.count(2) == 9 and len(feed["x"]) == 2:
            raise make_error("RUN_MEMORY", "no memory")
        return double(feed)

    async def test() -> None:
        async with timed() as t:
            b = t.bench
            b.fake = FakeSession(once)
            b.learn(2)
            for _ in range(8):
                assert await _round(b, 2) == [2, 2]
            # After eight batches what they give is compared again.
            await until(lambda: b.runner.batches.trial is None)
            assert await _round(b, 2) == [1, 1]
            t.now[0] += 2 * S
            assert await _round(b, 2) == [1, 1]
            await until(lambda: b.runner.batches.trial is None)
            assert await _round(b, 2) == [2, 2]

    live(test)
