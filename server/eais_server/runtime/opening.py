"""How drivers that use onnxruntime open a model: nothing of it is imported before the first."""

from __future__ import annotations

from collections.abc import Callable

from eais_server.devices.driver import ModelSource, RuntimeSession, SessionSettings
from eais_server.runtime.providers import Provider

Opener = Callable[[ModelSource, SessionSettings, int, Provider], RuntimeSession]
"""Checks a model and loads it onto so many threads and a provider's device."""


def open_with(
    model: ModelSource, settings: SessionSettings, threads: int, provider: Provider
) -> RuntimeSession:
    """`open_session`, for drivers: it and onnxruntime are imported at the first call."""
    from eais_server.runtime.session import open_session

    return open_session(model, settings, threads, provider)
