"""What happens on a shared device. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """What is to be seen of a sharer now.

    Attributes:
        used_ns: device time since some fixed moment, by a clock that isn't the worker's; None:
            there is none, and the time that it holds the device counts.
        waits: it says that it waits for a turn.
        inside: it says that a batch of its runs.
        back: number of the last turn that it says to have given back.
        begun: number of the last turn in which it says to have begun a batch.
    """

    used_ns: int | None
    waits: bool
    inside: bool
    back: int
    begun: int = 0


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker got a share of `weight` milli-devices."""

    sharer: int
    weight: int
    used_ns: int | None


@dataclass(frozen=True, slots=True)
class Left:
    """A worker has exited, or gave up its share."""

    sharer: int


@dataclass(frozen=True, slots=True)
class Excused:
    """From now on (or no more) it does what has no turns, such as loading a model.

    That is paid for like all else, but nobody is killed for it.
    """

    sharer: int
    excused: bool


@dataclass(frozen=True, slots=True)
class Looked:
    """Somebody rang, or it was time to: what is to be seen of each sharer."""

    seen: Mapping[int, Seen]


Event = Joined | Left | Excused | Looked
