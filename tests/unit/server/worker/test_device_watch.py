"""Whether a device computes, found out beside calls; and checks of one in a process of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eais.device_type import DeviceKind
from eais.errors import EaisError, make_error
from eais.rpc.v1 import supervision_pb2
from eais_server.devices.sim import FAULTS_FILE, SimDriver
from eais_server.testing.runtime import FakeSession
from eais_server.worker.checking import check
from eais_server.worker.device_watch import DeviceWatch
from tests.unit.server.worker.test_canary import Bench, live

RIGHT = [np.array([41, 91], np.float32)]
LONG_S = 60.0


def test_a_device_that_is_busy_with_one_call_for_long_computes() -> None:
    async def test() -> None:
        ran, hung = asyncio.Event(), list[str]()
        loop = asyncio.get_running_loop()

        def answer(feed: Mapping[str, Any]) -> list[Any]:
            loop.call_soon_threadsafe(ran.set)
            return RIGHT

        bench = Bench(session := FakeSession(answer))
        release = bench.occupy()
        watch = DeviceWatch(
            bench.canary, session, lambda: hung.append("it hangs"), turn_s=0.0, beside_s=LONG_S
        )
        watching = asyncio.ensure_future(watch.run())
        await ran.wait()
        release.set()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert not hung

    live(test)


def test_a_device_that_does_not_answer_beside_a_call_hangs() -> None:
    async def test() -> None:
        ends, hung = threading.Event(), list[str]()

        def answer(feed: Mapping[str, Any]) -> list[Any]:
            ends.wait(LONG_S)
            return RIGHT

        bench = Bench(session := FakeSession(answer))
        release = bench.occupy()
        watch = DeviceWatch(
            bench.canary, session, lambda: hung.append("it hangs"), turn_s=0.0, beside_s=0.0
        )
        await watch.run()
        assert hung == ["it hangs"]
        ends.set()
        release.set()

    live(test)


def test_what_ends_in_an_error_beside_a_call_has_ended() -> None:
    async def test() -> None:
        ran, hung = asyncio.Event(), list[str]()
        loop = asyncio.get_running_loop()

        def answer(feed: Mapping[str, Any]) -> list[Any]:
            loop.call_soon_threadsafe(ran.set)
            raise make_error("RUN_MEMORY", "no room")

        bench = Bench(session := FakeSession(answer))
        release = bench.occupy()
        watch = DeviceWatch(
            bench.canary, session, lambda: hung.append("it hangs"), turn_s=0.0, beside_s=LONG_S
        )
        watching = asyncio.ensure_future(watch.run())
        await ran.wait()
        assert not hung
        release.set()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    live(test)


def checked(folder: Path, fault: str = "") -> EaisError | None:
    """What a check of a simulated device says."""
    (folder / FAULTS_FILE).write_text(fault)
    share = SimDriver({DeviceKind.GPU: 1}, faults=folder / FAULTS_FILE).reserve("sim-gpu0", 125)
    message = supervision_pb2.Check(
        device=share.device,
        milli=share.milli,
        memory_bytes=share.memory_bytes,
        drivers=["sim"],
        words=share.words,
    )
    return check(message, {"sim": SimDriver})


def test_a_device_that_computes_passes(tmp_path: Path) -> None:
    assert checked(tmp_path) is None


@pytest.mark.parametrize(
    ("fault", "words"),
    [("corrupt", "the known answer is"), ("garbage", "check pattern")],
)
def test_a_device_with_a_fault_fails(tmp_path: Path, fault: str, words: str) -> None:
    error = checked(tmp_path, f"sim-gpu0 {fault} 0\n")
    assert error is not None
    assert error.reason == "DEVICE_LOST"
    assert words in error.message


class Full(SimDriver):
    """A device whose memory others have."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        raise make_error("MODEL_MEMORY", "there is none left")


class Raising(SimDriver):
    """A driver with a bug."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a secret")


def test_a_device_of_which_others_have_the_memory_is_not_at_fault() -> None:
    message = supervision_pb2.Check(device="sim-gpu0", milli=125, drivers=["full"])
    assert check(message, {"full": Full}) is None


def test_a_driver_that_raises_fails_the_check_without_its_words() -> None:
    message = supervision_pb2.Check(device="sim-gpu0", milli=125, drivers=["raising"])
    error = check(message, {"raising": Raising})
    assert error is not None
    assert error.message == "the known model can't be run (RuntimeError)"
