"""Which simulated devices are asked for: "gpu=2,npu=1,fpga=1", "board=1"."""

from __future__ import annotations

from typing import Final

from eais.device_type import DeviceKind

KINDS: Final = (DeviceKind.GPU, DeviceKind.NPU, DeviceKind.FPGA)
"""What can be simulated: a CPU is there anyway."""
MOST: Final = 64
"""Of one kind, on one host."""
EXAMPLE: Final = "gpu=2,npu=1,fpga=1"
BOARD: Final = "board"
"""An FPGA board with shell and role, which runs what an operator has signed images of."""
MOST_BOARDS: Final = 8
"""On one host: each is a process."""


def parse_simulated(text: str) -> dict[DeviceKind, int]:
    """Kind to how many are asked for, but for boards; "": none.

    Raises:
        ValueError: what of it is wrong, and what would be right.
    """
    return {DeviceKind(name): n for name, n in _counts(text).items() if name != BOARD}


def simulated_boards(text: str) -> int:
    """How many boards are asked for; raises as `parse_simulated`."""
    return _counts(text).get(BOARD, 0)


def _counts(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for part in text.split(",") if text.strip() else ():
        name, equals, count = part.strip().partition("=")
        if not equals:
            raise ValueError(f"{part.strip()[:40]!r} isn't KIND=COUNT, as in {EXAMPLE}")
        if name not in (*KINDS, BOARD):
            known = ", ".join(KINDS)
            raise ValueError(f"{name[:40]!r} can't be simulated; {known} and {BOARD} can")
        if name in counts:
            raise ValueError(f"{name} is said twice")
        counts[name] = _count(name, count, MOST_BOARDS if name == BOARD else MOST)
    return counts


def _count(name: str, text: str, most: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 0 < int(text) <= most:
        return int(text)
    raise ValueError(f"{name}={text[:40]}: say a whole number from 1 to {most}")
