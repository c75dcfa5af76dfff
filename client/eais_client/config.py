"""The client library's settings: variable > `[client]` in the contexts' file > default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eais.config import load
from eais.toml_file import TomlFile
from eais_client.brain.call_state import Limits
from eais_client.brain.transport import transport_fault

_POSITIVE = ("unavailable_timeout_s", "control_timeout_s", "max_in_flight_mib", "fallback_after_s")


def fallback_fault(value: object) -> str:
    """What is wrong with a value of `fallback`, or ""."""
    return "" if value in ("", "local") else f'fallback must be "local" or "", not {value!r}'


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What a program may set of the client library.

    Attributes:
        unavailable_timeout_s: how long a call without deadline waits for a worker.
        control_timeout_s: how long the pool or a listener may take to answer a question.
        max_in_flight_mib: tensors sent but not answered, an attachment; more wait.
        fallback: "local": what can't be asked of the pool runs in this process; "": it doesn't.
        fallback_after_s: how long the pool may be away before that.
        transport: auto, ring, h2 or grpcio: how tensors travel, unless a session says.
        net_agent: the socket of this host's network agent, an absolute path; "": the usual one.
    """

    unavailable_timeout_s: float = 30.0
    control_timeout_s: float = 10.0
    max_in_flight_mib: int = 256
    fallback: str = ""
    fallback_after_s: float = 5.0
    transport: str = "auto"
    net_agent: str = ""

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if fault := fallback_fault(self.fallback) or transport_fault(self.transport):
            raise ValueError(fault)
        if self.net_agent and not Path(self.net_agent).is_absolute():
            raise ValueError(f"net_agent must be an absolute path, not {self.net_agent[:80]!r}")

    @classmethod
    def of_environ(cls, environ: Mapping[str, str], file: Path) -> ClientConfig:
        """The settings in force; `ConfigError` CONFIG names what doesn't fit."""
        return load(cls, table="client", flags={}, environ=environ, file=TomlFile.read(file))

    @classmethod
    def for_test(cls) -> ClientConfig:
        """Settings for tests: short patience."""
        return cls(unavailable_timeout_s=5.0, control_timeout_s=2.0, fallback_after_s=1.0)

    def limits(self) -> Limits:
        """What the calls' brain is bounded by."""
        return Limits(
            unavailable_timeout_s=self.unavailable_timeout_s,
            max_in_flight_bytes=self.max_in_flight_mib << 20,
        )
