"""A real, confined worker that may use other runtimes than onnxruntime, and finds which."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from eais.rpc.v1 import supervision_pb2
from tests.unit.server.runtime import models
from tests.unit.server.worker.child import WAIT_S, WorkerChild, worker_child
from tests.unit.server.worker.test_process import local_run

pytest.importorskip("openvino")

SIDE = 512
RUNTIMES = [
    supervision_pb2.Runtime(driver="cpu", name="onnxruntime", precision="fp32"),
    supervision_pb2.Runtime(driver="openvino", name="openvino", precision="fp32"),
    supervision_pb2.Runtime(driver="openvino", name="openvino", precision="bf16"),
]


def products(count: int = 8) -> bytes:
    """Products with large matrices, one after the other."""
    rng = np.random.default_rng(3)
    weights = [
        numpy_helper.from_array(
            (rng.standard_normal((SIDE, SIDE)) / SIDE**0.5).astype(np.float32), f"w{i}"
        )
        for i in range(count)
    ]
    names = ["x", *(f"t{i}" for i in range(count - 1)), "y"]
    nodes = [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]]) for i in range(count)]
    x, y = (models.info(name, TensorProto.FLOAT, [SIDE, SIDE]) for name in ("x", "y"))
    return models.model(*nodes, inputs=[x], outputs=[y], initializers=tuple(weights))


@pytest.fixture(scope="module")
def data() -> bytes:
    return products()


@pytest.fixture
def feed() -> dict[str, Any]:
    return {"x": np.random.default_rng(4).standard_normal((SIDE, SIDE)).astype(np.float32)}


def adopted(child: WorkerChild, tolerance: str) -> int:
    """The port of its metrics."""
    child.heard("spare")
    told = child.adopt(tolerance=tolerance, drivers=["cpu", "openvino"], runtimes=RUNTIMES)
    assert not told.HasField("error")
    child.serve()
    return told.metrics_port


def metrics(port: int) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S) as page:
        return [line for line in page.read().decode().splitlines() if "_runtime" in line]


def wait_for_choice(child: WorkerChild) -> str:
    """What it says that the model runs on, once it does."""
    until = time.monotonic() + WAIT_S
    while "the model runs on" not in child.log:
        assert time.monotonic() < until, child.log
        child.heard("heartbeat")
    return child.log.split("the model runs on ")[1].split()[0]


def heard_unused(child: WorkerChild) -> supervision_pb2.Runs:
    """What runs its session, once it says what doesn't."""
    until = time.monotonic() + WAIT_S
    while not (child.runs and child.runs[-1].unused):
        assert time.monotonic() < until, child.log
        child.heard("heartbeat")
    return child.runs[-1]


@pytest.fixture
def child(tmp_path: Path) -> Iterator[WorkerChild]:
    with worker_child(tmp_path) as found:
        yield found


def test_a_wide_tolerance_has_the_faster_runtime(
    child: WorkerChild, data: bytes, feed: dict[str, Any]
) -> None:
    adopted(child, "bf16")
    session = child.load(data)
    (want,) = local_run(data, feed)
    with child.stream() as client:
        client.greet()
        assert client.run(session, feed)[0].shape == want.shape
        wait_for_choice(child)
        (got,) = client.run(session, feed)
    assert np.abs(got - want).max() <= np.abs(want).max() / 16


def test_exact_has_onnxruntime_and_every_bit(
    child: WorkerChild, data: bytes, feed: dict[str, Any]
) -> None:
    adopted(child, "exact")
    session = child.load(data)
    with child.stream() as client:
        client.greet()
        (got,), (want,) = client.run(session, feed), local_run(data, feed)
    assert got.tobytes() == want.tobytes()
    assert "openvino" not in child.log


def test_what_it_was_told_to_leave_it_leaves(
    child: WorkerChild, data: bytes, feed: dict[str, Any]
) -> None:
    adopted(child, "bf16")
    session = child.load(data, reference_only=True)
    told = heard_unused(child)
    assert [each.runtime for each in told.unused] == ["openvino/fp32", "openvino/bf16"]
    assert told.unused[0].why.startswith("a worker died")
    with child.stream() as client:
        client.greet()
        (got,), (want,) = client.run(session, feed), local_run(data, feed)
    assert got.tobytes() == want.tobytes()
    assert "openvino" not in child.log


def test_what_it_lacks_stays_with_onnxruntime(child: WorkerChild) -> None:
    port = adopted(child, "bf16")
    session = child.load(models.dataset("logreg_iris"))
    assert wait_for_choice(child) == "onnxruntime/fp32"
    assert "openvino/bf16 isn't used for this model: RUNTIME_REFUSED" in child.log
    with child.stream() as client:
        client.greet()
        assert len(client.run(session, {"float_input": np.ones((3, 2), np.float32)})) == 2
    told = heard_unused(child)
    assert (told.session, told.runtime) == (session, "onnxruntime/fp32")
    assert [each.runtime for each in told.unused] == ["openvino/fp32", "openvino/bf16"]
    assert all(each.why.startswith("RUNTIME_REFUSED: ") for each in told.unused)
    shown = metrics(port)
    assert 'eais_worker_runtime_sessions{runtime="onnxruntime/fp32"} 1.0' in shown
    assert 'eais_worker_runtimes_refused_total{runtime="openvino/bf16"} 1.0' in shown


def test_a_tolerance_that_is_none_is_refused(child: WorkerChild) -> None:
    child.heard("spare")
    told = child.adopt(tolerance="roughly")
    assert told.error.reason == "ARGUMENT"
