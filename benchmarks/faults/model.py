"""A model whose every answer is a known function of a number in its request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper

FACTOR = 3
TERM = 7
SMALL = 4
BIG = 1 << 17
"""int64: 1 MiB, more than travels inside one message."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: `size` int64 numbers from `nonce` on."""

    nonce: int
    size: int

    @property
    def feeds(self) -> dict[str, Any]:
        """The model's input."""
        return {"x": np.arange(self.nonce, self.nonce + self.size, dtype=np.int64)}

    def answers(self, outputs: list[Any]) -> bool:
        """Whether `outputs` is the one right answer, bit by bit."""
        want = self.feeds["x"] * FACTOR + TERM
        if len(outputs) != 1 or outputs[0].dtype != want.dtype:
            return False
        return bool(np.array_equal(outputs[0], want))


def model() -> bytes:
    """Y = x * FACTOR + TERM, in int64, so that no rounding hides a wrong answer."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "a"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])],
        "affine",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, ["n"])],
        [
            helper.make_tensor("a", TensorProto.INT64, [1], [FACTOR]),
            helper.make_tensor("b", TensorProto.INT64, [1], [TERM]),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())
