"""Two tenants of one GPU, a process each, with a quarter and three quarters of it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.context import context_of
from benchmarks.devices.shares import Tenant as Caller
from benchmarks.devices.shares import World, shares_of
from eais_server.devices.driver import DeviceInfo, Reservation
from tests.gpu.conftest import Maker
from tests.system.stack import embedded_pool

pytestmark = pytest.mark.gpu

PROGRAM = Path(__file__).with_name("tenant.py")
SECONDS = 5
LAYERS = 8


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Sums up as many ones as it is asked for; they are on the GPU meanwhile."""
    dims = helper.make_tensor_value_info("dims", TensorProto.INT64, [1])
    total = helper.make_tensor_value_info("y", TensorProto.FLOAT, [])
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    nodes = [
        helper.make_node("ConstantOfShape", ["dims"], ["ones"], value=one),
        helper.make_node("ReduceSum", ["ones"], ["y"], keepdims=0),
    ]
    graph = helper.make_graph(nodes, "g", [dims], [total])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "sum.onnx"
    onnx.save(made, str(path))
    return path


class Tenant:
    """A process that has a share."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def tenant(share: Reservation, model: Path) -> Iterator[Tenant]:
    told = json.dumps(dataclasses.asdict(share))
    command = [sys.executable, str(PROGRAM), told, str(model)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Tenant(process)
        finally:
            process.kill()


def shares(maker: Maker, device: DeviceInfo) -> tuple[Reservation, Reservation]:
    driver = maker()
    quarter = driver.reserve(device.id, 250)
    return quarter, driver.reserve(device.id, 750, [quarter])


def test_a_tenant_gets_no_more_memory_than_its_share_and_the_other_goes_on(
    maker: Maker, device: DeviceInfo, model: Path
) -> None:
    quarter, rest = shares(maker, device)
    assert quarter.memory_bytes + rest.memory_bytes <= device.memory_bytes
    with tenant(quarter, model) as small, tenant(rest, model) as large:
        for each in (small, large):
            each.say("sum 1024")
            assert each.answer() == "1024.0"
        small.say(f"sum {quarter.memory_bytes // 4 + 1}")
        assert small.answer() == "RUN_MEMORY"
        for each in (small, large):
            each.say("sum 2048")
            assert each.answer() == "2048.0"


def test_two_that_saturate_a_gpu_have_its_time_as_their_shares_are(
    uuid: str, tmp_path: Path
) -> None:
    """Through a pool of its own, whose workers have turns; each call is as much work."""
    with embedded_pool(tmp_path, "[listener]\ncpu_cores = 2\n") as stack, context_of(stack):
        world = World(stack)
        with world.tenants(("gpu.1-4", LAYERS), ("gpu.3-4", LAYERS)) as both:
            quarter, _ = shares_of(both, SECONDS, Caller.runs)
    assert not world.wrong
    assert abs(quarter - 25) <= 2
