"""Calls of a kind, joined into one run and parted again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais.rpc.v1 import value_pb2
from eais.transport.parts import RunPart, TensorPart
from eais.value import TYPE_OF
from eais_server.worker.batching.joining import is_same, join, part, shows_something, split
from eais_server.worker.batching.kinds import PLAIN, is_alike, kind_of
from eais_server.worker.execution import feed_of

_T = value_pb2.ElementType


def call(*, defer: bool = False, **arrays: Any) -> tuple[RunPart, tuple[memoryview, ...]]:
    """A call as it came in, with its tensors inside or in pieces."""
    inputs, buffers = [], []
    for name, array in arrays.items():
        kind, raw = TYPE_OF[array.dtype], np.ascontiguousarray(array).tobytes()
        if defer:
            buffers.append(memoryview(bytearray(raw)))
            inputs.append((name, TensorPart(kind, array.shape, deferred_bytes=len(raw))))
        else:
            inputs.append((name, TensorPart(kind, array.shape, raw)))
    return RunPart(session="s", inputs=inputs), tuple(buffers)


X = frozenset({"x"})
DTYPES = st.sampled_from([dtype for kind, dtype in PLAIN.items() if kind != _T.BOOL])


@given(
    DTYPES,
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.lists(st.booleans(), min_size=2, max_size=5),
)
def test_rows_lie_one_after_the_other_however_they_came(
    dtype: Any, dims: list[int], deferred: list[bool]
) -> None:
    noise = np.random.default_rng(0)
    arrays = [(noise.random(dims) * 100).astype(dtype) for _ in deferred]
    calls = [call(defer=defer, x=array) for defer, array in zip(deferred, arrays, strict=True)]
    kinds = {kind_of(run, buffers, X) for run, buffers in calls}
    (kind,) = kinds
    assert kind is not None
    feed = join(kind, calls)
    assert np.array_equal(feed["x"], np.concatenate(arrays))
    assert feed["x"].dtype == dtype
    for index, array in enumerate(arrays):
        assert np.array_equal(part(feed, index, kind.rows)["x"], array)
    parts = split([feed["x"]], len(calls), kind.rows)
    assert parts is not None
    assert all(np.array_equal(own[0], array) for own, array in zip(parts, arrays, strict=True))


def test_what_is_parted_is_not_copied() -> None:
    whole = np.arange(12).reshape(4, 3)
    parts = split([whole], 2, 2)
    assert parts is not None
    assert all(np.shares_memory(own[0], whole) for own in parts)
    assert all(own[0].flags.c_contiguous for own in parts)


@pytest.mark.parametrize(
    "output",
    [
        np.float32(1),
        np.zeros(()),
        np.zeros((3, 2)),
        [np.zeros(4)],
        None,
        np.array(["a"] * 4, object),
    ],
)
def test_outputs_that_are_not_the_calls_rows_are_not_parted(output: Any) -> None:
    assert split([np.zeros(4), output], 2, 2) is None


F = np.zeros((1, 4), np.float32)
ALONE: dict[str, tuple[RunPart, Sequence[memoryview]]] = {
    "an option": (call(x=F)[0]._replace(config_entries={"a": "b"}), ()),
    "a tag": (call(x=F)[0]._replace(tag="t"), ()),
    "another input": call(y=F),
    "an input more": call(x=F, w=F),
    "an input twice": (call(x=F)[0]._replace(inputs=[*call(x=F)[0].inputs] * 2), ()),
    "no rows": call(x=F[:0]),
    "an empty axis": call(x=np.zeros((1, 0), np.float32)),
    "a scalar": call(x=np.zeros((), np.float32)),
    "no tensor": (RunPart(session="s", inputs=[("x", None)]), ()),
    "strings": (
        RunPart(session="s", inputs=[("x", TensorPart(_T.STRING, (1,), strings=[b"a"]))]),
        (),
    ),
    "a type that numpy lacks": (
        RunPart(session="s", inputs=[("x", TensorPart(_T.BFLOAT16, (1,), b"ab"))]),
        (),
    ),
    "too few bytes": (
        RunPart(session="s", inputs=[("x", TensorPart(_T.FLOAT, (1, 4), b"abc"))]),
        (),
    ),
    "dims below zero": (
        RunPart(session="s", inputs=[("x", TensorPart(_T.FLOAT, (-1, -4), b"a" * 16))]),
        (),
    ),
    "elements given twice": (
        RunPart(session="s", inputs=[("x", TensorPart(_T.FLOAT, (1, 1), b"abcd", strings=[b"a"]))]),
        (),
    ),
}


@pytest.mark.parametrize("name", ALONE)
def test_such_a_call_runs_alone(name: str) -> None:
    run, buffers = ALONE[name]
    assert kind_of(run, buffers, X) is None


def test_inputs_of_different_lengths_run_alone() -> None:
    run, buffers = call(a=F, b=np.zeros((2, 4), np.float32))
    assert kind_of(run, buffers, frozenset({"a", "b"})) is None


def test_a_session_that_has_no_rows_runs_alone() -> None:
    assert kind_of(*call(x=F), None) is None


OTHERS = [
    call(x=F.astype(np.float64)),
    call(x=F.astype(np.float64)[:, :2]),
    call(x=np.zeros((2, 4), np.float32)),
    call(x=np.zeros((1, 5), np.float32)),
    (call(x=F)[0]._replace(session="t"), ()),
    (call(x=F)[0]._replace(outputs=("y",)), ()),
]


@pytest.mark.parametrize("other", OTHERS)
def test_calls_of_other_shapes_are_another_kind(
    other: tuple[RunPart, tuple[memoryview, ...]],
) -> None:
    one = call(x=F)
    assert kind_of(*one, X) != kind_of(*other, X)
    assert not is_alike(other[0], one[0])


def test_calls_alike_are_of_one_kind() -> None:
    one, other = call(x=F), call(x=F + 1)
    assert is_alike(other[0], one[0])
    assert kind_of(*one, X) == kind_of(*other, X)
    assert not is_alike(call(defer=True, x=F)[0], one[0])
    assert not is_alike(one[0]._replace(tag="t"), one[0])


@pytest.mark.parametrize("other", [*OTHERS, call(y=F), call(x=F, w=F), call()])
def test_a_call_of_another_kind_is_not_joined(
    other: tuple[RunPart, tuple[memoryview, ...]],
) -> None:
    one = call(x=F)
    kind = kind_of(*one, X)
    assert kind is not None
    with pytest.raises(ValueError, match="two kinds"):
        join(kind, [one, other])


def test_a_call_whose_inputs_come_in_another_order_is_not_joined() -> None:
    one = call(x=F, w=F)
    kind = kind_of(*one, frozenset({"x", "w"}))
    assert kind is not None
    with pytest.raises(ValueError, match="two kinds"):
        join(kind, [one, call(w=F, x=F)])


def test_of_each_call_other_inputs_may_have_come_in_pieces() -> None:
    one = call(x=F + 1, w=F + 2)
    run, (x, w) = call(defer=True, x=F + 3, w=F + 4)
    raw = TensorPart(TYPE_OF[F.dtype], F.shape, x.tobytes())
    half = run._replace(inputs=[("x", raw), run.inputs[1]])
    kind = kind_of(*one, frozenset({"x", "w"}))
    assert kind is not None
    feed = join(kind, [one, (run, (x, w)), (half, (w,))])
    assert feed["x"][:, 0].tolist() == [1, 3, 3]
    assert feed["w"][:, 0].tolist() == [2, 4, 4]


def test_the_feed_is_what_a_call_alone_would_have() -> None:
    one = call(x=F + 2)
    kind = kind_of(*one, X)
    assert kind is not None
    assert np.array_equal(join(kind, [one])["x"], feed_of(*one)["x"])


def f(*items: float) -> Any:
    return np.array(items, np.float32)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([f(1)], [f(1)], True),
        ([f(np.nan)], [f(np.nan)], True),
        ([f(0.0)], [f(-0.0)], False),
        ([f(1)], [np.nextafter(f(1), f(2))], False),
        ([f(1)], [f(1).astype(np.float64)], False),
        ([f(1)], [f(1).reshape(1, 1)], False),
        ([f(1)], [], False),
        ([f(1)], [[1.0]], False),
    ],
)
def test_answers_are_the_same_to_the_bit(one: list[Any], other: list[Any], same: bool) -> None:
    assert is_same(one, other) is same


def test_zeros_show_nothing() -> None:
    rows = np.ones((4, 3), np.float32)
    assert shows_something({"x": rows}, 2)
    rows[2:] = 0
    assert not shows_something({"x": rows}, 2)
    assert shows_something({"x": np.zeros((4, 3), np.int64)}, 2)
