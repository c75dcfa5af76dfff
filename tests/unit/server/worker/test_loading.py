"""Tests the loads of a worker: the reference at once, what else there is beside it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from eais.errors import EaisError
from eais.rpc.v1 import listener_pb2, supervision_pb2
from eais.telemetry.metrics import Tally
from eais.tolerance import Precision, Tolerance
from eais_server.devices.cpu import CpuDriver
from eais_server.devices.driver import (
    PLAIN_RUN,
    REFERENCE,
    DeviceDriver,
    Reservation,
    Runtime,
    RuntimeSession,
)
from eais_server.in_flight import PAGE_BYTES, Marks, read
from eais_server.worker.adoption import Adoption
from eais_server.worker.choosing_runtime import Choice, Option
from eais_server.worker.loading import Loader
from tests.unit.server.runtime import models

HALF = Runtime("half", Precision.BF16)


@dataclass
class FakePlane:
    """Notes what it was told."""

    told: list[str] = field(default_factory=list)

    def forget(self, session: str) -> None:
        self.told.append(f"forget {session}")

    def batch(self, session: str, how: Any) -> None:
        self.told.append(f"batch {session}")


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


@dataclass
class Timed:
    """Another session, whose runs take so long by the clock."""

    real: RuntimeSession
    took: float
    off: float = 0.0
    terminated: bool = False

    @property
    def signature(self) -> Any:
        return self.real.signature

    def prepare(self, settings: Any) -> Timed:
        return self

    def execute(self, outputs: Any, feed: Any) -> list[Any]:
        CLOCK.now += self.took
        found = self.real.prepare(PLAIN_RUN).execute(outputs, feed)
        return [value + np.float32(self.off) for value in found]

    def terminate(self) -> None:
        return None


@dataclass
class FakeDriver:
    """Opens what it is told to, after `before`."""

    make: Callable[..., Any]
    before: Callable[[], None] = lambda: None
    opened: int = 0

    def open(self, share: Any, model: Any, settings: Any, runtime: Runtime = HALF) -> Any:
        self.opened += 1
        self.before()
        return self.make(share, model, settings)


@dataclass
class FakeAdoption:
    """Of an adoption, what loads look at."""

    options: tuple[Option, ...]
    tolerance: Tolerance = Tolerance.BF16
    share: Reservation = field(default_factory=lambda: Reservation("cpu0", 1000, 1))
    plane: FakePlane = field(default_factory=FakePlane)
    sessions: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, Choice] = field(default_factory=dict)
    refused: Tally = field(default_factory=Tally)
    turn: None = None

    @property
    def has_reference(self) -> bool:
        return any(option.runtime == REFERENCE for option in self.options)


def plain(share: Any, model: Any, settings: Any) -> Timed:
    return Timed(CpuDriver().open(share, model, settings), 0.01)


def quick(share: Any, model: Any, settings: Any) -> Timed:
    return Timed(CpuDriver().open(share, model, settings), 0.001)


def wrong(share: Any, model: Any, settings: Any) -> Timed:
    return Timed(CpuDriver().open(share, model, settings), 0.001, off=3.0)


def option(driver: FakeDriver, runtime: Runtime = HALF) -> Option:
    return Option(cast("DeviceDriver", driver), runtime)


CPU = option(FakeDriver(plain), REFERENCE)


@dataclass
class Bench:
    """A loader, its page, and one load that it may be asked for."""

    directory: Path
    page: bytearray = field(default_factory=lambda: bytearray(PAGE_BYTES))

    def load(self, name: str = "s", **more: Any) -> supervision_pb2.Load:
        data = models.dataset("mul_1")
        (self.directory / name).mkdir()
        (self.directory / name / "model.onnx").write_bytes(data)
        digest = hashlib.sha256(data).digest()
        spec = listener_pb2.SessionSpec(
            files=[listener_pb2.ModelFile(size=len(data), sha256=digest)]
        )
        return supervision_pb2.Load(session=name, spec=spec, folder=name, **more)

    async def loaded(
        self, loader: Loader, adoption: FakeAdoption, message: supervision_pb2.Load
    ) -> Any:
        """The session as it is opened, which serves from then on."""
        session, _ = await loader.open(cast("Adoption", adoption), message)
        adoption.sessions[message.session] = session
        return session

    @property
    def in_flight(self) -> str:
        return read(self.page).loading


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def run(bench: Bench, test: Callable[[Loader], Awaitable[None]]) -> None:
    async def work() -> None:
        await test(Loader(Marks(bench.page), bench.directory, CLOCK))

    asyncio.run(work())


async def improved(loader: Loader, adoption: FakeAdoption, message: supervision_pb2.Load) -> None:
    await loader.improve(cast("Adoption", adoption), message, None)


def test_what_is_being_tried_stands_in_the_page(bench: Bench) -> None:
    seen: list[str] = []
    driver = FakeDriver(wrong, lambda: seen.append(bench.in_flight))
    adoption = FakeAdoption((CPU, option(driver)))

    async def test(loader: Loader) -> None:
        message = bench.load()
        reference = await bench.loaded(loader, adoption, message)
        assert bench.in_flight == ""
        await improved(loader, adoption, message)
        assert adoption.sessions["s"] is reference

    run(bench, test)
    assert (seen, bench.in_flight) == (["s"], "")
    assert (adoption.refused.counts, adoption.plane.told) == ({("half/bf16",): 1}, [])
    ((unused, why),) = adoption.choices["s"].unused
    assert (adoption.choices["s"].runtime, unused) == (REFERENCE, HALF)
    assert why.startswith("output 'Y': off by")


def test_what_passes_and_is_faster_takes_over(bench: Bench) -> None:
    adoption = FakeAdoption((CPU, option(FakeDriver(quick))))

    async def test(loader: Loader) -> None:
        message = bench.load()
        await bench.loaded(loader, adoption, message)
        await improved(loader, adoption, message)

    run(bench, test)
    assert adoption.sessions["s"].took == 0.001
    assert adoption.choices == {"s": Choice(HALF)}
    # What was known of the old one's runs is known no more.
    assert adoption.plane.told == ["forget s", "batch s"]


def test_what_is_told_to_keep_to_the_reference_tries_nothing(bench: Bench) -> None:
    driver = FakeDriver(quick)

    async def test(loader: Loader) -> None:
        for tolerance, only in ((Tolerance.BF16, True), (Tolerance.EXACT, False)):
            adoption = FakeAdoption((CPU, option(driver)), tolerance)
            message = bench.load(str(tolerance), reference_only=only)
            await bench.loaded(loader, adoption, message)
            await improved(loader, adoption, message)

    run(bench, test)
    assert driver.opened == 0


def test_what_is_unloaded_meanwhile_stays_so(bench: Bench) -> None:
    adoption = FakeAdoption(())
    driver = FakeDriver(quick, lambda: adoption.sessions.clear())
    adoption.options = (CPU, option(driver), option(driver, Runtime("other")))

    async def test(loader: Loader) -> None:
        message = bench.load()
        await bench.loaded(loader, adoption, message)
        await improved(loader, adoption, message)

    run(bench, test)
    assert (adoption.sessions, adoption.plane.told, driver.opened) == ({}, [], 1)


def test_a_load_waits_for_one_trial_at_most(bench: Bench) -> None:
    began = asyncio.Event()
    tried: list[str] = []

    async def test(loader: Loader) -> None:
        loop = asyncio.get_running_loop()

        def begin() -> None:
            tried.append("trial")
            loop.call_soon_threadsafe(began.set)
            if len(tried) == 1:
                # The other load is there before this trial ends.
                asked = asyncio.run_coroutine_threadsafe(waits.wait(), loop)
                asked.result(10)

        waits = asyncio.Event()
        driver = FakeDriver(wrong, begin)
        adoption = FakeAdoption((CPU, option(driver), option(driver, Runtime("other"))))
        first = bench.load("first")
        await bench.loaded(loader, adoption, first)
        trials = asyncio.create_task(improved(loader, adoption, first))
        await began.wait()
        second = asyncio.create_task(bench.loaded(loader, adoption, bench.load("second")))
        await asyncio.sleep(0)
        waits.set()
        await second
        tried.append("loaded")
        await trials

    run(bench, test)
    assert tried == ["trial", "loaded", "trial"]


def test_a_device_without_the_reference_serves_what_passed(bench: Bench) -> None:
    adoption = FakeAdoption((option(FakeDriver(quick)),))

    async def test(loader: Loader) -> None:
        message = bench.load()
        await bench.loaded(loader, adoption, message)
        await improved(loader, adoption, message)

    run(bench, test)
    assert adoption.sessions["s"].took == 0.001
    assert adoption.choices == {"s": Choice(HALF)}


def test_a_device_without_the_reference_that_is_wrong_serves_nothing(bench: Bench) -> None:
    adoption = FakeAdoption((option(FakeDriver(wrong)),))

    async def test(loader: Loader) -> None:
        with pytest.raises(EaisError) as caught:
            await bench.loaded(loader, adoption, bench.load())
        assert caught.value.reason == "PARITY_REFUSED"

    run(bench, test)
    assert adoption.sessions == {}
