"""Which isolation level this host can give a worker, and the errors when it can't."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import landlockpy
import seccompy

IsolationLevel = Literal[1, 2]

LEVEL_2_LANDLOCK_ABI: Final = 6
"""The first Landlock ABI (Linux 6.12) that scopes signals and abstract unix sockets."""


class IsolationUnavailable(Exception):
    """The host can't give the level that was asked for; no lower one is put in its place.

    Attributes:
        reason: why, in one line for the operator's log. May name paths of this host.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class IsolationProbe:
    """What this host can give.

    Attributes:
        level: the highest level a worker can be given here.
        landlock_abi: the kernel's Landlock ABI; 0 where there is none.
        reason: why the level is not higher; "" at level 2.
    """

    level: IsolationLevel
    landlock_abi: int
    reason: str


def probe_level(abi: int | None = None, *, seccomp: bool | None = None) -> IsolationProbe:
    """What this host can give; changes nothing.

    Args:
        abi: the Landlock ABI to judge by; the kernel is asked when None.
        seccomp: whether system calls can be filtered; the kernel is asked when None.
    """
    abi = landlockpy.abi_version() if abi is None else abi
    reason = _shortfall(abi, _can_filter() if seccomp is None else seccomp)
    return IsolationProbe(level=1 if reason else 2, landlock_abi=abi, reason=reason)


def _shortfall(abi: int, seccomp: bool) -> str:
    if abi == 0:
        return "the kernel has no Landlock, or it is switched off"
    if abi < LEVEL_2_LANDLOCK_ABI:
        return f"Landlock ABI {abi} is below {LEVEL_2_LANDLOCK_ABI} (Linux 6.12)"
    return "" if seccomp else "system calls can't be filtered on this kernel or architecture"


def _can_filter() -> bool:
    try:
        seccompy.audit_arch()
    except seccompy.UnsupportedError:
        return False
    return seccompy.supported()
