"""What every vNIC driver does: `create`, `connect`, `limit`, `counters`, `destroy`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from eais.net.traffic import NO_TRAFFIC, Traffic


@dataclass(frozen=True, slots=True)
class VnicPlan:
    """The vNIC that an instance is to have.

    Attributes:
        instance: "ei-...".
        tenant: whose it is.
        address: from the pool's address plan, or the host's own.
        signed: a `SignedNetPlan`, serialised; empty where the driver needs none.
    """

    instance: str
    tenant: str
    address: str
    signed: bytes = b""


@dataclass(frozen=True, slots=True)
class VnicState:
    """A vNIC that is there.

    Attributes:
        driver: the driver's name, as in `pool.proto`'s Vnic.
        instance: "ei-...".
        address: where its workers bind.
        isolation: what keeps others off the address, in words.
        carried: by an older vNIC of the instance, the counters of which go on.
    """

    driver: str
    instance: str
    address: str
    isolation: str
    carried: Traffic = field(default=NO_TRAFFIC, compare=False)


class VnicDriver(Protocol):
    """One way to give an instance an address. Calls may block; one at a time.

    `eais_server.testing.check_vnic` holds every driver to this.
    """

    @property
    def name(self) -> str:
        """As in `pool.proto`: "loopback", "host", "veth", "vxlan", "wireguard"."""
        ...

    @property
    def isolation(self) -> str:
        """What keeps others off an address: "mTLS only", ..."""
        ...

    @property
    def is_private(self) -> bool:
        """Whether an address is the one way between the instance and its front-end.

        Then the listener answers the front-end there, too.
        """
        ...

    def create(self, plan: VnicPlan) -> VnicState:
        """Make the vNIC; the same plan again gives the same state and changes nothing.

        Raises:
            UsageError: WRONG_STATE, the instance has another address, or the address is
                another instance's and this driver gives each one of its own.
            IdentityError: NET_PLAN, it has another address by the plan that came before.
            ConfigError: LOOPBACK_RANGE, ADDRESS or the like: this host can't have the address.
        """
        ...

    def connect(self, instance: str, ports: Collection[int]) -> None:
        """Let the bound front-end reach these TCP ports of the vNIC, and no others. Idempotent.

        Raises:
            UsageError: NOT_FOUND, no vNIC of that instance.
        """
        ...

    def limit(self, instance: str, bytes_per_s: int | None) -> None:
        """Cap the vNIC's bandwidth; None takes the cap away.

        Raises:
            UsageError: NOT_FOUND; UNIMPLEMENTED, this driver can't enforce a cap; ARGUMENT, a
                cap below 1.
        """
        ...

    def counters(self) -> Mapping[str, Traffic]:
        """What each of the vNICs that are there has carried so far, by instance.

        Raises:
            ConfigError: NET_AGENT, nobody says so now.
        """
        ...

    def destroy(self, instance: str) -> None:
        """Take the vNIC away with all that belongs to it.

        Idempotent; an unknown instance is nothing. Also takes away what a driver that was
        killed had left of it.
        """
        ...
