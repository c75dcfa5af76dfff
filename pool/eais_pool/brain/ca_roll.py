"""How a pool's CA is replaced while everything it signed goes on being trusted. (Brain)

A roll has two phases, each as long as the longest-lived leaf that was out when it began:

    STEADY --begin--> ANNOUNCED --time--> RETIRING --time--> STEADY

ANNOUNCED: both CAs are in every bundle that is given out, the old one signs. At its end every
leaf that is still valid was given out together with both. RETIRING: both are still given out,
the new one signs. At its end every leaf that is still valid is of the new one, and the old one
is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Phase(StrEnum):
    """How far a roll is."""

    STEADY = "STEADY"
    ANNOUNCED = "ANNOUNCED"
    RETIRING = "RETIRING"


MAX_LEAF_LIFE = timedelta(hours=24)
"""No leaf lives longer."""

NEXT = {Phase.ANNOUNCED: Phase.RETIRING, Phase.RETIRING: Phase.STEADY}
"""What follows a phase when its time is over; a STEADY one ends only by `begin`."""


@dataclass(frozen=True, slots=True)
class Roll:
    """Where the roll is, and how long leaves live.

    Times are wall times, UTC, because certificates are judged by them.

    Attributes:
        phase_ends: when the phase ends; None when STEADY.
        leaf_life: of the leaves that are signed now; the longest there is when it isn't known.
        older_end: by when all leaves have ended that were signed while a longer life was set.
    """

    phase: Phase = Phase.STEADY
    phase_ends: datetime | None = None
    leaf_life: timedelta = MAX_LEAF_LIFE
    older_end: datetime | None = None

    def __post_init__(self) -> None:
        if (self.phase is Phase.STEADY) != (self.phase_ends is None):
            raise ValueError(f"{self.phase} with an end at {self.phase_ends}")
        if not timedelta(0) <= self.leaf_life <= MAX_LEAF_LIFE:
            raise ValueError(f"leaf_life {self.leaf_life}")

    @property
    def rolling(self) -> bool:
        """Whether there are two CAs."""
        return self.phase is not Phase.STEADY


def begin(roll: Roll, now: datetime) -> Roll:
    """A new CA is announced from `now` on; `roll` itself while one is under way."""
    if roll.rolling:
        return roll
    return replace(roll, phase=Phase.ANNOUNCED, phase_ends=all_ended(roll, now))


def advance(roll: Roll, now: datetime) -> Roll:
    """The next phase if the present one is over; it begins now, whenever that was."""
    if roll.phase_ends is None or now < roll.phase_ends:
        return roll
    phase = NEXT[roll.phase]
    ends = None if phase is Phase.STEADY else all_ended(roll, now)
    return replace(roll, phase=phase, phase_ends=ends)


def with_life(roll: Roll, life: timedelta, now: datetime) -> Roll:
    """Leaves live `life` from now on; those of a longer life that are out are remembered."""
    older = roll.older_end
    if life < roll.leaf_life:
        older = all_ended(roll, now)
    elif older is not None and older <= now + life:
        older = None
    return replace(roll, leaf_life=life, older_end=older)


def all_ended(roll: Roll, now: datetime) -> datetime:
    """By when every leaf that is out at `now` has ended."""
    ends = now + roll.leaf_life
    return ends if roll.older_end is None else max(ends, roll.older_end)


def left(roll: Roll, now: datetime) -> tuple[timedelta, timedelta]:
    """What is left of the phase, and of the roll; zeros when STEADY."""
    if roll.phase_ends is None:
        return timedelta(0), timedelta(0)
    phase = max(roll.phase_ends - now, timedelta(0))
    later = roll.leaf_life if roll.phase is Phase.ANNOUNCED else timedelta(0)
    return phase, phase + later
