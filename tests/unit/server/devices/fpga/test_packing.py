"""Values in buffers: what goes in comes out, whatever it is; what is no such thing is refused."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from eais.errors import EaisError
from eais.value import RawTensor
from eais_server.devices.fpga.packing import ALIGN_BYTES, pack, unpack

VALUES: list[tuple[str, Any]] = [
    ("floats", np.arange(12, dtype=np.float32).reshape(3, 4)),
    ("turned", np.arange(12, dtype=np.int64).reshape(3, 4).T),
    ("none", np.empty((0, 3), np.float64)),
    ("scalar", np.array(7, np.uint8)),
    ("words", np.array(["a", "", "ü"], dtype=object)),
    ("truth", np.array([True, False])),
    ("many", [np.ones(3, np.float32), np.zeros(1, np.float32)]),
    ("maps", [{1: 0.5, 2: 0.25}, {3: 1.0}]),
    ("absent", None),
]


def through(values: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    packed = pack(values)
    data = bytearray(packed.size)
    packed.put(memoryview(data))
    return unpack(memoryview(data), packed.values_bytes, bytearray)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return bool(one == other)


def test_what_goes_in_comes_out() -> None:
    found = through(VALUES)
    assert [name for name, _ in found] == [name for name, _ in VALUES]
    for (name, want), (_, got) in zip(VALUES, found, strict=True):
        assert same(want, got), name


def test_types_that_numpy_lacks() -> None:
    ((_, found),) = through([("b", RawTensor(16, np.array([1, 2], np.uint16)))])
    assert isinstance(found, RawTensor)
    assert (found.element_type, found.bits.tolist()) == (16, [1, 2])


def test_tensors_lie_aligned_after_the_values() -> None:
    packed = pack(VALUES)
    assert all(at % ALIGN_BYTES == 0 for at, _ in packed.pieces)
    ends = [at + len(piece) for at, piece in packed.pieces]
    assert all(a <= b for a, (b, _) in zip(ends, packed.pieces[1:], strict=False))


def test_arrays_may_be_the_buffer_itself() -> None:
    packed = pack([("x", np.zeros(4, np.float32))])
    data = bytearray(packed.size)
    packed.put(memoryview(data))
    ((_, x),) = unpack(memoryview(data), packed.values_bytes, lambda view: view)
    data[-4:] = np.float32(3).tobytes()
    assert x.tolist() == [0, 0, 0, 3]


def test_what_is_cut_or_turned_is_refused_or_read_within_its_bounds() -> None:
    packed = pack(VALUES)
    data = bytearray(packed.size)
    packed.put(memoryview(data))
    chance = random.Random(3)
    told: set[str] = set()
    for _ in range(300):
        bad = bytearray(data)
        bad[chance.randrange(packed.values_bytes)] ^= 1 << chance.randrange(8)
        try:
            unpack(memoryview(bad)[: chance.randrange(len(bad))], packed.values_bytes, bytearray)
        except EaisError as error:
            told.add(error.reason)
    assert told
    assert [word for word in told if not word.startswith(("INPUT_", "MALFORMED_"))] == []


def test_what_no_wire_carries_is_refused() -> None:
    with pytest.raises(EaisError):
        pack([("x", object())])
