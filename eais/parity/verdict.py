"""Compares answers with the reference's, and says in words where they part. (Brain)

What a call gives is a tree: a list of outputs, of which each is an array, or a sequence (list)
or map (dict) of such. Both trees must have the same shape, and their arrays the same dtypes and
dims. Integers, booleans and strings are equal or wrong. Of floating-point numbers, those that
are no numbers must be the same ones; the others are within the tolerance's bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eais.parity.bounds import BOUNDS, SMALLEST, Bounds
from eais.tolerance import Tolerance
from eais.value import RawTensor

Array = NDArray[Any]
_SHOWN = 64


def difference(
    reference: Sequence[Any], candidate: Sequence[Any], names: Sequence[str], tolerance: Tolerance
) -> str:
    """Why the candidate's outputs aren't within the tolerance; "" if they are.

    Args:
        reference, candidate: outputs in the same order.
        names: theirs, for the words.
    """
    if len(reference) != len(candidate):
        return f"{len(candidate)} outputs, not {len(reference)}"
    for name, want, got in zip(names, reference, candidate, strict=True):
        for words in _differences(f"output {name[:_SHOWN]!a}", want, got, tolerance):
            return words
    return ""


def says_something(outputs: Sequence[Any]) -> bool:
    """Whether there is anything to compare: one value that is a number, or no number at all."""
    return any(map(_is_telling, outputs))


def _is_telling(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_is_telling, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_is_telling, value))
    array = _array(value)
    if array.dtype.kind not in "fc":
        return array.size > 0
    return bool(np.isfinite(array).any())


def _differences(where: str, want: Any, got: Any, tolerance: Tolerance) -> Iterator[str]:
    if isinstance(want, Mapping):
        if not isinstance(got, Mapping) or list(got) != list(want):
            yield f"{where}: other keys"
            return
        want, got = list(want.values()), list(got.values())
    if isinstance(want, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(want):
            yield f"{where}: not a sequence of {len(want)}"
            return
        for i, (one, other) in enumerate(zip(want, got, strict=True)):
            yield from _differences(f"{where}[{i}]", one, other, tolerance)
    elif want is None or got is None:
        if want is not got:
            yield f"{where}: {'nothing' if got is None else 'a value'}"
    elif words := _array_difference(_array(want), _array(got), tolerance):
        yield f"{where}: {words}"


def _array(value: Any) -> Array:
    return value.bits if isinstance(value, RawTensor) else np.asarray(value)


def _array_difference(want: Array, got: Array, tolerance: Tolerance) -> str:
    if got.dtype != want.dtype:
        return f"{got.dtype}, not {want.dtype}"
    if got.shape != want.shape:
        return f"dims {list(got.shape)}, not {list(want.shape)}"
    if not want.size:
        return ""
    if want.dtype.kind not in "fc":
        return _unequal(want, got, got != want)
    if tolerance is Tolerance.EXACT:
        return _unequal(want, got, _other_bits(want, got))
    return _beyond(want, got, BOUNDS[tolerance])


def _other_bits(want: Array, got: Array) -> Array:
    one, other = (
        np.ascontiguousarray(a).view(np.uint8).reshape(*a.shape, a.itemsize) for a in (want, got)
    )
    return np.asarray((one != other).any(axis=-1))


def _unequal(want: Array, got: Array, wrong: Array) -> str:
    count = int(np.count_nonzero(wrong))
    if not count:
        return ""
    at = int(np.flatnonzero(wrong)[0])
    return f"{count} of {want.size} elements differ, the first {_at(want, got, at)}"


def _beyond(want: Array, got: Array, bounds: Bounds) -> str:
    kind = np.complex128 if want.dtype.kind == "c" else np.float64
    r, c = want.astype(kind), got.astype(kind)
    numbers = np.isfinite(r) & np.isfinite(c)
    same = (r == c) | (np.isnan(r) & np.isnan(c))
    if words := _unequal(want, got, ~same & ~numbers):
        return f"what is no number: {words}"
    r, c = np.where(numbers, r, 0), np.where(numbers, c, 0)
    scale = max(float(np.abs(r).max()), SMALLEST)
    # All are divided by the scale first: squares of very large or small numbers have no room.
    error = np.abs(c - r) / scale
    worst, spread = float(error.max()), _norm(error) / max(_norm(np.abs(r) / scale), 1.0)
    place = _at(want, got, int(error.argmax()))
    if not worst <= bounds.worst:
        return f"off by {worst:.2g} of its scale, at most {bounds.worst:.2g}: {place}"
    if not spread <= bounds.spread:
        return f"off by {spread:.2g} as a whole, at most {bounds.spread:.2g}; worst {place}"
    return ""


def _norm(array: Array) -> float:
    return float(np.linalg.norm(array.reshape(-1)))


def _at(want: Array, got: Array, flat: int) -> str:
    place = ", ".join(str(int(i)) for i in np.unravel_index(flat, want.shape))
    one, other = want.reshape(-1)[flat], got.reshape(-1)[flat]
    return f"[{place}]: {_text(other)}, not {_text(one)}"


def _text(value: Any) -> str:
    return f"{value:.6g}" if np.asarray(value).dtype.kind == "f" else f"{value!s:.{_SHOWN}}"
