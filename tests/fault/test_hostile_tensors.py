"""Inputs that don't fit, whose bytes don't add up, and values that must come back bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import eais
from eais.errors import InputRejected
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2, value_pb2
from eais_client.testing.conformance import mistake, oracle
from eais_client.testing.sameness import assert_same
from tests.system.raw import open_session, refusal, run_once
from tests.system.stack import Stack, op
from tests.unit.server.runtime import models

T = value_pb2.ElementType
MUL = models.dataset("mul_1")  # Y = X * W, float[3, 2]
X = np.ones((3, 2), np.float32)


@pytest.fixture(scope="module")
def session(stack: Stack, instance: pool_pb2.Instance) -> str:
    """A good session, for what is done to its inputs."""
    return open_session(stack, instance, MUL, {}).id


def tensor(**fields: Any) -> value_pb2.Value:
    given: dict[str, Any] = {"type": T.FLOAT, "dims": [3, 2], "raw": bytes(24)} | fields
    return value_pb2.Value(tensor=value_pb2.Tensor(**given))


def strings(*items: bytes, dims: list[int] | None = None) -> value_pb2.Value:
    shape = [len(items)] if dims is None else dims
    return tensor(type=T.STRING, dims=shape, raw=b"", strings=items)


def nested(depth: int) -> value_pb2.Value:
    value = tensor()
    for _ in range(depth):
        value = value_pb2.Value(sequence=value_pb2.Sequence(values=[value]))
    return value


def map_of(keys: value_pb2.Value, values: value_pb2.Value) -> value_pb2.Value:
    return value_pb2.Value(map=value_pb2.Map(keys=keys.tensor, values=values.tensor))


ONE_KEY = map_of(tensor(type=T.INT64, dims=[1], raw=bytes(8)), tensor(dims=[1], raw=bytes(4)))
Given = list[tuple[str, value_pb2.Value]]
# What is given, its reason, and what the answer names: input, got, want.
MISMATCH: dict[str, tuple[Given, str, tuple[str, str, str]]] = {
    "rank": ([("X", tensor(dims=[6]))], "INPUT_RANK", ("X", "[6]", "[3, 2]")),
    "rank of 64 dims": (
        [("X", tensor(dims=[1] * 31, raw=bytes(4)))],
        "INPUT_RANK",
        ("X", str([1] * 31), "[3, 2]"),
    ),
    "a list": ([("X", nested(1))], "INPUT_RANK", ("X", "[1, 3, 2]", "[3, 2]")),
    "dim": ([("X", tensor(dims=[2, 3]))], "INPUT_SHAPE", ("X", "[2, 3]", "[3, 2]")),
    "empty": ([("X", tensor(dims=[0, 2], raw=b""))], "INPUT_SHAPE", ("X", "[0, 2]", "[3, 2]")),
    "dtype": (
        [("X", tensor(type=T.INT32))],
        "INPUT_DTYPE",
        ("X", "tensor(int32)", "tensor(float)"),
    ),
    "bfloat16": (
        [("X", tensor(type=T.BFLOAT16, raw=bytes(12)))],
        "INPUT_DTYPE",
        ("X", "tensor(bfloat16)", "tensor(float)"),
    ),
    "strings": (
        [("X", strings(*[b"a"] * 6, dims=[3, 2]))],
        "INPUT_DTYPE",
        ("X", "tensor(string)", "tensor(float)"),
    ),
    "a map": ([("X", ONE_KEY)], "INPUT_DTYPE", ("X", "map", "tensor(float)")),
    "missing": ([], "INPUT_MISSING", ("X", "nothing", "tensor(float)")),
    "absent": (
        [("X", value_pb2.Value(absent=value_pb2.Absent()))],
        "INPUT_MISSING",
        ("X", "nothing", "tensor(float)"),
    ),
    "no value": ([("X", value_pb2.Value())], "INPUT_MISSING", ("X", "nothing", "tensor(float)")),
    "extra": ([("X", tensor()), ("Z", tensor())], "INPUT_UNKNOWN", ("Z", "Z", "X")),
    "no name": ([("X", tensor()), ("", tensor())], "INPUT_UNKNOWN", ("", "", "X")),
    "twice": ([("X", tensor()), ("X", tensor())], "INPUT_DUPLICATE", ("X", "", "")),
}
FEEDS: dict[str, dict[str, Any]] = {
    "rank": {"X": X.reshape(-1)},
    "dim": {"X": X.T.copy()},
    "empty": {"X": X[:0]},
    "dtype": {"X": X.astype(np.int32)},
    "strings": {"X": X.astype(str)},
    "missing": {},
    "extra": {"X": X, "Z": X},
}


def ran(stack: Stack, at: pool_pb2.Instance, session: str, given: Given) -> list[value_pb2.Value]:
    inputs = [value_pb2.NamedValue(name=name, value=value) for name, value in given]
    return list(run_once(stack, at, session, inputs).outputs)


@pytest.mark.hostile("input-mismatch")
@pytest.mark.parametrize("case", MISMATCH)
def test_an_input_that_doesnt_fit(
    stack: Stack, instance: pool_pb2.Instance, client_home: Path, session: str, case: str
) -> None:
    given, reason, (name, got, want) = MISMATCH[case]
    error = refusal(ran, stack, instance, session, given)
    assert error.reason == reason
    assert error.metadata["input"] == name
    assert (error.metadata.get("got", ""), error.metadata.get("want", "")) == (got, want)
    assert ran(stack, instance, session, [("X", tensor())])
    if case in FEEDS:
        with eais.InferenceSession(MUL) as there:
            raised = mistake(lambda: there.run(None, FEEDS[case]))
        assert raised == mistake(lambda: oracle(MUL).run(None, FEEDS[case]))


# More than a worker takes for one call, whichever inputs they are.
ALL_TOGETHER = "announced 4 TiB"
BYTES: dict[str, tuple[value_pb2.Value, str]] = {
    "too few": (tensor(raw=bytes(23)), "INPUT_SIZE"),
    "too many": (tensor(raw=bytes(25)), "INPUT_SIZE"),
    "none": (tensor(raw=b""), "INPUT_SIZE"),
    "negative dims": (tensor(dims=[-3, -2]), "INPUT_SIZE"),
    "dims overflow": (tensor(dims=[1 << 62, 4]), "INPUT_SIZE"),
    "dims overflow to the right size": (tensor(dims=[(1 << 62) + 6, 4], raw=b""), "INPUT_SIZE"),
    "dim 2^63 - 1": (tensor(dims=[(1 << 63) - 1]), "INPUT_SIZE"),
    "empty and huge": (tensor(dims=[0, 1 << 62, 1 << 62], raw=b""), "INPUT_SIZE"),
    "65 dims": (tensor(dims=[1] * 65, raw=bytes(4)), "INPUT_SIZE"),
    "a million dims": (tensor(dims=[1] * 1_000_000, raw=bytes(4)), "INPUT_SIZE"),
    "announced and there": (tensor(deferred_bytes=24), "INPUT_SIZE"),
    "announced wrongly": (tensor(raw=b"", deferred_bytes=23), "INPUT_SIZE"),
    "announced 2^62": (tensor(raw=b"", deferred_bytes=1 << 62), "INPUT_SIZE"),
    "announced 2^64 - 1": (tensor(raw=b"", deferred_bytes=(1 << 64) - 1), "INPUT_SIZE"),
    ALL_TOGETHER: (tensor(dims=[1 << 40], raw=b"", deferred_bytes=1 << 42), "INPUT_SIZE"),
    "strings and bytes": (tensor(strings=[b"a"] * 6), "INPUT_SIZE"),
    "fewer strings": (strings(b"a", dims=[3, 2]), "INPUT_SIZE"),
    "2^31 strings": (strings(b"a", dims=[1 << 31]), "INPUT_SIZE"),
    "bytes of strings": (tensor(type=T.STRING), "INPUT_SIZE"),
    "a map of two lengths": (
        map_of(tensor(type=T.INT64, dims=[2], raw=bytes(16)), tensor(dims=[1], raw=bytes(4))),
        "INPUT_SIZE",
    ),
    "type 0": (tensor(type=0), "INPUT_DTYPE"),
    "type 999": (tensor(type=999), "INPUT_DTYPE"),
    "nine lists deep": (nested(9), "MALFORMED_MESSAGE"),
}


@pytest.mark.hostile("input-bytes")
@pytest.mark.parametrize("case", BYTES)
def test_bytes_that_dont_add_up(
    stack: Stack, instance: pool_pb2.Instance, session: str, case: str
) -> None:
    value, reason = BYTES[case]
    error = refusal(ran, stack, instance, session, [("X", value)])
    assert error.reason == reason
    if case != ALL_TOGETHER:
        assert error.metadata["input"] == "X"
        assert "'X'" in error.message
    assert ran(stack, instance, session, [("X", tensor())])


def identity(kind: int) -> bytes:
    """y = x of any shape."""
    node = helper.make_node("Identity", ["x"], ["y"])
    shapes = [models.info(name, kind, ["n"]) for name in "xy"]
    return models.model(node, inputs=shapes[:1], outputs=shapes[1:], opset=21, ir=10)


def bits(text: str) -> bytes:
    return bytes.fromhex(text)


# Type, number of elements, little-endian bytes; NaNs with payloads, quiet and signalling.
EXACT: dict[str, tuple[int, int, bytes]] = {
    "float NaN payloads": (T.FLOAT, 4, bits("010080ff efbeadff 5634927f 010080 7f")),
    "float infinities and zeros": (T.FLOAT, 4, bits("0000807f 000080ff 00000080 00000000")),
    "float denormals": (T.FLOAT, 3, bits("01000000 ffff7f00 01000080")),
    "double NaN payloads": (T.DOUBLE, 2, bits("010000000000f07f efbeadde0000f8ff")),
    "double denormals": (T.DOUBLE, 2, bits("0100000000000000 0100000000000080")),
    "float16": (T.FLOAT16, 5, bits("017c ff7f 0100 007c 0080")),
    "bfloat16": (T.BFLOAT16, 5, bits("817f ffff 0100 807f 0080")),
    "float8e4m3fn": (T.FLOAT8E4M3FN, 3, bits("7f ff 01")),
    "float8e5m2": (T.FLOAT8E5M2, 4, bits("7c 7f fd 01")),
    "int64 limits": (T.INT64, 2, bits("ffffffffffffff7f 0000000000000080")),
    "uint64 limit": (T.UINT64, 1, bits("ffffffffffffffff")),
    "bool": (T.BOOL, 2, bits("0001")),
    "bool of 7": (T.BOOL, 3, bits("070080")),
    "nothing": (T.FLOAT, 0, b""),
}


@pytest.mark.hostile("values-exact")
@pytest.mark.parametrize("case", [*EXACT, "int4", "uint4", "complex64", *("strings", "no utf-8")])
def test_values_come_back_bit_by_bit_or_are_refused(
    stack: Stack, instance: pool_pb2.Instance, case: str
) -> None:
    if case in EXACT:
        kind, count, raw = EXACT[case]
        value = tensor(type=kind, dims=[count], raw=raw)
        assert echoed(stack, instance, kind, value) == value
    elif case == "strings":
        value = strings(b"a\0b", b"", b"\0", "grüße 🙂".encode(), b"x\0\0", b"-rf")
        assert echoed(stack, instance, T.STRING, value) == value
    elif case == "no utf-8":
        for item in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"a\xf0\x9f"):
            error = refusal(echoed, stack, instance, T.STRING, strings(item))
            assert error.reason == "INPUT_REJECTED"
            assert error.metadata["input"] == "x"
    else:
        kind = {"int4": T.INT4, "uint4": T.UINT4, "complex64": T.COMPLEX64}[case]
        raw = bytes(8) if case == "complex64" else b"\x21"
        value = tensor(type=kind, dims=[1 if case == "complex64" else 2], raw=raw)
        assert refusal(echoed, stack, instance, T.FLOAT, value).reason == "INPUT_DTYPE"


def echoed(
    stack: Stack, at: pool_pb2.Instance, kind: int, value: value_pb2.Value
) -> value_pb2.Value:
    opened = open_session(stack, at, identity(kind), {})
    [answer] = ran(stack, at, opened.id, [("x", value)])
    return answer


def repeated(kind: int) -> bytes:
    """y = x, n times."""
    shapes = [("x", kind, [1]), ("n", TensorProto.INT64, [1]), ("y", kind, [None])]
    x, n, y = (models.info(*shape) for shape in shapes)
    return models.model(helper.make_node("Expand", ["x", "n"], ["y"]), inputs=[x, n], outputs=[y])


@pytest.fixture
def another(stack: Stack) -> Iterator[pool_pb2.Instance]:
    """An instance whose worker's memory isn't watched: its allocator keeps what it had."""
    made = stack.ask(verbs.POOL_ATTACH, pool_pb2.AttachRequest(op_id=op(), type="cpu.1")).instance
    yield made
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


@pytest.mark.hostile("output-size")
@pytest.mark.parametrize(
    ("kind", "x", "n", "reason"),
    [
        (T.STRING, strings(b"a" * (1 << 20)), 20, "OUTPUT_TOO_LARGE"),
        (T.FLOAT, tensor(dims=[1], raw=bytes(4)), 1 << 45, "RUN_MEMORY"),
    ],
    ids=["strings", "numbers"],
)
def test_answers_that_are_too_large_are_refused_and_others_given(
    stack: Stack, another: pool_pb2.Instance, kind: int, x: value_pb2.Value, n: int, reason: str
) -> None:
    opened = open_session(stack, another, repeated(kind), {})

    def times(n: int) -> list[value_pb2.Value]:
        times = tensor(type=T.INT64, dims=[1], raw=n.to_bytes(8, "little"))
        return ran(stack, another, opened.id, [("x", x), ("n", times)])

    assert refusal(times, n).reason == reason
    assert times(1) == [x]


ARRAYS: dict[str, tuple[int, Any]] = {
    "float": (TensorProto.FLOAT, np.frombuffer(EXACT["float NaN payloads"][2], np.float32)),
    "denormals": (TensorProto.FLOAT, np.frombuffer(EXACT["float denormals"][2], np.float32)),
    "float16": (TensorProto.FLOAT16, np.frombuffer(EXACT["float16"][2], np.float16)),
    "bool of 7": (TensorProto.BOOL, np.frombuffer(EXACT["bool of 7"][2], np.bool_)),
    "strings": (TensorProto.STRING, np.array(["a\0b", "", "grüße 🙂"], object)),
    "strided": (TensorProto.FLOAT, np.arange(8, dtype=np.float32)[::-2]),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_come_back_as_onnxruntime_gives_them(
    stack: Stack, client_home: Path, case: str
) -> None:
    kind, array = ARRAYS[case]
    model = identity(kind)
    with eais.InferenceSession(model) as there:
        assert_same(there.run(None, {"x": array}), oracle(model).run(None, {"x": array}))


def test_a_string_that_is_no_text_is_refused_by_the_client(stack: Stack, client_home: Path) -> None:
    with (
        eais.InferenceSession(identity(TensorProto.STRING)) as there,
        pytest.raises(InputRejected),
    ):
        there.run(None, {"x": np.array(["\ud800"], object)})
