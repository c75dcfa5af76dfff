"""What an agent holds: a file each in its state directory. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from eais.net.plan import NetPlan, Side, VnicKey


class Place(NamedTuple):
    """Where an interface is: the number of its network namespace, and its name there."""

    namespace: int
    interface: str


class Owner(NamedTuple):
    """Of whom an inventory is: a back-end by its name, or a front-end by its identity."""

    pool: str
    side: Side
    name: str


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
class Traffic:
    """What has passed a vNIC end, as the instance sees it: bytes and packets."""

    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0
    dropped_in: int = 0
    dropped_out: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            self.packets_in + other.packets_in,
            self.packets_out + other.packets_out,
            self.dropped_in + other.dropped_in,
            self.dropped_out + other.dropped_out,
        )


@dataclass(frozen=True, slots=True)
class Counted:
    """What one interface has counted.

    Attributes:
        index: the kernel's number of it, which a new one of the same name hasn't; 0: none yet.
    """

    index: int = 0
    traffic: Traffic = Traffic()


@dataclass(frozen=True, slots=True)
class Held:
    """A vNIC end that is there, or is being made or taken away.

    Attributes:
        uid: who had it made.
        place: of its interface.
        ports: TCP, which the front-end may reach.
        cap_bytes_per_s: each way; 0: none.
        owner: of the inventory that named it; "" until one has.
        leaving: it is being taken away.
        gone: after that no plan of its generation brings it back.
        passed: what the interfaces before this one had counted.
        seen: what this one had, when that was last written down.
    """

    plan: NetPlan
    uid: int
    place: Place
    ports: tuple[int, ...] = ()
    cap_bytes_per_s: int = 0
    owner: str = ""
    leaving: bool = False
    gone: bool = False
    passed: Traffic = Traffic()
    seen: Counted = Counted()

    @property
    def key(self) -> VnicKey:
        """Which end it is."""
        return self.plan.key


@dataclass(frozen=True, slots=True)
class Tombstone:
    """An end that was here, kept for as long as a plan of it could come back.

    Attributes:
        least: the least generation that is carried out.
        until_s: seconds since 1970; no signature from before is good any more.
    """

    key: VnicKey
    least: int
    until_s: int


@dataclass(frozen=True, slots=True)
class Kept:
    """The last inventory of an owner that was carried out."""

    owner: Owner
    generation: int


Record = Held | Tombstone | Kept
Name = VnicKey | Owner
"""Of a record: what it is written by. An end has one: held, or a tombstone."""


@dataclass(frozen=True, slots=True)
class State:
    """All that an agent holds."""

    held: Mapping[VnicKey, Held] = field(default_factory=dict)
    tombstones: Mapping[VnicKey, Tombstone] = field(default_factory=dict)
    kept: Mapping[Owner, Kept] = field(default_factory=dict)

    @property
    def guarded(self) -> tuple[Held, ...]:
        """The ends that the firewall has rules for: those that leave, too, until they are gone."""
        return tuple(self.held.values())


def name_of(record: Record) -> Name:
    """What a record is written by."""
    return record.owner if isinstance(record, Kept) else record.key
