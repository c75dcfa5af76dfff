"""What front-ends and listeners are told of the kernel's vNICs, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc.aio as aio
import pytest

from eais.errors import EaisError, UsageError
from eais.identity import Identity
from eais.net.plan import KERNEL_DRIVERS, VXLAN, NetPlan, Side
from eais.net.signing import read_plan
from eais.rpc import verbs
from eais.rpc.client import acall, astream
from eais.rpc.hello import hello
from eais.rpc.v1 import hosts_pb2, net_pb2, pool_pb2
from eais_pool.brain.net_records import NetAbility, NetOffer
from eais_pool.net_offers import offer_of
from eais_pool.testing import FakeHost, RunningManager, device, in_process_manager, joined_host
from eais_pool.testing.wire import WireHost, offer_message

ALL = tuple(map(NetAbility, KERNEL_DRIVERS))
FRONT = NetOffer("agent-f", ALL, "10.0.0.1", "aa" * 32, 11, 1500)
BACK = NetOffer("agent-b", ALL, "10.0.0.2", "bb" * 32, 12, 1500)
OTHER = NetOffer("agent-c", ALL, "10.0.0.3", "cc" * 32, 13, 1500)
TIMEOUT_S = 20.0

Test = Callable[[RunningManager, WireHost], Awaitable[None]]


def on_manager(directory: Path, test: Test) -> None:
    async def run() -> None:
        async with (
            asyncio.timeout(60),
            in_process_manager(directory) as running,
            joined_host(running, FakeHost(net=BACK)) as host,
        ):
            await test(running, host)

    asyncio.run(run())


@contextlib.asynccontextmanager
async def channel(running: RunningManager, name: str = "owner") -> AsyncIterator[aio.Channel]:
    async with running.channel("user", running.frontend("default", name)) as made:
        yield made


async def attached(channel: aio.Channel, vnic: str = "", op_id: str = "") -> pool_pb2.Instance:
    request = pool_pb2.AttachRequest(
        op_id=op_id or str(uuid.uuid4()),
        type="cpu.1",
        vnic=vnic,
        net_offer=offer_message(FRONT),
    )
    reply: pool_pb2.InstanceReply = await ask(channel, verbs.POOL_ATTACH, request)
    return reply.instance


async def ask(channel: aio.Channel, verb: Any, request: Any) -> Any:
    return await acall(channel, verb, request, timeout_s=TIMEOUT_S, unreachable="POOL_UNREACHABLE")


def plan_of(running: RunningManager, signed: net_pb2.SignedNetPlan, agent: str) -> NetPlan:
    return read_plan(signed, agent, running.authority.ca_pem, datetime.now(UTC))


def test_both_ends_are_told_their_plans(tmp_path: Path) -> None:
    async def test(running: RunningManager, host: WireHost) -> None:
        async with channel(running) as own:
            found = await attached(own)
        (granted,) = host.net_plans
        back = plan_of(running, granted, BACK.agent)
        front = plan_of(running, found.vnic.plan, FRONT.agent)
        assert (back.key.side, front.key.side) == (Side.BACKEND, Side.FRONTEND)
        assert (back.address, back.peer) == (front.peer, front.address)
        assert back.owner == Identity.listener(running.pool, "h1").uri
        assert front.owner == Identity.frontend(running.pool, "default", "owner").uri
        said = found.vnic
        assert (said.driver, said.address, said.peer) == (VXLAN, back.address, front.address)
        assert "tunnel isn't encrypted" in said.isolation
        assert said.why == "vxlan: both ends are between two hosts, and their agents can"
        assert (found.listener.address, found.listener.port) == (back.address, 4001)
        assert found.listener.server_name == f"h1.listener.{running.pool}.internal"

    on_manager(tmp_path, test)


def test_only_who_has_it_is_told_the_front_end_s_plan(tmp_path: Path) -> None:
    async def test(running: RunningManager, host: WireHost) -> None:
        op_id = str(uuid.uuid4())
        async with channel(running) as own, channel(running, "colleague") as other:
            found = await attached(own, op_id=op_id)
            asked = pool_pb2.DescribeRequest(instance=found.id)
            seen = (await ask(other, verbs.POOL_DESCRIBE, asked)).instance.vnic
            assert seen.address == found.vnic.address
            assert not seen.HasField("plan")
            (listed,) = (await ask(other, verbs.POOL_LIST, pool_pb2.ListRequest())).instances
            assert not listed.vnic.HasField("plan")
            (listed,) = (await ask(own, verbs.POOL_LIST, pool_pb2.ListRequest())).instances
            again = await attached(own, op_id=op_id)
            seen = (await ask(own, verbs.POOL_DESCRIBE, asked)).instance.vnic
            for vnic in (listed.vnic, again.vnic, seen):
                assert vnic.plan.plan == found.vnic.plan.plan
            named = pool_pb2.InstanceRequest(op_id=str(uuid.uuid4()), instance=found.id)
            gone = (await ask(own, verbs.POOL_DETACH, named)).instance
            assert not gone.HasField("vnic")

    on_manager(tmp_path, test)


def test_the_watch_has_it_too_and_that_of_where_the_instance_goes(tmp_path: Path) -> None:
    async def test(running: RunningManager, host: WireHost) -> None:
        async with channel(running) as own:
            found = await attached(own)
            watch = aiter(astream(own, verbs.POOL_WATCH, _greeted()))
            assert (await anext(watch)).HasField("hello")
            told = (await anext(watch)).instance
            assert told.vnic.plan.plan == found.vnic.plan.plan
            elsewhere = FakeHost("h2", [device()], net=OTHER)
            async with joined_host(running, elsewhere) as second:
                await _drained(running)
                moved = await _until(watch, lambda each: each.host == "h2")
                front = plan_of(running, moved.vnic.plan, FRONT.agent)
                (granted,) = second.net_plans
                back = plan_of(running, granted, OTHER.agent)
                assert (front.peer, front.key.host) == (back.address, "h2")
                assert moved.listener.address == back.address
                assert front.address != told.vnic.peer

    on_manager(tmp_path, test)


async def _greeted() -> AsyncIterator[pool_pb2.WatchUp]:
    yield pool_pb2.WatchUp(hello=hello("test"))
    await asyncio.Event().wait()


async def _drained(running: RunningManager) -> None:
    operator = running.bundle(Identity.operator(running.pool, "op"))
    async with running.channel("management", operator) as made:
        request = hosts_pb2.DrainRequest(op_id=str(uuid.uuid4()), host="h1")
        await ask(made, verbs.POOL_ADMIN_DRAIN, request)


async def _until(
    watch: AsyncIterator[pool_pb2.WatchDown], right: Callable[[pool_pb2.Instance], bool]
) -> pool_pb2.Instance:
    async for news in watch:
        if news.HasField("instance") and right(news.instance):
            return news.instance
    raise AssertionError("the watch ended")


def test_what_cannot_be_had_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    async def test(running: RunningManager, host: WireHost) -> None:
        async with channel(running) as own:
            with pytest.raises(UsageError) as error:
                await attached(own, "tun")
            assert error.value.reason == "ARGUMENT"
            with pytest.raises(EaisError, match="different hosts") as refused:
                await attached(own, "veth")
            assert refused.value.reason == "NET_DRIVER"
            assert not (await ask(own, verbs.POOL_LIST, pool_pb2.ListRequest())).instances

    on_manager(tmp_path, test)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"agent": "A b"}, "agent"),
        ({"agent": ""}, "agent"),
        ({"wireguard_public_key": b"short"}, "key of 5 bytes"),
        ({"underlay": "host.example"}, "tunnels at"),
        ({"underlay": "127.0.0.1"}, "tunnels at 127.0.0.1"),
        ({"underlay": "0.0.0.0"}, "tunnels at"),
    ],
)
def test_what_no_agent_can_offer_is_refused(wrong: dict[str, Any], words: str) -> None:
    message = offer_message(FRONT)
    for field, value in wrong.items():
        setattr(message, field, value)
    with pytest.raises(UsageError, match=words) as error:
        offer_of(message)
    assert error.value.reason == "ARGUMENT"


def test_an_offer_is_read_as_it_was() -> None:
    assert offer_of(offer_message(FRONT)) == FRONT
    missing = (NetAbility("veth", "not the superuser"), *ALL[1:])
    without = replace(FRONT, abilities=missing, underlay="", key="")
    message = offer_message(without)
    message.drivers.append(net_pb2.NetDriver(name="carrier-pigeon"))
    assert offer_of(message) == without
