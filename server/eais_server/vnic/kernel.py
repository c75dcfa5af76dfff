"""The drivers of the kernel's own vNICs: the host's network agent makes them, by signed plans."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from google.protobuf.message import DecodeError

from eais.errors import make_error
from eais.net.asking import NetAgent
from eais.net.messages import traffic_of
from eais.net.plan import ISOLATION, Side, VnicKey
from eais.net.traffic import Traffic
from eais.rpc.v1 import net_pb2
from eais_server.vnic.driver import VnicPlan, VnicState


class KernelDriver:
    """One of "veth", "vxlan" and "wireguard", as a listener has it.

    Args:
        name: which.
        pool: the listener's.
        host: its name there.
        agent: of this host.
    """

    is_private = True

    def __init__(self, name: str, pool: str, host: str, agent: NetAgent) -> None:
        self.name = name
        self.isolation = ISOLATION[name]
        self._pool = pool
        self._host = host
        self._agent = agent

    def create(self, plan: VnicPlan) -> VnicState:
        """As `VnicDriver`; NET_PLAN, NETDEV and NET_AGENT, too."""
        try:
            signed = net_pb2.SignedNetPlan.FromString(plan.signed)
        except DecodeError:
            raise make_error("NET_PLAN", f"the plan of {plan.instance} can't be read") from None
        if not signed.plan:
            text = f"{plan.instance} has no plan, without which there is no {self.name}"
            raise make_error("NET_PLAN", text)
        made = self._agent.create(signed)
        if made.address != plan.address:
            text = f"{plan.instance} is granted {plan.address}, and its plan has {made.address}"
            raise make_error("NET_PLAN", text)
        carried = traffic_of(made.carried)
        return VnicState(self.name, plan.instance, made.address, self.isolation, carried)

    def connect(self, instance: str, ports: Collection[int]) -> None:
        """As `VnicDriver`."""
        self._agent.connect(self._key(instance), ports)

    def limit(self, instance: str, bytes_per_s: int | None) -> None:
        """As `VnicDriver`; both ways."""
        if bytes_per_s is not None and bytes_per_s < 1:
            raise make_error("ARGUMENT", "a bandwidth cap must be 1 byte a second or more")
        self._agent.limit(self._key(instance), bytes_per_s)

    def counters(self) -> Mapping[str, Traffic]:
        """As `VnicDriver`; of all drivers of the kernel's, which have one agent."""
        return self._agent.counters(self._pool, self._host, Side.BACKEND)

    def destroy(self, instance: str) -> None:
        """As `VnicDriver`."""
        self._agent.destroy(self._key(instance))

    def _key(self, instance: str) -> VnicKey:
        return VnicKey(self._pool, instance, self._host, Side.BACKEND)
