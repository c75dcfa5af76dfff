"""Models and tensors that mean no good, on the real stack, by a client that checks nothing.

Each gets a clear word of `eais.errors`, never BUG, and no path, stack or process id in its
text. The same listener and worker serve on after all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from eais.errors import REASONS, EaisError
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2, value_pb2
from eais.value import Deferred, encode_value
from tests.system.raw import open_session, refusal, run_once
from tests.system.stack import Stack, op
from tests.unit.server.runtime import models

REFUSED, BOUNDS = "EXTERNAL_DATA_REFUSED", "EXTERNAL_DATA_BOUNDS"
W = np.array([1, 2], np.float32).tobytes()
X = np.ones((3, 2), np.float32)


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
    w = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2])
    w.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": location} | entries).items():
        w.external_data.add(key=key, value=value)
    return w


def in_constant(tensor: TensorProto) -> bytes:
    nodes = [
        helper.make_node("Constant", [], ["w"], value=tensor),
        helper.make_node("Add", ["x", "w"], ["y"]),
    ]
    return models.model(*nodes, inputs=[models.info("x")], outputs=[models.info("y")])


def in_subgraph(tensor: TensorProto) -> bytes:
    inner = helper.make_node("Add", ["x", "w"], ["z"])
    branch = helper.make_graph([inner], "b", [], [models.info("z")], initializer=[tensor])
    node = helper.make_node("If", ["on"], ["y"], then_branch=branch, else_branch=branch)
    on = models.info("on", TensorProto.BOOL, [])
    return models.model(node, inputs=[models.info("x"), on], outputs=[models.info("y")])


def in_sparse(tensor: TensorProto) -> bytes:
    made = onnx.load_from_string(models.relu())
    indices = helper.make_tensor("i", TensorProto.INT64, [2], [0, 1])
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, indices, [4]))
    return bytes(made.SerializeToString())


def in_function(tensor: TensorProto) -> bytes:
    nodes = [
        helper.make_node("Constant", [], ["w"], value=tensor),
        helper.make_node("Add", ["x", "w"], ["y"]),
    ]
    imports = [helper.make_opsetid("", 17)]
    function = helper.make_function("mine", "f", ["x"], ["y"], nodes, imports)
    made = onnx.load_from_string(models.one_op("f", "mine"))
    made.functions.append(function)
    return bytes(made.SerializeToString())


def recursive_function() -> bytes:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    call = helper.make_node("f", ["x"], ["y"], domain="mine")
    made = onnx.load_from_string(models.one_op("f", "mine"))
    made.functions.append(helper.make_function("mine", "f", ["x"], ["y"], [call], imports))
    return bytes(made.SerializeToString())


def graph_of(*nodes: onnx.NodeProto) -> bytes:
    return models.model(*nodes, inputs=[models.info("x")], outputs=[models.info("y")])


def cyclic() -> bytes:
    first = helper.make_node("Add", ["x", "b"], ["a"])
    return graph_of(
        first, helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Relu", ["b"], ["y"])
    )


def same_name_twice() -> bytes:
    return graph_of(helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"]))


def folded_bomb() -> bytes:
    """4 PiB, if the optimiser computes it while it loads."""
    n = helper.make_tensor("n", TensorProto.INT64, [1], [1 << 50])
    node = helper.make_node("ConstantOfShape", ["n"], ["big"])
    total = helper.make_node("ReduceSum", ["big"], ["y"], keepdims=0)
    return models.model(
        node, total, inputs=[], outputs=[models.info("y", dims=[])], initializers=(n,)
    )


Row = tuple[Callable[[], bytes], Mapping[str, bytes], set[str]]
MODEL: dict[str, Row] = {
    "empty": (lambda: b"", {}, {"MODEL_PARSE"}),
    "garbage": (lambda: b"not a model at all", {}, {"MODEL_PARSE"}),
    "truncated": (lambda: models.dataset("mul_1")[:-9], {}, {"MODEL_PARSE"}),
    "external: above": (lambda: add(external("../../etc/passwd")), {}, {REFUSED}),
    "external: absolute": (lambda: add(external("/etc/passwd")), {}, {REFUSED}),
    "external: of the process": (lambda: add(external("/proc/self/environ")), {}, {REFUSED}),
    "external: current directory": (lambda: add(external("secret.bin")), {}, {REFUSED}),
    "external: the model itself": (lambda: add(external("model.onnx")), {}, {REFUSED}),
    "external: another session's": (lambda: add(external("../x/model.onnx")), {}, {REFUSED}),
    "external: no location": (lambda: add(external("")), {}, {REFUSED}),
    "external: in a constant": (lambda: in_constant(external("/etc/passwd")), {}, {REFUSED}),
    "external: in a subgraph": (lambda: in_subgraph(external("/etc/passwd")), {}, {REFUSED}),
    "external: in a sparse tensor": (lambda: in_sparse(external("/etc/passwd")), {}, {REFUSED}),
    "external: in a function": (lambda: in_function(external("/etc/passwd")), {}, {REFUSED}),
    "memory: dense": (lambda: add(external("*/_ORT_MEM_ADDR_/*")), {}, {REFUSED}),
    "memory: constant": (lambda: in_constant(external("*/_ORT_MEM_ADDR_/*")), {}, {REFUSED}),
    "memory: sparse": (lambda: in_sparse(external("*/_ORT_MEM_ADDR_/*")), {}, {REFUSED}),
    "range: beyond the end": (
        lambda: add(external("w", offset="4", length="8")),
        {"w": W},
        {BOUNDS},
    ),
    "range: no length": (
        lambda: add(external("w", offset="4")),
        {"w": W},
        {BOUNDS, "MODEL_INVALID"},
    ),
    "range: negative": (lambda: add(external("w", offset="-1")), {"w": W}, {BOUNDS}),
    "range: 2^63": (lambda: add(external("w", offset=str(1 << 63))), {"w": W}, {BOUNDS}),
    "range: no number": (lambda: add(external("w", length="8x")), {"w": W}, {BOUNDS}),
    "range: other length": (lambda: add(external("w", length="4")), {"w": W}, {"MODEL_INVALID"}),
    "range: unknown key": (lambda: add(external("w", __class__="x")), {"w": W}, {BOUNDS}),
    "location: above": (models.relu, {"../w": W}, {"NAME"}),
    "location: absolute": (models.relu, {"/w": W}, {"NAME"}),
    "location: nul": (models.relu, {"a\0b": W}, {"NAME"}),
    "location: the model's": (models.relu, {"model.onnx": W}, {"NAME"}),
    "location: 300 bytes": (models.relu, {"w" * 300: W}, {"NAME"}),
    "location: file and folder": (models.relu, {"w": W, "w/x": W}, {"NAME"}),
    "location: memory": (models.relu, {"*/_ORT_MEM_ADDR_/*": W}, {REFUSED}),
    "op: unknown": (lambda: models.one_op("Nonsense"), {}, {"OP_REFUSED"}),
    "op: unknown domain": (lambda: models.one_op("Relu", "evil"), {}, {"OP_REFUSED"}),
    "op: PyOp": (lambda: models.one_op("PyOp", "pyopmulti_1"), {}, {"OP_REFUSED"}),
    "op: EPContext": (
        lambda: models.one_op("EPContext", "com.microsoft", ep_cache_context="/etc/passwd"),
        {},
        {"OP_REFUSED"},
    ),
    "ort format": (lambda: b"\x24\0\0\0ORTM" + bytes(64), {}, {"OP_REFUSED"}),
    "nesting: 60": (lambda: models.nested(60), {}, {"MODEL_PARSE", "MODEL_INVALID"}),
    "nesting: 300": (lambda: models.nested(300), {}, {"MODEL_PARSE", "MODEL_INVALID"}),
    "function: recursive": (recursive_function, {}, {"MODEL_INVALID"}),
    "graph: cyclic": (cyclic, {}, {"MODEL_INVALID"}),
    "graph: a name twice": (same_name_twice, {}, {"MODEL_INVALID"}),
    "initializer: too few bytes": (lambda: lying(dims=[3]), {}, {"MODEL_INVALID"}),
    "initializer: too many bytes": (lambda: lying(dims=[1]), {}, {"MODEL_INVALID"}),
    "initializer: dims overflow": (
        lambda: lying(dims=[1 << 32, 1 << 32, 4]),
        {},
        {"MODEL_INVALID", "MODEL_MEMORY"},
    ),
    "initializer: negative": (lambda: lying(dims=[-2]), {}, {"MODEL_INVALID"}),
    "initializer: type 999": (lambda: lying(data_type=999), {}, {"MODEL_INVALID"}),
    "future opset": (lambda: models.relu(opset=9999), {}, {"OPSET_UNSUPPORTED"}),
    "future ir": (lambda: models.relu(ir=9999), {}, {"OPSET_UNSUPPORTED"}),
}


@pytest.fixture(scope="module")
def instance(stack: Stack) -> Iterator[pool_pb2.Instance]:
    """One instance for all rows."""
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    yield made
    after = stack.instance(made.id)
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))
    assert after.workers[0].incarnation == made.workers[0].incarnation, "a row killed the worker"


@pytest.fixture(scope="module")
def session(stack: Stack, instance: pool_pb2.Instance) -> str:
    """A good session, for what is done to its inputs."""
    return open_session(stack, instance, models.dataset("mul_1"), {}).id


def no_more_than_it_should(stack: Stack, error: EaisError) -> None:
    """A known word, not a bug's, and nothing of this host in the text."""
    assert error.reason in REASONS, error
    assert error.reason != "BUG"
    said = " ".join([error.message, error.hint, *error.metadata.values()])
    assert len(said) <= 4096
    for secret in (str(stack.state), "/tmp/", "/home/", "workers/", "Traceback", '.py"'):
        assert secret not in said, said
    assert not re.search(r"\bpid\b", said)


def serves_on(stack: Stack, instance: pool_pb2.Instance, session: str) -> None:
    value = value_pb2.NamedValue(name="X", value=encode_value(X, Deferred()))
    assert run_once(stack, instance, session, [value]).outputs


@pytest.mark.parametrize("from_path", [True, False], ids=["path", "bytes"])
@pytest.mark.parametrize("row", MODEL)
def test_a_hostile_model(
    stack: Stack, instance: pool_pb2.Instance, session: str, row: str, from_path: bool
) -> None:
    make, files, reasons = MODEL[row]
    error = refusal(open_session, stack, instance, make(), files, from_path=from_path)
    assert error.reason in reasons, error
    no_more_than_it_should(stack, error)
    serves_on(stack, instance, session)


def open_and_run(stack: Stack, instance: pool_pb2.Instance, model: bytes) -> None:
    run_once(stack, instance, open_session(stack, instance, model, {}).id, [])


def test_a_bomb_is_refused_at_the_load_or_at_the_run(
    stack: Stack, instance: pool_pb2.Instance, session: str
) -> None:
    error = refusal(open_and_run, stack, instance, folded_bomb())
    assert error.reason in {"MODEL_MEMORY", "RUN_MEMORY"}
    no_more_than_it_should(stack, error)
    serves_on(stack, instance, session)


OPTIONS: dict[str, dict[str, Any]] = {
    "a file to write": {"config_entries": {"session.optimized_model_filepath": "x"}},
    "a file to read": {"config_entries": {"session.node_partition_config_file": "x"}},
    "a library": {"config_entries": {"ep.x.library": "x"}},
    "a path as value": {"config_entries": {"session.x": "/etc/passwd"}},
    "a key without end": {"config_entries": {"k" * 4096: "x"}},
    "a level that is none": {"graph_optimization_level": 42},
    "a mode that is none": {"execution_mode": -1},
}


@pytest.mark.parametrize("row", OPTIONS)
def test_a_hostile_option(
    stack: Stack, instance: pool_pb2.Instance, session: str, row: str
) -> None:
    error = refusal(open_session, stack, instance, models.relu(), {}, **OPTIONS[row])
    assert error.reason == "OPTION_REFUSED"
    no_more_than_it_should(stack, error)
    serves_on(stack, instance, session)


T = value_pb2.ElementType


def tensor(**fields: Any) -> value_pb2.Value:
    given: dict[str, Any] = {"type": T.FLOAT, "dims": [3, 2], "raw": bytes(24)} | fields
    return value_pb2.Value(tensor=value_pb2.Tensor(**given))


def deep(depth: int) -> value_pb2.Value:
    value = tensor()
    for _ in range(depth):
        value = value_pb2.Value(sequence=value_pb2.Sequence(values=[value]))
    return value


def map_of(keys: value_pb2.Value, values: value_pb2.Value) -> value_pb2.Value:
    return value_pb2.Value(map=value_pb2.Map(keys=keys.tensor, values=values.tensor))


TENSORS: dict[str, tuple[list[value_pb2.Value], set[str]]] = {
    "rank": ([tensor(dims=[6])], {"INPUT_RANK"}),
    "shape": ([tensor(dims=[2, 3])], {"INPUT_SHAPE"}),
    "dtype": ([tensor(type=T.INT32)], {"INPUT_DTYPE"}),
    "missing": ([], {"INPUT_MISSING"}),
    "twice": ([tensor(), tensor()], {"INPUT_DUPLICATE"}),
    "absent": ([value_pb2.Value(absent=value_pb2.Absent())], {"INPUT_MISSING"}),
    "nothing": ([value_pb2.Value()], {"INPUT_MISSING"}),
    "too few bytes": ([tensor(raw=bytes(23))], {"INPUT_SIZE"}),
    "too many bytes": ([tensor(raw=bytes(25))], {"INPUT_SIZE"}),
    "negative dim": ([tensor(dims=[-3, -2])], {"INPUT_SIZE"}),
    "dims overflow": ([tensor(dims=[1 << 62, 4])], {"INPUT_SIZE"}),
    "empty and huge": ([tensor(dims=[0, 1 << 62, 1 << 62], raw=b"")], {"INPUT_SIZE"}),
    "empty": ([tensor(dims=[0, 2], raw=b"")], {"INPUT_SHAPE"}),
    "65 dims": ([tensor(dims=[1] * 65, raw=bytes(4))], {"INPUT_SIZE"}),
    "64 dims": ([tensor(dims=[1] * 64, raw=bytes(4))], {"INPUT_RANK", "INPUT_SIZE"}),
    "type 0": ([tensor(type=0)], {"INPUT_DTYPE"}),
    "type 999": ([tensor(type=999)], {"INPUT_DTYPE"}),
    "bfloat16": ([tensor(type=T.BFLOAT16, raw=bytes(12))], {"INPUT_DTYPE"}),
    "strings for floats": (
        [tensor(type=T.STRING, raw=b"", strings=[b"a\0"] * 6)],
        {"INPUT_DTYPE"},
    ),
    "no utf-8": ([tensor(type=T.STRING, raw=b"", strings=[b"\xff"] * 6)], {"INPUT_REJECTED"}),
    "announced and there": ([tensor(deferred_bytes=24)], {"INPUT_SIZE"}),
    "announced wrongly": ([tensor(raw=b"", deferred_bytes=1 << 62)], {"INPUT_SIZE"}),
    "announced: too much": (
        [tensor(dims=[1 << 40], raw=b"", deferred_bytes=1 << 42)],
        {"INPUT_SIZE"},
    ),
    "deep": ([deep(9)], {"MALFORMED_MESSAGE"}),
    "a list": ([deep(1)], {"INPUT_RANK"}),  # onnxruntime makes it a tensor of one dim more
    "a map": (
        [map_of(tensor(type=T.INT64, dims=[1], raw=bytes(8)), tensor(dims=[1], raw=bytes(4)))],
        {"INPUT_DTYPE"},
    ),
    "a map of other lengths": (
        [map_of(tensor(type=T.INT64, dims=[2], raw=bytes(16)), tensor(dims=[1], raw=bytes(4)))],
        {"INPUT_SIZE"},
    ),
}


@pytest.mark.parametrize("row", TENSORS)
def test_a_hostile_input(stack: Stack, instance: pool_pb2.Instance, session: str, row: str) -> None:
    values, reasons = TENSORS[row]
    inputs = [value_pb2.NamedValue(name="X", value=value) for value in values]
    error = refusal(run_once, stack, instance, session, inputs)
    assert error.reason in reasons, error
    no_more_than_it_should(stack, error)
    serves_on(stack, instance, session)


CALLS: dict[str, tuple[dict[str, Any], str]] = {
    "an output that isn't there": ({"outputs": ["/etc/passwd"]}, "OUTPUT_UNKNOWN"),
    "an option that names a file": (
        {"options": {"config_entries": {"run.profile_file": "x"}}},
        "OPTION_REFUSED",
    ),
    "a time that has passed": ({"timeout_us": 1}, "DEADLINE_EXCEEDED"),
}


@pytest.mark.parametrize("row", CALLS)
def test_a_hostile_call(stack: Stack, instance: pool_pb2.Instance, session: str, row: str) -> None:
    fields, reason = CALLS[row]
    looping = open_session(stack, instance, models.endless(), {}).id
    name, asked = ("x", looping) if reason == "DEADLINE_EXCEEDED" else ("X", session)
    feed = np.ones(2, np.float32) if asked == looping else X
    value = value_pb2.NamedValue(name=name, value=encode_value(feed, Deferred()))
    error = refusal(run_once, stack, instance, asked, [value], **fields)
    assert error.reason == reason
    no_more_than_it_should(stack, error)
    serves_on(stack, instance, session)
