"""Inputs made up for a model from what it says that it takes. (Brain)

A size that the model leaves open is made up too, and what the graph wants of it isn't said
anywhere: a picture must be larger than the kernels that slide over it, a table's index below its
length. So there are several guesses, of which those count that the reference takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eais_server.devices.driver import ValueSpec

Feed = Mapping[str, NDArray[Any]]

SIZES: Final = (2, 8, 32, 224, 1)
"""Guesses at what is left open, but for an input's first axis, which is how many there are."""
MOST_ELEMENTS: Final = 1 << 26
"""Of one input that is made up."""

_SEED: Final = 20
_DTYPES: Final[Mapping[str, str]] = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "bool": "bool",
    **{f"{u}int{bits}": f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)},
}
# For integers: what every table has, then what a counter may have, then what others take for
# less. Neither zero nor -1: by these no division of integers goes well.
_BATCHES: Final = (("small", 1), ("unit", 3), ("wide", 1))

# Some runtimes keep 64 bits in 32. As sizes these are refused at once, where those of half the
# range would be allocated: so int32, which nobody narrows, has none.
_WIDE: Final[Mapping[str, tuple[int, int]]] = {
    "int8": (64, 127),
    "uint8": (128, 255),
    "int16": (1 << 14, (1 << 15) - 1),
    "uint16": (1 << 15, (1 << 16) - 1),
    "uint32": (1 << 31, (1 << 32) - 1),
    "int64": (1 << 40, 1 << 41),
    "uint64": (1 << 40, 1 << 41),
}


def dtype_of(type_: str) -> np.dtype[Any] | None:
    """The numpy dtype of onnxruntime's "tensor(float)" and its like; None for what numpy lacks."""
    name = type_.removeprefix("tensor(").removesuffix(")")
    return np.dtype(_DTYPES[name]) if name in _DTYPES and type_.startswith("tensor(") else None


def can_be_made_up(inputs: Sequence[ValueSpec]) -> bool:
    """Whether all are tensors of numbers."""
    return all(dtype_of(spec.type) is not None for spec in inputs)


def made_up(inputs: Sequence[ValueSpec], size: int) -> Iterator[Feed]:
    """Feeds of several kinds, where `size` is what each open size is; the same ones each time.

    The first has one row and values that most models like. None if one would be too large.
    """
    for i, (kind, rows) in enumerate(_BATCHES):
        rng = np.random.default_rng((_SEED, i))
        feed = {}
        for spec in inputs:
            dims = tuple(_sizes(spec.dims, rows, size))
            if prod(dims) > MOST_ELEMENTS:
                return
            feed[spec.name] = _values(spec, dims, kind, rng)
        yield feed


def takes_batches(inputs: Sequence[ValueSpec]) -> bool:
    """Whether a call may have any number of rows: the first axis of each input is left open."""
    return bool(inputs) and all(s.dims and not isinstance(s.dims[0], int) for s in inputs)


def batch_of(inputs: Sequence[ValueSpec], size: int, rows: int) -> Feed | None:
    """A feed of so many rows, where `size` is what each other open size is.

    None if one input would be too large.
    """
    rng, feed = np.random.default_rng((_SEED, rows)), {}
    for spec in inputs:
        dims = tuple(_sizes(spec.dims, rows, size))
        if prod(dims) > MOST_ELEMENTS:
            return None
        feed[spec.name] = _values(spec, dims, "small", rng)
    return feed


def _sizes(dims: Sequence[int | str | None], rows: int, size: int) -> Iterator[int]:
    for axis, dim in enumerate(dims):
        yield dim if isinstance(dim, int) else rows if axis == 0 else size


def _values(
    spec: ValueSpec, dims: tuple[int, ...], kind: str, rng: np.random.Generator
) -> NDArray[Any]:
    dtype = dtype_of(spec.type)
    assert dtype is not None
    if dtype.kind == "f":
        found = rng.standard_normal(dims) if kind == "small" else rng.random(dims)
        return np.asarray(found * (8 if kind == "wide" else 1), dtype)
    if dtype.kind == "b":
        return np.asarray(rng.random(dims) < 0.5, dtype)
    if kind == "small":
        return np.ones(dims, dtype)
    low, high = _WIDE.get(dtype.name, (1, 9)) if kind == "wide" else (1, 9)
    return rng.integers(low, high, dims, dtype, endpoint=True)
