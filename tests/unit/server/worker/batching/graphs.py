"""Graphs made on the spot, and whether several calls' answers come out of one run of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from eais_server.worker.batching.rows.proof import Proof, prove

ort.set_default_logger_severity(4)
Array = np.ndarray[Any, np.dtype[Any]]
N: Final = "N"
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
ML: Final = "ai.onnx.ml"
MICROSOFT: Final = "com.microsoft"


def node(op: str, inputs: str, outputs: str = "y", domain: str = "", **attributes: Any) -> Any:
    """A node; names are parted by spaces, and "_" is one that is left out."""
    names = ["" if name == "_" else name for name in inputs.split()]
    return helper.make_node(op, names, outputs.split(), domain=domain, **attributes)


def weights(**arrays: Any) -> list[TensorProto]:
    """Initializers by name."""
    return [numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items()]


def graph(
    *nodes: onnx.NodeProto,
    inputs: Mapping[str, Sequence[int | str | None]] | None = None,
    outputs: Mapping[str, Sequence[int | str | None]] | None = None,
    constants: Sequence[TensorProto] = (),
    opset: int = 17,
    kind: int = FLOAT,
    output_kind: int = FLOAT,
) -> bytes:
    """A serialised model; by default x[N, 4] gives y[N, ?]."""
    given = [
        helper.make_tensor_value_info(name, kind, list(dims))
        for name, dims in (inputs or {"x": (N, 4)}).items()
    ]
    wanted = [
        helper.make_tensor_value_info(name, output_kind, list(dims))
        for name, dims in (outputs or {"y": (N, None)}).items()
    ]
    made = helper.make_graph(list(nodes), "g", given, wanted, initializer=list(constants))
    imports = [
        helper.make_opsetid("", opset),
        helper.make_opsetid(ML, 3),
        helper.make_opsetid(MICROSOFT, 1),
    ]
    model = helper.make_model(made, opset_imports=imports)
    model.ir_version = 8 if opset < 21 else 10
    return model.SerializeToString()


def session(model: bytes) -> ort.InferenceSession:
    """The model on the CPU."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def answers(loaded: ort.InferenceSession, feed: Mapping[str, Array]) -> list[Array]:
    """All outputs, which are tensors."""
    return [np.asarray(value) for value in loaded.run(None, dict(feed))]


def rows_come_out_alike(model: bytes, feeds: Sequence[Mapping[str, Array]]) -> bool:
    """Whether the feeds, one after the other on axis 0, give their answers so."""
    loaded = session(model)
    single = [answers(loaded, feed) for feed in feeds]
    joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    whole = answers(loaded, joined)
    return all(
        _alike(np.concatenate([answer[at] for answer in single]), together)
        for at, together in enumerate(whole)
    )


def _alike(apart: Array, together: Array) -> bool:
    if apart.shape != together.shape:
        return False
    if apart.dtype.kind != "f":
        return bool(np.array_equal(apart, together))
    return bool(np.allclose(apart, together, rtol=1e-4, atol=1e-5, equal_nan=True))


def proof(model: bytes) -> Proof:
    """Of a model that onnxruntime takes, so that no proof is of nonsense."""
    session(model)
    return prove(model)
