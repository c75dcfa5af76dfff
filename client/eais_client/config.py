"""The client library's settings: variable > `[client]` in the contexts' file > default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eais.config import load
from eais.toml_file import TomlFile
from eais_client.brain.call_state import Limits


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What a program may set of the client library.

    Attributes:
        unavailable_timeout_s: how long a call without deadline waits for a worker.
        control_timeout_s: how long the pool or a listener may take to answer a question.
        max_in_flight_mib: tensors sent but not answered, an attachment; more wait.
    """

    unavailable_timeout_s: float = 30.0
    control_timeout_s: float = 10.0
    max_in_flight_mib: int = 256

    def __post_init__(self) -> None:
        for name in ("unavailable_timeout_s", "control_timeout_s", "max_in_flight_mib"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")

    @classmethod
    def of_environ(cls, environ: Mapping[str, str], file: Path) -> ClientConfig:
        """The settings in force; `ConfigError` CONFIG names what doesn't fit."""
        return load(cls, table="client", flags={}, environ=environ, file=TomlFile.read(file))

    @classmethod
    def for_test(cls) -> ClientConfig:
        """Settings for tests: short patience."""
        return cls(unavailable_timeout_s=5.0, control_timeout_s=2.0)

    def limits(self) -> Limits:
        """What the calls' brain is bounded by."""
        return Limits(
            unavailable_timeout_s=self.unavailable_timeout_s,
            max_in_flight_bytes=self.max_in_flight_mib << 20,
        )
