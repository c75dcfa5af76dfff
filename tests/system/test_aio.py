"""Sessions for asyncio on a real pool: many tasks, workers that die, cancelled calls."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
import pytest

import eais
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_client.testing.conformance import light_model, own_models
from eais_client.testing.sameness import assert_same
from tests.system.stack import Stack, eventually, op

MUL = own_models()["mul_1"]
ONES = np.ones((3, 2), np.float32)


@pytest.fixture
def attached(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    monkeypatch.setenv("EAIS_INSTANCE", made.id)
    yield made.id
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


@pytest.mark.usefixtures("attached")
def test_tasks_side_by_side_get_their_own_answers() -> None:
    here: Any = onnxruntime.InferenceSession(MUL)

    async def caller(session: eais.aio.InferenceSession, first: int) -> None:
        for number in range(first, first + 20):
            feed = {"X": ONES * number}
            assert_same(await session.run(None, feed), here.run(None, feed))
            account = session.last_call
            assert account is not None
            assert account.input_bytes > 0
            assert account.output_bytes > 0
            assert account.compute_s > 0.0

    async def work() -> None:
        async with eais.aio.InferenceSession(MUL) as session:
            await asyncio.gather(*(caller(session, 100 * task) for task in range(32)))
            stats = session.stats()
            assert stats.pool_calls == 640
            # One that is told BUSY, after a slow first run, is sent again.
            assert stats.totals.attempts >= 640
            assert stats.totals.wire_s > 0.0

    asyncio.run(work())


@pytest.mark.usefixtures("attached")
def test_one_session_serves_several_loops_and_a_blocking_caller() -> None:
    async def awaited(session: eais.aio.InferenceSession) -> list[Any]:
        return await session.run(None, {"X": ONES})

    session = eais.aio.InferenceSession(MUL)
    first = asyncio.run(awaited(session))
    assert_same(asyncio.run(awaited(session)), first)
    with eais.InferenceSession(MUL) as blocking:
        assert_same(blocking.run(None, {"X": ONES}), first)
        assert_same(asyncio.run(awaited(session)), first)
    asyncio.run(session.close())


@pytest.mark.usefixtures("attached")
@pytest.mark.parametrize("transport", ["h2", "grpcio"])
def test_loops_and_threads_share_a_stream_at_the_same_time(transport: str) -> None:
    here: Any = onnxruntime.InferenceSession(MUL)
    blocking = eais.InferenceSession(MUL, transport=transport)
    awaited = eais.aio.InferenceSession(MUL, transport=transport)

    async def task(first: int) -> None:
        for number in range(first, first + 25):
            feed = {"X": ONES * number}
            assert_same(await awaited.run(None, feed), here.run(None, feed))

    async def tasks(first: int) -> None:
        await asyncio.gather(*(task(first + 100 * n) for n in range(8)))

    def thread(first: int) -> None:
        for number in range(first, first + 100):
            feed = {"X": ONES * number}
            assert_same(blocking.run(None, feed), here.run(None, feed))

    with ThreadPoolExecutor(6) as pool:
        jobs: list[Future[None]] = [pool.submit(asyncio.run, tasks(10_000 * n)) for n in range(2)]
        jobs += [pool.submit(thread, 1_000_000 + 1000 * n) for n in range(4)]
        for job in jobs:
            job.result(120.0)
    assert (awaited.stats().pool_calls, blocking.stats().pool_calls) == (400, 400)
    asyncio.run(awaited.close())
    blocking.close()


def test_no_task_notices_that_a_worker_died(stack: Stack, attached: str) -> None:
    answered = asyncio.Semaphore(0)

    async def answers(count: int) -> None:
        """Until so many came from now on."""
        nonlocal answered
        answered = asyncio.Semaphore(0)
        for _ in range(count):
            await answered.acquire()

    async def caller(session: eais.aio.InferenceSession, stop: asyncio.Event) -> None:
        while not stop.is_set():
            (y,) = await session.run(None, {"X": ONES})
            assert y.shape == (3, 2)
            answered.release()

    async def work() -> None:
        async with eais.aio.InferenceSession(MUL) as session:
            stop = asyncio.Event()
            tasks = [asyncio.create_task(caller(session, stop)) for _ in range(8)]
            for _ in range(2):
                await answers(50)
                pid = eventually(lambda: stack.worker_pid(attached), "there is a worker")
                os.kill(pid, signal.SIGKILL)
                await answers(50)
            stop.set()
            await asyncio.gather(*tasks)

    asyncio.run(asyncio.wait_for(work(), 120.0))


@pytest.mark.usefixtures("attached")
def test_cancelled_calls_leave_the_others_alone() -> None:
    model = light_model("light_squeezenet")
    x = np.random.default_rng(1).random((1, 3, 224, 224)).astype(np.float32)

    async def work() -> None:
        async with eais.aio.InferenceSession(model) as session:
            (name,) = (arg.name for arg in session.get_inputs())
            expected = await session.run(None, {name: x})
            tasks = [asyncio.create_task(session.run(None, {name: x})) for _ in range(12)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            for task in tasks[1::2]:
                assert_same(await task, expected)
            assert all(task.cancelled() for task in tasks[::2])
            with eais.deadline(0.001):
                runs = (session.run(None, {name: x}) for _ in range(4))
                errors = await asyncio.gather(*runs, return_exceptions=True)
            # A worker that sees behind others that one would be late says BUSY at once.
            for error in errors:
                assert isinstance(error, eais.errors.EaisError)
                assert error.reason in ("DEADLINE_EXCEEDED", "BUSY")
            assert_same(await session.run(None, {name: x}), expected)

    asyncio.run(asyncio.wait_for(work(), 120.0))
