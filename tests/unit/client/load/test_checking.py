"""Prepared inputs and answers come back as they were; an answer is right within a tolerance."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eais.value import RawTensor
from eais_client.load.checking import Prepared, difference, read_prepared, write_prepared

KINDS = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
ONES = np.ones((2, 50), np.float32)


def there_and_back(folder: Path, *answer: Any) -> tuple[Any, ...]:
    write_prepared(folder, Prepared(({},), (answer,)))
    answers = read_prepared(folder).answers
    assert answers is not None
    (right,) = answers
    return right


def off(by: float) -> Any:
    changed = ONES.copy()
    changed[1, 7] += by
    return changed


@pytest.mark.parametrize("kind", KINDS)
def test_feeds_come_back_as_they_were(tmp_path: Path, kind: str) -> None:
    feeds = {"x/y:0": np.arange(6).reshape(1, 2, 3).astype(kind), "file": np.array(3, kind)}
    write_prepared(tmp_path / "a", Prepared((feeds, feeds), None, "bf16"))
    read = read_prepared(tmp_path / "a")
    assert (len(read.feeds), read.answers, read.tolerance) == (2, None, "bf16")
    assert list(read.feeds[1]) == list(feeds)
    for name, array in feeds.items():
        assert read.feeds[1][name].dtype == array.dtype
        assert np.array_equal(read.feeds[1][name], array)


def test_variants_keep_their_order_beyond_ten(tmp_path: Path) -> None:
    many = tuple({"x": np.array([number])} for number in range(12))
    answers = tuple((np.array([-number]),) for number in range(12))
    write_prepared(tmp_path, Prepared(many, answers))
    read = read_prepared(tmp_path)
    assert [int(feeds["x"][0]) for feeds in read.feeds] == list(range(12))
    assert [int(answer[0][0]) for answer in read.answers or ()] == [-n for n in range(12)]


@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 1, 1)])
def test_strings_come_back_to_the_letter(tmp_path: Path, shape: tuple[int, ...]) -> None:
    words = np.array(["", "ends in nul\0", "größer \udc80"], object).reshape(shape)
    (back,) = there_and_back(tmp_path, words)
    assert back.dtype == object
    assert back.shape == shape
    assert back.ravel().tolist() == words.ravel().tolist()


def test_no_strings_and_no_elements_come_back(tmp_path: Path) -> None:
    empty, scalar = np.empty((0, 4), object), np.array("word", object)
    back = there_and_back(tmp_path, empty, scalar, np.zeros((2, 0), np.float32))
    assert [part.shape for part in back] == [(0, 4), (), (2, 0)]
    assert difference(back, (empty, scalar, np.zeros((2, 0), np.float32)), "exact") == ""


def test_sequences_maps_and_nothing_come_back(tmp_path: Path) -> None:
    answer: tuple[Any, ...] = ([{1: 0.25, 2: math.nan}, {"a": np.ones(2)}], None, [])
    back = there_and_back(tmp_path, *answer)
    assert difference(back, answer, "exact") == ""
    assert "[0]" in difference(([{1: 0.5, 2: math.nan}, {"a": np.ones(2)}], None, []), back, "fp32")


def test_elements_that_numpy_lacks_come_back(tmp_path: Path) -> None:
    raw = RawTensor(16, np.array([1, 2], np.uint16))
    (back,) = there_and_back(tmp_path, raw)
    assert back.element_type == 16
    assert difference([back], [raw], "exact") == ""


def test_what_is_equal_is_right() -> None:
    for tolerance in ("exact", "fp32", "bf16", "int8"):
        assert difference([ONES], [ONES.copy()], tolerance) == ""


@pytest.mark.parametrize(
    ("tolerance", "right", "wrong"),
    [("exact", 0.0, 1e-6), ("fp32", 5e-4, 2e-3), ("bf16", 0.05, 0.1), ("int8", 0.2, 0.3)],
)
def test_each_tolerance_is_the_parity_checks(tolerance: str, right: float, wrong: float) -> None:
    assert difference([off(right)], [ONES], tolerance) == ""
    said = difference([off(wrong)], [ONES], tolerance)
    assert "output '0'" in said
    assert "[1, 7]" in said


def test_no_number_is_equal_to_itself_alone() -> None:
    want = np.array([1.0, np.nan, np.inf], np.float32)
    for tolerance in ("exact", "fp32"):
        assert difference([want.copy()], [want], tolerance) == ""
        assert difference([np.array([1.0, 0.0, np.inf], np.float32)], [want], tolerance)
        assert difference([np.array([1.0, np.nan, -np.inf], np.float32)], [want], tolerance)


def test_exact_is_bit_by_bit() -> None:
    assert difference([np.array([-0.0])], [np.array([0.0])], "fp32") == ""
    assert difference([np.array([-0.0])], [np.array([0.0])], "exact") != ""


@pytest.mark.parametrize("other", [np.array([1, 2, 4]), np.array(["a", "b"], object)])
def test_whole_numbers_and_strings_are_equal_or_wrong(other: Any) -> None:
    want = np.array([1, 2, 3]) if other.dtype != object else np.array(["a", "c"], object)
    assert difference([want.copy()], [want], "int8") == ""
    assert "differ" in difference([other], [want], "int8")


def test_another_shape_type_or_number_of_outputs_is_wrong() -> None:
    assert difference([ONES, ONES], [ONES], "int8") == "2 outputs, not 1"
    assert "float64" in difference([ONES.astype(np.float64)], [ONES], "int8")
    assert "dims" in difference([ONES.ravel()], [ONES], "int8")
    assert difference([ONES[:1]], [ONES], "int8") != ""  # though numpy would stretch it
