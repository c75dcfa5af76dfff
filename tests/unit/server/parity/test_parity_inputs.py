"""Tests what is made up for models to be compared with."""

from __future__ import annotations

import numpy as np
import pytest

from eais_server.devices.driver import ValueSpec
from eais_server.parity.inputs import can_be_made_up, made_up


def test_shapes_and_dtypes_are_the_models() -> None:
    inputs = [
        ValueSpec("x", "tensor(float)", ("N", 3, None, "W")),
        ValueSpec("ids", "tensor(int64)", (None, "L")),
        ValueSpec("on", "tensor(bool)", ()),
    ]
    feeds = list(made_up(inputs, 8))
    assert [feed["x"].shape for feed in feeds] == [(1, 3, 8, 8), (3, 3, 8, 8), (1, 3, 8, 8)]
    assert {feed["ids"].dtype for feed in feeds} == {np.dtype("int64")}
    assert {feed["on"].shape for feed in feeds} == {()}


def test_the_same_ones_each_time_and_each_another() -> None:
    inputs = [ValueSpec("x", "tensor(float)", (2, 2))]
    first, again = list(made_up(inputs, 2)), list(made_up(inputs, 2))
    assert [f["x"].tobytes() for f in first] == [f["x"].tobytes() for f in again]
    assert len({f["x"].tobytes() for f in first}) == len(first)


@pytest.mark.parametrize("name", [f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)])
def test_integers_are_indices_first_and_then_wide(name: str) -> None:
    small, unit, wide = made_up([ValueSpec("x", f"tensor({name})", (1000,))], 2)
    assert set(np.unique(small["x"])) == {1}
    assert (unit["x"].min(), unit["x"].max()) == (1, 9)
    assert int(wide["x"].min()) > 0
    assert int(wide["x"].max()) > {"int32": 8, "int64": 1 << 40, "uint64": 1 << 40}.get(
        name, np.iinfo(name).max // 2
    )


def test_what_is_too_large_is_left() -> None:
    assert not list(made_up([ValueSpec("x", "tensor(float)", (None, 1 << 30))], 2))


@pytest.mark.parametrize("type_", ["tensor(string)", "tensor(bfloat16)", "seq(tensor(float))"])
def test_what_is_no_tensor_of_numbers_is_not_made_up(type_: str) -> None:
    assert not can_be_made_up([ValueSpec("x", type_, (1,))])
    assert can_be_made_up([ValueSpec("x", "tensor(float)", (1,))])
