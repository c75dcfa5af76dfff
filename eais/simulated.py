"""Which simulated devices are asked for: "gpu=2,npu=1,fpga=1"."""

from __future__ import annotations

from typing import Final

from eais.device_type import DeviceKind

KINDS: Final = (DeviceKind.GPU, DeviceKind.NPU, DeviceKind.FPGA)
"""What can be simulated: a CPU is there anyway."""
MOST: Final = 64
"""Of one kind, on one host."""
EXAMPLE: Final = "gpu=2,npu=1,fpga=1"


def parse_simulated(text: str) -> dict[DeviceKind, int]:
    """Kind to how many are asked for; "": none.

    Raises:
        ValueError: what of it is wrong, and what would be right.
    """
    counts: dict[DeviceKind, int] = {}
    for part in text.split(",") if text.strip() else ():
        name, equals, count = part.strip().partition("=")
        if not equals:
            raise ValueError(f"{part.strip()[:40]!r} isn't KIND=COUNT, as in {EXAMPLE}")
        if name not in KINDS:
            known = ", ".join(KINDS[:-1])
            raise ValueError(f"{name[:40]!r} can't be simulated; {known} and {KINDS[-1]} can")
        if name in counts:
            raise ValueError(f"{name} is said twice")
        counts[DeviceKind(name)] = _count(name, count)
    return counts


def _count(name: str, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= len(str(MOST)) and 0 < int(text) <= MOST:
        return int(text)
    raise ValueError(f"{name}={text[:40]}: say a whole number from 1 to {MOST}")
