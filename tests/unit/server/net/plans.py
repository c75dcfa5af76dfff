"""Plans of vNIC ends, for the tests of those who carry them out."""

from __future__ import annotations

from eais.net.plan import VXLAN, NetPlan, Side, VnicKey

POOL = "pool-0a0b0c0d"
AGENT = "0123456789abcdef"


def plan(
    instance: str = "ei-1", generation: int = 1, *, side: Side = Side.BACKEND, host: str = "rack1"
) -> NetPlan:
    """Of another address for each instance."""
    last = int(instance.removeprefix("ei-")) * 4
    own, peer = (2, 3) if side is Side.BACKEND else (3, 2)
    return NetPlan(
        VnicKey(POOL, instance, host, side), AGENT, "acme", generation, VXLAN,
        f"198.18.0.{last + own}", f"198.18.0.{last + peer}", cap_bytes_per_s=1 << 20,
        peer_agent="fedcba9876543210", peer_underlay="10.0.0.2", number=9, port=4789,
    )  # fmt: skip
