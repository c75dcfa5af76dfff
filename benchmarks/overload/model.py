"""A model that takes a few milliseconds of one core, from and to a few bytes."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from eais.rpc.v1 import value_pb2
from eais.testing.values import encode_value
from eais.value import Deferred

_SIDE = 320
_STEPS = 6


def model() -> bytes:
    """Y = the mean of a chain of matrix products that begins with x, float[1]."""
    weights = np.eye(_SIDE, dtype=np.float32) * 0.5 + 0.5 / _SIDE
    nodes = [helper.make_node("Mul", ["w", "x"], ["h0"])]
    nodes += [helper.make_node("MatMul", [f"h{n}", "w"], [f"h{n + 1}"]) for n in range(_STEPS)]
    nodes.append(helper.make_node("ReduceMean", [f"h{_STEPS}"], ["y"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        [numpy_helper.from_array(weights, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def inputs() -> list[value_pb2.NamedValue]:
    """What is sent with each call."""
    value = encode_value(np.ones(1, np.float32), Deferred())
    return [value_pb2.NamedValue(name="x", value=value)]
