"""What `run` is given, turned into what the codec sends: onnxruntime's own rules.

An array keeps its dtype (the worker judges it). A list is made an array of the dtype that
the model declares. Lists for sequence inputs and dicts for map inputs stay what they are.
Everything else gets onnxruntime's error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from eais.value import Array, Value
from eais_client.maps import check_maps, map_of
from eais_client.ort_errors import builtin_error
from eais_client.signature import NodeArg

_DTYPES: Final[Mapping[str, Any]] = {
    "float": np.float32,
    "double": np.float64,
    "float16": np.float16,
    "bool": np.bool_,
    "string": np.object_,
    **{name: np.dtype(name) for name in ("int8", "int16", "int32", "int64")},
    **{name: np.dtype(name) for name in ("uint8", "uint16", "uint32", "uint64")},
}
# What onnxruntime takes from numpy; long double, complex, dates and records it doesn't.
_TAKEN_KINDS = frozenset("biufOUSV")
_TAKEN_SIZES = frozenset({2, 4, 8})
_NOTHING: Final = object()
PLAIN_NUMBERS: Final = frozenset(
    np.dtype(name).num for name in ("?", *"bBhHiIlLqQ", "float16", "float32", "float64")
)
"""`dtype.num` of the arrays that are sent as they are, whatever their byte order."""
_TENSOR = re.compile(r"(?:optional\()?tensor\((\w+)\)\)?")


def required_names(inputs: Sequence[NodeArg]) -> frozenset[str]:
    """Those that must be given: a feed that has them passes `check_names`."""
    return frozenset(arg.name for arg in inputs if not arg.type.startswith("optional"))


def check_names(inputs: Sequence[NodeArg], given: Sequence[object]) -> None:
    """Raise onnxruntime's ValueError if an input that isn't optional is missing."""
    missing = [
        arg.name for arg in inputs if arg.name not in given and not arg.type.startswith("optional")
    ]
    if missing:
        text = f"Required inputs ({missing}) are missing from input feed ({given})."
        raise builtin_error("INPUT_MISSING", ValueError, text)


def check_outputs(names: object) -> list[str]:
    """The outputs asked for, [] for all; TypeError unless it is a sequence of str."""
    if not names:
        return []
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise _incompatible("output_names", names)
    listed = list(names)
    if not all(isinstance(name, str) for name in listed):
        raise _incompatible("output_names", names)
    return listed


def converted(feed: Mapping[str, Any], declared: Mapping[str, NodeArg]) -> list[tuple[str, Value]]:
    """All of a feed, each as `convert` has it; nearly all are arrays that need nothing."""
    return [
        (name, value)
        if type(value) is np.ndarray and value.dtype.num in PLAIN_NUMBERS
        else (name, convert(name, value, declared.get(name)))
        for name, value in feed.items()
    ]


def convert(name: str, value: object, declared: NodeArg | None) -> Value:
    """`value` of the input called `name` as an array, list, dict or None.

    `declared` is None for a name that the model doesn't have: the worker says so.
    Raises an `InputRejected` that is onnxruntime's RuntimeError too.
    """
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, list):
        return _of_list(name, value, declared)
    if isinstance(value, dict):
        return map_of(name, value)
    if _is_ort_value(value):
        return _array(value.numpy())  # type: ignore[attr-defined]
    return _walked(name, value, declared)


def _walked(name: str, value: Any, declared: NodeArg | None) -> Value:
    """What is neither array nor list: onnxruntime takes it only if dicts are in it."""
    try:
        items = iter(value)
    except (TypeError, NotImplementedError):
        raise _rejected(f"Unable to handle object of type {type(value)}") from None
    first = next(items, _NOTHING)
    if first is _NOTHING:
        raise _rejected(f"Input '{name}' must not be empty.")
    if isinstance(first, np.ndarray):
        kind = type(first)
        raise _rejected(f"Iterable of {kind} should be given as array for input '{name}'.")
    if not isinstance(first, dict):
        raise _rejected(
            f"Input must be a list of dictionaries or a single numpy array for input '{name}'."
        )
    maps = [map_of(name, item) for item in (first, *items)]
    if declared is not None:
        check_maps(maps, declared)
    return maps


def _of_list(name: str, value: list[Any], declared: NodeArg | None) -> Value:
    match = _TENSOR.fullmatch(declared.type) if declared else None
    if match is None:
        return [_part(part) for part in value]
    try:
        array = np.array(value, dtype=_DTYPES.get(match[1]))
    # The last: of numpy before 2, in a program that makes warnings errors.
    except (ValueError, TypeError, OverflowError, DeprecationWarning):
        raise _rejected("Could not create tensor from given input list") from None
    return _array(array)


def _part(part: object) -> Value:
    if isinstance(part, np.ndarray):
        return _array(part)
    if isinstance(part, Mapping):
        return part
    raise _rejected("CreateSequenceOfTensors: Input is not a tensor")


def _array(array: Array) -> Array:
    """`array` in a dtype that the codec takes; onnxruntime's error for one it doesn't."""
    array = np.asarray(array)  # a matrix or masked array is its data
    dtype = array.dtype
    if (
        dtype.kind not in _TAKEN_KINDS
        or dtype.names
        or (dtype.kind == "f" and dtype.itemsize not in _TAKEN_SIZES)
    ):
        raise _rejected(f"Numpy_type {dtype.num} can't be converted to MLDataType.")
    if dtype.num >= 256:  # another package's dtype, such as bfloat16
        raise _rejected(f"Numpy_type {dtype.num} can't be converted to MLDataType.")
    if dtype.kind == "O":
        return _elements(array, [_word(item) for item in array.ravel()])
    if dtype.kind == "V":
        return _elements(array, [item.tobytes() for item in array.ravel()])
    return array


def _elements(like: Array, items: list[Any]) -> Array:
    made = np.empty(len(items), dtype=object)
    made[:] = items
    return made.reshape(like.shape)


def _word(item: object) -> str:
    """An element of an object array: onnxruntime takes its `str`, of bytes too."""
    return item if isinstance(item, str) else str(item)


def _is_ort_value(value: object) -> bool:
    return type(value).__name__ == "OrtValue" and hasattr(value, "numpy")


def _rejected(text: str) -> Exception:
    return builtin_error("INPUT_REJECTED", RuntimeError, text)


def _incompatible(what: str, value: object) -> Exception:
    text = (
        f"run(): incompatible function arguments: {what} must be a sequence of str, not {value!r}"
    )
    return builtin_error("ARGUMENT", TypeError, text)
