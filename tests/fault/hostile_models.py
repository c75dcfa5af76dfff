"""Models that mean no good, made on the spot, and the two ways in which each is tried."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

import eais
from eais.errors import REASONS, EaisError
from eais.rpc.status import status_code
from eais.rpc.v1 import pool_pb2
from eais_client.testing.conformance import mistake, oracle
from tests.system.raw import open_session, refusal
from tests.system.stack import Stack
from tests.unit.server.runtime import models

W = np.array([1, 2], np.float32).tobytes()
LIKE_ONNXRUNTIME = "as onnxruntime"


def refused(
    stack: Stack,
    at: pool_pb2.Instance,
    model: bytes,
    reason: str,
    files: Mapping[str, bytes] | None = None,
    **options: Any,
) -> EaisError:
    """What a caller that checks nothing is told, the same for a path as for bytes."""
    errors = [
        refusal(open_session, stack, at, model, files or {}, from_path=path, **options)
        for path in (True, False)
    ]
    for error in errors:
        assert error.reason == reason, error
        assert status_code(error).name == REASONS[reason].status
        assert len(error.message) <= 4096
    return errors[0]


def refused_here(model: bytes, folder: Path, *, words: bool = True) -> None:
    """The drop-in raises what onnxruntime raises, by path and from bytes; `words`: its text too."""
    path = folder / "model.onnx"
    path.write_bytes(model)
    for source in (model, path):
        kind, text = mistake(lambda source=source: oracle(source))  # type: ignore[misc]
        raised = mistake(lambda source=source: eais.InferenceSession(source))  # type: ignore[misc]
        assert kind
        assert raised == (kind, text if words else raised[1])


def add(w: TensorProto) -> bytes:
    """y = x + w."""
    node = helper.make_node("Add", ["x", "w"], ["y"])
    return models.model(
        node, inputs=[models.info("x")], outputs=[models.info("y")], initializers=(w,)
    )


def lying(**fields: Any) -> bytes:
    """A model whose initializer says what isn't so."""
    given: dict[str, Any] = {
        "name": "w",
        "data_type": TensorProto.FLOAT,
        "dims": [2],
        "raw_data": W,
    } | fields
    return add(TensorProto(**given))


def external(location: str, **entries: str) -> TensorProto:
    """A tensor of two floats that says it lies at `location`."""
    w = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2])
    w.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": location} | entries).items():
        w.external_data.add(key=key, value=value)
    return w


def in_constant(tensor: TensorProto) -> bytes:
    """The tensor as a node's attribute."""
    return graph_of(
        helper.make_node("Constant", [], ["w"], value=tensor),
        helper.make_node("Add", ["x", "w"], ["y"]),
    )


def in_subgraph(tensor: TensorProto) -> bytes:
    """The tensor as an initializer of a branch."""
    return branched(helper.make_node("Add", ["x", "w"], ["z"]), [tensor])


def branched(inner: onnx.NodeProto, initializers: list[TensorProto]) -> bytes:
    """A node from x to z inside an If."""
    branch = helper.make_graph([inner], "b", [], [models.info("z")], initializer=initializers)
    node = helper.make_node("If", ["on"], ["y"], then_branch=branch, else_branch=branch)
    on = models.info("on", TensorProto.BOOL, [])
    return models.model(node, inputs=[models.info("x"), on], outputs=[models.info("y")])


def in_sparse(tensor: TensorProto) -> bytes:
    """The tensor as the values of a sparse initializer."""
    made = onnx.load_from_string(models.relu())
    indices = helper.make_tensor("i", TensorProto.INT64, [2], [0, 1])
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, indices, [4]))
    return bytes(made.SerializeToString())


def in_function(tensor: TensorProto) -> bytes:
    """The tensor inside one of the model's own functions."""
    return with_function(
        helper.make_node("Constant", [], ["w"], value=tensor),
        helper.make_node("Add", ["x", "w"], ["y"]),
    )


def with_function(*nodes: onnx.NodeProto) -> bytes:
    """A model of one call of its own function, made of these nodes."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    made = onnx.load_from_string(models.one_op("f", "mine"))
    made.functions.append(helper.make_function("mine", "f", ["x"], ["y"], nodes, imports))
    return bytes(made.SerializeToString())


def graph_of(*nodes: onnx.NodeProto) -> bytes:
    """From x to y."""
    return models.model(*nodes, inputs=[models.info("x")], outputs=[models.info("y")])


def slow_to_load() -> bytes:
    """Thirty products of large matrices of ones, all of them constant: the optimiser's to make."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [3000, 3000])
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["m0"])]
    nodes += [
        helper.make_node("MatMul", [f"m{i}", f"m{i}"], [f"m{i + 1}"], name=f"n{i}")
        for i in range(30)
    ]
    nodes.append(helper.make_node("ReduceSum", ["m30"], ["y"], keepdims=0))
    return models.model(
        *nodes, inputs=[], outputs=[models.info("y", dims=[])], initializers=(shape,)
    )


def compared_with_each() -> bytes:
    """`n` boxes that don't meet, of which one operator compares each with each: 2^20 take it
    half an hour, and no more memory than some megabytes.
    """
    kind, whole = TensorProto.FLOAT, TensorProto.INT64
    nodes = [
        helper.make_node("Unsqueeze", ["n", "first"], ["most"]),
        helper.make_node("Range", ["zero", "n", "one"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=kind),
        helper.make_node("Unsqueeze", ["f", "second"], ["column"]),
        helper.make_node("MatMul", ["column", "step"], ["corners"]),
        helper.make_node("Add", ["corners", "size"], ["boxes"]),
        helper.make_node("Unsqueeze", ["boxes", "first"], ["batch"]),
        helper.make_node("Unsqueeze", ["f", "both"], ["scores"]),
        helper.make_node("NonMaxSuppression", ["batch", "scores", "most"], ["kept"]),
        helper.make_node("Shape", ["kept"], ["y"]),
    ]
    constants = (
        helper.make_tensor("zero", whole, [], [0]),
        helper.make_tensor("one", whole, [], [1]),
        helper.make_tensor("first", whole, [1], [0]),
        helper.make_tensor("second", whole, [1], [1]),
        helper.make_tensor("both", whole, [2], [0, 1]),
        helper.make_tensor("step", kind, [1, 4], [2.0, 0.0, 2.0, 0.0]),
        helper.make_tensor("size", kind, [4], [0.0, 0.0, 1.0, 1.0]),
    )
    inputs, outputs = [models.info("n", whole, [])], [models.info("y", whole, [2])]
    return models.model(*nodes, inputs=inputs, outputs=outputs, initializers=constants)
