"""kill -9 of the manager at each step of attach and detach.

A real manager process dies at each point of `eais_pool.failpoints` in turn and is
started again, while a real listener lives on. Retried verbs get the stored answer,
and there is one instance with one lease, or none: in the pool and on the listener.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio as aio
import pytest

from eais import tls
from eais.channel import client_options
from eais.credentials import client_credentials
from eais.errors import Unavailable
from eais.rpc import verbs
from eais.rpc.client import acall
from eais.rpc.v1 import hosts_pb2, pool_pb2
from eais.rpc.verbs import Verb
from eais_pool.failpoints import ATTACH_POINTS, DETACH_POINTS, points
from eais_pool.testing.wire import dial

LIMIT_S = 120
WAIT_POINTS = points("attach")
GRANT_POINTS = points("released")
REJOIN_POINTS = ("manager_started.committed", *points("host_joined"))


@dataclass
class Pool:
    """A manager's process, a listener's, and the owner who calls."""

    root: Path
    manager: subprocess.Popen[bytes] | None = None

    @property
    def state_dir(self) -> Path:
        return self.root / "pool"

    @property
    def ready_file(self) -> Path:
        return self.state_dir / "ready.json"

    @property
    def points(self) -> Path:
        return self.root / "point"

    def run(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        environ = {name: text for name, text in os.environ.items() if not name.startswith("EAIS_")}
        with (self.root / f"{module}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environ, "EAIS_CPU_CORES": "4"},
            )

    def start(self) -> None:
        places = ["--state-dir", str(self.state_dir), "--owner-dir", str(self.root / "owner")]
        failpoints = ["--test-failpoints", str(self.points)]
        self.manager = self.run("eais_pool.manager", *places, *failpoints)

    def start_listener(self) -> subprocess.Popen[bytes]:
        places = ["--state-dir", str(self.state_dir / "listener")]
        return self.run("eais_server.listener", *places, "--pool-file", str(self.ready_file))

    def die_at(self, point: str) -> None:
        self.points.write_text(point)

    async def died(self) -> None:
        """The manager has killed itself; start it again, and let it live."""
        assert self.manager is not None
        assert await asyncio.to_thread(self.manager.wait, LIMIT_S) == -signal.SIGKILL
        self.die_at("")
        self.start()

    async def ask(self, verb: Verb[Any, Any], request: Any, plane: str = "user") -> Any:
        """Call as the owner; Unavailable POOL_UNREACHABLE when the manager dies of it."""
        bundle = self.owner("frontend.pem" if plane == "user" else "operator.pem")
        async with dial(self.ready_file, plane, bundle) as channel:
            return await acall(
                channel, verb, request, timeout_s=LIMIT_S, unreachable="POOL_UNREACHABLE"
            )

    def owner(self, name: str) -> tls.Bundle:
        return tls.load_bundle(self.root / "owner" / name)

    async def held(self) -> list[tuple[str, int]]:
        """What the listener has on its disk: (instance, epoch)."""
        _seal, place_text = (self.state_dir / "listener/place.json").read_text().split("\n", 1)
        place = json.loads(place_text)
        pool = json.loads(self.ready_file.read_text())["pool"]
        options = client_options(f"local.listener.{pool}.internal")
        credentials = client_credentials(self.owner("operator.pem"))
        target = f"{place['address']}:{place['management_port']}"
        async with aio.secure_channel(target, credentials, options) as channel:
            status = await acall(
                channel,
                verbs.LISTENER_ADMIN_STATUS,
                hosts_pb2.ListenerStatusRequest(),
                timeout_s=LIMIT_S,
                unreachable="HOST_UNREACHABLE",
            )
        return [(lease.instance, lease.epoch) for lease in status.leases]

    async def retry(self, verb: Verb[Any, Any], request: Any, plane: str = "user") -> Any:
        """The answer, however often it takes: as the client library does."""
        while True:
            try:
                return await self.ask(verb, request, plane)
            except Unavailable:
                await asyncio.sleep(0.02)

    async def dies_of(self, verb: Verb[Any, Any], request: Any) -> None:
        with pytest.raises(Unavailable) as error:
            await self.ask(verb, request)
        assert error.value.reason == "POOL_UNREACHABLE"
        await self.died()

    async def instances(self) -> list[pool_pb2.Instance]:
        reply = await self.retry(verbs.POOL_LIST, pool_pb2.ListRequest())
        return list(reply.instances)

    async def shares(self) -> list[tuple[str, str]]:
        request = hosts_pb2.PoolStatusRequest()
        status = await self.retry(verbs.POOL_ADMIN_STATUS, request, "management")
        return [(use.instance, use.state) for device in status.devices for use in device.shares]

    async def settled(self) -> None:
        """The host is back and nothing of it is LOST or on its way."""
        while any(state != "GRANTED" for _, state in await self.shares()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running(root: Path, within_s: float = LIMIT_S) -> AsyncIterator[Pool]:
    """A pool in `root`, for so long at most."""
    pool = Pool(root)
    pool.die_at("")
    pool.start()
    listener = pool.start_listener()
    try:
        async with asyncio.timeout(within_s):
            while not pool.ready_file.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.02)
            yield pool
    finally:
        assert pool.manager is not None
        for process in (listener, pool.manager):
            process.terminate()
            await asyncio.to_thread(process.wait, LIMIT_S)


def attach(wait_ms: int = 0) -> pool_pb2.AttachRequest:
    return pool_pb2.AttachRequest(op_id=str(uuid.uuid4()), type="cpu.4", wait_ms=wait_ms)


def detach(instance: pool_pb2.Instance) -> pool_pb2.InstanceRequest:
    return pool_pb2.InstanceRequest(op_id=str(uuid.uuid4()), instance=instance.id)


async def attached_once(pool: Pool, request: pool_pb2.AttachRequest) -> pool_pb2.Instance:
    """The attach's answer, and that there is exactly what it says."""
    made: pool_pb2.Instance = (await pool.retry(verbs.POOL_ATTACH, request)).instance
    assert made.state == pool_pb2.IN_USE
    assert made.epoch == 1
    assert (await pool.retry(verbs.POOL_ATTACH, request)).instance == made
    assert [each.id for each in await pool.instances()] == [made.id]
    await pool.settled()
    assert await pool.shares() == [(made.id, "GRANTED")]
    assert await pool.held() == [(made.id, 1)]
    return made


async def detached(pool: Pool, request: pool_pb2.InstanceRequest) -> None:
    """The detach's answer, and that nothing is left."""
    gone = (await pool.retry(verbs.POOL_DETACH, request)).instance
    assert (gone.id, gone.state) == (request.instance, pool_pb2.DELETED)
    assert (await pool.retry(verbs.POOL_DETACH, request)).instance == gone
    assert await pool.instances() == []
    await pool.settled()
    assert await pool.shares() == []
    assert await pool.held() == []


async def joined(pool: Pool) -> None:
    """The device is there: cpu.4 takes all of it, so nothing can be placed twice."""
    request = hosts_pb2.PoolStatusRequest()
    while True:
        status = await pool.retry(verbs.POOL_ADMIN_STATUS, request, "management")
        if any(host.reachable for host in status.hosts):
            return
        await asyncio.sleep(0.02)


def test_attach_survives_a_death_at_each_of_its_steps(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as pool:
            for point in ATTACH_POINTS:
                await joined(pool)
                request = attach()
                pool.die_at(point)
                await pool.dies_of(verbs.POOL_ATTACH, request)
                made = await attached_once(pool, request)
                await detached(pool, detach(made))

    asyncio.run(run())


def test_detach_survives_a_death_at_each_of_its_steps(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as pool:
            for point in DETACH_POINTS:
                await joined(pool)
                made = await attached_once(pool, attach())
                request = detach(made)
                pool.die_at(point)
                await pool.dies_of(verbs.POOL_DETACH, request)
                await detached(pool, request)

    asyncio.run(run())


async def in_line(pool: Pool, request: pool_pb2.AttachRequest) -> pool_pb2.Instance:
    """The one that waits, which is alone in line."""
    waits: pool_pb2.Instance = (await pool.retry(verbs.POOL_ATTACH, request)).instance
    assert (waits.state, waits.line.position, waits.line.length) == (pool_pb2.BOUND, 1, 1)
    assert waits.id in [each.id for each in await pool.instances()]
    return waits


def test_what_waits_in_line_survives_a_death_at_each_step_of_its_beginning(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as pool:
            await joined(pool)
            held = await attached_once(pool, attach())
            for point in WAIT_POINTS:
                request = attach(wait_ms=600_000)
                pool.die_at(point)
                await pool.dies_of(verbs.POOL_ATTACH, request)
                waits = await in_line(pool, request)
                await pool.retry(verbs.POOL_STOP, detach(waits))
                assert [each.id for each in await pool.instances()] == [held.id]

    asyncio.run(run())


def test_what_waits_in_line_gets_its_grant_though_the_manager_dies_when_there_is_room(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with running(tmp_path) as pool:
            await joined(pool)
            held = await attached_once(pool, attach())
            for point in GRANT_POINTS:
                request = attach(wait_ms=600_000)
                waits = await in_line(pool, request)
                pool.die_at(point)
                await pool.dies_of(verbs.POOL_DETACH, detach(held))
                while (held := (await pool.retry(verbs.POOL_ATTACH, request)).instance).HasField(
                    "line"
                ):
                    pass
                assert (held.id, held.state, held.epoch) == (waits.id, pool_pb2.IN_USE, 1)
                await pool.settled()
                assert await pool.shares() == [(held.id, "GRANTED")]
                assert await pool.held() == [(held.id, 1)]

    asyncio.run(run())


def test_a_death_while_it_restarts_or_after_it_answered_changes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as pool:
            await joined(pool)
            request = attach()
            made = await attached_once(pool, request)
            assert pool.manager is not None
            for point in REJOIN_POINTS:
                pool.die_at(point)
                pool.manager.kill()
                await asyncio.to_thread(pool.manager.wait, LIMIT_S)
                pool.start()
                await pool.died()
                assert await attached_once(pool, request) == made

    asyncio.run(run())
