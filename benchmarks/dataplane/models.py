"""The models that are called: two that compute almost nothing, and two real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from eais_client.demo.resnet import write_resnet50

LARGE_BYTES = 16 << 20
HUGE_BYTES = 200_000_000
_PICTURE = (1, 3, 224, 224)
_SEED = 7


def write_models(folder: Path) -> None:
    """Write all models into `folder`; the same bytes each time."""
    write_one_node_models(folder)
    write_resnet50(folder / "resnet50.onnx")
    _write_squeezenet(folder / "squeezenet.onnx")


def write_one_node_models(folder: Path) -> None:
    """Write `tiny`, which doubles, and `identity`."""
    (folder / "tiny.onnx").write_bytes(_one_node("Mul", ["N", 4], constant=2.0))
    (folder / "identity.onnx").write_bytes(_one_node("Identity", ["N", "D"]))


def feed(model: str) -> NDArray[np.float32]:
    """The input of a call: `tiny` 16 bytes, `identity` 16 MiB, `huge` 200 MB, else a picture."""
    rng = np.random.default_rng(_SEED)
    if model == "tiny":
        return np.arange(4, dtype=np.float32).reshape(1, 4)
    if model in ("identity", "huge"):
        size = LARGE_BYTES if model == "identity" else HUGE_BYTES
        return np.arange(size // 4, dtype=np.float32).reshape(1, -1)
    return rng.standard_normal(_PICTURE, dtype=np.float32)


def _one_node(op: str, shape: list[int | str], constant: float | None = None) -> bytes:
    inputs = ["x"] if constant is None else ["x", "c"]
    constants = (
        [] if constant is None else [helper.make_tensor("c", TensorProto.FLOAT, [], [constant])]
    )
    graph = helper.make_graph(
        [helper.make_node(op, inputs, ["y"])],
        op.lower(),
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        constants,
    )
    return _made(graph)


def _made(graph: Any) -> bytes:
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def _write_squeezenet(target: Path) -> None:
    """SqueezeNet as the onnx wheel carries it, with seeded weights and a batch of any size."""
    light = Path(onnx.__path__[0]) / "backend/test/data/light/light_squeezenet.onnx"
    model, rng = onnx.load(str(light)), np.random.default_rng(_SEED)
    model.ir_version = 4
    graph = model.graph
    shapes = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "ConstantOfShape"]:
        shape = [int(size) for size in shapes[node.input[0]]]
        scale = np.sqrt(2.0 / max(1, int(np.prod(shape[1:]))))
        weights = rng.normal(0, scale, shape).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for weight in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(weight)
    given = {one.name for one in graph.initializer}
    for value in [one for one in graph.input if one.name in given or one.name not in used]:
        graph.input.remove(value)
    for value in [*graph.input, *graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.save(model, str(target))
