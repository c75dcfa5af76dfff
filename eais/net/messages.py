"""Plans as they are written on the wire, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from eais.net.plan import NetPlan, Side, VnicKey, bad_plan
from eais.net.traffic import Traffic
from eais.rpc.v1 import net_pb2

_SIDES: Final = {
    Side.FRONTEND: net_pb2.NET_SIDE_FRONTEND,
    Side.BACKEND: net_pb2.NET_SIDE_BACKEND,
}
_SIDE_OF: Final = {int(number): side for side, number in _SIDES.items()}


def plan_message(plan: NetPlan) -> net_pb2.NetPlan:
    """A plan, as it is signed and sent."""
    key = plan.key
    return net_pb2.NetPlan(
        pool=key.pool,
        agent=plan.agent,
        instance=key.instance,
        tenant=plan.tenant,
        host=key.host,
        side=_SIDES[key.side],
        generation=plan.generation,
        driver=plan.driver,
        address=plan.address,
        peer=plan.peer,
        mtu=plan.mtu,
        cap_bytes_per_s=plan.cap_bytes_per_s,
        peer_agent=plan.peer_agent,
        peer_underlay=plan.peer_underlay,
        number=plan.number,
        port=plan.port,
        peer_port=plan.peer_port,
        peer_public_key=plan.peer_public_key,
        peer_namespace=plan.peer_namespace,
        owner=plan.owner,
    )


def plan_of(message: net_pb2.NetPlan) -> NetPlan:
    """The plan that a message says.

    Raises:
        IdentityError: NET_PLAN, naming the field that can't be so.
    """
    return NetPlan(
        key=VnicKey(message.pool, message.instance, message.host, side_of(message.side)),
        agent=message.agent,
        tenant=message.tenant,
        generation=message.generation,
        driver=message.driver,
        address=message.address,
        peer=message.peer,
        mtu=message.mtu,
        cap_bytes_per_s=message.cap_bytes_per_s,
        peer_agent=message.peer_agent,
        peer_underlay=message.peer_underlay,
        number=message.number,
        port=message.port,
        peer_port=message.peer_port,
        peer_public_key=message.peer_public_key,
        peer_namespace=message.peer_namespace,
        owner=message.owner,
    )


def key_message(key: VnicKey) -> net_pb2.NetKey:
    """Which vNIC end, as it is asked for."""
    side = _SIDES[key.side]
    return net_pb2.NetKey(pool=key.pool, instance=key.instance, host=key.host, side=side)


def key_of(message: net_pb2.NetKey) -> VnicKey:
    """The vNIC end that a message names; IdentityError NET_PLAN if its side is none."""
    return VnicKey(message.pool, message.instance, message.host, side_of(message.side))


def side_of(number: int) -> Side:
    """A side that a message names; IdentityError NET_PLAN if it is none."""
    if number not in _SIDE_OF:
        raise bad_plan("side", "is neither the front-end's nor the back-end's")
    return _SIDE_OF[number]


def traffic_message(traffic: Traffic) -> net_pb2.NetCounters:
    """Counters, as they are said."""
    return net_pb2.NetCounters(**asdict(traffic))


def traffic_of(message: net_pb2.NetCounters) -> Traffic:
    """The counters that a message says."""
    return Traffic(
        message.bytes_in,
        message.bytes_out,
        message.packets_in,
        message.packets_out,
        message.dropped_in,
        message.dropped_out,
    )
