"""Simulated devices: the conformance suite, their time, their memory, and their faults."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from eais.device_type import DeviceKind
from eais.errors import DeviceLost, EaisError, ModelRejected
from eais.value import RawTensor
from eais_server.devices.driver import (
    PLAIN_RUN,
    Enforcement,
    ModelSource,
    Reservation,
    RuntimeSession,
    SessionSettings,
)
from eais_server.devices.sim import (
    FAULTS_FILE,
    SERVICE_TIMES,
    Fault,
    SimDriver,
    SimSession,
    SimShare,
)
from eais_server.testing.devices import check_device
from eais_server.turns.meter import Meter

MODEL = Path(ort.__file__).parent / "datasets" / "mul_1.onnx"
FEED = {"X": np.arange(6, dtype=np.float32).reshape(3, 2)}
GPU = SERVICE_TIMES[DeviceKind.GPU]


class Clock:
    """Time that passes only while somebody waits for it on a `Waits`."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Waits(threading.Event):
    """What a run waits on; `clock` goes on by as long as is waited."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.now += timeout
        return self.is_set()


def driver(faults: Path | None = None) -> SimDriver:
    return SimDriver({DeviceKind.GPU: 1}, faults=faults)


def opened(milli: int = 1000, faults: Path | None = None) -> RuntimeSession:
    share = driver(faults).reserve("sim-gpu0", milli)
    return SimDriver().open(share, ModelSource(MODEL), SessionSettings())


def run(session: RuntimeSession) -> Any:
    return session.prepare(PLAIN_RUN).execute([], FEED)[0]


@pytest.mark.parametrize("kind", list(SERVICE_TIMES))
def test_it_is_a_device_driver(kind: DeviceKind) -> None:
    check_device(lambda: SimDriver({kind: 2}), worker=SimDriver)


class Scattered(SimDriver):
    """Shares of one device that take turns by names of their own."""

    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        found = super().reserve(device, milli, held)
        return replace(found, turns=f"{device}/{milli}")


class Unnamed(SimDriver):
    """Shares that take turns with those of other devices."""

    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        found = super().reserve(device, milli, held)
        return replace(found, turns="all" if found.turns else "")


class Waiting(SimDriver):
    """A whole device that takes turns with nobody."""

    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        return replace(super().reserve(device, milli, held), turns=device)


class Misread(SimDriver):
    """A meter that goes backwards from nothing."""

    def meter(self, share: Reservation, pid: int) -> Meter:
        return lambda: -1


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (Scattered, "turns of shares that lie together"),
        (Unnamed, "turns are named by their device"),
        (Waiting, "turns of a whole device"),
        (Misread, "what a process used"),
    ],
)
def test_turns_that_are_none_are_found(wrong: type[SimDriver], what: str) -> None:
    with pytest.raises(AssertionError, match=what):
        check_device(lambda: wrong({DeviceKind.GPU: 1}), worker=SimDriver)


def test_nothing_is_simulated_unless_asked_for() -> None:
    assert SimDriver().fingerprint() == []
    assert SimDriver().stats() == []


def test_it_says_what_it_is() -> None:
    made = SimDriver({DeviceKind.GPU: 2, DeviceKind.NPU: 1}).fingerprint()
    assert [each.id for each in made] == ["sim-gpu0", "sim-gpu1", "sim-npu0"]
    assert made[0].model == "Simulated GPU (0.1 ms + 100 GB/s)"
    assert made[2].model == "Simulated NPU (0.05 ms + 20 GB/s)"
    assert all(each.simulated for each in made)
    assert {each.enforcement for each in made} == {Enforcement.COOPERATIVE}


def test_the_docs_state_what_it_states() -> None:
    page = (Path(__file__).parents[4] / "docs" / "devices.md").read_text()
    for kind, states in SERVICE_TIMES.items():
        assert f"| `{kind}` | {states} | {states.memory_bytes >> 30} GiB |" in page


def test_a_share_has_its_part_of_the_memory() -> None:
    assert driver().reserve("sim-gpu0", 125).memory_bytes == 2 << 30


@pytest.mark.parametrize("milli", [1000, 250, 125])
def test_a_run_takes_the_stated_time_whatever_the_share(milli: int) -> None:
    clock = Clock()
    share = SimShare(driver().reserve("sim-gpu0", milli), clock)
    share.take_time(0.0, 10_000_000, Waits(clock))
    assert clock.now == pytest.approx(0.1e-3 + 0.1e-3)


def test_parts_of_a_device_are_had_by_turns_and_a_whole_one_isnt() -> None:
    turns = [driver().reserve("sim-gpu0", milli).turns for milli in (125, 875, 1000)]
    assert turns == ["sim-gpu0", "sim-gpu0", ""]


def test_time_that_the_answer_took_is_not_waited_for_once_more() -> None:
    clock = Clock()
    share = SimShare(driver().reserve("sim-gpu0", 1000), clock)
    clock.now = 60.0
    share.take_time(0.0, 10_000_000, Waits(clock))
    assert clock.now == 60.0


def test_work_is_the_models_files_for_each_row_and_what_goes_in_and_out() -> None:
    class Noting(SimShare):
        def take_time(self, began: float, work_bytes: int, ended: threading.Event) -> None:
            noted.append(work_bytes)

    noted: list[int] = []
    plain = opened()
    assert isinstance(plain, SimSession)
    share = Noting(driver().reserve("sim-gpu0", 1000), Clock())
    run(SimSession(plain, plain.size, share))
    assert noted == [3 * MODEL.stat().st_size + 24 + 24]


def test_a_run_that_is_told_to_end_waits_no_longer() -> None:
    share = SimShare(driver().reserve("sim-gpu0", 125), lambda: 0.0)
    ended = threading.Event()
    ended.set()
    share.take_time(0.0, 1 << 62, ended)  # years, on a clock that stands still


def test_a_session_that_is_terminated_says_so() -> None:
    prepared = opened().prepare(PLAIN_RUN)
    assert not prepared.terminated
    prepared.terminate()
    assert prepared.terminated


def test_what_a_share_has_no_memory_for_is_refused_until_there_is_room() -> None:
    share = driver().reserve("sim-gpu0", 125)
    share = replace(share, memory_bytes=MODEL.stat().st_size + 1)
    worker = SimDriver()
    first = worker.open(share, ModelSource(MODEL), SessionSettings())
    with pytest.raises(ModelRejected, match="1 are left of its share of sim-gpu0") as caught:
        worker.open(share, ModelSource(MODEL), SessionSettings())
    assert caught.value.reason == "MODEL_MEMORY"
    del first
    worker.open(share, ModelSource(MODEL), SessionSettings())


def test_files_beside_the_model_count() -> None:
    share = replace(driver().reserve("sim-gpu0", 125), memory_bytes=1 << 20)
    with pytest.raises(ModelRejected, match="bytes"):
        SimDriver().open(share, ModelSource(MODEL, {"w": 1 << 20}), SessionSettings())


def test_a_share_of_another_drivers_is_refused() -> None:
    with pytest.raises(EaisError, match="isn't a share of a simulated device") as caught:
        SimDriver().open(Reservation("gpu0", 1000, 1), ModelSource(MODEL), SessionSettings())
    assert caught.value.reason == "ARGUMENT"


def test_the_listener_loads_no_runtime_for_it() -> None:
    text = "import sys, eais_server.devices.sim; print({'numpy', 'onnxruntime'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# faults, which tests alone ask for


@pytest.fixture
def faults(tmp_path: Path) -> Path:
    return tmp_path / FAULTS_FILE


def test_garbage_is_found_out_before_it_is_an_answer(faults: Path) -> None:
    faults.write_text("sim-gpu0 garbage 1\n")
    session = opened(faults=faults)
    run(session)
    for _ in range(2):
        with pytest.raises(DeviceLost, match="check pattern"):
            run(session)


def test_corrupt_answers_from_a_run_on(faults: Path) -> None:
    faults.write_text("sim-gpu0 corrupt 1\n")
    session = opened(faults=faults)
    right, wrong = run(session), run(session)
    assert (wrong.shape, wrong.dtype) == (right.shape, right.dtype)
    assert bytes(byte ^ 0xFF for byte in wrong.tobytes()) == right.tobytes()


def test_garbage_of_every_kind_of_value() -> None:
    from eais_server.devices.sim import _garbled

    assert _garbled(np.array(0, np.int64)) == np.array(-1)
    assert _garbled(np.array(["text"], object)) == ["text"]
    assert _garbled([{1: 0.5}]) == [{1: 0.5}]
    raw = _garbled(RawTensor(16, np.zeros(2, np.uint16)))
    assert raw.bits.tolist() == [0xFFFF, 0xFFFF]


def test_vanished_after_a_run(faults: Path) -> None:
    faults.write_text("sim-gpu0 vanish 1\n")
    share = driver(faults).reserve("sim-gpu0", 125)
    worker = SimDriver()
    session = worker.open(share, ModelSource(MODEL), SessionSettings())
    run(session)
    for attempt in (
        lambda: run(session),
        lambda: worker.open(share, ModelSource(MODEL), SessionSettings()),
    ):
        with pytest.raises(EaisError, match="sim-gpu0 has vanished") as caught:
            attempt()
        assert caught.value.reason == "DEVICE_LOST"


def test_vanished_at_once_is_not_reserved(faults: Path) -> None:
    faults.write_text("sim-gpu0 vanish 0\n")
    with pytest.raises(EaisError, match="sim-gpu0 has vanished"):
        driver(faults).reserve("sim-gpu0", 125)
    assert driver(faults).fingerprint() == driver().fingerprint()


def test_a_device_hangs_from_a_run_on(faults: Path) -> None:
    faults.write_text("sim-gpu0 hang 2\n")
    share = SimShare(driver(faults).reserve("sim-gpu0", 125), Clock())
    assert [share.count_run() for _ in range(4)] == [None, None, Fault.HANG, Fault.HANG]


def test_only_the_device_that_is_named_fails(faults: Path) -> None:
    faults.write_text("sim-gpu1 vanish 0\n")
    assert driver(faults).reserve("sim-gpu0", 125).words == {"kind": "gpu"}


def test_faults_that_cant_be_read_are_none(faults: Path, caplog: pytest.LogCaptureFixture) -> None:
    faults.write_bytes(b"sim-gpu0 explode 1\nsim-gpu0\n\xff\nsim-gpu0 garbage 7\n")
    with caplog.at_level(logging.ERROR):
        words = driver(faults).reserve("sim-gpu0", 125).words
    assert words == {"kind": "gpu", "fault": "garbage", "runs": "7"}
    assert "'sim-gpu0 explode 1' isn't DEVICE FAULT RUNS" in caplog.text
