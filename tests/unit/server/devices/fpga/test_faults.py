"""Injected faults, without a process: what each does to its region, and to no other."""

from __future__ import annotations

import numpy as np
import pytest

from eais.rpc.v1 import fpga_pb2
from eais_server.devices.fpga.state import Vanish
from tests.unit.server.devices.fpga.rig import Bench, floats

X = {"x": floats(1, 2, 3)}


def test_a_hang_is_a_run_that_goes_on_until_the_region_is_reset() -> None:
    bench = Bench()
    digest = bench.ready()
    bench.manage("inject", region=0, fault=fpga_pb2.HANG)
    run = bench.start(0, digest, X).number
    assert bench.computing == []
    bench.at(1e6)
    assert bench.use(0, "wait", run=run, timeout_ms=0).done.running
    wait = fpga_pb2.UserRequest(wait=fpga_pb2.Wait(run=run, timeout_ms=9)).SerializeToString()
    assert bench.raw_use(0, wait) is None
    bench.manage("reset", region=0)
    told = bench.answer(0)
    assert told is not None
    assert told.error.reason == "DEVICE_LOST"
    digest = bench.manage("load", region=0).region.image
    run = bench.start(0, digest, X).number
    bench.compute()
    assert bench.use(0, "wait", run=run, timeout_ms=0).done.output_bytes


def test_garbage_is_told_by_its_checksum() -> None:
    bench = Bench()
    digest = bench.ready()
    bench.manage("inject", region=0, fault=fpga_pb2.GARBAGE)
    run = bench.start(0, digest, X).number
    bench.compute()
    done = bench.use(0, "wait", run=run, timeout_ms=0).done
    wrong = bench.output(0, done)["y"]
    assert not np.array_equal(wrong, floats(2, 4, 6))


@pytest.mark.parametrize("verb", ["write", "read"])
def test_a_transfer_that_fails_faults_the_region_and_no_other(verb: str) -> None:
    bench = Bench()
    bench.ready(0, "a")
    bench.ready(1, "b")
    number = bench.allocate(0)
    bench.manage("inject", region=0, fault=fpga_pb2.DMA)
    reply = bench.use(0, verb, buffer=number, offset=0, bytes=1)
    assert reply.error.reason == "DEVICE_LOST"
    assert (bench.state(0).state, bench.state(0).fault) == ("FAULTED", "a DMA transfer failed")
    assert bench.use(0, "describe").error.reason == "DEVICE_LOST"
    assert bench.use(1, "describe").signature.inputs
    other = bench.allocate(1)
    assert bench.use(1, verb, buffer=other, offset=0, bytes=1).number == other
    assert bench.manage("load", region=0).error.reason == "WRONG_STATE"
    assert bench.manage("reset", region=0).region.state == "EMPTY"


def test_a_transfer_that_fails_without_a_role_is_told_too() -> None:
    bench = Bench()
    bench.manage("open_user", region=0, share="a")
    number = bench.allocate(0)
    bench.manage("inject", region=0, fault=fpga_pb2.DMA)
    assert bench.use(0, "read", buffer=number, bytes=1).error.reason == "DEVICE_LOST"
    assert bench.state(0).state == "EMPTY"


def test_faults_are_injected_into_simulated_boards_alone() -> None:
    bench = Bench(simulated=False)
    assert bench.manage("inject", region=0, fault=fpga_pb2.VANISH).error.reason == (
        "PERMISSION_DENIED"
    )
    assert bench.others == []
    assert not bench.manage("read_state").board.simulated


@pytest.mark.parametrize("fault", [0, 99])
def test_there_are_no_other_faults(fault: int) -> None:
    assert Bench().manage("inject", region=0, fault=fault).error.reason == "ARGUMENT"


def test_a_board_that_vanishes_says_nothing_more() -> None:
    bench = Bench()
    asked = fpga_pb2.Inject(region=0, fault=fpga_pb2.VANISH)
    data = fpga_pb2.ManagementRequest(inject=asked).SerializeToString()
    with pytest.raises(ValueError, match="not enough values"):
        bench.raw_manage(data)
    assert bench.others == [Vanish()]
