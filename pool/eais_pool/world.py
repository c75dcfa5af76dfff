"""What of the world a manager uses: clocks, and names made by chance."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


def boot_clock() -> float:
    """CLOCK_BOOTTIME, seconds: it goes on while the machine sleeps, and nobody sets it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """What names this boot of the kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def wall_clock() -> datetime:
    """Now, UTC: for certificates, and for when the ledger's boot clock began."""
    return datetime.now(UTC)


def new_instance_id() -> str:
    """`ei-` and 64 random bits. Certificates say whose an instance is; its id proves nothing."""
    return f"ei-{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class World:
    """What of the world the manager uses: clocks and chance."""

    clock: Callable[[], float] = boot_clock
    boot_id: str = ""
    wall: Callable[[], datetime] = wall_clock
    new_id: Callable[[], str] = new_instance_id
