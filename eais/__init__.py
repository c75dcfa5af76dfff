"""EAIS: elastic accelerated instances, attached over the network.

`import eais as ort` stands in for onnxruntime: `ort.InferenceSession(path).run(...)` runs
the model on the accelerator that this machine has attached. What isn't used isn't
imported: neither numpy nor gRPC is, before the first session.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Not lazy: the name is a module's too, and the module's must not be put in its place.
from eais.deadline import deadline as deadline

if TYPE_CHECKING:
    from eais import aio as aio
    from eais import errors as errors
    from eais_client.opening import on_upload as on_upload
    from eais_client.session import InferenceSession as InferenceSession
    from eais_client.session import get_available_providers as get_available_providers
    from eais_client.session_options import ExecutionMode as ExecutionMode
    from eais_client.session_options import GraphOptimizationLevel as GraphOptimizationLevel
    from eais_client.session_options import RunOptions as RunOptions
    from eais_client.session_options import SessionOptions as SessionOptions
    from eais_client.signature import ModelMetadata as ModelMetadata
    from eais_client.signature import NodeArg as NodeArg

__version__ = "0.1.0"

_PLACES = {
    "ExecutionMode": "eais_client.session_options",
    "GraphOptimizationLevel": "eais_client.session_options",
    "InferenceSession": "eais_client.session",
    "ModelMetadata": "eais_client.signature",
    "NodeArg": "eais_client.signature",
    "RunOptions": "eais_client.session_options",
    "SessionOptions": "eais_client.session_options",
    "get_available_providers": "eais_client.session",
    "on_upload": "eais_client.opening",
}
_MODULES = ("aio", "errors")
__all__ = [
    "ExecutionMode",
    "GraphOptimizationLevel",
    "InferenceSession",
    "ModelMetadata",
    "NodeArg",
    "RunOptions",
    "SessionOptions",
    "aio",
    "deadline",
    "errors",
    "get_available_providers",
    "on_upload",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"eais.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
