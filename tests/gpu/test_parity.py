"""A GPU's answers beside those of the CPU provider, within what their precision allows.

The products here are large enough for TF32 to be outside of it: 2^-11 of each element, where the
bound is 10^-4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from eais.parity.verdict import difference
from eais.tolerance import Tolerance
from eais_server.devices.driver import (
    PLAIN_RUN,
    DeviceInfo,
    ModelSource,
    SessionSettings,
)
from tests.gpu.conftest import Maker

pytestmark = pytest.mark.gpu

RANDOM = np.random.default_rng(7)


def saved(path: Path, op: str, weight: Any, dims: list[Any], **attributes: Any) -> ModelSource:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node(op, ["x", "w"], ["y"], **attributes)
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return ModelSource(path)


def weight(*dims: int) -> Any:
    return RANDOM.standard_normal(dims).astype(np.float32)


@pytest.mark.parametrize(
    ("op", "dims", "attributes"),
    [
        ("MatMul", (512, 512), {}),
        ("Conv", (64, 32, 3, 3), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ],
)
def test_answers_are_as_near_to_the_cpus_as_the_precision_promises(
    maker: Maker,
    device: DeviceInfo,
    tmp_path: Path,
    op: str,
    dims: tuple[int, ...],
    attributes: dict[str, Any],
) -> None:
    taken = ["N", 512] if op == "MatMul" else ["N", 32, 28, 28]
    model = saved(tmp_path / "m.onnx", op, weight(*dims), taken, **attributes)
    reference = ort.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    driver = maker()
    share = driver.reserve(device.id, device.capacity_milli)
    for runtime in device.runtimes:
        session = driver.open(share, model, SessionSettings(), runtime)
        for rows in (1, 5):
            feed = {"x": weight(rows, *(d for d in taken if isinstance(d, int)))}
            got = session.prepare(PLAIN_RUN).execute([], feed)
            want = reference.run(None, feed)
            why = difference(want, got, ["y"], Tolerance(runtime.precision))
            assert not why, f"{runtime}: {why}"
