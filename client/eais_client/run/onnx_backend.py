"""`onnxruntime.backend`, ONNX's interface for backends, where onnxruntime isn't installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eais_client.run.functions import get_device
from eais_client.session import InferenceSession
from eais_client.session_options import RunOptions, SessionOptions

_UNSAFE = frozenset({"enable_profiling", "optimized_model_filepath", "profile_file_prefix"})


class OnnxRuntimeBackendRep:
    """A model that is ready to run; `onnx.backend.base.BackendRep`'s methods."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session

    def run(self, inputs: Any, **kwargs: Any) -> list[Any]:
        """All outputs for `inputs`: one array, or a list with one for each input."""
        options = RunOptions()
        _set(options, kwargs)
        names = [arg.name for arg in self._session.get_inputs()]
        given = inputs if isinstance(inputs, list) else [inputs]
        if len(names) != 1 and not isinstance(inputs, list):
            raise RuntimeError(f"Model expect {len(names)} inputs")
        return self._session.run(None, dict(zip(names, given, strict=False)), options)


class OnnxRuntimeBackend:
    """`onnx.backend.base.Backend`'s methods."""

    @classmethod
    def is_compatible(cls, model: object, device: str | None = None, **_kwargs: Any) -> bool:
        """Whether a model can be run on `device`."""
        return cls.supports_device(device or get_device())

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether the pool has a device of that word ("CPU", "GPU", "CUDA")."""
        return ("GPU" if device == "CUDA" else device) in get_device().split("-")

    @classmethod
    def prepare(cls, model: Any, device: str | None = None, **kwargs: Any) -> OnnxRuntimeBackendRep:
        """Load a path, bytes, an `onnx.ModelProto` or a session.

        Keyword arguments are `SessionOptions`' fields; RuntimeError for those that write files.
        """
        if isinstance(model, OnnxRuntimeBackendRep):
            return model
        if isinstance(model, InferenceSession):
            return OnnxRuntimeBackendRep(model)
        if device is not None and not cls.supports_device(device):
            raise RuntimeError(f"Incompatible device expected '{device}', got '{get_device()}'")
        options = SessionOptions()
        _set(options, kwargs)
        given = model if isinstance(model, str | bytes) else model.SerializeToString()
        return OnnxRuntimeBackendRep(InferenceSession(given, options))

    @classmethod
    def run_model(
        cls, model: Any, inputs: Sequence[Any], device: str | None = None, **kwargs: Any
    ) -> list[Any]:
        """`prepare`, then run once."""
        return cls.prepare(model, device, **kwargs).run(inputs, **kwargs)


def _set(options: object, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if name in _UNSAFE:
            raise RuntimeError(f"'{name}' is not permitted via the backend API.")
        if hasattr(options, name):
            setattr(options, name, value)


is_compatible = OnnxRuntimeBackend.is_compatible
prepare = OnnxRuntimeBackend.prepare
run = OnnxRuntimeBackend.run_model
supports_device = OnnxRuntimeBackend.supports_device
