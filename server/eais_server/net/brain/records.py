"""What an agent holds: a file each in its state directory. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from eais.net.plan import NetPlan, VnicKey
from eais.net.traffic import NO_TRAFFIC, Traffic


class Place(NamedTuple):
    """Where an interface is: the number of its network namespace, and its name there."""

    namespace: int
    interface: str


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as the kernel says.

    Attributes:
        namespace: the number of the network namespace that it is in; 0: one that the agent can't
            enter.
    """

    uid: int
    namespace: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """What one interface has counted.

    Attributes:
        index: the kernel's number of it, which a new one of the same name hasn't; 0: none yet.
    """

    index: int = 0
    traffic: Traffic = NO_TRAFFIC


class Look(NamedTuple):
    """An interface, as it is now; `mtu`: bytes that it takes in one packet."""

    mtu: int
    counted: Counted


@dataclass(frozen=True, slots=True)
class Held:
    """A vNIC end that is there, or is being made or taken away.

    Attributes:
        uid: who had it made.
        place: of its interface.
        ports: TCP, which the front-end may reach.
        cap_bytes_per_s: each way; 0: none.
        leaving: it is being taken away.
        over: no plan up to this generation is carried out any more.
        passed: what the interfaces before this one had counted.
        seen: what this one had, when that was last written down.
    """

    plan: NetPlan
    uid: int
    place: Place
    ports: tuple[int, ...] = ()
    cap_bytes_per_s: int = 0
    leaving: bool = False
    over: int = 0
    passed: Traffic = NO_TRAFFIC
    seen: Counted = Counted()

    @property
    def key(self) -> VnicKey:
        """Which end it is."""
        return self.plan.key


@dataclass(frozen=True, slots=True)
class Tombstone:
    """An end that was here, kept for as long as a plan of it could come back.

    Attributes:
        uid: who had it made.
        least: the least generation that is carried out.
        until_s: seconds since 1970; no signature from before is good any more.
    """

    key: VnicKey
    uid: int
    least: int
    until_s: int


Record = Held | Tombstone
"""Written by its key: an end is held, or has a tombstone."""


@dataclass(frozen=True, slots=True)
class State:
    """All that an agent holds."""

    held: Mapping[VnicKey, Held] = field(default_factory=dict)
    tombstones: Mapping[VnicKey, Tombstone] = field(default_factory=dict)

    @property
    def guarded(self) -> tuple[Held, ...]:
        """The ends that the firewall has rules for: those that leave, too, until they are gone."""
        return tuple(self.held.values())
