"""The driver of simulated boards: the conformance suite, its shares, and what it says of itself."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper

from eais.device_type import DeviceKind
from eais.errors import EaisError, UsageError
from eais.rpc.v1 import fpga_pb2
from eais_server.devices.driver import (
    PLAIN_RUN,
    REFERENCE,
    Enforcement,
    ModelSource,
    Reservation,
    Runtime,
    RuntimeSession,
    SessionSettings,
)
from eais_server.devices.fpga import framing
from eais_server.devices.fpga.boards import SimulatedBoard
from eais_server.devices.fpga.driver import (
    REGIONS,
    ROLE,
    FpgaDriver,
    regions_of,
    with_user_functions,
)
from eais_server.devices.fpga.image import model_digest, sign_image
from eais_server.testing.devices import check_device
from tests.unit.server.devices.fpga.in_one_process import InOneProcess
from tests.unit.server.devices.fpga.rig import DATASETS, HEADER, KEY, model_image
from tests.unit.server.runtime import models

MUL = ModelSource(DATASETS / "mul_1.onnx")
X = np.arange(6, dtype=np.float32).reshape(3, 2)
Y = np.array([[0, 2], [6, 12], [20, 30]], dtype=np.float32)


def test_it_is_a_device_driver(make: Callable[..., InOneProcess]) -> None:
    check_device(make)


def test_it_says_what_it_is(make: Callable[..., InOneProcess]) -> None:
    (info,) = make().fingerprint()
    assert (info.id, info.kind, info.simulated) == ("fpga0", DeviceKind.FPGA, True)
    assert "simulated" in info.model
    assert (info.capacity_milli, info.granularity_milli) == (1000, 500)
    assert info.enforcement is Enforcement.FORCED
    assert info.runtimes == (ROLE,)


def test_regions_are_reserved_one_by_one_or_together(make: Callable[..., InOneProcess]) -> None:
    driver = make()
    first = driver.reserve("fpga0", 500)
    second = driver.reserve("fpga0", 500, [first])
    whole = driver.reserve("fpga0", 1000)
    assert [regions_of(share) for share in (first, second, whole)] == [(0,), (1,), (0, 1)]
    assert [share.threads for share in (first, whole)] == [1, 2]
    assert first.memory_bytes * 2 == whole.memory_bytes == 64 << 20
    for milli in (250, 750, 1500):
        with pytest.raises(EaisError):
            driver.reserve("fpga0", milli)


def test_a_worker_has_no_boards_and_needs_no_listeners_things() -> None:
    driver = FpgaDriver()
    assert driver.fingerprint() == []
    assert driver.stats() == []
    with pytest.raises(EaisError, match="no user function") as caught:
        driver.open(Reservation("fpga0", 500, 1), MUL, SessionSettings())
    assert caught.value.reason == "DEVICE_LOST"


def run(session: RuntimeSession, feed: dict[str, Any] | None = None) -> Any:
    return session.prepare(PLAIN_RUN).execute([], {"X": X} if feed is None else feed)


def test_many_sessions_of_a_worker_share_its_regions(make: Callable[..., InOneProcess]) -> None:
    """Opened at once, by several threads: the descriptors are taken over one time."""
    driver = make()
    share = driver.connected(driver.reserve("fpga0", 500))
    driver.provide(share, model_image("mul_1"))
    sessions: list[RuntimeSession] = []

    def open_one() -> None:
        sessions.append(FpgaDriver.open(driver, share, MUL, SessionSettings()))

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run(session)[0].tolist() for session in sessions] == [Y.tolist()] * 4


def test_both_regions_of_a_whole_board_run_at_once(make: Callable[..., InOneProcess]) -> None:
    driver = make()
    session = driver.open(driver.reserve("fpga0", 1000), MUL, SessionSettings())
    told: list[Any] = []
    threads = [threading.Thread(target=lambda: told.append(run(session)[0])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 6
    assert all(np.array_equal(answer, Y) for answer in told)


def test_a_region_that_is_lost_costs_a_whole_board_no_answer(
    make: Callable[..., InOneProcess], board: SimulatedBoard
) -> None:
    driver = make(run_timeout_s=0.0)
    session = driver.open(driver.reserve("fpga0", 1000), MUL, SessionSettings())
    board.management.inject(0, fpga_pb2.GARBAGE)
    for _ in range(4):
        np.testing.assert_array_equal(run(session)[0], Y)
    board.management.inject(1, fpga_pb2.DMA)
    for _ in range(2):
        with pytest.raises(EaisError) as caught:
            run(session)
        assert caught.value.reason == "DEVICE_LOST"


def test_a_model_without_its_role_is_refused(make: Callable[..., InOneProcess]) -> None:
    driver = make()
    share = driver.reserve("fpga0", 500)
    share = with_user_functions(share, [s.detach() for s in driver.connect(share, "a")])
    worker = FpgaDriver()
    try:
        for _ in range(2):
            with pytest.raises(EaisError) as caught:
                worker.open(share, MUL, SessionSettings())
            assert caught.value.reason == "IMAGE_MISSING"
            driver.provide(share, model_image("sigmoid"))
        driver.provide(share, model_image("mul_1"))
        assert worker.open(share, MUL, SessionSettings()).signature.inputs[0].name == "X"
    finally:
        worker.close()


def test_an_image_that_is_there_is_not_loaded_again(
    make: Callable[..., InOneProcess], board: SimulatedBoard
) -> None:
    driver = make()
    share = driver.reserve("fpga0", 500)
    slow = model_image("mul_1", load_ms=3_600_000)
    assert driver.provide(share, slow) == 3600
    assert 0 < driver.provide(share, slow) <= 3600
    assert board.management.state().regions[0].state == "LOADING"
    with pytest.raises(EaisError) as caught:
        driver.provide(share, model_image("mul_1"))
    assert caught.value.reason == "WRONG_STATE"


def test_a_session_is_opened_when_its_role_is_ready(
    make: Callable[..., InOneProcess], board: SimulatedBoard
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        """What a region does by itself, an operator does here."""
        waits.append(seconds)
        board.management.reset(0)
        board.management.load(0, model_image("mul_1"))

    driver = make()
    share = driver.reserve("fpga0", 500)
    driver.provide(share, model_image("mul_1", load_ms=3_600_000))
    share = with_user_functions(share, [s.detach() for s in driver.connect(share, "a")])
    worker = FpgaDriver(sleep=sleep)
    np.testing.assert_array_equal(run(worker.open(share, MUL, SessionSettings()))[0], Y)
    worker.close()
    assert len(waits) == 1
    assert 0 < waits[0] <= 3600


def test_outputs_and_inputs_of_any_size_and_kind(board: SimulatedBoard, tmp_path: Path) -> None:
    """A role whose output is larger than any buffer so far, and one of strings."""
    big = models.model(
        helper.make_node("Expand", ["x", "shape"], ["y"]),
        inputs=[models.info("x", dims=(1,)), models.info("shape", 7, (1,))],
        outputs=[models.info("y", dims=("n",))],
    )
    path = tmp_path / "big.onnx"
    path.write_bytes(big)
    header = replace(HEADER, name="big", computes=hashlib.sha256(big).digest())
    board.management.load(0, sign_image(header, big, KEY))
    driver = FpgaDriver([board])
    share = driver.reserve("fpga0", 500)
    share = with_user_functions(share, [s.detach() for s in driver.connect(share, "a")])
    session = driver.open(share, ModelSource(path), SessionSettings())
    for size in (1, 3_000_000, 2):
        feed = {"x": np.ones(1, np.float32), "shape": np.array([size])}
        np.testing.assert_array_equal(run(session, feed)[0], np.ones(size, np.float32))
    with pytest.raises(EaisError) as caught:
        run(session, {"x": np.ones(1, np.float32), "shape": np.array([1 << 25])})
    assert caught.value.reason in ("QUOTA", "OUTPUT_TOO_LARGE")
    with pytest.raises(EaisError) as caught:
        run(session, {"x": np.array(["a"], dtype=object), "shape": np.array([1])})
    assert caught.value.reason == "INPUT_DTYPE"
    driver.close()


def test_a_run_that_is_ended_leaves_the_region_to_the_next(
    make: Callable[..., InOneProcess], board: SimulatedBoard
) -> None:
    driver = make()
    session = driver.open(driver.reserve("fpga0", 500), MUL, SessionSettings())
    prepared = session.prepare(PLAIN_RUN)
    prepared.terminate()
    assert prepared.terminated
    board.management.inject(0, fpga_pb2.HANG)
    with pytest.raises(EaisError) as caught:
        prepared.execute([], {"X": X})
    assert caught.value.reason == "RUN_FAILED"


@pytest.mark.parametrize("runtime", [REFERENCE, Runtime("role/other")])
def test_a_role_is_all_that_runs_there(make: Callable[..., InOneProcess], runtime: Runtime) -> None:
    driver = make()
    with pytest.raises(UsageError) as caught:
        driver.open(driver.reserve("fpga0", 500), MUL, SessionSettings(), runtime)
    assert caught.value.reason == "ARGUMENT"


def test_options_that_a_worker_refuses_are_refused_here(make: Callable[..., InOneProcess]) -> None:
    driver = make()
    settings = SessionSettings(config_entries={"session.load_model_path": "x"})
    with pytest.raises(EaisError) as caught:
        driver.open(driver.reserve("fpga0", 500), MUL, settings)
    assert caught.value.reason == "OPTION_REFUSED"


def test_a_model_is_known_with_its_external_data(
    make: Callable[..., InOneProcess], tmp_path: Path
) -> None:
    driver = make()
    share = driver.connected(driver.reserve("fpga0", 500))
    path = tmp_path / "m.onnx"
    path.write_bytes(b"model")
    (tmp_path / "w").write_bytes(b"weights")
    payload = (DATASETS / "mul_1.onnx").read_bytes()
    parts = [("w", hashlib.sha256(b"weights").digest())]
    computes = model_digest(hashlib.sha256(b"model").digest(), parts)
    driver.provide(share, sign_image(replace(HEADER, computes=computes), payload, KEY))
    open_it = FpgaDriver.open
    session = open_it(driver, share, ModelSource(path, {"w": 7}), SessionSettings())
    assert session.signature.inputs
    with pytest.raises(EaisError) as caught:
        open_it(driver, share, ModelSource(path), SessionSettings())
    assert caught.value.reason == "IMAGE_MISSING"


def test_a_share_is_given_back(make: Callable[..., InOneProcess], board: SimulatedBoard) -> None:
    driver = make()
    whole = driver.reserve("fpga0", 1000)
    socks = driver.connect(whole, "a")
    assert [region.share for region in board.management.state().regions] == ["a", "a"]
    with pytest.raises(EaisError) as caught:
        driver.connect(whole, "b")
    assert caught.value.reason == "WRONG_STATE"
    driver.release(whole)
    assert [region.share for region in board.management.state().regions] == ["", ""]
    for sock in socks:
        sock.close()


def test_half_a_connection_is_none(
    make: Callable[..., InOneProcess], board: SimulatedBoard
) -> None:
    driver = make()
    with board.connect(1, "other"):
        with pytest.raises(EaisError) as caught:
            driver.connect(driver.reserve("fpga0", 1000), "a")
        assert caught.value.reason == "WRONG_STATE"
        assert [region.share for region in board.management.state().regions] == ["", "other"]


def test_ends_that_a_worker_has_already(
    make: Callable[..., InOneProcess], board: SimulatedBoard
) -> None:
    """A spare worker inherits its end before anybody knows which region it will be."""
    driver = make()
    share = driver.reserve("fpga0", 500)
    near, far = framing.make_pair()
    with far:
        driver.attach(share, "ei-1/1", [far])
    driver.provide(share, model_image("mul_1"))
    worker = FpgaDriver()
    session = worker.open(with_user_functions(share, [near.detach()]), MUL, SessionSettings())
    np.testing.assert_array_equal(run(session)[0], Y)
    worker.close()


@pytest.mark.parametrize("fault", [fpga_pb2.HANG, fpga_pb2.DMA])
def test_a_share_that_ends_with_its_region_lost_leaves_one_that_can_be_used(
    make: Callable[..., InOneProcess], fault: fpga_pb2.Fault
) -> None:
    driver = make(run_timeout_s=0.0)
    share = driver.reserve("fpga0", 500)
    session = driver.open(share, MUL, SessionSettings())
    driver._board("fpga0").management.inject(0, fault)
    with pytest.raises(EaisError):
        run(session)
    driver.release(share)
    following = make()
    np.testing.assert_array_equal(run(following.open(share, MUL, SessionSettings()))[0], Y)


def test_health_and_stats_of_a_board_that_is_gone(own_board: SimulatedBoard) -> None:
    driver = InOneProcess([own_board])
    run(driver.open(driver.reserve("fpga0", 500), MUL, SessionSettings()))
    assert driver.health("fpga0") == ""
    (before,) = driver.stats()
    assert before.busy_ns > 0
    assert before.memory_used_bytes > 0
    os.kill(own_board.pid, signal.SIGKILL)
    assert driver.health("fpga0")
    assert driver.stats() == [before]
    driver.close()


def test_a_descriptor_that_is_no_socket_is_a_lost_device() -> None:
    share = with_user_functions(Reservation("fpga0", 500, 1, words={REGIONS: "0"}), [987])
    driver = FpgaDriver()
    with pytest.raises(EaisError) as caught:
        driver.open(share, MUL, SessionSettings())
    assert caught.value.reason == "DEVICE_LOST"


def test_the_far_end_is_gone_before_the_first_session() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    far.close()
    share = with_user_functions(Reservation("fpga0", 500, 1, words={REGIONS: "0"}), [near.detach()])
    driver = FpgaDriver()
    with pytest.raises(EaisError) as caught:
        driver.open(share, MUL, SessionSettings())
    assert caught.value.reason == "DEVICE_LOST"
    driver.close()


def test_the_listener_loads_neither_numpy_nor_onnxruntime_for_it() -> None:
    code = (
        "import sys; from eais_server.devices.fpga.driver import FpgaDriver; d = FpgaDriver();"
        "d.fingerprint(); d.stats();"
        "sys.exit(bool({'numpy', 'onnxruntime'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_answers_are_onnxruntimes_own(make: Callable[..., InOneProcess]) -> None:
    driver = make()
    path = DATASETS / "logreg_iris.onnx"
    session = driver.open(driver.reserve("fpga0", 500), ModelSource(path), SessionSettings())
    feed = {"float_input": np.linspace(0, 7, 6, dtype=np.float32).reshape(3, 2)}
    right: Any = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feed)
    answer = run(session, feed)
    np.testing.assert_array_equal(answer[0], right[0])
    assert answer[1] == right[1]
    picked = session.prepare(PLAIN_RUN).execute(["probabilities"], feed)
    assert picked == [right[1]]
