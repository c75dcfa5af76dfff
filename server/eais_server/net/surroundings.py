"""What a network agent needs of the world: interfaces, and a firewall."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from eais.net.plan import VnicKey
from eais.net.traffic import Traffic
from eais.rpc.v1 import net_pb2
from eais_server.net.brain.records import Held, Look, Place


class Interfaces(Protocol):
    """The kernel's interfaces in all network namespaces that the agent may enter.

    Calls may block; one at a time. Every method raises ConfigError NETDEV for what the kernel
    refuses.
    """

    def offer(self) -> net_pb2.NetOffer:
        """What this host can do; without the agent's name and the asker's namespace."""
        ...

    def name(self, key: VnicKey) -> str:
        """What the interface of an end is called: the same each time."""
        ...

    def can_enter(self, namespace: int) -> bool:
        """Whether a network namespace, by its number, is the agent's own or was given to it."""
        ...

    def make(self, held: Held) -> None:
        """Have the interface of an end, up, with its address and cap. Idempotent; mends, too.

        Raises:
            ConfigError: NET_DRIVER, this host can't do the plan's driver.
        """
        ...

    def take(self, place: Place) -> None:
        """Take an interface away that has the agent's mark; no such interface is nothing."""
        ...

    def found(self) -> Collection[Place]:
        """All interfaces that have the agent's mark."""
        ...

    def looks(self, ends: Collection[Held]) -> Mapping[VnicKey, Look]:
        """The interfaces of these ends, of those that are there."""
        ...


class Wall(Protocol):
    """The agent's own firewall table, in all its network namespaces."""

    def guard(self, ends: Collection[Held]) -> None:
        """Let pass what these ends may, and nothing else of theirs; atomically, a namespace.

        Raises:
            ConfigError: NETDEV; what was before holds still.
        """
        ...

    def mend(self, ends: Collection[Held]) -> None:
        """Guard these again where somebody took the table away. Raises as `guard`."""
        ...

    def dropped(self, ends: Collection[Held]) -> Mapping[VnicKey, Traffic]:
        """Packets in and out that the table has dropped at these ends, and nothing else."""
        ...
