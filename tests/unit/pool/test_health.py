"""grpc.health.v1 on the manager's sockets, as a stock client asks for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio as aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from eais.channel import client_options
from eais.identity import Identity
from eais_pool.testing import RunningManager, in_process_manager

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def live(directory: Path, test: Callable[[RunningManager], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), in_process_manager(directory) as running:
            await test(running)

    asyncio.run(run())


async def check(channel: aio.Channel, service: str = "") -> Any:
    """The status, or the code that the server refused with."""
    stub = health_pb2_grpc.HealthStub(channel)
    try:
        return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status
    except aio.AioRpcError as error:
        return error.code()


PLANES = [
    ("user", "frontend", "eais.rpc.v1.Pool"),
    ("management", "operator", "eais.rpc.v1.PoolAdmin"),
    ("management", "listener", "eais.rpc.v1.Hosts"),
]


def bundle(running: RunningManager, role: str) -> Any:
    pool = running.pool
    made = {
        "frontend": Identity.frontend(pool, "acme", "box"),
        "operator": Identity.operator(pool, "root"),
        "listener": Identity.listener(pool, "h9"),
    }
    return running.bundle(made[role])


@pytest.mark.parametrize(("plane", "role", "service"), PLANES)
def test_whoever_may_reach_a_plane_may_ask_for_its_health(
    tmp_path: Path, plane: str, role: str, service: str
) -> None:
    async def test(running: RunningManager) -> None:
        async with running.channel(plane, bundle(running, role)) as channel:
            assert await check(channel) == SERVING
            assert await check(channel, service) == SERVING
            assert await check(channel, "eais.rpc.v1.Worker") is grpc.StatusCode.NOT_FOUND
            running.manager.readiness.require(lambda: "a reason")
            assert await check(channel) == NOT_SERVING

    live(tmp_path, test)


@pytest.mark.parametrize(("plane", "role"), [("user", "operator"), ("management", "frontend")])
def test_who_may_not_reach_a_plane_hears_nothing_of_its_health(
    tmp_path: Path, plane: str, role: str
) -> None:
    async def test(running: RunningManager) -> None:
        async with running.channel(plane, bundle(running, role)) as channel:
            assert await check(channel) is grpc.StatusCode.PERMISSION_DENIED

    live(tmp_path, test)


def test_a_watch_tells_each_change_and_an_unknown_service_as_one(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        faults: list[str] = []
        running.manager.readiness.require(lambda: "".join(faults))
        async with running.channel("user", bundle(running, "frontend")) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            watching = aiter(stub.Watch(health_pb2.HealthCheckRequest()))
            assert (await anext(watching)).status == SERVING
            faults.append("the journal can't be written")
            assert (await anext(watching)).status == NOT_SERVING
            faults.clear()
            assert (await anext(watching)).status == SERVING
            unknown = aiter(stub.Watch(health_pb2.HealthCheckRequest(service="x")))
            assert (await anext(unknown)).status == SERVICE_UNKNOWN

    live(tmp_path, test)


def test_a_manager_whose_journal_cannot_be_written_is_not_ready(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        assert running.manager.readiness.why_not() == []
        running.manager.pump.fault = "the journal can't be written: the disk is full"
        assert running.manager.readiness.why_not() == [running.manager.pump.fault]

    live(tmp_path, test)


def test_strangers_may_ask_on_the_enrolment_plane(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        async with _stranger(running) as channel:
            assert await check(channel) == SERVING
            assert await check(channel, "eais.rpc.v1.Enrolment") == SERVING
            assert await check(channel, "eais.rpc.v1.Pool") is grpc.StatusCode.NOT_FOUND
            stub = health_pb2_grpc.HealthStub(channel)
            with pytest.raises(aio.AioRpcError) as refused:
                await anext(aiter(stub.Watch(health_pb2.HealthCheckRequest())))
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED

    live(tmp_path, test)


def _stranger(running: RunningManager) -> aio.Channel:
    """Somebody with the pool's CA and no identity."""
    endpoint = json.loads(running.ready_file.read_text())["enrolment"]
    credentials = grpc.ssl_channel_credentials(running.authority.ca_pem)
    target = f"{endpoint['address']}:{endpoint['port']}"
    return aio.secure_channel(target, credentials, client_options(endpoint["server_name"]))
