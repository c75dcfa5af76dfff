"""What an operation that waits in line is kept with, as frozen records. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WAIT_MOST_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """An operation's place in line: since when, and until when it is waited for; boot clock."""

    since: float
    until: float

    def begun_anew(self, at: float) -> Waiting:
        """After a boot, whose clock is another: all of the time that was asked for."""
        return Waiting(at, at + self.until - self.since)


@dataclass(frozen=True, slots=True)
class Position:
    """Which place, from 1, of how many in line."""

    place: int
    length: int

    def __str__(self) -> str:
        return f"position {self.place} of {self.length} in line"
