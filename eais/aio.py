"""EAIS for asyncio: `eais.aio.InferenceSession`, whose `run` is awaited.

Nothing is imported before it is named, as in `eais`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eais_client.aio import InferenceSession as InferenceSession

__all__ = ["InferenceSession"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module("eais_client.aio"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
