"""The front-end's end of an instance's vNIC, as the pool plans and signs it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from eais.errors import EaisError
from eais.net.messages import plan_of, traffic_of
from eais.net.plan import KERNEL_DRIVERS, VnicKey
from eais.net.traffic import Traffic
from eais.rpc.v1 import net_pb2, pool_pb2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VnicEnd:
    """One end, and the plan that a network agent makes it by.

    Attributes:
        agent: which one.
        peer: the back-end's address.
        signed: a `SignedNetPlan`, serialised.
    """

    key: VnicKey
    generation: int
    agent: str
    peer: str
    signed: bytes

    @classmethod
    def of_message(cls, message: net_pb2.SignedNetPlan) -> VnicEnd | None:
        """The end that a plan is of; None if there is no plan in it, or one that can't be.

        Who only lists instances isn't hindered by a plan that another would carry out.
        """
        if not message.plan:
            return None
        try:
            plan = plan_of(net_pb2.NetPlan.FromString(message.plan))
        except (DecodeError, EaisError) as error:
            log.warning("a vNIC's plan can't be read: %s", error)
            return None
        signed = message.SerializeToString()
        return cls(plan.key, plan.generation, plan.agent, plan.peer, signed)

    def message(self) -> net_pb2.SignedNetPlan:
        """The plan, as an agent is given it."""
        return net_pb2.SignedNetPlan.FromString(self.signed)


@dataclass(frozen=True, slots=True)
class EndHere:
    """An end that is on this host, as its agent says; `mtu` 0: it doesn't say."""

    interface: str
    mtu: int


@dataclass(frozen=True, slots=True)
class Vnic:
    """The virtual NIC of an instance.

    Attributes:
        peer: the front-end's own address there; "" where the driver has none.
        why: this driver and no other.
        cap_bytes_per_s: each way; 0: none.
        end: of a kernel's driver: what is to be made here first; None if it isn't this front-end's.
        traffic: of `describe` alone.
    """

    driver: str = ""
    address: str = ""
    isolation: str = ""
    peer: str = ""
    why: str = ""
    cap_bytes_per_s: int = 0
    end: VnicEnd | None = None
    traffic: Traffic | None = None

    @classmethod
    def of_message(cls, message: pool_pb2.Vnic) -> Vnic:
        """The vNIC that the wire describes."""
        planned, counted = map(message.HasField, ("plan", "counters"))
        return cls(
            driver=message.driver,
            address=message.address,
            isolation=message.isolation,
            peer=message.peer,
            why=message.why,
            cap_bytes_per_s=message.cap_bytes_per_s,
            end=VnicEnd.of_message(message.plan) if planned else None,
            traffic=traffic_of(message.counters) if counted else None,
        )

    @property
    def is_kernels(self) -> bool:
        """Whether a network agent makes it."""
        return self.driver in KERNEL_DRIVERS
