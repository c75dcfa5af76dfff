"""An agent that makes and removes one tunnel: NAMESPACE UNDERLAY INTERFACE [TIMES]."""

from __future__ import annotations

import sys
from itertools import repeat
from pathlib import Path

from eais.net.plan import WIREGUARD, NetPlan, Side, VnicKey
from eais_server.net.links.wireguard import WireguardDriver
from eais_server.net.links.wireguard_keys import WireguardKey

PLAN = NetPlan(
    VnicKey("pool", "ei-1", "rack1", Side.FRONTEND), "a1", "t", 1, WIREGUARD,
    "198.18.0.2", "198.18.0.3", peer_agent="a2", peer_underlay="192.0.2.2", peer_port=51821,
    peer_public_key=b"p" * 32,
)  # fmt: skip


def main(namespace: str, underlay: str, interface: str, times: str = "inf") -> None:
    driver = WireguardDriver(
        WireguardKey.of(b"k" * 32), namespace=Path(namespace), underlay=Path(underlay)
    )
    print("begins", flush=True)
    for _ in repeat(None) if times == "inf" else repeat(None, int(times)):
        driver.make(interface, PLAN)
        driver.remove(interface)


if __name__ == "__main__":
    main(*sys.argv[1:])
