"""What is to be done on a shared device. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allow:
    """Batches may begin until `until_ns` (monotonic; `ALWAYS`: free running); 0: not now.

    `turn` is the number by which it is given back.
    """

    sharer: int
    turn: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class Withhold:
    """No turn until its debt is paid; `why` in words, for the log."""

    sharer: int
    why: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the process (SIGSTOP): it goes on using the device."""

    sharer: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Let the process go on (SIGCONT): its debt is paid, or nobody waits."""

    sharer: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill the process: it has overrun for too long."""

    sharer: int


Action = Allow | Withhold | Stop | Resume | Kill
