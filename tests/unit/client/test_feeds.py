"""What `run` takes, beside onnxruntime: the same arrays arrive, or the same error."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from eais.testing.values import decode_value, encode_value
from eais.value import Deferred
from eais_client.feeds import check_names, check_outputs, convert
from eais_client.signature import NodeArg
from eais_client.testing.conformance import mistake
from eais_client.testing.sameness import assert_same

OPSET = [helper.make_opsetid("", 17)]


def identity(kind: int) -> Any:
    """A session that gives its one input back."""
    x = helper.make_tensor_value_info("x", kind, None)
    y = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=OPSET, ir_version=9)
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def declared(session: Any) -> NodeArg:
    (arg,) = session.get_inputs()
    return NodeArg(arg.name, arg.shape, arg.type)


def arrives(value: object, arg: NodeArg) -> Any:
    """The value as the worker gets it."""
    deferred = Deferred()
    message = encode_value(convert("x", value, arg), deferred)
    return decode_value(message, iter([bytearray(b) for b in deferred.buffers]))


NUMBERS: list[Any] = [
    [1, 2],
    [1.5, 2.5],
    ["1", "2"],
    [True],
    [[1], [2]],
    [np.int32(3)],
    [np.arange(3)],
    [],
    np.array(7),
    np.arange(6).reshape(2, 3).T,
    np.arange(6)[::-2],
    np.ma.array([1, 2]),
    np.array([[1, 2]]).view(np.matrix),
    np.array([1, 2], np.longlong),
]
NO_NUMBERS: list[Any] = [
    ["a"],
    [2**70],
    [None],
    [{"a": 1}],
    [[1, 2], [3]],
    (1, 2),
    range(3),
    iter([1, 2]),  # one for each
    {},
    True,
    1,
    1.5,
    "text",
    b"bytes",
    object,
    np.float32(1),
    np.str_("a"),
    memoryview(b"abcd"),
    np.zeros(2, np.complex128),
    np.zeros(2, np.longdouble),
    np.zeros(2, "m8[s]"),
    np.zeros(2, ml_dtypes.bfloat16),
    *([np.zeros(2, np.dtypes.StringDType())] if hasattr(np.dtypes, "StringDType") else []),
]
STRINGS: list[Any] = [
    ["a", "b"],
    [1, 2],
    [b"a"],
    ["a", ["b"]],
    [],
    [["ä"], ["\N{SNOWMAN}"]],
    np.array(["a", "b"]),
    np.array("a"),
    np.array(["a", 1, None, b"x"], object),
    np.array([b"must", b"have"], dtype=np.void),
]


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
@pytest.mark.parametrize("kind", [TensorProto.INT64], ids=["int64"])
def test_numbers_arrive_as_in_onnxruntime(value: Any, kind: int) -> None:
    session = identity(kind)
    assert_same(arrives(value, declared(session)), session.run(None, {"x": value})[0])


@pytest.mark.parametrize(
    "kind",
    [
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
        TensorProto.BOOL,
        TensorProto.INT8,
        TensorProto.UINT8,
        TensorProto.INT16,
        TensorProto.UINT16,
        TensorProto.INT32,
        TensorProto.UINT32,
        TensorProto.UINT64,
    ],
    ids=TensorProto.DataType.Name,
)
def test_lists_become_the_declared_type(kind: int) -> None:
    session = identity(kind)
    value = [[1, 0], [1, 1]]
    assert_same(arrives(value, declared(session)), session.run(None, {"x": value})[0])


@pytest.mark.parametrize("value", STRINGS, ids=repr)
def test_strings_arrive_as_in_onnxruntime(value: Any) -> None:
    session = identity(TensorProto.STRING)
    assert_same(arrives(value, declared(session)), session.run(None, {"x": value})[0])


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda v: f"{type(v).__name__} {v!r}"[:40])
def test_what_onnxruntime_refuses_is_refused_in_its_words(value: Any) -> None:
    session = identity(TensorProto.INT64)
    expected = mistake(lambda: session.run(None, {"x": value}))
    assert expected[0] == "RuntimeError"
    assert mistake(lambda: convert("x", value, declared(session))) == expected


def test_an_ort_value_is_its_array() -> None:
    value = ort.OrtValue.ortvalue_from_numpy(np.arange(3))
    assert_same(convert("x", value, None), np.arange(3))


def test_bytes_and_bytes_arrays_are_strings() -> None:
    arg = NodeArg("x", [None], "tensor(string)")
    assert arrives(np.array([b"a", b"\0b"]), arg).tolist() == ["a", "\0b"]


SEQUENCE = NodeArg("x", [], "seq(tensor(float))")


def test_sequences_and_maps_stay_what_they_are() -> None:
    arrays = [np.zeros(2, np.float32), np.ones((1, 1), np.float32)]
    assert_same(arrives(arrays, SEQUENCE), arrays)
    maps = [{"a": 1.0}, {"b": 2.0}]
    assert arrives(maps, NodeArg("x", [], "seq(map(string,tensor(float)))")) == maps
    assert arrives({"a": 1.0}, NodeArg("x", [], "map(string,tensor(float))")) == {"a": 1.0}
    assert arrives(None, NodeArg("x", [], "optional(tensor(float))")) is None


@pytest.mark.parametrize("value", [[[1.0]], [1], [np.zeros(2, np.float32), 1]], ids=repr)
def test_what_is_no_tensor_of_a_sequence_is_refused(value: Any) -> None:
    text = "CreateSequenceOfTensors: Input is not a tensor"
    assert mistake(lambda: convert("x", value, SEQUENCE)) == ("RuntimeError", text)


def test_optional_inputs_may_be_missing() -> None:
    inputs = [NodeArg("a", [], "tensor(float)"), NodeArg("b", [], "optional(tensor(float))")]
    check_names(inputs, ["a"])
    text = "Required inputs (['a']) are missing from input feed (['b'])."
    assert mistake(lambda: check_names(inputs, ["b"])) == ("ValueError", text)


def test_outputs_are_names_or_all() -> None:
    assert check_outputs(None) == check_outputs([]) == check_outputs("") == []
    assert check_outputs(("a", "b")) == ["a", "b"]
    for wrong in ("a", [1], 5, b"a"):
        assert mistake(lambda wrong=wrong: check_outputs(wrong))[0] == "TypeError"  # type: ignore[misc]
