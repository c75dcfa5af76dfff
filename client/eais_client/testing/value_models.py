"""Small models that take and give what isn't a plain tensor of numbers.

Made by the onnx wheel, each one or two nodes: strings, sequences, maps, sequences of maps,
optional values, zero-dimensional and 64-bit numbers, a shape that is another on every call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnx import TensorProto, helper

_ML = "ai.onnx.ml"
_OPSETS = (helper.make_opsetid("", 17), helper.make_opsetid(_ML, 3))

FLOAT, DOUBLE, INT32, INT64 = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.INT32,
    TensorProto.INT64,
)
STRING, BOOL = TensorProto.STRING, TensorProto.BOOL


def made(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """A model of `nodes`, as bytes; `metadata` is what a maker writes into it."""
    graph = helper.make_graph(list(nodes), "made", list(inputs), list(outputs))
    model = helper.make_model(graph, opset_imports=list(_OPSETS), ir_version=8)
    model.producer_name = "conformance"
    if metadata:
        helper.set_model_props(model, dict(metadata))
    return bytes(model.SerializeToString())


def identity(kind: int, shape: Sequence[int | str | None] | None) -> bytes:
    """Gives back its one tensor, of that element type and shape: "x" -> "y"."""
    return made(
        [helper.make_node("Identity", ["x"], ["y"])], [_in(kind, shape)], [_out(kind, None)]
    )


def summed(kind: int) -> bytes:
    """A sum over all axes and a scalar beside it: zero-dimensional both, "x", "s" -> "y"."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["all"], keepdims=0),
        helper.make_node("Add", ["all", "s"], ["y"]),
    ]
    scalar = helper.make_tensor_value_info("s", kind, [])
    return made(nodes, [_in(kind, [None, None]), scalar], [_out(kind, [])])


def nonzero() -> bytes:
    """Where its bools are true: what it gives is of another shape on every call."""
    return made(
        [helper.make_node("NonZero", ["x"], ["y"])],
        [_in(BOOL, ["rows", "columns"])],
        [_out(INT64, None)],
    )


def normalized() -> bytes:
    """Strings in lower case without "the": "x" -> "y"."""
    # The locale that every machine has.
    how: dict[str, Any] = {"case_change_action": "LOWER", "stopwords": ["the"], "locale": "C"}
    node = helper.make_node("StringNormalizer", ["x"], ["y"], **how)
    return made([node], [_in(STRING, [None])], [_out(STRING, None)])


def labelled(words: Sequence[str]) -> bytes:
    """Words to their numbers, -1 for others: strings to int64, "x" -> "y"."""
    node = helper.make_node(
        "LabelEncoder",
        ["x"],
        ["y"],
        domain=_ML,
        keys_strings=list(words),
        values_int64s=list(range(len(words))),
        default_int64=-1,
    )
    return made([node], [_in(STRING, [None, None])], [_out(INT64, None)])


def zipped(words: Sequence[str] | Sequence[int]) -> bytes:
    """Probabilities by class, as classifiers give them: `seq(map(string, tensor(float)))`.

    With numbers for `words` it is `seq(map(int64, tensor(float)))`.
    """
    of_text = all(isinstance(word, str) for word in words)
    named = "classlabels_strings" if of_text else "classlabels_int64s"
    keys = STRING if of_text else INT64
    classes: dict[str, Any] = {named: list(words)}
    node = helper.make_node("ZipMap", ["x"], ["y"], domain=_ML, **classes)
    table = helper.make_map_type_proto(keys, helper.make_tensor_type_proto(FLOAT, []))
    output = helper.make_value_info("y", helper.make_sequence_type_proto(table))
    return made([node], [_in(FLOAT, [None, len(words)])], [output], {"classes": str(list(words))})


def vectorized(words: Sequence[str] | Sequence[int]) -> bytes:
    """A map of words to numbers, as a row: `map(string, tensor(float))` "x" -> "y".

    With numbers for `words` it is `map(int64, tensor(float))`.
    """
    of_text = all(isinstance(word, str) for word in words)
    named = "string_vocabulary" if of_text else "int64_vocabulary"
    keys = STRING if of_text else INT64
    known: dict[str, Any] = {named: list(words)}
    node = helper.make_node("DictVectorizer", ["x"], ["y"], domain=_ML, **known)
    table = helper.make_map_type_proto(keys, helper.make_tensor_type_proto(FLOAT, []))
    return made([node], [helper.make_value_info("x", table)], [_out(FLOAT, None)])


def collected(kind: int) -> bytes:
    """Two tensors as a sequence: "a", "b" -> "y"."""
    inputs = [helper.make_tensor_value_info(name, kind, None) for name in ("a", "b")]
    node = helper.make_node("SequenceConstruct", ["a", "b"], ["y"])
    return made([node], inputs, [_sequence("y", kind)])


def counted(kind: int) -> bytes:
    """A sequence of tensors: how many there are, and the sequence again: "x" -> "n", "y"."""
    nodes = [
        helper.make_node("SequenceLength", ["x"], ["n"]),
        helper.make_node("Identity", ["x"], ["y"]),
    ]
    length = helper.make_tensor_value_info("n", INT64, [])
    return made(nodes, [_sequence("x", kind)], [length, _sequence("y", kind)])


def maybe(kind: int) -> bytes:
    """Whether an optional tensor is there: `optional(tensor(...))` "x" -> "y"."""
    tensor = helper.make_tensor_type_proto(kind, None)
    given = helper.make_value_info("x", helper.make_optional_type_proto(tensor))
    node = helper.make_node("OptionalHasElement", ["x"], ["y"])
    return made([node], [given], [helper.make_tensor_value_info("y", BOOL, [])])


def _in(kind: int, shape: Sequence[int | str | None] | None) -> Any:
    return helper.make_tensor_value_info("x", kind, shape)


def _out(kind: int, shape: Sequence[int | str | None] | None) -> Any:
    return helper.make_tensor_value_info("y", kind, shape)


def _sequence(name: str, kind: int) -> Any:
    tensor = helper.make_tensor_type_proto(kind, None)
    return helper.make_value_info(name, helper.make_sequence_type_proto(tensor))
