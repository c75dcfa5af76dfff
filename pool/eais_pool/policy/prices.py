"""What a device of each kind costs an hour. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from eais.device_type import WHOLE_MILLI, DeviceKind

DEFAULTS: Final[Mapping[DeviceKind, float]] = {
    DeviceKind.CPU: 0.02,
    DeviceKind.GPU: 2.5,
    DeviceKind.FPGA: 1.5,
    DeviceKind.NPU: 0.8,
}


@dataclass(frozen=True, slots=True)
class Prices:
    """For one whole device, or one core, and an hour; in whatever unit the operator counts."""

    per_h: Mapping[DeviceKind, float] = field(default_factory=lambda: DEFAULTS)

    def of(self, kind: DeviceKind, milli: int) -> float:
        """What so many milli-devices of a kind cost an hour."""
        return self.per_h[kind] * milli / WHOLE_MILLI
