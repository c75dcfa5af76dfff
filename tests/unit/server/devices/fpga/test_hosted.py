"""A listener's hosted shares: whose lines lead where, what is loaded, and what is left."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eais.errors import ConfigError, EaisError
from eais.rpc.v1 import listener_pb2, supervision_pb2
from eais_server.devices.driver import PLAIN_RUN, ModelSource, Reservation, SessionSettings
from eais_server.devices.fpga import framing
from eais_server.devices.fpga.boards import SimulatedBoard
from eais_server.devices.fpga.client import UserFunction
from eais_server.devices.fpga.driver import USER_FDS, FpgaDriver, with_user_functions
from eais_server.devices.fpga.image import public_key
from eais_server.devices.fpga.images import ImageFolder
from eais_server.in_flight import Page
from eais_server.listener.boards import start_boards
from eais_server.listener.config import ListenerConfig
from eais_server.listener.hosted import HostedShares
from eais_server.listener.inventory import Inventory
from eais_server.listener.lease import Share
from eais_server.process import Line, WorkerProcess
from eais_server.supervision import State
from eais_server.supervision.held import Held, Session, Worker
from eais_server.turns.page import Seat
from tests.unit.server.devices.fpga.rig import DATASETS, model_image, public_pem


def spec_of(name: str) -> listener_pb2.SessionSpec:
    digest = sha256((DATASETS / f"{name}.onnx").read_bytes()).digest()
    return listener_pb2.SessionSpec(files=[listener_pb2.ModelFile(sha256=digest)])


class Bench:
    """A listener's shares of a board, and workers that are nothing but their lines."""

    def __init__(self, driver: FpgaDriver) -> None:
        self.state = State()
        self.inventory = Inventory({"fpga": driver})
        self.shares = HostedShares(self.inventory, self.state)
        self.undo = ExitStack()

    def process(self, k: int) -> WorkerProcess:
        """A worker that has nothing yet."""
        pairs = [framing.make_pair() for _ in range(self.inventory.lines)]
        lines = tuple(Line(near.fileno(), far) for near, far in pairs)
        for end in (end for pair in pairs for end in pair):
            self.undo.callback(end.close)
        near, far = framing.make_pair()
        self.undo.enter_context(far)
        self.undo.enter_context(near)
        page = Page()
        self.undo.callback(page.close)
        return WorkerProcess(k, 1, -1, near, Path("/nowhere"), page, Seat(), lines)

    def worker(self, k: int, n: int = 1) -> tuple[WorkerProcess, Reservation]:
        """A worker that was adopted for share `n`, and what it was told of that."""
        process = self.process(k)
        if ("ei-1", n) not in self.inventory._reserved:
            self.inventory.reserve_share("ei-1", Share(n, "fpga0", 500))
        share = self.inventory.reservation("ei-1", n)
        adopt = supervision_pb2.Adopt(instance="ei-1", n=n, device="fpga0", words=share.words)
        self.shares.tell(adopt, process, "ei-1", n)
        return process, Reservation("fpga0", 500, 1, words=dict(adopt.words))

    @staticmethod
    def inherited(told: Reservation) -> Reservation:
        """The share, over a descriptor that is the worker's own."""
        return with_user_functions(told, [os.dup(int(told.words[USER_FDS]))])

    def ready(self, k: int, name: str) -> None:
        """Have what a model needs on the worker's share."""
        asyncio.run(self.shares.ready(k, spec_of(name)))

    def close(self) -> None:
        """As a listener at its end; what was begun is done."""
        self.shares.close()
        for thread in self.shares._threads.values():
            thread.shutdown()
        self.undo.close()


@pytest.fixture
def bench(board: SimulatedBoard, tmp_path: Path) -> Iterator[Bench]:
    images = ImageFolder(tmp_path / "images", [public_key(public_pem())])
    for name in ("mul_1", "sigmoid"):
        images.add(model_image(name))
    made = Bench(FpgaDriver([board], images=images))
    yield made
    made.close()


def reason_of(call: Callable[[], Any]) -> str:
    with pytest.raises(EaisError) as caught:
        call()
    return caught.value.reason


def test_each_worker_comes_to_its_own_region(bench: Bench, board: SimulatedBoard) -> None:
    for k in (1, 2):
        process, told = bench.worker(k, n=k)
        driver = FpgaDriver()
        # A share of one region has one line of the two.
        assert told.words[USER_FDS] == str(process.lines[0].descriptor)
        bench.ready(k, "mul_1")
        session = driver.open(
            bench.inherited(told), ModelSource(DATASETS / "mul_1.onnx"), SessionSettings()
        )
        x = np.ones((3, 2), np.float32)
        assert session.prepare(PLAIN_RUN).execute([], {"X": x})[0].shape == (3, 2)
        assert all(line.far.fileno() == -1 for line in process.lines)
        driver.close()
    assert [region.share for region in board.management.state().regions] == ["ei-1/1", "ei-1/2"]


def test_a_model_without_an_image_is_refused_and_nothing_is_attached(
    bench: Bench, board: SimulatedBoard
) -> None:
    bench.worker(1)
    assert reason_of(lambda: bench.ready(1, "logreg_iris")) == "IMAGE_MISSING"
    assert board.management.state().regions[0].share == ""


def test_a_share_runs_one_model_while_a_session_of_it_is_kept(
    bench: Bench, board: SimulatedBoard
) -> None:
    bench.worker(1)
    bench.ready(1, "mul_1")
    mul = sha256((DATASETS / "mul_1.onnx").read_bytes())
    kept = {"a": Session("a", mul.hexdigest(), kept=True)}
    bench.state.leases["ei-1"] = Held("ei-1", "acme", 1, {}, kept, granted=True)
    bench.state.workers[1] = known = Worker(1, 0.0, 0.0, seat=("ei-1", 1), loaded={"a"})
    assert reason_of(lambda: bench.ready(1, "sigmoid")) == "QUOTA"
    assert board.management.state().regions[0].computes == mul.digest()
    bench.ready(1, "mul_1")
    known.loaded.clear()
    bench.ready(1, "sigmoid")
    assert board.management.state().regions[0].computes != mul.digest()


def test_a_worker_that_measures_has_a_region_of_its_own(
    bench: Bench, board: SimulatedBoard
) -> None:
    bench.worker(1)
    bench.ready(1, "mul_1")
    process = bench.process(2)
    share = bench.inventory.reserve_share("measuring-2", Share(1, "fpga0", 500))
    measure = supervision_pb2.Measure(device="fpga0", words=share.words)
    bench.shares.tell(measure, process, "measuring-2", 1)
    bench.ready(2, "sigmoid")
    assert measure.words[USER_FDS] == str(process.lines[0].descriptor)
    regions = board.management.state().regions
    assert [region.share for region in regions] == ["ei-1/1", "measuring-2/1"]
    assert regions[0].computes == sha256((DATASETS / "mul_1.onnx").read_bytes()).digest()
    bench.shares.gone(process)
    bench.shares._thread("fpga0").submit(lambda: None).result()
    assert [region.share for region in board.management.state().regions] == ["ei-1/1", ""]


def test_whether_a_model_has_an_image_is_known_without_a_worker(bench: Bench) -> None:
    def check(name: str) -> None:
        asyncio.run(bench.shares.check_image("fpga0", spec_of(name)))

    check("sigmoid")
    assert reason_of(lambda: check("logreg_iris")) == "IMAGE_MISSING"


def test_the_next_worker_finds_nothing_of_the_one_before(
    bench: Bench, board: SimulatedBoard
) -> None:
    process, told = bench.worker(1)
    bench.ready(1, "mul_1")
    own = bench.inherited(told)
    first = UserFunction(socket.socket(fileno=int(own.words[USER_FDS])))
    first.allocate(4096)
    assert board.management.state().memory_used_bytes == 4096
    bench.shares.gone(process)
    bench.worker(2)
    bench.ready(2, "mul_1")
    assert board.management.state().memory_used_bytes == 0
    assert reason_of(first.status) == "DEVICE_LOST"
    assert board.management.state().regions[0].share == "ei-1/1"


def test_a_spares_lines_end_with_it(bench: Bench) -> None:
    (control, end), (near, far) = framing.make_pair(), framing.make_pair()
    with control, end, near:
        spare = WorkerProcess(7, 1, -1, control, Path("/nowhere"), Page(), Seat(), (Line(0, far),))
        bench.shares.gone(spare)
        assert far.fileno() == -1
        spare.page.close()


class Frozen(FpgaDriver):
    """A driver whose board answers nothing until it may."""

    asked = threading.Event()
    may = threading.Event()

    def image_of(self, files: Any) -> bytes:
        self.asked.set()
        assert self.may.wait(30)
        return super().image_of(files)


def test_a_board_that_does_not_answer_holds_up_nobodys_loop(board: SimulatedBoard) -> None:
    bench = Bench(Frozen([board]))
    bench.worker(1)

    async def test() -> None:
        load = asyncio.create_task(bench.shares.ready(1, spec_of("mul_1")))
        await asyncio.to_thread(Frozen.asked.wait, 30)
        assert not load.done()
        Frozen.may.set()
        with pytest.raises(EaisError, match="no role image"):
            await load

    asyncio.run(test())
    bench.close()


def test_a_board_that_is_gone_lends_nothing(own_board: SimulatedBoard) -> None:
    driver = FpgaDriver([own_board])
    driver.reserve("fpga0", 500)
    own_board.close()
    assert reason_of(lambda: driver.reserve("fpga0", 500)) == "DEVICE_LOST"


def test_boards_are_started_and_end(trusted: Path, tmp_path: Path) -> None:
    config = ListenerConfig(
        simulate="board=2", fpga_images=str(tmp_path / "images"), fpga_keys=str(trusted)
    )
    with ExitStack() as until:
        driver = start_boards(config, os.environ, until)
        assert [info.id for info in driver.fingerprint()] == ["fpga0", "fpga1"]
        assert driver.lines == 2
    assert reason_of(lambda: driver.reserve("fpga1", 500)) == "DEVICE_LOST"
    assert start_boards(ListenerConfig(), os.environ, until).fingerprint() == []


def test_what_cannot_be_used_is_named(trusted: Path, tmp_path: Path) -> None:
    images, bad = str(tmp_path / "images"), tmp_path / "bad.pem"
    bad.write_text("no key")
    (tmp_path / "file").write_text("")
    changes: tuple[tuple[dict[str, Any], str], ...] = (
        ({"fpga_keys": f"{trusted}, {bad}"}, f"fpga_keys: {bad}: a key that images"),
        ({"fpga_keys": "/nowhere/key"}, "fpga_keys: /nowhere/key: No such file"),
        ({"fpga_images": f"{tmp_path}/file"}, f"fpga_images: {tmp_path}/file: "),
    )
    for changed, said in changes:
        words = {"simulate": "board=1", "fpga_images": images, "fpga_keys": str(trusted)}
        with ExitStack() as until, pytest.raises(ConfigError) as caught:
            start_boards(ListenerConfig(**{**words, **changed}), os.environ, until)
        assert said in caught.value.message
