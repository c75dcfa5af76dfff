"""What is under way with a lease: a move to another host, or other shares for it. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Arrival:
    """How far a MOVING lease is.

    Attributes:
        heard_at: when its host last said that it is at it.
        asked_at: when it was granted without some of the sessions, and the front-end was
            asked for those; 0 before that.
    """

    heard_at: float
    asked_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Stuck:
    """Why the instance of a lease couldn't be moved away.

    Attributes:
        why: the reason and the text behind it.
        tried_at: when a host last failed to take it; 0: none was found that could.
        tried: the hosts that failed to take it so far.
    """

    why: str
    tried_at: float = 0.0
    tried: tuple[str, ...] = ()


class ResizeCause(StrEnum):
    """Who wants other shares for a lease: an operation, bad devices, or the instance's ratio."""

    OPERATION = "operation"
    DEVICES = "devices"
    RATIO = "ratio"


@dataclass(frozen=True, slots=True)
class Resize:
    """What an instance is to be once the shares that come serve: its type, and why these shares.

    Attributes:
        weighed: as a lease's.
        instead: the shares that they take the place of, by number; those of an operation take
            the place of all.
        since: when that began; boot clock. An operation has its own.
    """

    type: str
    why: str
    weighed: tuple[str, ...] = ()
    instead: tuple[int, ...] = ()
    since: float = 0.0
    cause: ResizeCause = ResizeCause.OPERATION
