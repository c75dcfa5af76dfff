"""A lease's vNIC, where nothing but its front-end reaches the address."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from eais import channel
from eais.credentials import client_credentials
from eais.errors import Unavailable, make_error
from eais.identity import Identity
from eais.net.asking import NetAgent
from eais.net.messages import traffic_of
from eais.net.plan import KERNEL_DRIVERS
from eais.net.traffic import Traffic
from eais.rpc.client import acall
from eais.rpc.v1 import hosts_pb2, listener_pb2, net_pb2
from eais.rpc.verbs import LISTENER_LOCATE
from eais.testing import FakeNetAgent
from eais_server.testing import FakeVnic
from eais_server.testing.listener_bench import ADDRESS, EI, POOL, ListenerBench

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def vnic(bench: ListenerBench) -> FakeVnic:
    """A driver whose addresses are private; the bench grants leases with it."""
    bench.vnics["fake"] = made = FakeVnic(is_private=True)
    return made


async def granted(bench: ListenerBench) -> hosts_pb2.Granted:
    bench.grant(vnic_driver="fake", net_plan=net_pb2.SignedNetPlan(plan=b"signed"))
    told: hosts_pb2.Granted = await bench.manager.heard("granted")
    return told


async def located(bench: ListenerBench, port: int) -> list[int]:
    """The workers that the listener names at the instance's own address."""
    bundle = bench.bundle(Identity.frontend(POOL, "acme", "box"))
    options = channel.client_options(f"local.listener.{POOL}.internal")
    line = grpc.aio.secure_channel(f"{ADDRESS}:{port}", client_credentials(bundle), options=options)
    try:
        request = listener_pb2.LocateRequest(instance=EI, epoch=5)
        reply = await acall(
            line, LISTENER_LOCATE, request, timeout_s=5, unreachable="HOST_UNREACHABLE"
        )
        return [worker.endpoint.port for worker in reply.workers]
    finally:
        await line.close(None)


def test_the_listener_answers_there_and_opens_what_is_meant_to_be_reached(
    bench: ListenerBench, vnic: FakeVnic, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            told = await granted(bench)
            assert told.user_plane.address == ADDRESS
            assert told.user_plane.server_name == f"local.listener.{POOL}.internal"
            (worker,) = await located(bench, told.user_plane.port)
            assert vnic.ports[EI] == {told.user_plane.port, worker}

    run(test())


def test_what_is_released_is_answered_there_no_more(
    bench: ListenerBench, vnic: FakeVnic, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            told = await granted(bench)
            bench.revoke()
            await bench.manager.heard("released")
            assert not vnic.vnics
            with pytest.raises(Unavailable):
                await located(bench, told.user_plane.port)

    run(test())


def test_a_restarted_listener_answers_where_it_did(
    bench: ListenerBench, vnic: FakeVnic, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool():
            async with bench.running():
                before = await granted(bench)
            vnic.ports.clear()
            async with bench.running():
                again = bench.manager.joins[-1].leases[0]
                assert again.user_plane == before.user_plane
                assert before.user_plane.port in vnic.ports[EI]

    run(test())


def test_an_agent_that_comes_after_the_listener_is_awaited(
    bench: ListenerBench, vnic: FakeVnic, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool():
            async with bench.running():
                await granted(bench)
            vnic.fail_next("create", make_error("NET_AGENT", "nobody answers"))
            async with bench.running():
                assert [lease.instance for lease in bench.manager.joins[-1].leases] == [EI]

    run(test())


def test_ports_that_could_not_be_told_are_told_later(
    bench: ListenerBench, vnic: FakeVnic, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            for _ in range(2):
                vnic.fail_next("connect", make_error("NET_AGENT", "nobody answers"))
            told = await granted(bench)
            await bench.until(lambda: told.user_plane.port in vnic.ports.get(EI, ()))

    run(test())


def test_a_vnic_that_cannot_be_made_fails_the_grant(
    bench: ListenerBench, vnic: FakeVnic, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running() as listener:
            vnic.fail_next("create", make_error("NETDEV", "no such device"))
            bench.grant(vnic_driver="fake")
            failed = await bench.manager.heard("grant_failed")
            assert failed.error.reason == "NETDEV"
            assert not listener.host.admission.leases

    run(test())


def test_what_the_hosts_agent_can_do_is_offered(
    bench: ListenerBench, run: Run, tmp_path: Path
) -> None:
    async def test() -> None:
        with FakeNetAgent(tmp_path / "net.sock") as agent:
            bench.agent = agent.ask()
            async with bench.pool(), bench.running() as listener:
                assert bench.manager.joins[-1].net_offer == agent.said
                assert {*KERNEL_DRIVERS, "loopback", "host"} == set(listener.host.vnics)

    run(test())


def test_an_agent_that_does_not_answer_keeps_nobody_from_joining(
    bench: ListenerBench, run: Run, tmp_path: Path
) -> None:
    async def test() -> None:
        bench.agent = NetAgent(tmp_path / "none.sock")
        async with bench.pool(), bench.running():
            assert not bench.manager.joins[-1].HasField("net_offer")

    run(test())


async def last_usage(bench: ListenerBench) -> hosts_pb2.Usage:
    """What is told once the lease has been released."""
    bench.revoke()
    while not (told := await bench.manager.heard("usage")).last:
        pass
    found: hosts_pb2.Usage = told
    return found


def test_the_pool_hears_what_a_vnic_has_carried_to_its_end(
    bench: ListenerBench, vnic: FakeVnic, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            await granted(bench)
            vnic.traffic[EI] = Traffic(7, 5, 3, 2, 1)
            told = await last_usage(bench)
            assert traffic_of(told.vnic) == Traffic(7, 5, 3, 2, 1)

    run(test())


def test_a_restarted_listener_counts_on(bench: ListenerBench, vnic: FakeVnic, run: Run) -> None:
    async def test() -> None:
        async with bench.pool():
            async with bench.running() as listener:
                await granted(bench)
                vnic.traffic[EI] = Traffic(7)
                listener.host.meter.carried(EI, 5, Traffic(7))
                await bench.until(lambda: bool(listener.host.files.usage(EI)))
            vnic.traffic[EI] = Traffic(12)
            async with bench.running():
                assert (await last_usage(bench)).vnic.bytes_in == 12

    run(test())


def test_what_an_older_vnic_had_carried_is_not_the_lease_s(
    bench: ListenerBench, vnic: FakeVnic, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            vnic.traffic[EI] = Traffic(1000)
            await granted(bench)
            vnic.traffic[EI] = Traffic(1007)
            assert (await last_usage(bench)).vnic.bytes_in == 7

    run(test())


def test_counters_that_nobody_tells_hold_up_nothing(
    bench: ListenerBench, vnic: FakeVnic, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            await granted(bench)
            vnic.traffic[EI] = Traffic(7)
            for _ in range(2):
                vnic.fail_next("counters", make_error("NET_AGENT", "nobody answers"))
            assert not (await last_usage(bench)).HasField("vnic")
            await bench.manager.heard("released")
            assert not vnic.vnics

    run(test())
