"""Ends of vNICs that a killed listener had made and wrote no lease of, or removed the lease of."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eais.errors import make_error
from eais.identity import Identity
from eais.net.messages import plan_message
from eais.net.plan import NetPlan, Side, VnicKey
from eais.rpc.v1 import net_pb2
from eais.testing import FakeNetAgent
from eais_server.testing.listener_bench import EI, POOL, ListenerBench
from eais_server.vnic import KernelDriver, VnicPlan, VnicState

Run = Callable[[Coroutine[Any, Any, None]], None]

OWN = NetPlan(
    VnicKey(POOL, EI, "local", Side.BACKEND),
    "fake0",
    "acme",
    7,
    "veth",
    "198.18.0.1",
    "198.18.9.9",
    peer_agent="fake0",
    peer_namespace=5,
    owner=Identity.listener(POOL, "local").uri,
)
SIGNED = net_pb2.SignedNetPlan(plan=plan_message(OWN).SerializeToString())
LEFT = replace(OWN, key=OWN.key._replace(instance="ei-left"), address="198.18.0.8")
OTHERS = [
    replace(LEFT, key=LEFT.key._replace(instance="ei-2"), owner="spiffe://elsewhere/host/local"),
    replace(LEFT, key=LEFT.key._replace(instance="ei-3", side=Side.FRONTEND)),
    replace(LEFT, key=LEFT.key._replace(instance="ei-4", host="rack2")),
    replace(LEFT, key=LEFT.key._replace(instance="ei-5", pool="pool-ffffffff")),
]


class Near(KernelDriver):
    """The agent's ends, of leases that are reached on loopback, which no plan may name."""

    def create(self, plan: VnicPlan) -> VnicState:
        return super().create(replace(plan, address=OWN.address))


@pytest.fixture
def agent(bench: ListenerBench, tmp_path: Path) -> Iterator[FakeNetAgent]:
    with FakeNetAgent(tmp_path / "net.sock") as made:
        bench.agent = made.ask()
        bench.vnics["veth"] = Near("veth", POOL, "local", bench.agent)
        yield made


async def granted(bench: ListenerBench) -> None:
    bench.grant(vnic_driver="veth", net_plan=SIGNED)
    await bench.manager.heard("granted")


def test_what_no_lease_has_goes_at_the_start_and_anothers_stays(
    bench: ListenerBench, agent: FakeNetAgent, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool():
            async with bench.running():
                await granted(bench)
            agent.plans.update({plan.key: plan for plan in [LEFT, *OTHERS]})
            async with bench.running():
                assert set(agent.plans.values()) == {OWN, *OTHERS}

    run(test())


def test_a_lease_that_was_never_written_down_leaves_none(
    bench: ListenerBench, agent: FakeNetAgent, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool():
            async with bench.running():
                await granted(bench)
            for path in bench.directory.rglob(f"{EI}.json"):
                path.unlink()
            async with bench.running():
                assert agent.plans == {}

    run(test())


def test_an_agent_that_comes_later_is_asked_then(
    bench: ListenerBench, agent: FakeNetAgent, run: Run
) -> None:
    async def test() -> None:
        agent.plans[LEFT.key] = LEFT
        agent.fail_next("status", make_error("NET_AGENT", "nobody answers"))
        async with bench.pool(), bench.running():
            assert agent.plans == {LEFT.key: LEFT}
            await bench.until(lambda: not agent.plans)

    run(test())


def test_an_end_that_could_not_go_with_its_lease_goes_later(
    bench: ListenerBench, agent: FakeNetAgent, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            await granted(bench)
            agent.fail_next("destroy", make_error("NET_AGENT", "nobody answers"))
            bench.revoke()
            await bench.manager.heard("released")
            assert set(agent.plans) == {OWN.key}
            await bench.until(lambda: not agent.plans)

    run(test())


def test_what_is_made_meanwhile_stays(bench: ListenerBench, agent: FakeNetAgent, run: Run) -> None:
    async def test() -> None:
        agent.plans[LEFT.key] = LEFT
        agent.fail_next("status", make_error("NET_AGENT", "nobody answers"))
        async with bench.pool(), bench.running():
            await granted(bench)
            await bench.until(lambda: LEFT.key not in agent.plans)
            assert agent.plans == {OWN.key: OWN}

    run(test())
