"""What every kernel driver does: it makes the bare interface of one end of a vNIC.

What they have alike (names, addresses, routes, MTU, caps, counters, whose an interface is) is
`eais_server.net.links`' own, and what may pass is `eais_server.net.firewall`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from eais.net.plan import NetPlan


@dataclass(frozen=True, slots=True)
class Ability:
    """Whether this host can do a driver.

    Attributes:
        missing: why not, and what would help, in words; "" where it can.
        how: by what: "kernel module", "wireguard-go".
    """

    missing: str = ""
    how: str = ""


class LinkDriver(Protocol):
    """One way to make an interface. Calls may block; one at a time.

    `eais_server.testing.check_link` holds every driver to this.
    """

    @property
    def name(self) -> str:
        """As in `eais.net.plan`: "veth", "vxlan", "wireguard"."""
        ...

    @property
    def overhead(self) -> int:
        """Bytes of the underlay's MTU that the driver's own headers take."""
        ...

    def probe(self) -> Ability:
        """Whether this host can; leaves nothing behind."""
        ...

    def make(self, interface: str, plan: NetPlan) -> None:
        """Make `interface`, or make what is there what `plan` says; it is down and has no address.

        Idempotent; what is there already keeps its counters where that is possible.

        Raises:
            ConfigError: NETDEV, which says what the kernel refused and what would help.
        """
        ...

    def remove(self, interface: str) -> None:
        """Take `interface` away with its processes and files; one that isn't there is nothing.

        Raises:
            ConfigError: NETDEV.
        """
        ...
