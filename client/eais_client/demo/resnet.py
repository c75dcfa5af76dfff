"""ResNet-50 as the `onnx` wheel carries it, with weights that make its answers tell.

`light_resnet50.onnx` has the true graph, but every weight in it is the constant 0.02, so
that its answer is 0.001 a thousand times whatever the picture is. The demo puts seeded
numbers in the weights' place (He's normal initialisation, https://arxiv.org/abs/1502.01852):
102 MB to upload, and answers that differ in each bit when anything goes wrong.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

INPUT = "gpu_0/data_0"
SHAPE = (1, 3, 224, 224)
_SEED = 50
_LIGHT = "backend/test/data/light/light_resnet50.onnx"
# Of the residual branches' last scales: keeps the sums from growing with the depth.
_BRANCH_SCALE = 0.25


def light_resnet50() -> Path:
    """Where the `onnx` wheel keeps the graph; found without importing onnx."""
    spec = importlib.util.find_spec("onnx")
    assert spec is not None  # the demo has checked
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / _LIGHT


def write_resnet50(target: Path) -> None:
    """Write the graph with seeded weights to `target`; the same bytes each time."""
    import onnx

    model = onnx.load(str(light_resnet50()))
    model.ir_version = 4  # from which on initializers need not be graph inputs, too
    _fill(model.graph, np.random.default_rng(_SEED))
    onnx.save(model, str(target))


def pictures(count: int) -> list[NDArray[np.float32]]:
    """`count` inputs of `SHAPE`, float32, the same each time."""
    rng = np.random.default_rng(_SEED + 1)
    return [rng.standard_normal(SHAPE, dtype=np.float32) for _ in range(count)]


def _fill(graph: GraphProto, rng: np.random.Generator) -> None:
    shapes = {one.name: one for one in graph.initializer}
    constants = [node for node in graph.node if node.op_type == "ConstantOfShape"]
    for node in constants:
        graph.initializer.append(_weights(node, shapes[node.input[0]], rng))
        graph.node.remove(node)


def _weights(node: NodeProto, shape: TensorProto, rng: np.random.Generator) -> TensorProto:
    from onnx import numpy_helper

    name, dims = node.output[0], tuple(int(size) for size in numpy_helper.to_array(shape))
    return numpy_helper.from_array(_values(name, dims, rng), name)


def _values(name: str, dims: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    if len(dims) == 4:
        fan_in = int(np.prod(dims[1:]))
        return _normal(rng, dims, (2 / fan_in) ** 0.5)
    if name.endswith("_bn_riv_0"):
        return np.ones(dims, np.float32)
    if name.endswith("_bn_s_0"):
        scale = _BRANCH_SCALE if "branch2c" in name else 1.0
        return np.full(dims, scale, np.float32)
    return _normal(rng, dims, 0.01)


def _normal(rng: np.random.Generator, dims: tuple[int, ...], scale: float) -> NDArray[np.float32]:
    return rng.standard_normal(dims, dtype=np.float32) * np.float32(scale)
