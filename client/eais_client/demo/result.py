"""What a demo found, as data and as words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from eais_client.cli.table import pairs, table
from eais_client.demo.compare import SideBySide


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """One model: how many answers were compared, and whether each bit was the same."""

    name: str
    model_bytes: int
    answers: int
    bit_exact: bool
    latency: SideBySide


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """What was still there after the pool had stopped and its folder was removed."""

    processes: int
    files: int

    @property
    def nothing(self) -> bool:
        """Whether nothing is left."""
        return self.processes == 0 and self.files == 0


@dataclass(frozen=True, slots=True)
class Checks:
    """What the sessions of both models gave."""

    large: ModelCheck
    small: ModelCheck
    files_identified: int
    upload_ms: float


@dataclass(frozen=True, slots=True)
class Stay:
    """The time from attach to detach."""

    instance: str
    isolation: str
    checks: Checks
    attach_ms: float
    detach_ms: float


@dataclass(frozen=True, slots=True)
class DemoResult:
    """All that the demo found."""

    stay: Stay
    pool_up_ms: float
    seconds: float
    left_behind: LeftBehind

    @property
    def bit_exact(self) -> bool:
        """Whether every answer was onnxruntime's, bit by bit."""
        return all(check.bit_exact for check in self._models())

    def data(self) -> dict[str, Any]:
        """For `-o json`; times in milliseconds but for `seconds`."""
        stay, checks = self.stay, self.stay.checks
        return {
            "bit_exact": self.bit_exact,
            "models": [check.name for check in self._models()],
            "model_bytes": [check.model_bytes for check in self._models()],
            "answers": sum(check.answers for check in self._models()),
            "files_identified": checks.files_identified,
            "local_ms": _ms(checks.large.latency.local_ms),
            "remote_ms": _ms(checks.large.latency.remote_ms),
            "small_local_ms": _ms(checks.small.latency.local_ms),
            "small_remote_ms": _ms(checks.small.latency.remote_ms),
            "pool_up_ms": _ms(self.pool_up_ms),
            "attach_ms": _ms(stay.attach_ms),
            "upload_ms": _ms(checks.upload_ms),
            "detach_ms": _ms(stay.detach_ms),
            "isolation": stay.isolation,
            "seconds": round(self.seconds, 2),
            "left_behind": asdict(self.left_behind),
        }

    def lines(self) -> list[str]:
        """For people."""
        rows = [_row(check) for check in self._models()]
        headings = ("MODEL", "SIZE", "ANSWERS", "SAME BITS", "LOCAL", "REMOTE")
        return [*table(headings, rows), "", *pairs(self._facts())]

    def _facts(self) -> list[tuple[str, str]]:
        stay, left = self.stay, self.left_behind
        return [
            ("Pool up", f"{self.pool_up_ms:.0f} ms"),
            ("Attach", f"{stay.attach_ms:.0f} ms ({stay.instance}, isolation {stay.isolation})"),
            ("Upload", f"{stay.checks.upload_ms:.0f} ms (hash, push and load both models)"),
            ("Detach", f"{stay.detach_ms:.0f} ms"),
            ("Left behind", f"{left.processes} processes, {left.files} files"),
            ("Whole demo", f"{self.seconds:.1f} s"),
        ]

    def _models(self) -> tuple[ModelCheck, ModelCheck]:
        return (self.stay.checks.large, self.stay.checks.small)


def _row(check: ModelCheck) -> list[str]:
    latency = check.latency
    return [
        check.name,
        f"{check.model_bytes / 1e6:.1f} MB",
        str(check.answers),
        "yes" if check.bit_exact else "NO",
        f"{latency.local_ms:.2f} ms",
        f"{latency.remote_ms:.2f} ms ({latency.remote_ms / latency.local_ms:.2f} ×)",
    ]


def _ms(value: float) -> float:
    return round(value, 3)
