"""The canary on a real event loop, real run threads and the real runtime."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest

from eais.device_type import DeviceKind
from eais.errors import EaisError, make_error
from eais.transport.parts import RunPart
from eais_server.devices.cpu import CpuDriver
from eais_server.devices.driver import Reservation, RuntimeSession
from eais_server.devices.sim import SimDriver
from eais_server.in_flight import PAGE_BYTES, Marks, read
from eais_server.testing.runtime import FakeSession
from eais_server.worker.canary import EVERY_S, MODEL, Canary, open_canary
from eais_server.worker.counters import Counters
from eais_server.worker.job import Job
from eais_server.worker.runner import Runner

ONE_CORE = Reservation("cpu0", 1000, 1)
SECOND = 1_000_000_000


class Bench:
    """A runner of one thread, a clock of the test's, and a canary."""

    def __init__(self, session: RuntimeSession, waiting_limit: int = 4) -> None:
        self.now_ns = 100 * SECOND
        self.counters = Counters()
        self.page = bytearray(PAGE_BYTES)
        self.ended = asyncio.Event()
        self.runner = Runner(
            1,
            waiting_limit,
            queue_limit_s=60.0,
            may_run=lambda stream: True,
            stuck=lambda session: None,
            idle=self.ended.set,
            marks=Marks(self.page),
        )
        self.canary = Canary(session, self.runner, self.counters, lambda: self.now_ns)

    def occupy(self, session: str = "s") -> threading.Event:
        """Have a call run until the event that this returns is set."""
        release = threading.Event()
        self.runner.submit(job(release, session))
        return release


class Released:
    """A run that goes on until the event is set."""

    terminated = False

    def __init__(self, release: threading.Event) -> None:
        self._release = release

    def execute(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        self._release.wait(20)
        return []

    def terminate(self) -> None:
        """It isn't."""


def job(release: threading.Event, session: str) -> Job:
    def nothing(*_: object) -> None:
        """Nobody asks."""

    return Job(
        "stream",
        "frontend",
        session,
        0.1,
        RunPart(session=session),
        lambda: Released(release),
        finished=nothing,
        displaced=nothing,
        refuse=nothing,
    )


def live(test: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(run())


def test_the_model_is_what_is_said_of_it() -> None:
    graph = onnx.load(MODEL).graph
    assert [node.op_type for node in graph.node] == ["Mul", "Add"]
    weights = [onnx.numpy_helper.to_array(tensor).tolist() for tensor in graph.initializer]
    assert weights == [[2.0, 3.0], [1.0, 1.0]]


def test_it_is_answered_by_the_real_runtime_and_the_listener_hears_of_no_session() -> None:
    async def test() -> None:
        bench = Bench(open_canary(CpuDriver(), ONE_CORE))
        assert bench.counters.canary_age_ms(bench.now_ns) == 0
        await bench.canary.once()
        assert bench.counters.answered_ns == bench.now_ns
        assert bench.counters.canary_age_ms(bench.now_ns + 3 * SECOND) == 3000
        found = read(bench.page)
        assert (found.running, found.finished) == ((), {})
        assert bench.counters.requests == 0

    live(test)


def test_it_is_loaded_onto_the_share_as_it_was_reserved() -> None:
    share = SimDriver({DeviceKind.GPU: 1}).reserve("sim-gpu0", 125)
    # Its driver in the worker knows the device by the words alone.
    (spec,) = open_canary(SimDriver(), share).signature.inputs
    assert spec.name == "x"


def test_calls_that_are_answered_stand_in_for_it() -> None:
    async def test() -> None:
        fake = FakeSession(lambda feed: [np.array([41, 91], np.float32)])
        bench = Bench(fake)
        bench.counters.answered(bench.now_ns)
        await bench.canary.once()
        assert fake.runs == 0
        bench.now_ns += round(EVERY_S * SECOND)
        await bench.canary.once()
        assert fake.runs == 1

    live(test)


@pytest.mark.parametrize("fault", ["wrong", "raised"])
def test_a_wrong_answer_is_none_and_is_said_once(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        fake = FakeSession(lambda feed: [feed["x"]])
        bench = Bench(fake)
        for _ in range(2):
            if fault == "raised":
                fake.fail_next(make_error("RUN_FAILED", "no"))
            await bench.canary.once()
        assert fake.runs == 2
        assert bench.counters.canary_age_ms(bench.now_ns) == 0
        assert caplog.text.count("this worker doesn't compute") == 1

    live(test)


def test_a_known_answer_that_is_wrong_is_the_failure_of_a_watched_device() -> None:
    async def test() -> None:
        fake = FakeSession(lambda feed: [feed["x"]])
        bench, told = Bench(fake), list[EaisError]()
        watched = Canary(fake, bench.runner, bench.counters, lambda: bench.now_ns, told.append)
        fake.fail_next(make_error("RUN_MEMORY", "others have it all"))
        await watched.once()
        assert not told
        await watched.once()
        (error,) = told
        assert error.reason == "DEVICE_LOST"
        assert error.message == "the known answer is [41.0, 91.0], not [[20.0, 30.0]]"

    live(test)


def test_calls_that_are_answered_prove_nothing_on_a_watched_device() -> None:
    async def test() -> None:
        fake = FakeSession(lambda feed: [np.array([41, 91], np.float32)])
        bench, told = Bench(fake), list[EaisError]()
        watched = Canary(fake, bench.runner, bench.counters, lambda: bench.now_ns, told.append)
        bench.counters.answered(bench.now_ns)
        await watched.once()
        assert (fake.runs, told) == (1, [])

    live(test)


def test_whoever_asks_while_it_waits_waits_for_the_same_answer() -> None:
    async def test() -> None:
        fake = FakeSession(lambda feed: [np.array([41, 91], np.float32)])
        bench = Bench(fake)
        release = bench.occupy()
        asked = [asyncio.ensure_future(bench.canary.once()) for _ in range(3)]
        await asyncio.sleep(0)
        assert bench.runner.in_flight == 2
        asked[0].cancel()
        release.set()
        await asyncio.gather(*asked[1:])
        assert fake.runs == 1

    live(test)


def test_it_waits_behind_what_runs_and_takes_nobodys_place() -> None:
    async def test() -> None:
        fake = FakeSession(lambda feed: [np.array([41, 91], np.float32)])
        bench = Bench(fake, waiting_limit=1)
        release = bench.occupy()
        singing = asyncio.ensure_future(bench.canary.once())
        await asyncio.sleep(0)
        assert (fake.runs, bench.runner.in_flight) == (0, 2)
        # The queue is full: another one isn't run, and is no reason to wait.
        await Canary(fake, bench.runner, bench.counters, lambda: bench.now_ns).once()
        release.set()
        await singing
        assert fake.runs == 1

    live(test)


def test_it_does_not_run_beside_a_suspect() -> None:
    async def test() -> None:
        fake = FakeSession(lambda feed: [np.array([41, 91], np.float32)])
        bench = Bench(fake)
        bench.runner.suspect({"s": 0.0})
        release = bench.occupy("s")
        singing = asyncio.ensure_future(bench.canary.once())
        await asyncio.sleep(0)
        assert read(bench.page).running == ("s",)
        assert fake.runs == 0
        release.set()
        await singing
        assert fake.runs == 1

    live(test)
