"""Tests what is called the same answer, for each tolerance and dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from eais.parity.bounds import BOUNDS
from eais.parity.verdict import difference, says_something
from eais.tolerance import Tolerance
from eais.value import RawTensor

FLOATS = ["float16", "float32", "float64", "complex64", "complex128"]
WHOLE = ["bool", *(f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64))]
LOOSE = [Tolerance.FP32, Tolerance.BF16, Tolerance.INT8]


def told(want: Any, got: Any, tolerance: Tolerance = Tolerance.FP32) -> str:
    return difference([want], [got], ["y"], tolerance)


def ramp(dtype: str = "float32") -> NDArray[Any]:
    return np.linspace(0, 1, 64).reshape(8, 8).astype(dtype)


@pytest.mark.parametrize("tolerance", list(Tolerance))
@pytest.mark.parametrize("dtype", [*FLOATS, *WHOLE])
def test_the_same_is_the_same(dtype: str, tolerance: Tolerance) -> None:
    assert told(ramp(dtype), ramp(dtype), tolerance) == ""


@pytest.mark.parametrize("dtype", FLOATS)
def test_exact_wants_every_bit(dtype: str) -> None:
    got = ramp(dtype)
    got[7, 7] = np.nextafter(np.real(got[7, 7]), np.asarray(2, np.real(got).dtype))
    words = told(ramp(dtype), got, Tolerance.EXACT)
    assert words.startswith("output 'y': 1 of 64 elements differ, the first [7, 7]")


def test_exact_knows_zeros_apart() -> None:
    assert told(np.array([0.0], np.float32), np.array([-0.0], np.float32), Tolerance.EXACT)
    assert not told(np.array([0.0], np.float32), np.array([-0.0], np.float32), Tolerance.FP32)
    assert told(np.float32(0.0), np.float32(-0.0), Tolerance.EXACT)


@pytest.mark.parametrize("tolerance", LOOSE)
@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1.0, 1e30])
def test_one_element_may_be_off_by_the_bound(tolerance: Tolerance, scale: float) -> None:
    bound = BOUNDS[tolerance].worst
    for share, fits in ((0.9, True), (1.1, False)):
        got = np.ones(100_000, np.float32)
        got[77] += share * bound
        words = told(np.ones(100_000, np.float32) * scale, got * np.float32(scale), tolerance)
        assert (words == "") == fits, words
        assert fits or "[77]" in words


@pytest.mark.parametrize("tolerance", LOOSE)
def test_the_whole_may_be_off_by_less(tolerance: Tolerance) -> None:
    want = np.ones((4, 25), np.float32)
    bound = BOUNDS[tolerance].spread
    assert not told(want, want * np.float32(1 + bound * 0.9), tolerance)
    assert "as a whole" in told(want, want * np.float32(1 + bound * 1.2), tolerance)


def test_each_tolerance_takes_what_the_one_before_takes() -> None:
    bounds = [BOUNDS[t] for t in LOOSE]
    assert bounds == sorted(bounds, key=lambda b: (b.worst, b.spread))


@pytest.mark.parametrize("tolerance", list(Tolerance))
@pytest.mark.parametrize("dtype", WHOLE)
def test_integers_are_equal_or_wrong(dtype: str, tolerance: Tolerance) -> None:
    got = np.zeros((2, 3), dtype)
    got[1, 2] = 1
    words = told(np.zeros((2, 3), dtype), got, tolerance)
    assert words.startswith("output 'y': 1 of 6 elements differ, the first [1, 2]: ")


@pytest.mark.parametrize("tolerance", list(Tolerance))
@pytest.mark.parametrize("other", [0.0, np.inf, -np.inf, np.nan, 1e30])
def test_what_is_no_number_must_be_that(other: float, tolerance: Tolerance) -> None:
    for one in (np.nan, np.inf, -np.inf):
        want, got = np.array([1.0, one], np.float32), np.array([1.0, other], np.float32)
        same = want.tobytes() == got.tobytes()
        assert (told(want, got, tolerance) == "") == same


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_must_stay_one(bad: float) -> None:
    assert "no number" in told(
        np.ones(3, np.float32), np.array([1, bad, 1], np.float32), Tolerance.INT8
    )


def test_zeros_stay_zeros_but_for_what_is_below_all_scales() -> None:
    nothing = np.zeros(4, np.float32)
    assert not told(nothing, nothing + np.float32(1e-40), Tolerance.FP32)
    assert told(nothing, nothing + np.float32(1e-6), Tolerance.INT8)


@pytest.mark.parametrize("tolerance", list(Tolerance))
@pytest.mark.parametrize(
    ("got", "words"),
    [
        (np.ones((2, 3), np.float64), "float64, not float32"),
        (np.ones((3, 2), np.float32), "dims [3, 2], not [2, 3]"),
        (np.ones((2, 3, 1), np.float32), "dims [2, 3, 1], not [2, 3]"),
        (None, "nothing"),
    ],
)
def test_dtypes_and_dims_are_the_same(got: Any, words: str, tolerance: Tolerance) -> None:
    assert told(np.ones((2, 3), np.float32), got, tolerance) == f"output 'y': {words}"


def test_trees_are_walked() -> None:
    one, other = np.ones(2, np.float32), np.zeros(2, np.float32)
    assert not told([one, {"a": 1.0}], [one, {"a": 1.0}])
    assert told([one, one], [one, other]).startswith("output 'y'[1]: off by 1 of its scale")
    assert told([one], [one, one]) == "output 'y': not a sequence of 1"
    assert told({"a": 1.0}, {"b": 1.0}) == "output 'y': other keys"
    assert told([{1: 0.5}], [{1: 0.7}], Tolerance.BF16)
    assert difference([one], [], ["y"], Tolerance.FP32) == "0 outputs, not 1"


def test_strings_and_raw_tensors_are_equal_or_wrong() -> None:
    words = np.array(["a", "b"], object)
    assert not told(words, words.copy())
    assert told(words, np.array(["a", "c"], object)).endswith("[1]: c, not b")
    raw = RawTensor(16, np.array([1, 2], np.uint16))
    assert not told(raw, RawTensor(16, raw.bits.copy()))
    assert told(raw, RawTensor(16, raw.bits + np.uint16(1)))


def test_the_worst_element_is_named() -> None:
    got = ramp()
    got[2, 3] += 0.5
    assert "[2, 3]: 0.801587, not 0.301587" in told(ramp(), got)


def test_nothing_is_compared_where_nothing_is_a_number() -> None:
    assert says_something([np.ones(1)])
    assert says_something([[np.array([np.nan])], {"a": 1.0}])
    assert says_something([np.array([1])])
    assert not says_something([np.array([np.nan, np.inf]), np.ones((0, 3)), []])
    assert not says_something([])
