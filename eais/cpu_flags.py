"""What this machine's CPU is fast at, as the kernel says."""

from __future__ import annotations

from pathlib import Path
from typing import Final

CPUINFO: Final = Path("/proc/cpuinfo")
_FAST_BF16: Final = frozenset({"avx512_bf16", "amx_bf16"})


def is_fast_at_bf16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether it multiplies bfloat16 in hardware; False where the kernel doesn't say."""
    return not _FAST_BF16.isdisjoint(_flags(cpuinfo))


def _flags(cpuinfo: Path) -> frozenset[str]:
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()
