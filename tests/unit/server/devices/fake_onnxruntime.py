"""onnxruntime as far as drivers ask it which providers it has, and sessions that weren't loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from eais_server.devices.driver import ModelSource, RuntimeSession, SessionSettings
from eais_server.runtime.providers import Provider


def ep_device(name: str, hardware: str, **metadata: str) -> Any:
    device = SimpleNamespace(type=SimpleNamespace(name=hardware), metadata=metadata)
    return SimpleNamespace(ep_name=name, device=device)


@dataclass
class FakeOnnxruntime:
    """Has the providers in `built_in`; lists `devices`, and those of plug-ins once registered."""

    built_in: tuple[str, ...] = ()
    devices: list[Any] = field(default_factory=list)
    plug_ins: Mapping[str, list[Any]] = field(default_factory=dict)
    registered: list[tuple[str, str]] = field(default_factory=list)

    def get_available_providers(self) -> list[str]:
        return [*self.built_in, "CPUExecutionProvider"]

    def get_ep_devices(self) -> list[Any]:
        return [ep_device("CPUExecutionProvider", "CPU"), *self.devices]

    def register_execution_provider_library(self, name: str, path: str) -> None:
        self.registered.append((name, path))
        self.devices += self.plug_ins.get(path, [])


class FakeSession:
    """Something that can be referred to weakly."""


@dataclass
class FakeOpener:
    """Takes down what drivers want to have opened."""

    asked: list[Provider] = field(default_factory=list)
    fails: Exception | None = None

    def __call__(
        self, model: ModelSource, settings: SessionSettings, threads: int, provider: Provider
    ) -> RuntimeSession:
        self.asked.append(provider)
        if self.fails is not None:
            raise self.fails
        return cast("RuntimeSession", FakeSession())
