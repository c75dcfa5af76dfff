"""A kernel without interfaces and a firewall without rules, which outlive the agent that has them.

They fail when they are told to, and keep what an agent that died has left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from hashlib import sha256

from eais.errors import EaisError
from eais.net.plan import VnicKey
from eais.net.traffic import Traffic
from eais.rpc.v1 import net_pb2
from eais_server.net.brain.records import Counted, Held, Look, Place


class FakeInterfaces:
    """Remembers what is there. As `Interfaces`.

    Attributes:
        there: what each interface was made of.
        namespaces: that can be entered.
        passed: what each has counted, to be set.
        made: the ends that were made, in that order.
    """

    def __init__(self, *namespaces: int) -> None:
        self.namespaces = {*namespaces}
        self.there: dict[Place, Held] = {}
        self.passed: dict[Place, Traffic] = {}
        self.made: list[VnicKey] = []
        self.wall: FakeWall | None = None
        self._indexes: dict[Place, int] = {}
        self._last = 0
        self._faults: dict[str, list[EaisError]] = defaultdict(list)

    def fail_next(self, op: str, error: EaisError) -> None:
        """The next `op` (a method's name) raises `error`."""
        self._faults[op].append(error)

    def offer(self) -> net_pb2.NetOffer:
        """As `Interfaces`."""
        self._trip("offer")
        driver = net_pb2.NetDriver(name="vxlan")
        return net_pb2.NetOffer(drivers=[driver], underlay="192.0.2.1", mtu=1500)

    def name(self, key: VnicKey) -> str:
        """As `Interfaces`."""
        return f"eais{sha256(repr(key).encode()).hexdigest()[:11]}"

    def can_enter(self, namespace: int) -> bool:
        """As `Interfaces`."""
        return namespace in self.namespaces

    def make(self, held: Held) -> None:
        """As `Interfaces`."""
        self._trip("make")
        if self.wall is not None:
            assert held.key in {each.key for each in self.wall.ends}, "made before it is guarded"
        before = self.there.get(held.place, held)
        assert before.plan.address == held.plan.address, "one of another address is there"
        if held.place not in self.there:
            self._last += 1
            self._indexes[held.place] = self._last
            self.passed[held.place] = Traffic()
        self.there[held.place] = held
        self.made.append(held.key)

    def take(self, place: Place) -> None:
        """As `Interfaces`."""
        self._trip("take")
        self.there.pop(place, None)

    def reboot(self) -> None:
        """All interfaces are gone, and new ones have their numbers."""
        self.there.clear()
        self._last = 0

    def found(self) -> Collection[Place]:
        """As `Interfaces`."""
        self._trip("found")
        return tuple(self.there)

    def looks(self, ends: Collection[Held]) -> Mapping[VnicKey, Look]:
        """As `Interfaces`; an MTU of 1450 where the plan leaves it to the underlay."""
        self._trip("looks")
        return {
            held.key: Look(held.plan.mtu or 1450, Counted(self._indexes[place], self.passed[place]))
            for held in ends
            if (place := held.place) in self.there
        }

    def count(self, place: Place, bytes_in: int) -> None:
        """So many bytes come in there."""
        before = self.passed[place]
        self.passed[place] = replace(before, bytes_in=before.bytes_in + bytes_in)

    def _trip(self, op: str) -> None:
        if self._faults[op]:
            raise self._faults[op].pop(0)


class FakeWall:
    """Remembers what it lets pass. As `Wall`.

    Attributes:
        ends: as they were last told.
        is_gone: whether somebody took all of it away, which `mend` notices.
    """

    def __init__(self) -> None:
        self.ends: tuple[Held, ...] = ()
        self.is_gone = False
        self._faults: list[EaisError] = []

    def fail_next(self, error: EaisError) -> None:
        """The next `guard` raises `error`."""
        self._faults.append(error)

    def guard(self, ends: Collection[Held]) -> None:
        """As `Wall`."""
        if self._faults:
            raise self._faults.pop(0)
        self.ends = tuple(ends)

    def mend(self, ends: Collection[Held]) -> None:
        """As `Wall`."""
        if self.is_gone:
            self.is_gone = False
            self.guard(ends)

    def dropped(self, ends: Collection[Held]) -> Mapping[VnicKey, Traffic]:
        """As `Wall`."""
        return {}
