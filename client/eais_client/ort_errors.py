"""onnxruntime's exceptions for the same mistakes, without needing onnxruntime.

An error raised here is three things at once: the `EaisError` of its reason, the class
below that is named as onnxruntime's, and, when the program has imported onnxruntime,
onnxruntime's own class. Its text is onnxruntime's, so that old `except` clauses and
message checks go on working.
"""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

from eais.errors import EaisError, make_error

# The key under which `eais.rpc.status` puts the class that onnxruntime raises.
_CLASS_KEY = "onnxruntime_class"
_BUILTINS = frozenset({"RuntimeError", "TypeError", "ValueError"})

_REAL_MODULE = "onnxruntime.capi.onnxruntime_pybind11_state"


class OrtException(Exception):
    """Base of the classes that are named as onnxruntime's; onnxruntime itself has none."""


class DeviceReset(OrtException):
    """The device was reset while it ran."""


class EPFail(OrtException):
    """An execution provider failed."""


class EngineError(OrtException):
    """The engine failed."""


class Fail(OrtException):
    """The model couldn't be built or run."""


class InvalidArgument(OrtException):
    """An input's name, type or shape isn't the model's; or an output's name isn't."""


class InvalidGraph(OrtException):
    """The model's graph is wrong."""


class InvalidProtobuf(OrtException):
    """The bytes are no ONNX model."""


class ModelLoadCanceled(OrtException):
    """Loading was cancelled."""


class ModelLoaded(OrtException):
    """A model is loaded already."""


class ModelRequiresCompilation(OrtException):
    """The model must be compiled first."""


class NoModel(OrtException):
    """No model is loaded."""


class NoSuchFile(OrtException):
    """The model's file isn't there."""


class NotFound(OrtException):
    """What was named isn't there."""


class NotImplemented(OrtException):
    """An operator has no kernel there."""


class RuntimeException(OrtException):
    """Something went wrong inside the runtime."""


CLASSES: dict[str, type[OrtException]] = {
    kind.__name__: kind for kind in OrtException.__subclasses__()
}

# The status word and number that begin onnxruntime's messages.
_STATUS = {"Fail": "1 : FAIL", "InvalidArgument": "2 : INVALID_ARGUMENT"}
_STATUS |= {"NoSuchFile": "3 : NO_SUCHFILE", "InvalidProtobuf": "7 : INVALID_PROTOBUF"}


def ort_text(name: str, text: str) -> str:
    """`text` as onnxruntime's class `name` words it: "[ONNXRuntimeError] : 1 : FAIL : ..."."""
    return f"[ONNXRuntimeError] : {_STATUS[name]} : {text}"


def as_onnxruntime(error: EaisError, name: str) -> EaisError:
    """`error` as the exception that onnxruntime calls `name` too; itself if there is none."""
    if name not in CLASSES:
        return error
    real = getattr(sys.modules.get(_REAL_MODULE), name, None)
    own = CLASSES[name]
    # Under `eais run` that module is ours, and so are its classes.
    bases: tuple[type[Any], ...] = (own,)
    if isinstance(real, type) and real is not own:
        bases = (own, real)
    return _copy(_combined(type(error), name, bases), error)


def ort_error(reason: str, name: str, text: str) -> EaisError:
    """An error of `reason` as onnxruntime's class `name`, worded as onnxruntime does."""
    return as_onnxruntime(make_error(reason, ort_text(name, text)), name)


def builtin_error(reason: str, kind: type[Exception], text: str) -> EaisError:
    """An error of `reason` that is a `kind` (ValueError, TypeError, ...) as well."""
    error = make_error(reason, text)
    return _copy(_combined(type(error), kind.__name__, (kind,)), error)


def worded(error: EaisError, path: str | None) -> EaisError:
    """A remote `error` as onnxruntime raises it here, naming the model as the caller did.

    `path` is the model's, or None if it came as bytes. Always a new exception, so that
    two threads may raise what one event brought to both.
    """
    about = dict(error.metadata)
    name, text = about.pop(_CLASS_KEY, ""), error.message
    if path is not None:
        text = text.replace("{model}", path).replace("{folder}", str(Path(path).parent))
    plain = make_error(error.reason, text, hint=error.hint, metadata=about)
    if name in _BUILTINS:
        return _copy(_combined(type(plain), name, (getattr(builtins, name),)), plain)
    return as_onnxruntime(plain, name)


def _copy(made: type[EaisError], error: EaisError) -> EaisError:
    return made(error.reason, error.message, hint=error.hint, metadata=error.metadata)


_made: dict[tuple[type[Exception], ...], type[EaisError]] = {}


def _combined(
    error: type[EaisError], name: str, bases: tuple[type[Exception], ...]
) -> type[EaisError]:
    """One class for each combination, so that it is the same class each time."""
    key = (error, *bases)
    if key not in _made:
        _made[key] = _new_class(name, key)
    return _made[key]


def _new_class(name: str, bases: tuple[type[Exception], ...]) -> type[EaisError]:
    body: dict[str, Any] = {
        "__doc__": f"An EAIS {bases[0].__name__} that is a {name} too.",
        "__module__": __name__,
        "__reduce__": lambda self: (_again, (name, bases, *_parts(self))),
        "__str__": _message,
    }
    made: type[Any] = type(name, bases, body)
    return made


def _message(self: EaisError) -> str:
    return self.message


def _parts(error: EaisError) -> tuple[str, str, str, dict[str, str]]:
    return error.reason, error.message, error.hint, error.metadata


def _again(
    name: str,
    bases: tuple[type[Any], ...],
    reason: str,
    message: str,
    hint: str,
    metadata: dict[str, str],
) -> EaisError:
    """The same error in another process of the program, which handed it over."""
    kind = _combined(bases[0], name, bases[1:])
    return kind(reason, message, hint=hint, metadata=metadata)
