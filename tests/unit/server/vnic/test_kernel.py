"""The kernel's drivers, as a listener asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eais.errors import EaisError, make_error
from eais.net.messages import plan_message
from eais.net.plan import KERNEL_DRIVERS, NetPlan, Side, VnicKey
from eais.net.traffic import Traffic
from eais.rpc.v1 import net_pb2
from eais.testing import FakeNetAgent
from eais_server.testing import check_vnic
from eais_server.vnic import KernelDriver, VnicPlan

POOL, HOST = "pool-0a0b0c0d", "rack1"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[FakeNetAgent]:
    with FakeNetAgent(tmp_path / "net.sock") as made:
        yield made


def planned(driver: str, instance: str, address: str, signed_address: str = "") -> VnicPlan:
    plan = NetPlan(
        VnicKey(POOL, instance, HOST, Side.BACKEND),
        "fake0",
        "acme",
        1,
        driver,
        signed_address or address,
        "198.18.9.9",
        peer_agent="fake0",
        peer_namespace=5,
        peer_underlay="192.0.2.2",
        number=7,
        port=4789,
        peer_port=4789,
        peer_public_key=b"k" * 32,
    )
    text = plan_message(plan).SerializeToString()
    signed = net_pb2.SignedNetPlan(plan=text).SerializeToString()
    return VnicPlan(instance, "acme", address, signed)


@pytest.mark.parametrize("name", KERNEL_DRIVERS)
def test_each_does_what_a_vnic_driver_does(agent: FakeNetAgent, name: str) -> None:
    def maker() -> KernelDriver:
        agent.plans.clear()
        return KernelDriver(name, POOL, HOST, agent.ask())

    def plan(instance: str, tenant: str, address: str) -> VnicPlan:
        return planned(name, instance, address)

    first, second = (plan(f"ei-{n}", "acme", f"198.18.0.{n}") for n in (1, 2))
    check_vnic(maker, first, second, plan)


def test_ports_caps_and_counters_are_the_agents(agent: FakeNetAgent) -> None:
    driver = KernelDriver("veth", POOL, HOST, agent.ask())
    driver.create(planned("veth", "ei-1", "198.18.0.1"))
    [key] = agent.plans
    driver.connect("ei-1", {7, 5})
    driver.limit("ei-1", 1000)
    agent.traffic[key] = Traffic(3, 4, 1, 2)
    assert (agent.ports[key], agent.caps[key]) == ([5, 7], 1000)
    assert driver.counters() == {"ei-1": Traffic(3, 4, 1, 2)}
    driver.limit("ei-1", None)
    assert agent.caps[key] == 0


def refusal(driver: KernelDriver, plan: VnicPlan) -> EaisError:
    with pytest.raises(EaisError) as caught:
        driver.create(plan)
    return caught.value


def test_a_plan_that_is_missing_or_does_not_fit_is_refused(agent: FakeNetAgent) -> None:
    driver = KernelDriver("vxlan", POOL, HOST, agent.ask())
    assert "has no plan" in refusal(driver, VnicPlan("ei-1", "acme", "198.18.0.1")).message
    unread = VnicPlan("ei-1", "acme", "198.18.0.1", b"\xff")
    assert "can't be read" in refusal(driver, unread).message
    other = refusal(driver, planned("vxlan", "ei-1", "198.18.0.1", "198.18.0.2"))
    assert "is granted 198.18.0.1, and its plan has 198.18.0.2" in other.message
    assert {refusal(driver, plan).reason for plan in (unread,)} == {"NET_PLAN"}


def test_what_the_agent_refuses_is_said(agent: FakeNetAgent) -> None:
    driver = KernelDriver("wireguard", POOL, HOST, agent.ask())
    agent.fail_next("create", make_error("NETDEV", "no such device", hint="modprobe"))
    error = refusal(driver, planned("wireguard", "ei-1", "198.18.0.1"))
    assert (error.reason, error.message, error.hint) == ("NETDEV", "no such device", "modprobe")
