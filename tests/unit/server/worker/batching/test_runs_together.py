"""Calls that wait for the runner and run as one: who is joined, who is answered what."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from eais.errors import EaisError, make_error
from eais.transport.parts import AnswerPart
from eais.transport.reading import ToClientReader
from eais.transport.tensors import value_of
from eais.transport.writing import to_client
from eais_server.devices.driver import RunSettings
from eais_server.in_flight import PAGE_BYTES, Marks, read
from eais_server.testing.runtime import FakeSession
from eais_server.worker.batching.batches import Batchable
from eais_server.worker.batching.policy import Policy
from eais_server.worker.execution import Result
from eais_server.worker.job import Job
from eais_server.worker.runner import Runner
from tests.unit.server.worker.batching.test_joining import X, call

TIMEOUT_S = 20.0


def double(feed: Any) -> list[Any]:
    return [feed["x"] * np.float32(2)]


class Bench:
    """A runner of one thread, and a session whose rows are alone."""

    def __init__(self, **options: Any) -> None:
        self.fake = FakeSession(double)
        self.sizes: list[int] = []
        self.stuck: list[str] = []
        self.full: set[Hashable] = set()
        self.page = bytearray(PAGE_BYTES)
        given: dict[str, Any] = {"grace_s": 100.0} | options
        self.runner = Runner(
            1,
            waiting_limit=1000,
            queue_limit_s=100.0,
            may_run=lambda stream: stream not in self.full,
            stuck=self.stuck.append,
            idle=lambda: None,
            marks=Marks(self.page),
            **given,
        )
        self.runner.batches.opened("s", Batchable(X))

    def job(self, x: float, stream: Hashable = "a", **fields: Any) -> Answered:
        return Answered(self, x, stream, **fields)

    def submit(self, *values: float, stream: Hashable = "a", **fields: Any) -> list[Answered]:
        made = [self.job(x, stream, **fields) for x in values]
        for each in made:
            assert self.runner.submit(each.job)
        return made

    async def busy(self) -> Answered:
        """Have the one thread run a call that lasts until the fake is released."""
        self.fake.block()
        (made,) = self.submit(100.0)
        await asyncio.to_thread(self.fake.entered.acquire)
        return made

    def learn(self, *sizes: int, policy: Policy | None = None) -> None:
        """These sizes were tried, and pay whatever they take."""
        kind = self.runner.batches.kind(self.job(1.0).job.run)
        assert kind is not None
        for size in sizes:
            (policy or self.runner.batches.policy).tried(
                kind, size, same=True, alone_s=1e3, together_s=1e-9, now_s=0
            )


class Answered:
    """A call, and its answer once it came."""

    def __init__(self, bench: Bench, x: float, stream: Hashable, **fields: Any) -> None:
        array = fields.pop("array", np.full((1, 4), x, np.float32))
        run, buffers = call(defer=fields.pop("defer", False), x=array)
        self.result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.array = array
        options: dict[str, Any] = {
            "stream": stream,
            "frontend": stream,
            "session": "s",
            "cost_s": 0.0,
            "run": run._replace(call_id=abs(int(x))),
            "prepare": lambda: bench.fake.prepare(RunSettings()),
            "finished": self.result.set_result,
            "displaced": lambda: None,
            "refuse": lambda error: None,
            "buffers": buffers,
        }
        self.job = Job(**(options | fields))

    async def answer(self) -> AnswerPart:
        async with asyncio.timeout(TIMEOUT_S):
            result = await self.result
        message = b"".join(to_client([result.answer]))
        (answer,) = ToClientReader().read(message).answers
        return answer

    async def ran_with(self) -> int:
        """How many calls its run was shared by; its outputs are right."""
        answer = await self.answer()
        assert answer.call_id == self.job.run.call_id
        (output,) = answer.outputs
        assert np.array_equal(value_of(output), self.array * 2)
        return answer.batch_size


@asynccontextmanager
async def bench(**options: Any) -> AsyncIterator[Bench]:
    made = Bench(**options)
    try:
        yield made
    finally:
        made.fake.release()
        made.runner.close()


def live(test: Callable[[], Any]) -> None:
    asyncio.run(test())


async def shares(calls: list[Answered]) -> list[int]:
    return [await each.ran_with() for each in calls]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not true():  # noqa: ASYNC110 - of what has no event
            await asyncio.sleep(0.001)


def test_calls_that_wait_run_as_one_across_streams() -> None:
    async def test() -> None:
        async with bench() as b:
            b.learn(2, 4)
            first = await b.busy()
            calls = [*b.submit(1.0, 2.0), *b.submit(3.0, stream="b"), *b.submit(4.0, stream="c")]
            b.fake.release()
            assert await first.ran_with() == 1
            assert await shares(calls) == [4, 4, 4, 4]
            assert b.fake.runs == 2

    live(test)


def test_a_call_alone_is_not_even_looked_at() -> None:
    async def test() -> None:
        async with bench() as b:
            (only,) = b.submit(1.0)
            assert await only.ran_with() == 1
            assert not only.job.kind_known

    live(test)


def test_the_rest_runs_in_smaller_batches() -> None:
    async def test() -> None:
        async with bench() as b:
            b.learn(2, 4)
            await b.busy()
            calls = b.submit(*map(float, range(1, 8)))
            b.fake.release()
            assert await shares(calls) == [4, 4, 4, 4, 2, 2, 1]

    live(test)


def test_only_calls_of_a_kind_are_joined() -> None:
    async def test() -> None:
        async with bench() as b:
            b.learn(2, 4)
            await b.busy()
            wide = np.ones((1, 5), np.float32)
            (other,) = b.submit(5.0, array=wide)
            calls = b.submit(1.0, 2.0)
            b.fake.release()
            assert await other.ran_with() == 1
            assert await shares(calls) == [2, 2]

    live(test)


def test_a_stream_without_room_is_not_joined() -> None:
    async def test() -> None:
        async with bench() as b:
            b.learn(2, 4)
            await b.busy()
            b.full.add("b")
            calls = b.submit(1.0, 2.0)
            (other,) = b.submit(3.0, stream="b")
            b.fake.release()
            assert await shares(calls) == [2, 2]
            b.full.clear()
            b.runner.room_made()
            assert await other.ran_with() == 1

    live(test)


def test_tensors_that_came_in_pieces_are_joined_too() -> None:
    async def test() -> None:
        async with bench() as b:
            b.learn(2)
            await b.busy()
            calls = [*b.submit(1.0), *b.submit(2.0, defer=True)]
            b.fake.release()
            assert await shares(calls) == [2, 2]

    live(test)


def test_sessions_that_may_not_run_alone() -> None:
    async def test() -> None:
        async with bench() as b:
            b.learn(2)
            b.runner.batches.closed("s")
            await b.busy()
            calls = b.submit(1.0, 2.0)
            b.fake.release()
            assert await shares(calls) == [1, 1]

    live(test)


def test_suspects_run_alone() -> None:
    async def test() -> None:
        async with bench() as b:
            b.learn(2)
            first = await b.busy()
            b.runner.suspect({"s": 0.0})
            calls = b.submit(1.0, 2.0)
            b.fake.release()
            await first.ran_with()
            assert (await shares(calls))[0] == 1

    live(test)


def test_one_calls_error_is_not_the_others() -> None:
    def picky(feed: Any) -> list[Any]:
        if (feed["x"] < 0).any():
            raise make_error("INPUT_REJECTED", "below zero")
        return double(feed)

    async def test() -> None:
        async with bench() as b:
            b.fake = FakeSession(picky)
            b.learn(2, 4)
            await b.busy()
            good, bad = b.submit(1.0, 2.0, 3.0), b.submit(-4.0)
            b.fake.release()
            assert await shares(good) == [1, 1, 1]
            answer = await bad[0].answer()
            assert answer.error is not None
            assert answer.error.reason == "INPUT_REJECTED"
            # For a while each runs alone.
            await b.busy()
            calls = b.submit(1.0, 2.0)
            b.fake.release()
            assert await shares(calls) == [1, 1]

    live(test)


def test_a_batch_goes_on_for_those_who_wait_and_ends_with_the_last() -> None:
    async def test() -> None:
        async with bench() as b:
            b.learn(2)
            await b.busy()
            calls = b.submit(1.0, 2.0)
            b.fake.release()
            b.fake.block()
            await asyncio.to_thread(b.fake.entered.acquire)
            batch = calls[0].job.batch
            assert batch is not None
            b.runner.stop(calls[0].job)
            ended = [batch.prepared.terminated]
            b.runner.stop(calls[1].job)
            assert [*ended, batch.prepared.terminated] == [False, True]
            await until(lambda: b.runner.in_flight == 0)
            assert [each.result.result().reason for each in calls] == ["RUN_FAILED"] * 2
            (after,) = b.submit(3.0)
            b.fake.release()
            assert await after.ran_with() == 1

    live(test)


def test_a_batch_that_nobody_waits_for_and_that_does_not_end_is_reported() -> None:
    async def test() -> None:
        async with bench(grace_s=0.01) as b:
            b.learn(2)
            await b.busy()
            calls = b.submit(1.0, 2.0)
            b.fake.release()
            b.fake.deaf = True
            b.fake.block()
            await asyncio.to_thread(b.fake.entered.acquire)
            for each in calls:
                b.runner.stop(each.job)
            await until(lambda: b.stuck == ["s"])

    live(test)


def test_the_account_says_what_all_of_it_took_and_the_counters_a_share() -> None:
    async def test() -> None:
        async with bench() as b:
            b.learn(2)
            await b.busy()
            calls = b.submit(1.0, 2.0)
            b.fake.release()
            answers = [await each.answer() for each in calls]
            results = [each.result.result() for each in calls]
            for answer, result in zip(answers, results, strict=True):
                assert answer.compute_ns >= 2 * result.compute_ns > 0
                assert answer.batch_size == 2
                assert answer.input_bytes == calls[0].job.run.size

    live(test)


def test_calls_whose_time_is_up_are_not_joined() -> None:
    async def test() -> None:
        async with bench() as b:
            b.learn(2)
            await b.busy()
            late, good = b.submit(1.0, ends_ns=1)[0], b.submit(2.0)[0]
            b.fake.release()
            assert await good.ran_with() == 1
            answer = await late.answer()
            assert answer.error is not None
            assert answer.error.reason == "DEADLINE_EXCEEDED"

    live(test)


def test_a_call_whose_time_is_up_keeps_the_others_from_nothing() -> None:
    seen: list[list[float]] = []

    def answer(feed: Any) -> list[Any]:
        seen.append(feed["x"][:, 0].tolist())
        return double(feed)

    async def test() -> None:
        async with bench() as b:
            b.fake = FakeSession(answer)
            b.learn(4)
            await b.busy()
            calls, late = b.submit(1.0, 2.0, 3.0), b.submit(4.0, ends_ns=1)[0]
            b.fake.release()
            assert await shares(calls) == [4, 4, 4]
            assert seen[1] == [1, 2, 3, 1]
            told = await late.answer()
            assert told.error is not None
            assert told.error.reason == "DEADLINE_EXCEEDED"
            results = [each.result.result() for each in (*calls, late)]
            assert len({result.compute_ns for result in results}) == 1

    live(test)


async def _round(b: Bench, count: int) -> list[int]:
    """So many calls wait at once; how many ran with each."""
    await b.busy()
    calls = b.submit(*(float(n + 1) for n in range(count)))
    b.fake.release()
    return await shares(calls)


def test_sizes_are_learnt_from_calls_that_wait() -> None:
    """By trials in the background: what is answered is right from the first on."""

    async def test() -> None:
        async with bench() as b:
            seen: list[int] = []
            async with asyncio.timeout(TIMEOUT_S):
                while 8 not in seen:
                    seen = await _round(b, 8)
                    await until(lambda: b.runner.batches.trial is None)

    live(test)


def test_what_differs_to_the_bit_is_never_joined() -> None:
    def differs(feed: Any) -> list[Any]:
        return [feed["x"] * np.float32(2) + np.float32(1e-3 * (len(feed["x"]) - 1))]

    async def test() -> None:
        async with bench() as b:
            b.fake = FakeSession(differs)
            for _ in range(12):
                assert await _round(b, 8) == [1] * 8
                await until(lambda: b.runner.batches.trial is None)

    live(test)


def test_a_size_is_no_longer_used_once_a_check_finds_other_bits() -> None:
    changed = threading.Event()

    def drifts(feed: Any) -> list[Any]:
        more = np.float32(1) if changed.is_set() and len(feed["x"]) > 1 else np.float32(0)
        return [feed["x"] * np.float32(2) + more]

    async def test() -> None:
        async with bench() as b:
            b.fake = FakeSession(drifts)
            b.learn(2)
            for _ in range(6):
                assert await _round(b, 2) == [2, 2]
            changed.set()
            async with asyncio.timeout(TIMEOUT_S):
                while True:
                    await b.busy()
                    calls = b.submit(1.0, 2.0)
                    b.fake.release()
                    answers = [await each.answer() for each in calls]
                    await until(lambda: b.runner.batches.trial is None)
                    if answers[0].batch_size == 1:
                        break

    live(test)


def test_a_batch_and_a_trial_are_each_a_run_to_those_who_look_for_damage() -> None:
    async def test() -> None:
        async with bench() as b:
            b.learn(2)
            first = await b.busy()
            calls = b.submit(1.0, 2.0)
            b.fake.release()
            b.fake.block()
            await asyncio.to_thread(b.fake.entered.acquire)
            assert await first.ran_with() == 1
            assert read(b.page).running == ("s",)
            b.fake.release()
            await shares(calls)
            assert read(b.page).running == ()

    live(test)


@pytest.mark.parametrize("error", [make_error("RUN_MEMORY", "no"), MemoryError()])
def test_a_batch_that_has_no_memory_runs_apart(error: EaisError | MemoryError) -> None:
    async def test() -> None:
        async with bench() as b:
            b.learn(2)
            await b.busy()
            calls = b.submit(1.0, 2.0)
            b.fake.release()
            b.fake.block()
            await asyncio.to_thread(b.fake.entered.acquire)
            b.fake.fail_next(error)
            b.fake.release()
            assert await shares(calls) == [1, 1]

    live(test)


def test_with_a_target_a_call_waits_for_others_that_are_sure_to_come() -> None:
    async def test() -> None:
        async with bench(slo_s=1000.0) as b:
            b.learn(2, 4)
            kind = b.runner.batches.kind(b.job(1.0).job.run)
            assert kind is not None
            for _ in range(50):
                b.runner.batches.policy.came(kind, b.runner.batches._now_s)
            calls = b.submit(1.0, 2.0)
            assert await shares(calls) == [2, 2]

    live(test)


def test_without_a_target_nobody_waits() -> None:
    async def test() -> None:
        async with bench() as b:
            b.learn(2, 4)
            calls = b.submit(1.0, 2.0)
            assert await shares(calls) == [1, 1]

    live(test)
