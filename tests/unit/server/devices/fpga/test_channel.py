"""A region's channel against a user function that does as it is told: waits, ends, time-outs."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from typing import Any, cast

import pytest

from eais.errors import EaisError, make_error
from eais.rpc.v1 import fpga_pb2
from eais_server.devices.driver import ModelInfo, SessionSignature
from eais_server.devices.fpga.client import UserFunction
from eais_server.devices.fpga.memory import SharedMemory
from eais_server.devices.fpga.packing import Packed, pack
from eais_server.devices.fpga.session import FpgaSession, RegionChannel
from tests.unit.server.devices.fpga.rig import floats

Y = pack([("y", floats(1, 2))])
RUNNING = fpga_pb2.Done(running=True)


def done(packed: Packed = Y) -> fpga_pb2.Done:
    data = bytearray(packed.size)
    packed.put(memoryview(data))
    return fpga_pb2.Done(
        values_bytes=packed.values_bytes, output_bytes=packed.size, crc32=zlib.crc32(data)
    )


class Scripted:
    """A user function; `waits` are the answers to waits, in order."""

    def __init__(self, *waits: fpga_pb2.Done | EaisError) -> None:
        self.waits = list(waits)
        self.said: list[str] = []
        self.buffers: dict[int, SharedMemory] = {}
        self.runs = 0

    def allocate(self, size: int) -> tuple[int, SharedMemory]:
        number = len(self.buffers) + 1
        self.buffers[number] = SharedMemory.make(size)
        self.said.append(f"allocate {size}")
        return number, self.buffers[number]

    def free(self, buffer: int) -> None:
        self.said.append(f"free {buffer}")

    def write(self, buffer: int, offset: int, size: int) -> None:
        self.said.append("write")

    def read(self, buffer: int, offset: int, size: int) -> None:
        self.said.append("read")
        Y.put(self.buffers[buffer].view)

    def start(
        self, image: bytes, given: tuple[int, int, int], output: int, outputs: Sequence[str] = ()
    ) -> int:
        self.runs += 1
        self.said.append(f"start {self.runs}")
        return self.runs

    def wait(self, run: int, timeout_ms: int) -> fpga_pb2.Done:
        self.said.append(f"wait {run}")
        told = self.waits.pop(0)
        if isinstance(told, EaisError):
            raise told
        return told

    def heard(self) -> list[str]:
        said, self.said = self.said, []
        return said


def channel(function: Scripted, **given: Any) -> RegionChannel:
    return RegionChannel(cast(UserFunction, function), **given)


def run(made: RegionChannel, ended: threading.Event | None = None) -> list[Any]:
    return made.run(b"image", pack([("x", floats(1))]), (), ended or threading.Event())


def reason(made: RegionChannel, ended: threading.Event | None = None) -> str:
    with pytest.raises(EaisError) as caught:
        run(made, ended)
    return caught.value.reason


def test_a_run_asks_for_no_buffer_twice() -> None:
    function = Scripted(done(), RUNNING, done())
    made = channel(function)
    assert run(made)[0].tolist() == [1, 2]
    first = function.heard()
    assert first[-4:] == ["write", "start 1", "wait 1", "read"]
    run(made)
    assert function.heard() == ["write", "start 2", "wait 2", "wait 2", "read"]


def test_what_was_left_running_is_over_before_the_next_begins() -> None:
    function = Scripted(RUNNING, RUNNING, done(), done())
    made = channel(function)
    ended = threading.Event()
    ended.set()
    assert reason(made, ended) == "RUN_FAILED"
    assert not made.lost
    function.heard()
    assert run(made)[0].tolist() == [1, 2]
    assert function.heard() == ["wait 1", "wait 1", "write", "start 2", "wait 2", "read"]


def test_how_what_was_left_ended_is_nobodys_business_but_a_loss_is() -> None:
    ended = threading.Event()
    ended.set()
    for error, told in (
        (make_error("RUN_FAILED", "no"), ""),
        (make_error("DEVICE_LOST", "no"), "lost"),
    ):
        made = channel(Scripted(RUNNING, error, done()))
        assert reason(made, ended) == "RUN_FAILED"
        if told:
            assert reason(made) == "DEVICE_LOST"
        else:
            assert run(made)


def test_a_run_that_is_not_over_in_time_never_will_be() -> None:
    times = iter([0.0, 3.0, 9.9, 10.0])
    function = Scripted(RUNNING, RUNNING, RUNNING)
    made = channel(function, timeout_s=10.0, clock=lambda: next(times))
    assert reason(made) == "DEVICE_LOST"
    function.heard()
    assert reason(made) == "DEVICE_LOST"
    assert function.heard() == []


def test_an_output_buffer_grows_to_what_is_needed_and_no_further() -> None:
    large = make_error("OUTPUT_TOO_LARGE", "no", metadata={"need": "100000"})
    function = Scripted(large, done(), large)
    made = channel(function)
    assert run(made)
    assert [word for word in function.heard() if word[0] in "afs"] == [
        "allocate 65536",
        "allocate 65536",
        "start 1",
        "free 2",
        "allocate 131072",
        "start 2",
    ]
    # The buffer has the room already: what says otherwise is wrong, or endless.
    assert reason(made) == "OUTPUT_TOO_LARGE"


@pytest.mark.parametrize("why", ["NOT_FOUND", "WRONG_STATE", "IMAGE_MISSING"])
def test_a_region_that_was_taken_away_is_lost(why: str) -> None:
    made = channel(Scripted(make_error(why, "no")))
    assert reason(made) == "DEVICE_LOST"
    assert made.lost


def test_a_wrong_input_costs_nothing_but_its_run() -> None:
    made = channel(Scripted(make_error("INPUT_DTYPE", "no"), done()))
    assert reason(made) == "INPUT_DTYPE"
    assert run(made)


def test_sessions_take_a_region_that_is_free_and_not_lost() -> None:
    functions = [Scripted(done(), done()), Scripted(done(), done())]
    channels = [channel(function) for function in functions]
    signature = SessionSignature((), (), (), ModelInfo("", "", "", "", "", 0, {}), ())
    session = FpgaSession([(made, b"image") for made in channels], signature)
    ended = threading.Event()
    with channels[0].lock:
        assert session.run((), {"x": floats(1)}, ended)
    assert [function.runs for function in functions] == [0, 1]
    channels[1].lost = "gone"
    assert session.run((), {"x": floats(1)}, ended)
    assert [function.runs for function in functions] == [1, 1]
