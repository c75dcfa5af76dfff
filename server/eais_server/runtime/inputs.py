"""Which input a runtime means when it refuses a feed: its name, what was given, what is wanted.

onnxruntime's texts, which go to the caller as they are, leave out one or the other. This says
it beside them, and is asked only when a run was refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from eais.value import RawTensor
from eais_server.devices.driver import SessionSignature, ValueSpec

_SHOWN: Final = 200
_TYPES: Final[Mapping[str, str]] = {
    **{name: name for name in ("int8", "int16", "int32", "int64", "bool", "float16")},
    **{name: name for name in ("uint8", "uint16", "uint32", "uint64", "complex64", "complex128")},
    "float32": "float",
    "float64": "double",
    "object": "string",
}
_EXTENDED: Final[Mapping[int, str]] = {
    16: "bfloat16",
    17: "float8e4m3fn",
    18: "float8e4m3fnuz",
    19: "float8e5m2",
    20: "float8e5m2fnuz",
}


def about(reason: str, feed: Mapping[str, Any], signature: SessionSignature) -> dict[str, str]:
    """Metadata input, got and want of the first input that an INPUT_… reason fits; or {}."""
    for name, got, want in _faults(reason, feed, {spec.name: spec for spec in signature.inputs}):
        return {"input": name[:_SHOWN], "got": got[:_SHOWN], "want": want[:_SHOWN]}
    return {}


def _faults(
    reason: str, feed: Mapping[str, Any], declared: Mapping[str, ValueSpec]
) -> Iterator[tuple[str, str, str]]:
    if reason == "INPUT_MISSING":
        yield from ((n, "nothing", s.type) for n, s in declared.items() if feed.get(n) is None)
    if reason == "INPUT_UNKNOWN":
        known = ", ".join(declared)
        yield from ((name, name, known) for name in feed if name not in declared)
    for name, value in feed.items():
        spec = declared.get(name)
        if spec is None or value is None:
            continue
        if reason == "INPUT_DTYPE" and type_of(value) != spec.type:
            yield name, type_of(value), spec.type
        shape = _shape_of(value)
        if reason == "INPUT_RANK" and len(shape) != len(spec.dims):
            yield name, str(list(shape)), str(list(spec.dims))
        if reason == "INPUT_SHAPE" and not _fits(shape, spec):
            yield name, str(list(shape)), str(list(spec.dims))


def type_of(value: Any) -> str:
    """A value's type in onnxruntime's words, as far as it shows: "tensor(float)", "seq", "map"."""
    if isinstance(value, RawTensor):
        return f"tensor({_EXTENDED.get(value.element_type, value.element_type)})"
    if isinstance(value, np.ndarray):
        return f"tensor({_TYPES.get(value.dtype.name, value.dtype.name)})"
    return "map" if isinstance(value, Mapping) else "seq"


def _shape_of(value: Any) -> tuple[int, ...]:
    if isinstance(value, RawTensor):
        value = value.bits
    if isinstance(value, list) and value:  # onnxruntime makes it a tensor of one dim more
        return (len(value), *_shape_of(value[0]))
    return tuple(value.shape) if isinstance(value, np.ndarray) else ()


def _fits(shape: tuple[int, ...], spec: ValueSpec) -> bool:
    pairs = zip(shape, spec.dims, strict=False)
    return all(not isinstance(want, int) or got == want for got, want in pairs)
