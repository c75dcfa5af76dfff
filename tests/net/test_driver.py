"""The kernel's drivers, as a listener has them, by a real agent: held to `VnicDriver`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from eais.identity import Identity
from eais.net.asking import NetAgent
from eais.net.plan import VETH, VXLAN, NetPlan, Side, VnicKey
from eais.net.signing import sign_plan
from eais_pool.authority import Authority
from eais_server.net.links.entering import in_namespace
from eais_server.testing import check_vnic
from eais_server.vnic import KernelDriver, VnicPlan
from tests.net.machines import Site, left, site
from tests.net.test_main_job import DRIVERS

HOST = "rack1"
NUMBERS = {"ei-1": 1, "ei-2": 2, "ei-1x": 3}


class Planner:
    """Plans of back-ends' ends at `b`, as the pool's manager signs them."""

    def __init__(self, made: Site, driver: str) -> None:
        authority = Authority.load(made.back.pools / "local" / "ca")
        self.pool = authority.pool
        self.agent = NetAgent(made.agents["b"].socket, timeout_s=10)
        self._bundle = authority.bundle(Identity.manager(self.pool), datetime.now(UTC))
        self._driver = driver
        self._own = self.agent.offer().agent
        peer = made.agents["b" if driver == VETH else "f"].offer()
        self._peer, self._peer_key = peer.agent, peer.wireguard_public_key
        self._front = made.front

    def plan(self, instance: str, tenant: str, address: str) -> VnicPlan:
        number = NUMBERS[instance]
        port = 4789 if self._driver == VXLAN else 51_800 + number
        plan = NetPlan(
            VnicKey(self.pool, instance, HOST, Side.BACKEND),
            self._own,
            tenant,
            1,
            self._driver,
            address,
            f"198.18.9.{number}",
            peer_agent=self._peer,
            peer_namespace=self._front.namespace.stat().st_ino,
            peer_underlay="" if self._driver == VETH else self._front.address,
            number=number,
            port=port,
            peer_port=port,
            peer_public_key=self._peer_key,
        )
        signed = sign_plan(plan, self._bundle)
        return VnicPlan(instance, tenant, address, signed.SerializeToString())


@pytest.mark.parametrize("driver", DRIVERS)
def test_each_does_what_a_vnic_driver_does(tmp_path: Path, driver: str) -> None:
    with site(tmp_path, driver) as made:
        planner, before = Planner(made, driver), left(("b", "f"))

        def maker() -> KernelDriver:
            return KernelDriver(driver, planner.pool, HOST, planner.agent)

        first, second = (planner.plan(f"ei-{n}", "acme", f"198.18.0.{n}") for n in (1, 2))
        in_namespace(made.back.namespace, lambda: check_vnic(maker, first, second, planner.plan))
        assert left(("b", "f")) == before
