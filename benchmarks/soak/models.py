"""Models that say which of them answered: y = 3 x + term, in int64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper

FACTOR = 3
SMALL = 4
BIG = 1 << 17
"""int64: 1 MiB, more than travels inside one message."""
PADDING = 16 << 10
"""int64: 128 KiB of each model, so that a store of a few MiB is soon full."""


def affine(term: int) -> bytes:
    """The model with that term; models of other terms share no file."""
    padding = np.full(PADDING, term, np.int64)
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "a"], ["m"]),
            helper.make_node("ReduceMax", ["p"], ["b"], keepdims=0),
            helper.make_node("Add", ["m", "b"], ["y"]),
        ],
        "affine",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, ["n"])],
        [
            helper.make_tensor("a", TensorProto.INT64, [1], [FACTOR]),
            helper.make_tensor("p", TensorProto.INT64, [PADDING], padding.tobytes(), raw=True),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


@dataclass(frozen=True, slots=True)
class Question:
    """`size` int64 numbers from `nonce` on, asked of the model with `term`."""

    nonce: int
    size: int
    term: int

    @property
    def feeds(self) -> dict[str, Any]:
        """The model's input."""
        return {"x": np.arange(self.nonce, self.nonce + self.size, dtype=np.int64)}

    def answered_by(self, outputs: list[Any]) -> bool:
        """Whether `outputs` is the one right answer, bit by bit."""
        want = self.feeds["x"] * FACTOR + self.term
        return (
            len(outputs) == 1
            and outputs[0].dtype == want.dtype
            and bool(np.array_equal(outputs[0], want))
        )
