"""What hosts can do of vNICs, and what a lease's vNIC is between. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass

from eais.net.plan import NetPlan, Side, VnicKey


@dataclass(frozen=True, slots=True)
class NetAbility:
    """Whether a host can do a driver; `missing`: why not."""

    driver: str
    missing: str = ""


@dataclass(frozen=True, slots=True)
class NetOffer:
    """What the network agent of a front-end's or a back-end's host says of it.

    Attributes:
        agent: which one.
        underlay: where other hosts' tunnels reach it; "" if it doesn't know.
        key: of its WireGuard, in hex; "" without.
        namespace: the asker's network namespace; 0: one that the agent can't enter.
        mtu: of the underlay's interface; 0 if it isn't known.
    """

    agent: str
    abilities: tuple[NetAbility, ...] = ()
    underlay: str = ""
    key: str = ""
    namespace: int = 0
    mtu: int = 0

    def missing(self, driver: str) -> str:
        """Why this host can't do the driver; "" if it can."""
        for ability in self.abilities:
            if ability.driver == driver:
                return ability.missing
        return "its network agent doesn't know the driver"


@dataclass(frozen=True, slots=True)
class NetLink:
    """A vNIC by the kernel: what is the same for both of its ends, and what each is.

    Attributes:
        driver: one of `eais.net.plan.KERNEL_DRIVERS`.
        generation: grows with each link of the same instance and host.
        address, peer: the back-end's and the front-end's.
        number: of a VXLAN; unique in the pool.
        port, peer_port: UDP, of the back-end's tunnel and the front-end's.
        cap_bytes_per_s: each way; 0: none.
        backend, frontend: what their agents said when it was planned.
    """

    driver: str
    generation: int
    address: str
    peer: str
    number: int
    port: int
    peer_port: int
    backend: NetOffer
    frontend: NetOffer
    cap_bytes_per_s: int = 0

    def plan(
        self, pool: str, instance: str, tenant: str, host: str, side: Side, owner: str = ""
    ) -> NetPlan:
        """One end of it, for the agent there. `owner`: whose, as an identity's URI."""
        back = side is Side.BACKEND
        own, other = (self.backend, self.frontend) if back else (self.frontend, self.backend)
        return NetPlan(
            key=VnicKey(pool, instance, host, side),
            agent=own.agent,
            tenant=tenant,
            generation=self.generation,
            driver=self.driver,
            address=self.address if back else self.peer,
            peer=self.peer if back else self.address,
            cap_bytes_per_s=self.cap_bytes_per_s if back else 0,
            peer_agent=other.agent,
            peer_underlay=other.underlay,
            number=self.number,
            port=self.port if back else self.peer_port,
            # Nobody calls an end whose place isn't known.
            peer_port=(self.peer_port if back else self.port) if other.underlay else 0,
            peer_public_key=bytes.fromhex(other.key),
            peer_namespace=other.namespace,
            owner=owner,
        )
