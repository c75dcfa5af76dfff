"""onnxruntime's failures in our words: a reason each, its own text and class kept.

A caller of the drop-in sees the class and the text that onnxruntime raises in
process, so the text stays whole. Only the model's path is replaced: by
`MODEL_PLACE`, in whose stead the client puts its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from eais.errors import EaisError, make_error
from eais.rpc.status import ONNXRUNTIME_CLASS
from eais_server.runtime.memory import no_memory

MODEL_PLACE: Final = "{model}"
FOLDER_PLACE: Final = "{folder}"
_SHOWN: Final = 64

# Words of a message -> reason; the first that is found counts.
_LOAD: Final[Mapping[str, str]] = {
    "No graph was found": "MODEL_PARSE",
    "rotobuf parsing failed": "MODEL_PARSE",
    "Unsupported model IR version": "OPSET_UNSUPPORTED",
    "only *guarantees* support for models stamped": "OPSET_UNSUPPORTED",
    "is not a registered function/op": "OP_REFUSED",
    "No Op registered for": "OP_REFUSED",
    "Could not find an implementation": "OP_REFUSED",
    "EPContext node": "OP_REFUSED",
    "Failed to allocate memory": "MODEL_MEMORY",
    "bad_alloc": "MODEL_MEMORY",
    "is smaller than requested bytes": "MODEL_MEMORY",
    "CUDA failure 2:": "MODEL_MEMORY",
}
_RUN: Final[Mapping[str, str]] = {
    "Unexpected input data type": "INPUT_DTYPE",
    "can't be converted to MLDataType": "INPUT_DTYPE",
    "Invalid rank for input": "INPUT_RANK",
    "Got invalid dimensions": "INPUT_SHAPE",
    "Invalid input name": "INPUT_UNKNOWN",
    "Invalid Feed Input Name": "INPUT_UNKNOWN",
    "Missing Input": "INPUT_MISSING",
    "are missing from input feed": "INPUT_MISSING",
    "Invalid output name": "OUTPUT_UNKNOWN",
    "Invalid Output Name": "OUTPUT_UNKNOWN",
    "No corresponding Numpy type": "OUTPUT_UNSUPPORTED",
    "Failed to allocate memory": "RUN_MEMORY",
    "bad_alloc": "RUN_MEMORY",
    "is smaller than requested bytes": "RUN_MEMORY",
    "CUDA failure 2:": "RUN_MEMORY",
}
# What a reason says besides: a key of its metadata, found in the text.
_ABOUT: Final[Mapping[str, tuple[str, re.Pattern[str]]]] = {
    "OP_REFUSED": (
        "op",
        re.compile(r"No Op registered for (\S+)|implementation for (\w+)\(|error: \S*?:(\S+?)\("),
    ),
    "OPSET_UNSUPPORTED": (
        "max",
        re.compile(r"is till opset (\d+)|max supported IR version: (\d+)"),
    ),
}
_OF_MEMORY: Final = frozenset({"MODEL_MEMORY", "RUN_MEMORY"})
# The caller's mistakes, where the words say no more: pybind raises these of inputs.
_OF_INPUTS: Final = frozenset({"InvalidArgument", "RuntimeError", "TypeError", "ValueError"})


def load_failure(error: Exception, model: Path) -> EaisError:
    """Why onnxruntime didn't load `model`: `ModelRejected`, whatever it raised."""
    fallback = "MODEL_MEMORY" if isinstance(error, MemoryError) else "MODEL_INVALID"
    text = str(error).replace(str(model), MODEL_PLACE).replace(str(model.parent), FOLDER_PLACE)
    return _failure(error, text, _LOAD, fallback)


def run_failure(error: Exception) -> EaisError:
    """Why a run failed: an INPUT_… or OUTPUT_… reason, RUN_MEMORY or RUN_FAILED."""
    fallback = "INPUT_REJECTED" if type(error).__name__ in _OF_INPUTS else "RUN_FAILED"
    if isinstance(error, MemoryError):
        fallback = "RUN_MEMORY"
    return _failure(error, str(error), _RUN, fallback)


def begin_of_text(from_path: bool) -> str:
    """How onnxruntime begins what it says of a model that came as a path, or as bytes."""
    return f"Load model from {MODEL_PLACE} failed:" if from_path else ""


def unreadable_model(reason: str, from_path: bool) -> EaisError:
    """What onnxruntime says of a model that is no protobuf, without asking it."""
    how = f"{begin_of_text(True)}P" if from_path else "Failed to load model because p"
    text = f"[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : {how}rotobuf parsing failed."
    return make_error(reason, text, metadata={ONNXRUNTIME_CLASS: "InvalidProtobuf"})


def _failure(error: Exception, text: str, words: Mapping[str, str], fallback: str) -> EaisError:
    reason = next((reason for word, reason in words.items() if word in text), fallback)
    kind = type(error).__name__
    metadata = {ONNXRUNTIME_CLASS: kind, **_about(reason, text)}
    make = no_memory if reason in _OF_MEMORY else make_error
    return make(reason, text or kind, metadata=metadata)


def _about(reason: str, text: str) -> dict[str, str]:
    key, pattern = _ABOUT.get(reason, ("", None))
    found = pattern.search(text) if pattern else None
    return {key: next(filter(None, found.groups()))[:_SHOWN]} if found else {}
