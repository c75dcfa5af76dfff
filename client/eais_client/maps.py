"""Dicts that a program gives as inputs: onnxruntime's rules for them, and its words.

onnxruntime makes a map of each, to float numbers, whatever the model declares; from strings if
the first key is one, else from int64.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, Final

from eais.errors import EaisError
from eais_client.ort_errors import builtin_error, ort_error
from eais_client.signature import NodeArg

_INT64: Final = range(-(1 << 63), 1 << 63)
# How onnxruntime names the type of the keys when it finds a key or a value of another.
_C_TYPE: Final[Mapping[type, str]] = {str: "string", int: "int64_t"}


def map_of(name: str, given: Mapping[Any, Any]) -> dict[str, float] | dict[int, float]:
    """`given` of the input called `name`, with its keys str or int and its values float.

    Raises an `InputRejected` that is onnxruntime's RuntimeError too.
    """
    if not given:
        raise _rejected("Size of dictionary is empty, unable to run the prediction.")
    first = next(iter(given))
    if isinstance(first, str):
        return {str(key): _number(name, value, str) for key, value in given.items()}
    if not (hasattr(first, "__index__") or hasattr(first, "__float__")):
        kind = type(first)
        raise _rejected(f"Key type must be int or string (not {kind}) for input '{name}'.")
    return {_whole(name, key): _number(name, value, int) for key, value in given.items()}


def check_maps(maps: Sequence[Mapping[Any, Any]], declared: NodeArg) -> None:
    """Raise onnxruntime's `InvalidArgument` unless a sequence of such maps is what is declared."""
    keys = "string" if isinstance(next(iter(maps[0])), str) else "int64"
    actual = f"seq(map({keys},tensor(float)))"
    if actual != declared.type:
        text = "Unexpected input data type. Actual: (({})) , expected: (({}))"
        raise ort_error("INPUT_DTYPE", "InvalidArgument", text.format(actual, declared.type))


def _whole(name: str, key: Any) -> int:
    try:
        whole = operator.index(key)
    except TypeError:
        raise _unlinked("key", key, int, name) from None
    if whole not in _INT64:
        raise _unlinked("key", key, int, name)
    return whole


def _number(name: str, value: Any, keys: type) -> float:
    if isinstance(value, str | bytes | type):
        raise _unlinked("value", value, keys, name)
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise _unlinked("value", value, keys, name) from None


def _unlinked(what: str, given: object, keys: type, name: str) -> EaisError:
    return _rejected(
        f"Unexpected {what} type  {type(given)}, it cannot be linked to C type {_C_TYPE[keys]} "
        f"for input '{name}'."
    )


def _rejected(text: str) -> EaisError:
    return builtin_error("INPUT_REJECTED", RuntimeError, text)
