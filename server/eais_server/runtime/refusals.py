"""Calls that a runtime other than onnxruntime refuses, in onnxruntime's own words.

A caller of the drop-in sees the class and the text that onnxruntime raises for the same mistake,
whatever its calls run on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eais.errors import EaisError, make_error
from eais.rpc.status import ONNXRUNTIME_CLASS
from eais_server.devices.driver import SessionSignature, ValueSpec
from eais_server.runtime.inputs import about, type_of
from eais_server.runtime.memory import no_memory

_INVALID: Final = "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : "
_FAIL: Final = "[ONNXRuntimeError] : 1 : FAIL : "
_MEND: Final = "Please fix either the inputs/outputs or the model."


def checked_feed(feed: Mapping[str, Any], signature: SessionSignature) -> list[NDArray[Any]]:
    """The inputs in the order of the signature, as arrays in C order.

    Raises:
        InputRejected: INPUT_MISSING, INPUT_UNKNOWN, INPUT_DTYPE, INPUT_RANK, INPUT_SHAPE.
    """
    names = [spec.name for spec in signature.inputs]
    if missing := [name for name in names if feed.get(name) is None]:
        text = f"Required inputs ({missing}) are missing from input feed ({list(feed)})."
        raise _refusal("INPUT_MISSING", text, "ValueError", feed, signature)
    for name in feed:
        if name not in names:
            text = f"{_INVALID}Invalid input name: {name}"
            raise _refusal("INPUT_UNKNOWN", text, "InvalidArgument", feed, signature)
    found = {name: _array(feed[name]) for name in names}
    for spec in signature.inputs:
        if fault := _fault(spec, found[spec.name]):
            reason, text = fault
            raise _refusal(reason, _INVALID + text, "InvalidArgument", feed, signature)
    return list(found.values())


def unknown_output(name: str) -> EaisError:
    """An output was asked for that the model doesn't have."""
    text = f"{_INVALID}Invalid output name:{name}"
    return make_error("OUTPUT_UNKNOWN", text, metadata={ONNXRUNTIME_CLASS: "InvalidArgument"})


def run_ended() -> EaisError:
    """A run was told to stop, and did."""
    text = f"{_FAIL}Exiting due to terminate flag being set to true."
    return make_error("RUN_FAILED", text, metadata={ONNXRUNTIME_CLASS: "Fail"})


def run_failed(words: str, *, memory: bool) -> EaisError:
    """A run came to no end, for the runtime's own reasons."""
    text, metadata = f"{_FAIL}{words}", {ONNXRUNTIME_CLASS: "Fail"}
    if memory or "bad_alloc" in words:
        return no_memory("RUN_MEMORY", text, metadata)
    return make_error("RUN_FAILED", text, metadata=metadata)


def _array(value: Any) -> Any:
    """An array that a runtime may read where it is; what is none, as it came."""
    if isinstance(value, list):
        try:
            value = np.array(value)
        except ValueError:
            return value
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        return value
    plain = np.asarray(value, value.dtype.newbyteorder("="), order="C")
    return plain if plain.flags.aligned else plain.copy()


def _fault(spec: ValueSpec, value: Any) -> tuple[str, str] | None:
    if not isinstance(value, np.ndarray) or type_of(value) != spec.type:
        text = f"Unexpected input data type. Actual: ({type_of(value)}) , expected: ({spec.type})"
        return "INPUT_DTYPE", text
    if value.ndim != len(spec.dims):
        counts = f"Got: {value.ndim} Expected: {len(spec.dims)}"
        return "INPUT_RANK", f"Invalid rank for input: {spec.name} {counts} {_MEND}"
    wrong = [
        f" index: {axis} Got: {got} Expected: {want}\n"
        for axis, (got, want) in enumerate(zip(value.shape, spec.dims, strict=True))
        if isinstance(want, int) and got != want
    ]
    if not wrong:
        return None
    where = f"Got invalid dimensions for input: {spec.name} for the following indices\n"
    return "INPUT_SHAPE", f"{where}{''.join(wrong)} {_MEND}"


def _refusal(
    reason: str, text: str, kind: str, feed: Mapping[str, Any], signature: SessionSignature
) -> EaisError:
    metadata = {ONNXRUNTIME_CLASS: kind, **about(reason, feed, signature)}
    return make_error(reason, text, metadata=metadata)
