"""The proof that rows are treated alone: what it says of graphs that people export, and of others.

Each graph that is said to be row-wise is run both ways; those that aren't show, where they can,
that equal rows would have hidden it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from eais_server.worker.batching.rows.proof import RULES, prove
from tests.unit.server.runtime import models
from tests.unit.server.worker.batching.graphs import (
    FLOAT,
    INT64,
    MICROSOFT,
    ML,
    Array,
    N,
    graph,
    node,
    proof,
    rows_come_out_alike,
    session,
    weights,
)

RANDOM = np.random.default_rng(1)


def floats(*shape: int) -> Array:
    return RANDOM.standard_normal(shape).astype(np.float32)


def ints(*items: int) -> Array:
    return np.array(items, np.int64)


def feeds(**shapes: tuple[int, ...]) -> list[dict[str, Array]]:
    """Three calls, of one, two and one rows."""
    return [{name: floats(n, *dims) for name, dims in shapes.items()} for n in (1, 2, 1)]


def mlp() -> bytes:
    return graph(
        node("Gemm", "x w b", "h"),
        node("Relu", "h", "r"),
        node("MatMul", "r v", "z"),
        node("Softmax", "z"),
        constants=weights(w=floats(4, 8), b=floats(8), v=floats(8, 3)),
    )


def cnn_with_computed_shape() -> bytes:
    """x.view(x.size(0), -1), as PyTorch writes it."""
    return graph(
        node("Conv", "x w", "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("BatchNormalization", "c s b m v", "n"),
        node("Relu", "n", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", "p", "s0"),
        node("Constant", "", "zero", value_int=0),
        node("Gather", "s0 zero", "n0"),
        node("Unsqueeze", "n0 axis0", "n1"),
        node("Concat", "n1 minus1", "shape", axis=0),
        node("Reshape", "p shape", "f"),
        node("Gemm", "f g", "y", transB=1),
        inputs={"x": (N, 3, 8, 8)},
        constants=weights(
            w=floats(5, 3, 3, 3),
            s=floats(5),
            b=floats(5),
            m=floats(5),
            v=np.abs(floats(5)) + 1,
            axis0=ints(0),
            minus1=ints(-1),
            g=floats(7, 80),
        ),
    )


def flattened_by_a_constant_shape() -> bytes:
    """view(-1, 80): how many rows that makes follows from the convolution's places."""
    return graph(
        node("Conv", "x w", "c", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Reshape", "c shape", "f"),
        node("Gemm", "f g", "y", transB=1),
        inputs={"x": (N, 3, 8, 8)},
        constants=weights(w=floats(5, 3, 3, 3), shape=ints(-1, 80), g=floats(7, 80)),
    )


def attention() -> bytes:
    """Heads of [N, T, C], with the shapes computed; T is free."""
    parts = [
        part
        for name in "qkv"
        for part in (
            node("MatMul", f"x w{name}", f"p{name}"),
            node("Reshape", f"p{name} shape", f"r{name}"),
            node("Transpose", f"r{name}", f"t{name}", perm=[0, 2, 1, 3]),
        )
    ]
    return graph(
        node("Shape", "x", "s"),
        node("Slice", "s zero two zero", "nt"),
        node("Concat", "nt heads", "shape", axis=0),
        *parts,
        node("Transpose", "tk", "kt", perm=[0, 1, 3, 2]),
        node("MatMul", "tq kt", "scores"),
        node("Mul", "scores scale", "scaled"),
        node("Softmax", "scaled", "weights", axis=-1),
        node("MatMul", "weights tv", "mixed"),
        node("Transpose", "mixed", "back", perm=[0, 2, 1, 3]),
        node("Concat", "nt whole", "shape3", axis=0),
        node("Reshape", "back shape3", "z"),
        node("Add", "z x", "sum"),
        node("LayerNormalization", "sum g b", "y", axis=-1),
        inputs={"x": (N, "T", 8)},
        outputs={"y": (N, "T", 8)},
        constants=weights(
            wq=floats(8, 8),
            wk=floats(8, 8),
            wv=floats(8, 8),
            zero=ints(0),
            two=ints(2),
            heads=ints(2, 4),
            whole=ints(8),
            scale=np.float32(0.5),
            g=floats(8),
            b=floats(8),
        ),
    )


def merged_rows() -> bytes:
    """[N, T, C] as [N * T, C] and back, by shapes that are computed."""
    return graph(
        node("Shape", "x", "s"),
        node("Split", "s", "n t c", axis=0),
        node("Mul", "n t", "nt"),
        node("Concat", "nt c", "flat", axis=0),
        node("Reshape", "x flat", "f"),
        node("MatMul", "f w", "m"),
        node("Concat", "n t c", "back", axis=0),
        node("Reshape", "m back", "y"),
        inputs={"x": (N, 3, 4)},
        outputs={"y": (N, 3, 4)},
        constants=weights(w=floats(4, 4)),
    )


def lstm() -> bytes:
    """Time first inside, with states of zeros of as many rows."""
    return graph(
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n"),
        node("Concat", "one n five", "states", axis=0),
        node("ConstantOfShape", "states", "h0"),
        node("LSTM", "t w r b _ h0 h0", "out last _", hidden_size=5),
        node("Squeeze", "out one", "o"),
        node("Transpose", "o", "y", perm=[1, 0, 2]),
        inputs={"x": (N, 3, 4)},
        outputs={"y": (N, 3, 5)},
        constants=weights(
            w=floats(1, 20, 4),
            r=floats(1, 20, 5),
            b=floats(1, 40),
            zero=ints(0),
            one=ints(1),
            five=ints(5),
        ),
    )


def embedding() -> bytes:
    return graph(
        node("Gather", "table x", "e"),
        node("ReduceMean", "e", "y", axes=[1], keepdims=0),
        inputs={"x": (N, 3)},
        constants=weights(table=floats(10, 6)),
        kind=INT64,
    )


def class_token() -> bytes:
    """One learnt row for each, as vision transformers have it: Expand with a computed shape."""
    return graph(
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n"),
        node("Concat", "n minus minus", "shape", axis=0),
        node("Equal", "shape minus3", "same"),
        node("ConstantOfShape", "three", "ones", value=helper.make_tensor("v", INT64, [1], [1])),
        node("Where", "same ones shape", "target"),
        node("Expand", "token target", "tokens"),
        node("Concat", "tokens x", "y", axis=1),
        inputs={"x": (N, 3, 4)},
        outputs={"y": (N, 4, 4)},
        constants=weights(
            zero=ints(0),
            minus=ints(-1),
            minus3=ints(-1, -1, -1),
            three=ints(3),
            token=floats(1, 1, 4),
        ),
    )


def quantised() -> bytes:
    return graph(
        node("QuantizeLinear", "x scale zero", "q"),
        node("DequantizeLinear", "q scale zero", "d"),
        node("DequantizeLinear", "w wscale wzero", "wd", axis=1),
        node("MatMul", "d wd", "y"),
        constants=weights(
            scale=np.float32(0.1),
            zero=np.uint8(128),
            w=RANDOM.integers(-128, 127, (4, 3)).astype(np.int8),
            wscale=np.abs(floats(3)),
            wzero=np.zeros(3, np.int8),
        ),
    )


def two_inputs() -> bytes:
    return graph(
        node("Concat", "a b", "c", axis=1),
        node("Einsum", "c w", "y", equation="nk,km->nm"),
        inputs={"a": (N, 3), "b": (N, 2)},
        constants=weights(w=floats(5, 2)),
    )


def upsampled() -> bytes:
    return graph(
        node("Resize", "x _ scales", "r", mode="nearest"),
        node("ConvTranspose", "r w", "y", strides=[2, 2]),
        inputs={"x": (N, 2, 4, 4)},
        outputs={"y": (N, 3, None, None)},
        constants=weights(scales=np.array([1, 1, 2, 2], np.float32), w=floats(2, 3, 2, 2)),
    )


def scaled_regression() -> bytes:
    return graph(
        node("Scaler", "x", "s", ML, offset=[0.5] * 4, scale=[2.0] * 4),
        node("LinearRegressor", "s", "y", ML, coefficients=[1.0, 2, 3, 4], intercepts=[0.5]),
        outputs={"y": (N, 1)},
    )


PROVEN: dict[str, tuple[Callable[[], bytes], dict[str, tuple[int, ...]]]] = {
    "mlp": (mlp, {"x": (4,)}),
    "cnn_with_computed_shape": (cnn_with_computed_shape, {"x": (3, 8, 8)}),
    "flattened_by_a_constant_shape": (flattened_by_a_constant_shape, {"x": (3, 8, 8)}),
    "attention": (attention, {"x": (6, 8)}),
    "merged_rows": (merged_rows, {"x": (3, 4)}),
    "lstm": (lstm, {"x": (3, 4)}),
    "class_token": (class_token, {"x": (3, 4)}),
    "quantised": (quantised, {"x": (4,)}),
    "two_inputs": (two_inputs, {"a": (3,), "b": (2,)}),
    "upsampled": (upsampled, {"x": (2, 4, 4)}),
    "scaled_regression": (scaled_regression, {"x": (4,)}),
}


@pytest.mark.parametrize("name", PROVEN)
def test_what_exporters_write_is_proven(name: str) -> None:
    make, shapes = PROVEN[name]
    model = make()
    found = proof(model)
    assert (found.holds, found.why) == (True, "")
    assert found.inputs == shapes.keys()
    assert rows_come_out_alike(model, feeds(**shapes))


def test_indices_of_a_table_are_proven() -> None:
    assert proof(embedding()).holds
    calls = [{"x": RANDOM.integers(0, 10, (n, 3))} for n in (1, 2)]
    assert rows_come_out_alike(embedding(), calls)


@pytest.mark.parametrize("name", ["squeezenet", "densenet121"])
def test_real_networks_are_proven_once_their_batch_is_free(name: str) -> None:
    model = onnx.load(models.LIGHT / f"light_{name}.onnx")
    assert not prove(model.SerializeToString()).holds
    own = {constant.name for constant in model.graph.initializer}
    for value in [*model.graph.input, *model.graph.output]:
        if value.name not in own:
            value.type.tensor_type.shape.dim[0].dim_param = N
    found = prove(model.SerializeToString())
    assert (found.holds, found.why) == (True, "")


# Each gives the right answer of a batch of one, and of equal rows; (why, model).
EQUAL_ROWS_HIDE_IT: dict[str, tuple[str, Callable[[], bytes]]] = {
    "mean over rows": (
        "rows are put together",
        lambda: graph(
            node("ReduceMean", "x", "m", axes=[0], keepdims=1),
            node("Sub", "x m", "d"),
            node("Sub", "x d", "y"),
        ),
    ),
    "max over rows": (
        "rows are put together",
        lambda: graph(
            node("ReduceMax", "x", "m", axes=[0], keepdims=1),
            node("Max", "x m", "y"),
        ),
    ),
    "normalised as in training": (
        "rows are normalised by each other",
        lambda: graph(
            node("BatchNormalization", "x s b m v", "y rm rv", training_mode=1),
            constants=weights(s=floats(4), b=floats(4), m=floats(4), v=np.abs(floats(4))),
        ),
    ),
    "rows in reverse": (
        "rows are cut",
        lambda: graph(
            node("Slice", "x end begin axis back"),
            constants=weights(end=ints(-1), begin=ints(-(1 << 40)), axis=ints(0), back=ints(-1)),
        ),
    ),
    "rows sorted": (
        "the same for all rows",
        lambda: graph(
            node("Shape", "x", "s", start=0, end=1),
            node("TopK", "x s", "y i", axis=0),
        ),
    ),
    "quantised by the range of all": (
        "no rule says",
        lambda: graph(
            node("DynamicQuantizeLinear", "x", "q s z"),
            node("DequantizeLinear", "q s z"),
        ),
    ),
    "steps of time on the first axis": (
        "rows are steps of time",
        lambda: graph(
            node("Unsqueeze", "x one", "t"),
            node("RNN", "t w r", "_ last", hidden_size=4, activations=["Relu"]),
            node("Squeeze", "last one", "l"),
            node("Add", "x l", "y"),
            constants=weights(one=ints(1), w=np.zeros((1, 4, 4), np.float32), r=floats(1, 4, 4)),
        ),
    ),
    "where the largest was, counted through all rows": (
        "counted through all rows",
        lambda: graph(
            node("MaxPool", "x", "p i", kernel_shape=[2]),
            node("Cast", "i", "y", to=FLOAT),
            inputs={"x": (N, 1, 4)},
            outputs={"y": (N, 1, None)},
        ),
    ),
}


@pytest.mark.parametrize("name", EQUAL_ROWS_HIDE_IT)
def test_what_a_check_with_equal_rows_would_pass_is_not_proven(name: str) -> None:
    why, make = EQUAL_ROWS_HIDE_IT[name]
    found = proof(make())
    assert not found.holds
    assert why in found.why


@pytest.mark.parametrize(
    "name", ["mean over rows", "max over rows", "rows in reverse", "quantised by the range of all"]
)
def test_such_models_pass_with_equal_rows_and_differ_with_others(name: str) -> None:
    model = EQUAL_ROWS_HIDE_IT[name][1]()
    one = floats(1, 4)
    assert rows_come_out_alike(model, [{"x": one}, {"x": one}])
    assert not rows_come_out_alike(model, [{"x": one}, {"x": one * np.float32(3)}])


# Not row-wise, or not known to be; (what is said, model).
UNPROVEN: dict[str, tuple[str, Callable[[], bytes]]] = {
    "running sum": (
        "rows are put together",
        lambda: graph(node("CumSum", "x axis"), constants=weights(axis=ints(0))),
    ),
    "running sum along an axis that isn't known": (
        "rows are put together",
        lambda: graph(
            node("ReduceMin", "x", "f", keepdims=0),
            node("Cast", "f", "axis", to=INT64),
            node("CumSum", "x axis"),
        ),
    ),
    "sum of all": ("put together", lambda: graph(node("ReduceSum", "x", keepdims=1))),
    "best of all rows": (
        "put together",
        lambda: graph(node("ArgMax", "x", "i", axis=0), node("Cast", "i", "y", to=FLOAT)),
    ),
    "softmax over rows": ("put together", lambda: graph(node("Softmax", "x", axis=0))),
    "softmax of old, over all": (
        "put together",
        lambda: graph(node("Softmax", "x", axis=0), opset=12),
    ),
    "a fixed number of rows": (
        "fixed number of rows",
        lambda: graph(node("Reshape", "x s"), constants=weights(s=ints(1, -1))),
    ),
    "rows of another length": (
        "number of rows isn't known",
        lambda: graph(node("Reshape", "x s"), constants=weights(s=ints(-1, 3))),
    ),
    "two rows become one": (
        "number of rows isn't known",
        lambda: graph(node("Reshape", "x s"), constants=weights(s=ints(-1, 8))),
    ),
    "half rows": (
        "one row for each",
        lambda: graph(node("Reshape", "x s"), constants=weights(s=ints(-1, 2))),
    ),
    "transposed": ("one row for each", lambda: graph(node("Transpose", "x"))),
    "rows and columns exchanged in a product": (
        "two batches on different axes",
        lambda: graph(node("Transpose", "x", "t"), node("MatMul", "x t", "y")),
    ),
    "rows times rows": (
        "rows are put together",
        lambda: graph(node("Gemm", "x x", "y", transA=1)),
    ),
    "added by the row's number": (
        "by its number",
        lambda: graph(node("Add", "x w"), constants=weights(w=floats(3, 4))),
    ),
    "multiplied by the row's number, if there is one column": (
        "by its number",
        lambda: graph(
            node("Mul", "x w", "y"), inputs={"x": (N, 1)}, constants=weights(w=floats(4, 1))
        ),
    ),
    "a weight of more axes": (
        "one row for each",
        lambda: graph(
            node("Add", "x w"),
            constants=weights(w=floats(2, 1, 4)),
            outputs={"y": (None, None, 4)},
        ),
    ),
    "some rows": (
        "put together",
        lambda: graph(node("Gather", "x i"), constants=weights(i=ints(0, 0))),
    ),
    "the first rows": (
        "rows are cut",
        lambda: graph(node("Slice", "x b e"), constants=weights(b=ints(0), e=ints(1))),
    ),
    "rows beside each other": ("rows are joined", lambda: graph(node("Concat", "x x", axis=0))),
    "rows below a weight": (
        "rows are joined",
        lambda: graph(node("Concat", "x w", axis=1), constants=weights(w=floats(1, 4))),
    ),
    "rows repeated": (
        "rows are repeated",
        lambda: graph(node("Tile", "x r"), constants=weights(r=ints(2, 1))),
    ),
    "rows padded": (
        "rows are added",
        lambda: graph(node("Pad", "x p"), constants=weights(p=ints(1, 0, 0, 0))),
    ),
    "an axis that one row alone loses": (
        "lose its axis",
        lambda: graph(
            node("Squeeze", "x", "z"), node("Unsqueeze", "z a"), constants=weights(a=ints(0))
        ),
    ),
    "below the diagonal": ("by its number", lambda: graph(node("Trilu", "x"))),
    "how many rows there are": (
        "other type",
        lambda: graph(
            node("Shape", "x", "s", start=0, end=1),
            node("Cast", "s", "f", to=FLOAT),
            node("Div", "x f", "y"),
        ),
    ),
    "how many rows there are, as each row's": (
        "the same for all rows",
        lambda: graph(
            node("Shape", "x", "s"),
            node("Shape", "x", "n1", start=0, end=1),
            node("Reshape", "n1 one", "n2"),
            node("Expand", "n2 s", "e"),
            node("Cast", "e", "y", to=FLOAT),
            constants=weights(one=ints(1, 1)),
        ),
    ),
    "the numbers of rows": (
        "no rule",
        lambda: graph(
            node("Shape", "x", "s", start=0, end=1),
            node("Squeeze", "s", "n"),
            node("Range", "zero n one", "r"),
            node("Cast", "r", "f", to=FLOAT),
            node("Unsqueeze", "f a", "c"),
            node("Add", "x c", "y"),
            constants=weights(zero=np.int64(0), one=np.int64(1), a=ints(1)),
        ),
    ),
    "chance": (
        "no rule",
        lambda: graph(node("RandomNormalLike", "x", "r"), node("Add", "x r")),
    ),
    "a choice by a branch": (
        "no rule",
        lambda: graph(
            node(
                "If",
                "c",
                "y",
                then_branch=_branch(node("Identity", "x", "z")),
                else_branch=_branch(node("Neg", "x", "z")),
            ),
            constants=weights(c=np.array(True)),
        ),
    ),
    "training dropout": (
        "training",
        lambda: graph(
            node("Dropout", "x r t"), constants=weights(r=np.float32(0.5), t=np.array(True))
        ),
    ),
    "means of the first axis too": (
        "put together",
        lambda: graph(
            node("MeanVarianceNormalization", "x", axes=[0, 1]),
        ),
    ),
    "lengths that all rows share": (
        "isn't on axis 0",
        lambda: graph(
            node("ReverseSequence", "x l", batch_axis=1, time_axis=0),
            constants=weights(l=ints(1, 1, 1, 1)),
        ),
    ),
    "an output that doesn't follow": (
        "one row for each",
        lambda: graph(node("Identity", "w"), constants=weights(w=floats(1, 4))),
    ),
    "inputs of one row": (
        "no first dimension",
        lambda: graph(node("Relu", "x"), inputs={"x": (1, 4)}),
    ),
    "an output of one row": (
        "no first dimension",
        lambda: graph(node("Relu", "x"), outputs={"y": (1, 4)}),
    ),
    "two sizes that are free": (
        "one first dimension",
        lambda: graph(node("Concat", "a b", axis=1), inputs={"a": (N, 3), "b": ("M", 2)}),
    ),
    "one size twice": (
        "another one too",
        lambda: graph(node("Relu", "x"), inputs={"x": (N, N)}, outputs={"y": (N, N)}),
    ),
    "resized by a size with rows in it": (
        "has to be the same",
        lambda: graph(
            node("Shape", "x", "s"),
            node("Gather", "s i", "t"),
            node("Resize", "x _ _ t", "y", mode="nearest"),
            inputs={"x": (N, 1, 2, 2)},
            outputs={"y": (N, 1, None, None)},
            constants=weights(i=ints(0, 1, 0, 3)),
        ),
    ),
    "rows resized": (
        "rows are resized",
        lambda: graph(
            node("Resize", "x _ s", "y", mode="nearest"),
            inputs={"x": (N, 1, 2, 2)},
            outputs={"y": (None, 1, None, None)},
            constants=weights(s=np.array([2, 1, 1, 1], np.float32)),
        ),
    ),
    "a letter that is summed over": (
        "put together",
        lambda: graph(
            node("Einsum", "x x", "z", equation="nk,nm->km"),
            node("MatMul", "x z", "y"),
        ),
    ),
}


def _branch(only: onnx.NodeProto) -> onnx.GraphProto:
    z = helper.make_tensor_value_info("z", FLOAT, None)
    return helper.make_graph([only], "b", [], [z])


@pytest.mark.parametrize("name", UNPROVEN)
def test_what_may_mix_rows_is_not_proven(name: str) -> None:
    said, make = UNPROVEN[name]
    found = proof(make())
    assert not found.holds
    assert said in found.why


def test_a_function_of_the_models_own_is_not_proven() -> None:
    own = helper.make_function(
        "own", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], [helper.make_opsetid("", 17)]
    )
    model = onnx.load_from_string(graph(node("Relu", "x")))
    del model.graph.node[:]
    model.graph.node.append(node("Twice", "x", "y", "own"))
    model.functions.append(own)
    model.opset_import.append(helper.make_opsetid("own", 1))
    assert "operator set" in proof(model.SerializeToString()).why


@pytest.mark.parametrize("version", [6, 27])
def test_a_version_that_the_rules_are_not_for_is_not_proven(version: int) -> None:
    model = onnx.load_from_string(graph(node("Relu", "x")))
    model.opset_import[0].version = version
    assert f"version {version}" in prove(model.SerializeToString()).why


def test_a_weight_that_callers_may_give_is_no_input_of_the_proof() -> None:
    model = onnx.load_from_string(graph(node("Mul", "x w"), constants=weights(w=floats(4))))
    model.graph.input.append(helper.make_tensor_value_info("w", FLOAT, [4]))
    assert proof(model.SerializeToString()).inputs == {"x"}


def test_a_node_that_nobody_asks_counts_too() -> None:
    model = graph(node("Add", "x w", "z"), node("Relu", "x"), constants=weights(w=floats(2, 1)))
    assert "by its number" in proof(model).why


def test_nothing_is_said_of_what_a_merged_field_hides() -> None:
    whole = graph(node("Relu", "x"))
    again = onnx.ModelProto()
    again.graph.node.append(node("CumSum", "x w"))
    assert "several" in prove(whole + again.SerializeToString()).why


@pytest.mark.parametrize("rule", sorted(RULES), ids=lambda rule: ":".join(filter(None, rule)))
def test_each_rule_is_of_an_operator_that_exists(rule: tuple[str, str]) -> None:
    domain, op = rule
    if domain == MICROSOFT:
        inputs = "x w" if op == "BiasGelu" else "x"
        assert session(graph(node(op, inputs, domain=domain), constants=weights(w=floats(4))))
        return
    assert onnx.defs.has(op, domain=domain)


def test_garbage_is_not_proven_and_does_not_raise() -> None:
    model = attention()
    for cut in range(0, len(model), 7):
        prove(model[:cut])
    noise = np.random.default_rng(3)
    for _ in range(3000):
        changed = bytearray(model)
        for at in noise.integers(0, len(changed), 3):
            changed[at] = int(noise.integers(0, 256))
        prove(bytes(changed))


def test_large_weights_are_stepped_over() -> None:
    data: Any = onnx.load_from_string(mlp())
    data.graph.initializer.append(
        helper.make_tensor("big", TensorProto.FLOAT, [1 << 20], np.zeros(1 << 20, np.float32))
    )
    assert prove(data.SerializeToString()).holds
