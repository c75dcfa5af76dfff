"""A vNIC's plan: what one can be, and that what one can't be is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eais.errors import IdentityError
from eais.net.plan import VETH, VXLAN, WIREGUARD, NetPlan, Side, VnicKey

KEY = VnicKey("pool", "ei-7f3a", "rack1", Side.BACKEND)
VETH_PLAN = NetPlan(
    KEY, "a1", "t", 1, VETH, "198.18.0.2", "198.18.0.3", peer_agent="a1", peer_namespace=7
)
VXLAN_PLAN = NetPlan(
    KEY, "a1", "t", 1, VXLAN, "198.18.0.2", "198.18.0.3",
    peer_agent="a2", peer_underlay="10.0.0.2", number=9, port=4789,
)  # fmt: skip
WIREGUARD_PLAN = NetPlan(
    KEY, "a1", "t", 1, WIREGUARD, "198.18.0.2", "198.18.0.3",
    peer_agent="a2", peer_public_key=b"k" * 32,
)  # fmt: skip


@pytest.mark.parametrize(
    ("plan", "changes", "named"),
    [
        (VETH_PLAN, {"agent": "../x"}, "agent"),
        (VETH_PLAN, {"key": KEY._replace(instance="")}, "instance"),
        (VETH_PLAN, {"generation": 0}, "generation"),
        (VETH_PLAN, {"driver": "tun"}, "driver"),
        (VETH_PLAN, {"address": "198.18.0"}, "address"),
        (VETH_PLAN, {"address": "0.0.0.0"}, "address"),
        (VETH_PLAN, {"peer": "127.0.0.1"}, "peer"),
        (VETH_PLAN, {"peer": "fe80::1"}, "peer"),
        (VETH_PLAN, {"peer": VETH_PLAN.address}, "peer"),
        (VETH_PLAN, {"mtu": 100}, "mtu"),
        (VETH_PLAN, {"cap_bytes_per_s": -1}, "cap_bytes_per_s"),
        (VETH_PLAN, {"peer_agent": "a2"}, "peer_agent"),
        (VETH_PLAN, {"peer_namespace": 0}, "peer_namespace"),
        (VXLAN_PLAN, {"number": 1 << 24}, "number"),
        (VXLAN_PLAN, {"number": 0}, "number"),
        (VXLAN_PLAN, {"port": 0}, "port"),
        (VXLAN_PLAN, {"port": 65536}, "port"),
        (VXLAN_PLAN, {"peer_underlay": ""}, "peer_underlay"),
        (WIREGUARD_PLAN, {"peer_public_key": b"k"}, "peer_public_key"),
        (WIREGUARD_PLAN, {"peer_underlay": "10.0.0.2"}, "peer_port"),
        (WIREGUARD_PLAN, {"peer_port": 5}, "peer_port"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_its_field(
    plan: NetPlan, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(IdentityError, match=rf"\b{named}: ") as caught:
        replace(plan, **changes)
    assert caught.value.reason == "NET_PLAN"
