"""onnxruntime's functions that concern the whole process: what they are with a pool."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from enum import IntEnum

from eais.errors import UsageError
from eais_client.run.real import version
from eais_client.session import get_available_providers

_KINDS: Mapping[str, str] = {"CUDAExecutionProvider": "GPU"}


class ExecutionOrder(IntEnum):
    """In which order a model's nodes run; kept, without effect."""

    DEFAULT = 0
    PRIORITY_BASED = 1
    MEMORY_EFFICIENT = 2


def get_all_providers() -> list[str]:
    """The providers that the pool may have."""
    return get_available_providers()


def get_device() -> str:
    """Onnxruntime's word for the kind of device that the pool's providers use."""
    return next((_KINDS[name] for name in get_available_providers() if name in _KINDS), "CPU")


def get_version_string() -> str:
    """The version of onnxruntime that this process has, or would have."""
    return version()


def get_build_info() -> str:
    """Whose build this is."""
    from eais import __version__

    return f"EAIS {__version__}, in the place of onnxruntime {version()}"


def get_ep_devices() -> list[object]:
    """None: which device is used the pool decides."""
    return []


def has_collective_ops() -> bool:
    """Whether collective operators can be run: no."""
    return False


def disable_telemetry_events() -> None:
    """Nothing is reported to anybody."""


def enable_telemetry_events() -> None:
    """Nothing is reported to anybody."""


def preload_dlls(*_args: object, **_named: object) -> None:
    """The libraries of a device are the pool's: there is nothing to load here."""


def set_default_logger_severity(severity: int) -> None:
    """What the runtime logs it logs at the worker."""


def set_default_logger_verbosity(verbosity: int) -> None:
    """What the runtime logs it logs at the worker."""


def set_global_thread_pool_sizes(intra_op: int, inter_op: int) -> None:
    """How many threads a run gets is the device share's to decide."""


def set_seed(seed: int) -> None:
    """Warns: the worker's random operators aren't seeded from here."""
    warnings.warn("set_seed has no effect on the pool's workers", stacklevel=2)


def register_execution_provider_library(name: str, path: object) -> None:
    """Refused: no code of this machine is loaded into a worker."""
    text = f"execution provider {name!r}: libraries of a provider are the pool's"
    raise UsageError("UNIMPLEMENTED", text)


def unregister_execution_provider_library(name: str) -> None:
    """Refused as `register_execution_provider_library` is."""
    register_execution_provider_library(name, None)
