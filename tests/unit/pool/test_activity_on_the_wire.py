"""What instances do, as a listener and a front-end tell a real manager, and as it is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import grpc.aio as aio

from eais.identity import Identity
from eais.rpc import verbs
from eais.rpc.client import acall, astream
from eais.rpc.hello import hello
from eais.rpc.v1 import hosts_pb2, pool_pb2
from eais_pool.testing import FakeHost, RunningManager, WireHost, in_process_manager, joined_host

REFUSED = "POOL_UNREACHABLE"


class Owner:
    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel

    async def attached(self) -> pool_pb2.Instance:
        request = pool_pb2.AttachRequest(op_id=str(uuid4()), type="cpu.1")
        reply = await acall(
            self.channel, verbs.POOL_ATTACH, request, timeout_s=20, unreachable=REFUSED
        )
        assert not reply.instance.HasField("activity")
        return reply.instance

    async def shown(self, instance: str) -> pool_pb2.Instance:
        request = pool_pb2.DescribeRequest(instance=instance)
        reply = await acall(
            self.channel, verbs.POOL_DESCRIBE, request, timeout_s=20, unreachable=REFUSED
        )
        return reply.instance

    async def until(
        self, instance: str, holds: Callable[[pool_pb2.Activity], bool]
    ) -> pool_pb2.Activity:
        """The instance's activity, as soon as that holds of it."""
        async with asyncio.timeout(20):
            while True:
                found = (await self.shown(instance)).activity
                if holds(found):
                    return found
                await asyncio.sleep(0.01)


Test = Callable[[RunningManager, WireHost, Owner], Awaitable[None]]


def live(directory: Path, test: Test) -> None:
    async def run() -> None:
        async with (
            asyncio.timeout(60),
            in_process_manager(directory) as running,
            joined_host(running, FakeHost()) as host,
            running.channel("user", running.frontend()) as channel,
        ):
            await test(running, host, Owner(channel))

    asyncio.run(run())


def usage(instance: str, epoch: int, calls: int) -> hosts_pb2.HostReport:
    counts = [0, 0, 0, 0, calls]  # of up to 0.2 ms
    return hosts_pb2.HostReport(
        usage=hosts_pb2.Usage(
            instance=instance, epoch=epoch, requests=calls, busy_ns=calls, latency_counts=counts
        )
    )


def test_usage_of_a_lease_becomes_its_instances_activity_for_owner_and_operator(
    tmp_path: Path,
) -> None:
    async def test(running: RunningManager, host: WireHost, owner: Owner) -> None:
        made = await owner.attached()
        host.say(usage(made.id, made.epoch, 0))
        host.say(usage("ei-1", 1, 5000))  # of nobody's lease
        host.say(usage(made.id, made.epoch + 1, 5000))  # of a lease that isn't
        host.say(usage(made.id, made.epoch, 500))
        found = await owner.until(made.id, lambda activity: activity.calls_per_s > 0)
        assert found.calls_per_s <= 500
        assert 0.16 < found.p50_ms <= found.p99_ms <= 0.2
        listed = await acall(
            owner.channel,
            verbs.POOL_LIST,
            pool_pb2.ListRequest(),
            timeout_s=20,
            unreachable=REFUSED,
        )
        assert [each.HasField("activity") for each in listed.instances] == [True]
        operator = running.bundle(Identity.operator(running.pool, "root"))
        async with running.channel("management", operator) as channel:
            everybodys = await acall(
                channel,
                verbs.POOL_ADMIN_LIST_INSTANCES,
                pool_pb2.ListRequest(),
                timeout_s=20,
                unreachable=REFUSED,
            )
        assert [each.activity.p99_ms > 0 for each in everybodys.instances] == [True]

    live(tmp_path, test)


async def said(loads: asyncio.Queue[pool_pb2.FrontEndLoad]) -> AsyncIterator[pool_pb2.WatchUp]:
    yield pool_pb2.WatchUp(hello=hello("test"))
    while True:
        yield pool_pb2.WatchUp(load=await loads.get())


def test_what_a_front_end_says_of_itself_is_shown_and_wakes_no_watcher(tmp_path: Path) -> None:
    async def test(running: RunningManager, host: WireHost, owner: Owner) -> None:
        made = await owner.attached()
        loads: asyncio.Queue[pool_pb2.FrontEndLoad] = asyncio.Queue()
        watching = astream(owner.channel, verbs.POOL_WATCH, said(loads))
        replies = aiter(watching)
        assert (await anext(replies)).HasField("hello")
        assert (await anext(replies)).instance == made
        loads.put_nowait(pool_pb2.FrontEndLoad(instance=made.id, waiting_calls=4, cpu_load=0.5))
        found = await owner.until(made.id, lambda activity: activity.waiting_calls == 4)
        assert found.frontend_cpu == 0.5
        loads.put_nowait(pool_pb2.FrontEndLoad(instance=made.id, cpu_load=float("nan")))
        found = await owner.until(made.id, lambda activity: activity.waiting_calls == 0)
        assert found.frontend_cpu == 0
        host.say(usage(made.id, made.epoch, 0))
        host.say(usage(made.id, made.epoch, 500))
        await owner.until(made.id, lambda activity: activity.calls_per_s > 0)
        stop = pool_pb2.InstanceRequest(op_id=str(uuid4()), instance=made.id)
        await acall(owner.channel, verbs.POOL_STOP, stop, timeout_s=20, unreachable=REFUSED)
        # Nothing before that was news.
        assert (await anext(replies)).instance.state != pool_pb2.IN_USE
        watching.cancel()

    live(tmp_path, test)


def test_nobody_speaks_for_another_front_ends_instance(tmp_path: Path) -> None:
    async def test(running: RunningManager, host: WireHost, owner: Owner) -> None:
        made = await owner.attached()
        async with running.channel("user", running.frontend("other")) as channel:
            other = Owner(channel)
            own = await other.attached()
            loads: asyncio.Queue[pool_pb2.FrontEndLoad] = asyncio.Queue()
            watching = astream(channel, verbs.POOL_WATCH, said(loads))
            assert (await anext(aiter(watching))).HasField("hello")
            loads.put_nowait(pool_pb2.FrontEndLoad(instance=made.id, waiting_calls=9))
            loads.put_nowait(pool_pb2.FrontEndLoad(instance=own.id, waiting_calls=3))
            await other.until(own.id, lambda activity: activity.waiting_calls == 3)
            assert not (await owner.shown(made.id)).HasField("activity")
            watching.cancel()

    live(tmp_path, test)
