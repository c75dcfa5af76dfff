"""A kernel's vNIC as a pool would plan it, for tests of front-ends."""

from __future__ import annotations

from eais.net.messages import plan_message
from eais.net.plan import ISOLATION, VXLAN, NetPlan, Side, VnicKey
from eais.rpc.v1 import net_pb2, pool_pb2
from eais_client.vnic_end import Vnic

POOL = "local-5f3a9c1e"
OWNER = f"spiffe://{POOL}/tenant/default/frontend/owner"
AGENT = "fake0"


def planned_vnic(
    instance: str = "ei-1",
    host: str = "host-1",
    generation: int = 1,
    *,
    n: int = 1,
    agent: str = AGENT,
    owner: str = OWNER,
) -> pool_pb2.Vnic:
    """The vxlan of an instance, at the `n`th pair of addresses; its plan isn't signed."""
    plan = NetPlan(
        key=VnicKey(POOL, instance, host, Side.FRONTEND),
        agent=agent,
        tenant="default",
        generation=generation,
        driver=VXLAN,
        address=f"198.18.0.{2 * n + 1}",
        peer=f"198.18.0.{2 * n}",
        peer_underlay="192.0.2.2",
        number=n,
        port=4789,
        owner=owner,
    )
    text = plan_message(plan).SerializeToString(deterministic=True)
    return pool_pb2.Vnic(
        driver=VXLAN,
        address=plan.peer,
        peer=plan.address,
        isolation=ISOLATION[VXLAN],
        why="vxlan was asked for",
        plan=net_pb2.SignedNetPlan(plan=text),
    )


def fake_vnic(
    instance: str = "ei-1", host: str = "host-1", generation: int = 1, n: int = 1
) -> Vnic:
    """The same as a front-end sees it."""
    return Vnic.of_message(planned_vnic(instance, host, generation, n=n))
