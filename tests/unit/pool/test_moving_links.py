"""A host goes over to another link: it isn't lost, and neither is what it said before."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio as aio
import pytest

from eais.identity import Identity
from eais.rpc import verbs
from eais.rpc.client import acall, astream
from eais.rpc.hello import hello
from eais.rpc.v1 import hosts_pb2, pool_pb2
from eais_pool.testing import RunningManager, in_process_manager

HELLO = hosts_pb2.HostReport(hello=hello("test"))
MOVING = hosts_pb2.HostReport(moving=hosts_pb2.Moving())
GPU = hosts_pb2.Device(
    id="gpu0", kind="gpu", capacity_milli=1000, granularity_milli=125, share_limit_milli=1000
)
JOIN = hosts_pb2.HostReport(join=hosts_pb2.Join(devices=[GPU]))


class Line:
    """One link of host h2, as a listener has it."""

    def __init__(self, channel: aio.Channel) -> None:
        self._reports: asyncio.Queue[hosts_pb2.HostReport | None] = asyncio.Queue()
        self._call = astream(channel, verbs.HOSTS_LINK, self._sent())
        self.commands: AsyncIterator[hosts_pb2.HostCommand] = aiter(self._call)

    async def _sent(self) -> AsyncIterator[hosts_pb2.HostReport]:
        while (report := await self._reports.get()) is not None:
            yield report

    def say(self, *reports: hosts_pb2.HostReport) -> None:
        for report in reports:
            self._reports.put_nowait(report)

    async def greeted(self) -> None:
        self.say(HELLO)
        assert (await anext(self.commands)).WhichOneof("kind") == "hello"

    async def granted(self) -> hosts_pb2.Grant:
        return (await anext(self.commands)).grant

    async def leave(self) -> None:
        """Say all, and hear the manager end it."""
        self.say(MOVING)
        self._reports.put_nowait(None)
        with pytest.raises(StopAsyncIteration):
            await anext(self.commands)

    def close(self) -> None:
        self._call.cancel()
        self._reports.put_nowait(None)


@contextlib.asynccontextmanager
async def lines(running: RunningManager) -> AsyncIterator[tuple[Line, Line]]:
    """Two lines of one host on two channels; the first has joined, the second is greeted."""
    bundle = running.bundle(Identity.listener(running.pool, "h2"))
    async with (
        running.channel("management", bundle) as one,
        running.channel("management", bundle) as two,
    ):
        pair = Line(one), Line(two)
        try:
            await pair[0].greeted()
            pair[0].say(JOIN)
            await until(lambda: reachable(running))
            await pair[1].greeted()
            yield pair
        finally:
            for line in pair:
                line.close()


async def until(condition: Any) -> None:
    while not condition():  # noqa: ASYNC110 - nothing says when
        await asyncio.sleep(0)


def reachable(running: RunningManager) -> bool:
    host = running.manager.pump.state.hosts.get("h2")
    return host is not None and host.reachable


def attach(running: RunningManager, channel: aio.Channel) -> asyncio.Task[pool_pb2.InstanceReply]:
    request = pool_pb2.AttachRequest(op_id=str(uuid.uuid4()), type="gpu.1")
    return asyncio.create_task(
        acall(channel, verbs.POOL_ATTACH, request, timeout_s=20, unreachable="POOL_UNREACHABLE")
    )


def accepted(grant: hosts_pb2.Grant) -> hosts_pb2.Granted:
    worker = pool_pb2.WorkerEndpoint(n=1, device="gpu0", share_milli=1000, serving=True)
    worker.endpoint.address, worker.endpoint.port = grant.address, 4000
    return hosts_pb2.Granted(
        instance=grant.instance,
        epoch=grant.epoch,
        tenant=grant.tenant,
        workers=[worker],
        address=grant.address,
    )


def on_lines(directory: Path, test: Any) -> None:
    async def run() -> None:
        async with (
            asyncio.timeout(60),
            in_process_manager(directory) as running,
            running.channel("user", running.frontend()) as owner,
            lines(running) as pair,
        ):
            await test(running, owner, *pair)

    asyncio.run(run())


def test_what_was_said_before_the_move_counts_and_the_host_is_not_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(running: RunningManager, owner: aio.Channel, one: Line, two: Line) -> None:
        attaching = attach(running, owner)
        grant = await one.granted()
        one.say(hosts_pb2.HostReport(granted=accepted(grant)))
        await one.leave()
        made = (await attaching).instance
        assert reachable(running)
        held = hosts_pb2.Join(devices=[GPU], leases=[accepted(grant)])
        two.say(hosts_pb2.HostReport(join=held))
        await until(lambda: caplog.text.count("host h2 joined") == 2)
        assert reachable(running)
        assert pool_pb2.InstanceState.Name(made.state) == "IN_USE"
        (lease,) = running.manager.pump.state.leases_on("h2")
        assert (lease.instance, lease.epoch) == (made.id, made.epoch)

    with caplog.at_level("INFO"):
        on_lines(tmp_path, test)
    assert "is lost" not in caplog.text


def test_what_is_decided_between_the_lines_is_sent_on_the_next(tmp_path: Path) -> None:
    async def test(running: RunningManager, owner: aio.Channel, one: Line, two: Line) -> None:
        await one.leave()
        attaching = attach(running, owner)
        await until(lambda: running.manager.pump.state.leases_on("h2"))
        two.say(JOIN)
        grant = await two.granted()
        two.say(hosts_pb2.HostReport(granted=accepted(grant)))
        assert pool_pb2.InstanceState.Name((await attaching).instance.state) == "IN_USE"

    on_lines(tmp_path, test)


@pytest.mark.slow
def test_a_host_that_moves_nowhere_is_lost(tmp_path: Path) -> None:
    async def test(running: RunningManager, owner: aio.Channel, one: Line, two: Line) -> None:
        await one.leave()
        assert reachable(running)
        await until(lambda: not reachable(running))

    on_lines(tmp_path, test)
