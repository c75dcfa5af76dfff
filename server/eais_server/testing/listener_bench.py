"""A whole listener over real mTLS, for tests: only its workers are obedient fakes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import grpc.aio

from eais import channel, tls
from eais.credentials import client_credentials
from eais.errors import EaisError
from eais.files import DISK, DiskOps
from eais.identity import Identity
from eais.net.asking import NetAgent
from eais.notify import Notifier
from eais.rpc.client import acall
from eais.rpc.v1 import hosts_pb2, listener_pb2
from eais.rpc.verbs import LISTENER_OPEN, LISTENER_PUSH, Verb
from eais_server.devices.cpu import CpuDriver
from eais_server.devices.driver import DeviceDriver
from eais_server.isolation import probe_level
from eais_server.listener.config import ListenerConfig
from eais_server.listener.daemon import Listener
from eais_server.listener.inventory import Inventory
from eais_server.listener.surroundings import Surroundings
from eais_server.testing.listener import FakeManager, Obedience
from eais_server.vnic import VnicDriver

POOL = "pool-0a0b0c0d"


class Signatory(Protocol):
    """A pool's CA: what the bench needs of it."""

    def bundle(self, identity: Identity, now: datetime) -> tls.Bundle:
        """A new key with its leaf."""
        ...

    def issue(self, identity: Identity, request: bytes, now: datetime, life: timedelta) -> bytes:
        """The leaf, PEM, for a signing request."""
        ...


EI, ADDRESS = "ei-1", "127.64.9.16"


@dataclass
class Clock:
    """The monotonic clock, and what the test has it jump ahead."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return time.monotonic() + self.ahead_s


@dataclass
class ListenerBench:
    """A listener's directory, its pool, and what the test reaches it by."""

    root: Path
    authority: Signatory
    config: ListenerConfig = field(default_factory=ListenerConfig.for_test)
    clock: Clock = field(default_factory=Clock)
    today: datetime = field(default_factory=lambda: datetime.now(UTC))
    level: int = 2
    disk: DiskOps = DISK
    # Other than that of `bundle`: by their ends, those that were signed are told apart.
    leaf_life: timedelta = timedelta(minutes=61)
    # Of what is there beside four cores.
    drivers: dict[str, DeviceDriver] = field(default_factory=dict)
    agent: NetAgent | None = None
    vnics: dict[str, VnicDriver] = field(default_factory=dict)
    spawner: Obedience = field(init=False)
    manager: FakeManager = field(init=False)
    listener: Listener = field(init=False)

    @property
    def directory(self) -> Path:
        """The listener's own."""
        return self.root / "listener"

    def bundle(self, identity: Identity) -> tls.Bundle:
        """A key and leaf of the pool's."""
        return self.authority.bundle(identity, datetime.now(UTC))

    def sign(self, identity: Identity, csr_pem: bytes) -> bytes:
        """What the manager signs."""
        return self.authority.issue(identity, csr_pem, datetime.now(UTC), self.leaf_life)

    @asynccontextmanager
    async def pool(self) -> AsyncIterator[ListenerBench]:
        """The manager serves, and the listener has its identity."""
        identity = self.bundle(Identity.listener(POOL, "local"))
        tls.save_bundle(self.directory / "identity.pem", identity)
        self.manager = FakeManager(POOL, self.bundle(Identity.manager(POOL)), self.sign)
        await self.manager.start(self.root / "ready.json")
        try:
            yield self
        finally:
            await self.manager.stop()

    @asynccontextmanager
    async def running(self, *, joins: bool = True) -> AsyncIterator[Listener]:
        """A listener on that directory; it has joined when the block begins."""
        self.spawner = Obedience(self.directory / "workers", level=self.level)
        self.listener = Listener(self.world())
        stop = asyncio.Event()
        life = asyncio.create_task(self.listener.run(stop, Notifier()))
        try:
            if joins:
                await self.manager.heard("join")
            yield self.listener
        finally:
            stop.set()
            await life
            self.spawner.close()

    @asynccontextmanager
    async def granted(self, **grant: Any) -> AsyncIterator[Listener]:
        """A listener that holds a lease of `EI` for tenant acme in epoch 5."""
        async with self.pool(), self.running() as listener:
            self.grant(**grant)
            await self.manager.heard("granted")
            yield listener

    def world(self) -> Surroundings:
        """What the listener is made of."""
        return Surroundings(
            directory=self.directory,
            pool_file=self.root / "ready.json",
            address="127.0.0.1",
            config=self.config,
            inventory=Inventory({"cpu": CpuDriver(self.config.cpu_cores), **self.drivers}),
            spawner=self.spawner,
            isolation=probe_level(abi=6, seccomp=True),
            level=self.level,
            boot_id="boot",
            clock=self.clock,
            now=lambda: self.today,
            disk=self.disk,
            agent=self.agent,
            vnics=self.vnics,
        )

    def set(self, **settings: Any) -> None:
        """Change fields of the listener's settings, before it runs."""
        self.config = replace(self.config, **settings)

    def grant(self, instance: str = EI, epoch: int = 5, **changes: Any) -> None:
        """The manager grants a lease; `changes` are fields of Grant."""
        shares = [hosts_pb2.ShareGrant(n=1, device="cpu0", milli=1000)]
        values: dict[str, Any] = {
            "tenant": "acme",
            "shares": shares,
            "address": ADDRESS,
            "vnic_driver": "loopback",
            "run_timeout_s": 600,
            "tolerance": "exact",
        } | changes
        self.manager.command(grant=hosts_pb2.Grant(instance=instance, epoch=epoch, **values))

    def revoke(self, instance: str = EI, epoch: int = 5, grace_ms: int = 1000) -> None:
        """The manager takes a lease back."""
        revoke = hosts_pb2.Revoke(instance=instance, epoch=epoch, drain_grace_ms=grace_ms)
        self.manager.command(revoke=revoke)

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the loop turn until the condition holds."""
        while not condition():  # noqa: ASYNC110  (whatever it is, it has no event)
            await asyncio.sleep(0)

    @asynccontextmanager
    async def channel(
        self, who: Identity | None = None, *, management: bool = False
    ) -> AsyncIterator[grpc.aio.Channel]:
        """A connection to one of the planes, by default acme's to the user plane."""
        place = self.listener.planes.place
        port = place.management_port if management else place.user_port
        bundle = self.bundle(who or Identity.frontend(POOL, "acme", "box"))
        options = channel.client_options(f"local.listener.{POOL}.internal")
        line = grpc.aio.secure_channel(
            f"{place.address}:{port}", client_credentials(bundle), options=options
        )
        try:
            yield line
        finally:
            await line.close(None)

    async def call(
        self,
        verb: Verb[Any, Any],
        request: Any,
        who: Identity | None = None,
        *,
        management: bool = False,
    ) -> Any:
        """Call a unary verb, by default as acme's front-end and of the user plane."""
        async with self.channel(who, management=management) as line:
            return await acall(line, verb, request, timeout_s=20, unreachable="HOST_UNREACHABLE")

    async def open(
        self, model: bytes, *, epoch: int = 5, instance: str = EI
    ) -> listener_pb2.OpenReply:
        """What Open answers, before anything was pushed."""
        request = listener_pb2.OpenRequest(instance=instance, epoch=epoch, spec=spec(model))
        reply: listener_pb2.OpenReply = await self.call(LISTENER_OPEN, request)
        return reply

    async def opened(self, model: bytes, **where: Any) -> listener_pb2.OpenedSession:
        """Open, pushing what is missing."""
        reply = await self.open(model, **where)
        if reply.missing:
            await self.push(model)
            reply = await self.open(model, **where)
        return reply.session

    async def push(self, model: bytes, *, chunk: int = 4) -> listener_pb2.PushReply:
        """The whole file, in chunks of so many bytes."""
        parts = [model[at : at + chunk] for at in range(0, len(model), chunk)] or [b""]
        chunks = [
            listener_pb2.PushChunk(offset=at * chunk, data=part) for at, part in enumerate(parts)
        ]
        first = listener_pb2.PushChunk(
            instance=EI, epoch=5, sha256=sha256(model).digest(), size=len(model)
        )
        chunks[0].MergeFrom(first)
        async with self.channel() as line:
            stub = line.stream_unary(
                LISTENER_PUSH.path,
                listener_pb2.PushChunk.SerializeToString,
                listener_pb2.PushReply.FromString,
            )
            reply: listener_pb2.PushReply = await stub(iter(chunks))
            return reply


async def refusal(work: Awaitable[object]) -> EaisError:
    """The error that `work` ends with; AssertionError if it ends with none."""
    try:
        await work
    except EaisError as error:
        return error
    raise AssertionError("it was not refused")


def spec(model: bytes) -> listener_pb2.SessionSpec:
    """The spec of a model that is one file."""
    file = listener_pb2.ModelFile(sha256=sha256(model).digest(), size=len(model))
    return listener_pb2.SessionSpec(files=[file])
