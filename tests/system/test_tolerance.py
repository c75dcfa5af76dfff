"""What an instance's owner allows decides what its models run on, on the real stack."""

from __future__ import annotations

import os
import platform
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import eais
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_server.devices.openvino import OpenVinoDriver
from tests.system.stack import Stack, eventually, op
from tests.unit.server.runtime import models

pytest.importorskip("openvino")

BLOCKS, CHANNELS, SIDE = 6, 128, 28
HIGHEST = np.iinfo(np.int32).max
Attach = Callable[[str], pool_pb2.Instance]


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convolutions around which the input goes, as in ResNet, and a softmax."""
    rng = np.random.default_rng(11)
    scale = (2 / (9 * CHANNELS)) ** 0.5
    weights, nodes, last = [], [], "x"
    for i in range(BLOCKS):
        kernel = rng.standard_normal((CHANNELS, CHANNELS, 3, 3)) * scale / 2
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"w{i}"))
        nodes += [
            helper.make_node("Conv", [last, f"w{i}"], [f"c{i}"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{i}"], [f"r{i}"]),
            helper.make_node("Add", [f"r{i}", last], [f"a{i}"]),
        ]
        last = f"a{i}"
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Softmax", ["f"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS, SIDE, SIDE])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CHANNELS])
    graph = helper.make_graph(nodes, "residual", [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("model") / "residual.onnx"
    onnx.save(model, str(path))
    return path


@pytest.fixture
def feed() -> dict[str, Any]:
    shape = (1, CHANNELS, SIDE, SIDE)
    return {"x": np.random.default_rng(5).standard_normal(shape).astype(np.float32)}


def local(model: Path, feed: dict[str, Any]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    here = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return here.run(None, feed)[0]


@pytest.fixture
def attach(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attach]:
    """Makes a cpu.1 of that tolerance; "": nothing is said."""
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    made: list[str] = []

    def make(tolerance: str) -> pool_pb2.Instance:
        policy = pool_pb2.InstancePolicy(tolerance=tolerance)
        request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1", policy=policy)
        instance: pool_pb2.Instance = stack.ask(verbs.POOL_ATTACH, request).instance
        made.append(instance.id)
        return instance

    yield make
    for instance in made:
        stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=instance))


def logged(stack: Stack, instance: str, words: str) -> list[str]:
    """The lines of the instance's workers with these words."""
    lines = (line for log in stack.state.glob("*.log") for line in log.read_text().splitlines())
    return [line for line in lines if instance in line and words in line]


def said_of(stack: Stack, instance: str) -> list[str]:
    """Which runtimes its workers chose, as their log says."""
    return logged(stack, instance, "the model runs on")


def test_bf16_is_within_bf16(
    stack: Stack, attach: Attach, residual: Path, feed: dict[str, Any]
) -> None:
    instance = attach("bf16")
    assert instance.tolerance == "bf16"
    want = local(residual, feed)
    with eais.InferenceSession(residual) as session:
        assert np.abs(session.run(None, feed)[0] - want).max() <= want.max() / 16
        chosen = eventually(lambda: said_of(stack, instance.id) or None, "a runtime is chosen")
        (got,) = session.run(None, feed)
        assert np.abs(got - want).max() <= want.max() / 16
        if "openvino/bf16" in chosen[-1]:
            assert got.tobytes() != want.tobytes()
        # What a restarted worker chooses is no matter of the calls that wait for it.
        pid = stack.worker_pid(instance.id)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert np.abs(session.run(None, feed)[0] - want).max() <= want.max() / 16


def test_nothing_said_is_exact_and_on_onnxruntime(
    stack: Stack, attach: Attach, residual: Path, feed: dict[str, Any]
) -> None:
    instance = attach("")
    assert instance.tolerance == "exact"
    with eais.InferenceSession(residual) as session:
        for _ in range(3):
            assert session.run(None, feed)[0].tobytes() == local(residual, feed).tobytes()
    assert said_of(stack, instance.id) == []


@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="elsewhere a division that overflows traps nothing"
)
def test_a_trial_that_kills_its_worker_is_not_repeated(stack: Stack, attach: Attach) -> None:
    """The lowest integer over -1 traps: onnxruntime does that for ones, which are made up."""
    nodes = [
        helper.make_node("Add", ["x", "low"], ["a"]),
        helper.make_node("Sub", ["y", "two"], ["b"]),
        helper.make_node("Div", ["a", "b"], ["z"]),
    ]
    x, y, z = (models.info(name, TensorProto.INT32, [2]) for name in "xyz")
    low, two = (
        numpy_helper.from_array(np.array([value], np.int32), name)
        for name, value in (("low", HIGHEST), ("two", 2))  # one more is the lowest
    )
    data = models.model(*nodes, inputs=[x, y], outputs=[z], initializers=(low, two))
    feed = {"x": np.zeros(2, np.int32), "y": np.full(2, 3, np.int32)}
    instance = attach("fp32")
    with eais.InferenceSession(data) as session:
        lines = "the model keeps to onnxruntime/fp32"
        eventually(lambda: logged(stack, instance.id, lines) or None, "it keeps to onnxruntime")
        for _ in range(3):
            assert session.run(None, feed)[0].tolist() == [HIGHEST] * 2
    assert stack.instance(instance.id).workers[0].incarnation == 2
    with eais.InferenceSession(data) as session:
        assert session.run(None, feed)[0].tolist() == [HIGHEST] * 2


def test_this_machine_is_asked_what_it_is_fast_at() -> None:
    (cpu, *_) = OpenVinoDriver().fingerprint()
    flags = Path("/proc/cpuinfo").read_text()
    fast = "avx512_bf16" in flags or "amx_bf16" in flags
    assert len(cpu.runtimes) == 1 + fast
