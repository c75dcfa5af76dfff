"""What a model is called with: made up from its signature, or real arrays from files."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eais.errors import UsageError
from eais_client.load.target import Feeds
from eais_client.signature import NodeArg, Signature

DTYPES: Final[Mapping[str, type[np.generic]]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
}
"""Types that can be made up, and of files; strings beside them."""
STRINGS: Final = "tensor(string)"
_WORDS: Final = ("a", "few", "words", "of", "text")
_MADE_BYTES: Final = 8
"""Of an element, while it is made up."""
_WHOLE: Final = (0, 100)
"""Without a range, whole numbers are of this one: most are places in a table, or pixels."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What is said of inputs.

    Attributes:
        shapes: input -> its shape, where the model leaves axes open.
        ranges: input -> the lowest and highest value.
        files: a .npz, or a folder of them: real arrays; None: they are made up.
        variants: how many are made up, which requests use in turn.
        seed: of what is made up.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    files: Path | None = None
    variants: int = 8
    seed: int = 1


def inputs_of(model: str, signature: Signature, spec: InputSpec) -> list[Feeds]:
    """The inputs of each variant, by name; the same each time.

    Raises `UsageError` ARGUMENT if an input's shape is neither fixed nor said, its type can't be
    made up, or a file doesn't fit the model; NOT_FOUND if there is none.
    """
    if spec.files is not None:
        return [read_arrays(file, model, signature.inputs) for file in files_in(spec.files)]
    rng = np.random.default_rng(spec.seed)
    _check_size(model, signature, spec)
    return [
        {each.name: _made_up(model, each, spec, rng) for each in signature.inputs}
        for _ in range(spec.variants)
    ]


def check_names(signatures: Mapping[str, Signature], spec: InputSpec) -> None:
    """Raise `UsageError` ARGUMENT if a shape or range is of an input that no model has.

    Or if there is one though inputs are read from files.
    """
    there = sorted({each.name for one in signatures.values() for each in one.inputs})
    for option, names in (("--shape", spec.shapes), ("--range", spec.ranges)):
        for name in names:
            if spec.files is not None:
                raise UsageError("ARGUMENT", f"{option} {name}: --inputs has real arrays already")
            if name not in there:
                text = f"{option} {name}: no model has such an input"
                raise UsageError("ARGUMENT", text, hint=f"there are {', '.join(there)}")


def files_in(place: Path) -> list[Path]:
    """The .npz there, a variant each, in the order of their names."""
    if place.is_dir():
        found = sorted(place.glob("*.npz"))
        if not found:
            raise UsageError("NOT_FOUND", f"{place}: no .npz file is in this folder")
        return found
    if not place.is_file():
        raise UsageError("NOT_FOUND", f"{place}: there is no such file or folder")
    return [place]


def _made_up(model: str, arg: NodeArg, spec: InputSpec, rng: np.random.Generator) -> Any:
    shape = _shape(model, arg, spec)
    bounds = spec.ranges.get(arg.name)
    if arg.type == STRINGS:
        if bounds is not None:
            raise UsageError("ARGUMENT", f"--range {arg.name}: strings have no range")
        return rng.choice(np.array(_WORDS), shape).astype(object)
    return _values(arg.name, np.dtype(DTYPES[arg.type]), shape, bounds, rng)


def _check_type(model: str, arg: NodeArg) -> None:
    if arg.type != STRINGS and arg.type not in DTYPES:
        text = f"{model}: {arg.name!r} is {arg.type}, which can't be made up, nor read"
        kinds = ", ".join([*DTYPES, STRINGS])
        raise UsageError("ARGUMENT", text, hint=f"what can: {kinds}")


def _check_size(model: str, signature: Signature, spec: InputSpec) -> None:
    """Raise `UsageError` ARGUMENT if all that is to be made up won't fit into half the memory."""
    for each in signature.inputs:
        _check_type(model, each)
    elements = sum(math.prod(_shape(model, each, spec)) for each in signature.inputs)
    needed = elements * _MADE_BYTES * spec.variants
    if needed > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2:
        text = f"{model}: {spec.variants} variants of its inputs need {needed / 1e9:.3g} GB"
        raise UsageError("ARGUMENT", text, hint="fewer --variants, or a smaller --shape")


def _values(
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    bounds: tuple[float, float] | None,
    rng: np.random.Generator,
) -> NDArray[Any]:
    if dtype.kind == "f":
        low, high = bounds if bounds is not None else (0.0, 1.0)
        most = float(np.finfo(dtype).max)
        if max(abs(low), abs(high)) > most:
            text = f"--range {name}={low:g}..{high:g}: {dtype} holds no more than {most:g}"
            raise UsageError("ARGUMENT", text)
        drawn = rng.random(shape)
        return np.asarray(low * (1 - drawn) + high * drawn, dtype)
    low, high = bounds if bounds is not None else _WHOLE
    least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    lowest, highest = max(math.ceil(low), least), min(math.floor(high), most)
    if lowest > highest:
        text = f"--range {name}={low:g}..{high:g}: {dtype} holds no such value"
        raise UsageError("ARGUMENT", text)
    return np.asarray(rng.integers(lowest, highest, shape, dtype=dtype, endpoint=True))


def _shape(model: str, arg: NodeArg, spec: InputSpec) -> tuple[int, ...]:
    """As said, as the model says, or with a batch of one where only that is open."""
    given = spec.shapes.get(arg.name)
    if given is not None:
        if not _fits(given, arg):
            raise _misfit(f"--shape {arg.name}={_text(given)}", model, arg)
        return given
    shape = [axis if isinstance(axis, int) else None for axis in arg.shape]
    if shape and shape[0] is None:
        shape[0] = 1
    if None in shape:
        text = f"{model}: the shape of input {arg.name!r} is open: {_text(arg.shape)}"
        example = ",".join(str(axis) if isinstance(axis, int) else "…" for axis in arg.shape)
        raise UsageError("ARGUMENT", text, hint=f"say it: --shape {arg.name}={example}")
    return tuple(axis for axis in shape if axis is not None)


def _fits(shape: Sequence[int], arg: NodeArg) -> bool:
    return len(shape) == len(arg.shape) and all(
        not isinstance(axis, int) or axis == given
        for given, axis in zip(shape, arg.shape, strict=True)
    )


def _misfit(what: str, model: str, arg: NodeArg) -> UsageError:
    text = f"{what}: {model} has {arg.name!r} as {arg.type} of shape {_text(arg.shape)}"
    return UsageError("ARGUMENT", text)


def _text(shape: Sequence[int | str | None]) -> str:
    return ",".join("?" if axis is None else str(axis) for axis in shape) or "no axes"


def read_arrays(file: Path, model: str, args: Sequence[NodeArg]) -> dict[str, Any]:
    """The arrays of a .npz that `args` name, in their order; others in it are left alone.

    Raises `UsageError` ARGUMENT for a file that can't be read, or doesn't fit the model.
    """
    arrays = _loaded(file)
    for each in args:
        _check_type(model, each)
        if each.name not in arrays:
            text = f"{file}: no array {each.name!r}, which {model} has"
            raise UsageError("ARGUMENT", text, hint=f"it holds {', '.join(arrays) or 'nothing'}")
    return {each.name: _fitting(file, model, each, arrays[each.name]) for each in args}


def _loaded(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with file.open("rb") as opened:
            found = np.load(opened, allow_pickle=False)
            if not isinstance(found, np.lib.npyio.NpzFile):
                raise ValueError("it is a single array, without a name")
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        hint = "numpy.savez(FILE, NAME=array, ...) writes one; strings as dtype str, not object"
        raise UsageError("ARGUMENT", f"{file}: no .npz of arrays: {error}", hint=hint) from None


def _fitting(file: Path, model: str, arg: NodeArg, array: NDArray[Any]) -> Any:
    wanted = DTYPES.get(arg.type)
    right = array.dtype.kind == "U" if arg.type == STRINGS else array.dtype == wanted
    if not right or not _fits(array.shape, arg):
        what = f"{file}: {arg.name!r} is {array.dtype} of shape {_text(array.shape)}"
        raise _misfit(what, model, arg)
    return array.astype(object) if arg.type == STRINGS else array
