"""What the kernel lets this thread do, of what is the superuser's (capabilities(7))."""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: linux/capability.h
NET_ADMIN: Final = 12
SYS_ADMIN: Final = 21


def has(capability: int) -> bool:
    """Whether it is in effect now."""
    for line in Path("/proc/thread-self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> capability & 1)
    return False
