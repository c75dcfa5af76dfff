"""Real boards: what AMD's runtime says of them, by a stand-in for its module; none was at hand."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from eais.device_type import DeviceKind
from eais.errors import EaisError
from eais_server.devices.driver import ModelSource, SessionSettings
from eais_server.devices.fpga.xrt import XrtDriver
from tests.unit.server.devices.fpga.rig import DATASETS

MEMORY = """{"board": {"memory": {"memories": [
    {"tag": "bank0", "enabled": "true", "range_bytes": "0x400000000"},
    {"tag": "bank1", "enabled": "true", "range_bytes": "1024"},
    {"tag": "bank2", "enabled": "false", "range_bytes": "0x400000000"}]}}}"""


class Pyxrt:
    """The module, with these boards: bdf, name, offline, memory."""

    xrt_info_device = SimpleNamespace(bdf="bdf", name="name", offline="offline", memory="memory")

    def __init__(self, *boards: dict[str, str] | None) -> None:
        self.boards = boards

    def enumerate_devices(self) -> int:
        return len(self.boards)

    def device(self, index: int) -> Any:
        board = self.boards[index]
        if board is None:
            raise RuntimeError("failed to open device")
        return SimpleNamespace(get_info=board.__getitem__)


def a_board(bdf: str = "0000:65:00.1", **other: str) -> dict[str, str]:
    return {"bdf": bdf, "name": "xilinx_u55c", "offline": "false", "memory": MEMORY, **other}


def driver(*boards: dict[str, str] | None) -> XrtDriver:
    return XrtDriver(lambda: Pyxrt(*boards))


def test_a_board_as_the_runtime_describes_it() -> None:
    (info,) = driver(a_board()).fingerprint()
    assert (info.id, info.kind, info.model) == (
        "fpga-0000:65:00.1",
        DeviceKind.FPGA,
        "xilinx_u55c",
    )
    assert info.memory_bytes == 0x400000000 + 1024
    assert not info.simulated


def test_boards_that_are_offline_or_broken_are_not_offered() -> None:
    found = driver(a_board("a", offline="true"), None, a_board("b")).fingerprint()
    assert [info.id for info in found] == ["fpga-b"]


@pytest.mark.parametrize("memory", ["", "[]", "{", '{"range_bytes": "many", "enabled": "true"}'])
def test_memory_that_is_not_said_is_none(memory: str) -> None:
    assert driver(a_board(memory=memory)).fingerprint()[0].memory_bytes == 0


def test_the_runtime_is_asked_once() -> None:
    asked: list[int] = []

    def runtime() -> Any:
        asked.append(1)
        return Pyxrt(a_board())

    made = XrtDriver(runtime)
    assert made.fingerprint() == made.fingerprint()
    assert [s.device for s in made.stats()] == ["fpga-0000:65:00.1"]
    assert asked == [1]


def test_without_the_runtime_there_are_no_boards() -> None:
    made = XrtDriver(lambda: None)
    assert made.fingerprint() == []
    assert made.stats() == []
    with pytest.raises(EaisError) as caught:
        made.reserve("fpga0", 1000)
    assert caught.value.reason == "NOT_FOUND"


def test_a_board_is_one_share() -> None:
    made = driver(a_board())
    share = made.reserve("fpga-0000:65:00.1", 1000)
    for milli, held, reason in ((500, (), "ARGUMENT"), (1000, (share,), "NO_DEVICE")):
        with pytest.raises(EaisError) as caught:
            made.reserve(share.device, milli, held)
        assert caught.value.reason == reason


def test_what_it_can_not_do_it_says() -> None:
    made = driver(a_board())
    share = made.reserve("fpga-0000:65:00.1", 1000)
    with pytest.raises(EaisError, match="no roles onto real boards yet") as caught:
        made.open(share, ModelSource(DATASETS / "mul_1.onnx"), SessionSettings())
    assert caught.value.reason == "IMAGE_MISSING"


def test_the_runtime_is_never_imported_unless_it_is_installed() -> None:
    code = (
        "import sys, eais_server.devices.fpga.xrt as xrt; d = xrt.XrtDriver(); d.fingerprint();"
        "sys.exit('pyxrt' in sys.modules and 'pyxrt' not in sys.builtin_module_names)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
