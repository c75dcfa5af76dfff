"""A simulated board as the process that it is: its end, its faults, and who sees what of them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eais import tls
from eais.errors import EaisError
from eais.rpc.v1 import fpga_pb2
from eais_server.devices.driver import PLAIN_RUN, ModelSource, RuntimeSession, SessionSettings
from eais_server.devices.fpga import framing
from eais_server.devices.fpga.boards import BoardSpec, SimulatedBoard
from eais_server.devices.fpga.client import UserFunction
from eais_server.devices.fpga.driver import FpgaDriver, with_user_functions
from eais_server.devices.fpga.image import ShellVersion, sign_image
from eais_server.devices.fpga.process import VANISHED
from tests.unit.server.devices.fpga.rig import DATASETS, HEADER, KEY, model_image

X = np.arange(6, dtype=np.float32).reshape(3, 2)
Y = np.array([[0, 2], [6, 12], [20, 30]], dtype=np.float32)
FAR_FROM_READY_MS = 3_600_000


class Workers:
    """Makes sessions as workers have them, and ends them with the test."""

    def __init__(self) -> None:
        self._drivers: list[FpgaDriver] = []

    def __call__(
        self, board: SimulatedBoard, region: int = 0, run_timeout_s: float = 60.0
    ) -> RuntimeSession:
        """Of a worker that has this region, with a role in it."""
        board.management.load(region, model_image("mul_1"))
        sock = board.connect(region, f"share-{region}")
        share = with_user_functions(FpgaDriver([board]).reserve("fpga0", 500), [sock.detach()])
        driver = FpgaDriver(run_timeout_s=run_timeout_s)
        self._drivers.append(driver)
        return driver.open(share, ModelSource(DATASETS / "mul_1.onnx"), SessionSettings())

    def close(self) -> None:
        for driver in self._drivers:
            driver.close()


@pytest.fixture
def session() -> Iterator[Workers]:
    made = Workers()
    yield made
    made.close()


def run(worker: RuntimeSession) -> Any:
    return worker.prepare(PLAIN_RUN).execute([], {"X": X})[0]


def reason_of(call: Callable[[], Any]) -> str:
    with pytest.raises(EaisError) as caught:
        call()
    return caught.value.reason


def ended(pid: int) -> Callable[[], bool]:
    """Waits for a process that isn't ours to end."""
    pidfd = os.pidfd_open(pid)

    def wait() -> bool:
        try:
            return bool(select.select([pidfd], [], [], 60)[0])
        finally:
            os.close(pidfd)

    return wait


def test_it_says_that_it_is_simulated(board: SimulatedBoard) -> None:
    state = board.management.state()
    assert state.simulated
    assert [region.state for region in state.regions] == ["EMPTY", "EMPTY"]
    title = Path(f"/proc/{board.pid}/cmdline").read_text()
    assert title.startswith("eais-board (fpga0, simulated)")


def test_it_gives_the_roles_true_result(board: SimulatedBoard, session: Workers) -> None:
    np.testing.assert_array_equal(run(session(board)), Y)
    assert board.management.state().busy_us > 0


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: b"no image", "IMAGE_INVALID"),
        (lambda: model_image("mul_1")[:-1], "IMAGE_INVALID"),
        (lambda: sign_image(HEADER, b"no model", KEY), "IMAGE_INVALID"),
        (lambda: sign_image(HEADER, b"no model", tls.new_key()), "IMAGE_UNTRUSTED"),
        (
            lambda: model_image(
                "mul_1", shell_from=ShellVersion(9, 0), shell_to=ShellVersion(9, 9)
            ),
            "IMAGE_SHELL",
        ),
        (lambda: model_image("mul_1", format="xclbin"), "IMAGE_SHELL"),
    ],
)
def test_the_board_itself_judges_what_it_loads(
    board: SimulatedBoard, make: Callable[[], bytes], reason: str
) -> None:
    before = board.management.state()
    assert reason_of(lambda: board.management.load(1, make())) == reason
    assert board.management.state() == before


def test_an_image_that_could_still_change_is_not_looked_at(board: SimulatedBoard) -> None:
    fd = os.memfd_create("loose")
    os.write(fd, model_image("mul_1"))
    asked = fpga_pb2.ManagementRequest(load=fpga_pb2.LoadImage(region=0))
    try:
        reason = reason_of(lambda: board.management._function.ask(asked, fd))
    finally:
        os.close(fd)
    assert reason == "IMAGE_INVALID"


def test_one_region_answers_right_while_the_other_is_reconfigured(
    board: SimulatedBoard, session: Workers
) -> None:
    worker = session(board, 1)
    slow = model_image("sigmoid", load_ms=FAR_FROM_READY_MS)
    assert board.management.load(0, slow).state == "LOADING"
    for _ in range(20):
        np.testing.assert_array_equal(run(worker), Y)
    states = [region.state for region in board.management.state().regions]
    assert states == ["LOADING", "READY"]


def test_reconfiguring_again_and_again_disturbs_no_answer_of_the_other_region(
    board: SimulatedBoard, session: Workers
) -> None:
    worker = session(board, 1)
    stop = threading.Event()
    wrong: list[Any] = []
    answered = threading.Semaphore(0)

    def load() -> None:
        try:
            while not stop.is_set():
                if not np.array_equal(run(worker), Y):
                    wrong.append("answer")
                answered.release()
        except EaisError as error:
            wrong.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for name in ("mul_1", "sigmoid", "logreg_iris") * 2:
            assert board.management.load(0, model_image(name)).state == "READY"
            assert answered.acquire(timeout=60)
            board.management.reset(0)
    finally:
        stop.set()
        thread.join()
    assert wrong == []


def test_a_killed_board_is_a_lost_device_and_leaves_nothing(
    own_board: SimulatedBoard, session: Workers
) -> None:
    before = sorted(os.listdir("/dev/shm"))
    worker = session(own_board)
    np.testing.assert_array_equal(run(worker), Y)
    os.kill(own_board.pid, signal.SIGKILL)
    assert reason_of(lambda: run(worker)) == "DEVICE_LOST"
    assert reason_of(lambda: run(worker)) == "DEVICE_LOST"
    assert reason_of(own_board.management.state) == "DEVICE_LOST"
    own_board.close()
    assert not Path(f"/proc/{own_board.pid}").exists()
    assert sorted(os.listdir("/dev/shm")) == before


def test_a_board_that_is_killed_amid_a_run_ends_the_wait(
    own_board: SimulatedBoard, session: Workers
) -> None:
    worker = session(own_board)
    own_board.management.inject(0, fpga_pb2.HANG)
    told: list[str] = []
    thread = threading.Thread(target=lambda: told.append(reason_of(lambda: run(worker))))
    thread.start()
    while own_board.management.state().regions[0].state != "RUNNING":
        assert thread.is_alive()
    os.kill(own_board.pid, signal.SIGKILL)
    thread.join(60)
    assert told == ["DEVICE_LOST"]


def test_a_board_that_vanishes(own_board: SimulatedBoard, session: Workers) -> None:
    workers = [session(own_board, region) for region in range(2)]
    assert reason_of(lambda: own_board.management.inject(0, fpga_pb2.VANISH)) == "DEVICE_LOST"
    assert [reason_of(lambda w=w: run(w)) for w in workers] == ["DEVICE_LOST"] * 2  # type: ignore[misc]
    own_board.close()
    assert own_board._process.returncode == VANISHED


def test_a_run_that_never_ends_is_lost_in_time_and_the_other_region_goes_on(
    board: SimulatedBoard, session: Workers
) -> None:
    worker, other = session(board, 0, run_timeout_s=0.0), session(board, 1)
    board.management.inject(0, fpga_pb2.HANG)
    assert reason_of(lambda: run(worker)) == "DEVICE_LOST"
    np.testing.assert_array_equal(run(other), Y)
    board.management.close_user(0)
    assert reason_of(lambda: board.connect(0, "next")) == "BUSY"
    board.management.reset(0)
    np.testing.assert_array_equal(run(session(board)), Y)


def test_garbage_is_never_an_answer(board: SimulatedBoard, session: Workers) -> None:
    worker, other = session(board, 0), session(board, 1)
    board.management.inject(0, fpga_pb2.GARBAGE)
    with pytest.raises(EaisError, match="checksum") as caught:
        run(worker)
    assert caught.value.reason == "DEVICE_LOST"
    np.testing.assert_array_equal(run(other), Y)


def test_a_transfer_that_fails(board: SimulatedBoard, session: Workers) -> None:
    worker, other = session(board, 0), session(board, 1)
    board.management.inject(0, fpga_pb2.DMA)
    assert reason_of(lambda: run(worker)) == "DEVICE_LOST"
    assert FpgaDriver([board]).health("fpga0") == "region 0: a DMA transfer failed"
    np.testing.assert_array_equal(run(other), Y)


@pytest.mark.parametrize("how", ["reset", "load"])
def test_a_region_that_is_taken_away_is_lost(
    board: SimulatedBoard, how: str, session: Workers
) -> None:
    worker = session(board)
    np.testing.assert_array_equal(run(worker), Y)
    if how == "reset":
        board.management.reset(0)
    else:
        board.management.load(0, model_image("sigmoid"))
    assert reason_of(lambda: run(worker)) == "DEVICE_LOST"


def test_nothing_of_a_tenant_is_left_for_the_next(board: SimulatedBoard) -> None:
    with board.connect(0, "first") as sock:
        first = UserFunction(sock)
        number, memory = first.allocate(1 << 20)
        memory.view[:] = b"secret.." * (1 << 17)
        first.write(number, 0, 1 << 20)
        board.management.close_user(0)
        # What it still has is its own, and no other's.
        memory.view[:6] = b"SECRET"
    with board.connect(0, "next") as sock:
        following = UserFunction(sock)
        number, theirs = following.allocate(32 << 20)
        following.read(number, 0, 32 << 20)
        assert not theirs.view.tobytes().strip(b"\0")
        theirs.close()
    memory.close()


def test_a_worker_that_dies_gives_its_region_back(board: SimulatedBoard) -> None:
    sock = board.connect(0, "short")
    UserFunction(sock).allocate(4096)[1].close()
    assert board.management.state().memory_used_bytes
    sock.close()
    while board.management.state().regions[0].share:
        pass
    assert board.management.state().memory_used_bytes == 0


def test_a_board_ends_with_its_management_socket(trusted: Path) -> None:
    board = SimulatedBoard(BoardSpec("fpga0", (trusted,), memory_mib=1), os.environ)
    wait = ended(board.pid)
    board.management.state()
    board.management.close()
    assert board._process.wait(60) == 0
    assert wait()


def test_a_board_ends_with_who_started_it(trusted: Path) -> None:
    """Also when its management socket stays open, since another process has it, too."""
    code = (
        "import os, signal, subprocess, sys, pathlib\n"
        "from eais_server.devices.fpga.boards import BoardSpec, SimulatedBoard\n"
        "board = SimulatedBoard(BoardSpec('fpga0', (pathlib.Path(sys.argv[1]),), memory_mib=1),\n"
        "    os.environ)\n"
        "board.management.state()\n"
        "fd = board.management._function._socket.fileno()\n"
        "holder = [sys.executable, '-c', 'import sys; sys.stdin.read()']\n"
        "subprocess.Popen(holder, pass_fds=[fd], stdout=subprocess.DEVNULL)\n"
        "print(board.pid, flush=True)\n"
        "signal.pause()\n"
    )
    command = [sys.executable, "-c", code, str(trusted)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as creator:
        assert creator.stdout is not None
        wait = ended(int(creator.stdout.readline()))
        creator.kill()
        assert wait()


def test_a_board_that_can_not_start(trusted: Path) -> None:
    spec = BoardSpec("fpga0", (trusted,))
    with pytest.raises(EaisError) as caught:
        SimulatedBoard(spec, os.environ, program=("/no/such/program",))
    assert caught.value.reason == "PROCESS_FAILED"
    board = SimulatedBoard(spec, os.environ, program=("/bin/true",))
    assert reason_of(board.management.state) == "DEVICE_LOST"
    board.close()


@pytest.mark.parametrize("regions", [0, -1, 3])
def test_regions_are_equal_parts_of_a_device(regions: int) -> None:
    with pytest.raises(ValueError, match="equal parts"):
        BoardSpec("fpga0", regions=regions)


def test_a_board_is_started_on_the_main_thread_alone(trusted: Path) -> None:
    told: list[BaseException] = []

    def start() -> None:
        try:
            SimulatedBoard(BoardSpec("fpga0", (trusted,)), os.environ)
        except RuntimeError as error:
            told.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(told) == 1


def test_a_board_that_does_not_answer_is_lost() -> None:
    near, far = framing.make_pair()
    with near, far:
        function = UserFunction(near, timeout_s=0.01)
        assert reason_of(function.status) == "DEVICE_LOST"
        assert reason_of(function.status) == "DEVICE_LOST"


@pytest.mark.parametrize("reply", [b"\xff\xff", b"x" * (framing.MAX_MESSAGE_BYTES + 1)])
def test_a_board_that_answers_nonsense_is_lost(reply: bytes) -> None:
    near, far = framing.make_pair()
    with near, far:
        far.sendall(reply)
        assert reason_of(UserFunction(near).status) == "DEVICE_LOST"


def test_a_buffer_that_is_none_is_not_mapped() -> None:
    near, far = framing.make_pair()
    with near, far:
        loose = os.memfd_create("loose")
        os.ftruncate(loose, 4096)
        framing.send(far, fpga_pb2.UserReply(number=1), loose)
        os.close(loose)
        assert reason_of(lambda: UserFunction(near).allocate(4096)) == "DEVICE_LOST"
