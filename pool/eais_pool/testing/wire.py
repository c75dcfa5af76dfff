"""The wire for real: a stand-in listener on it, and a whole manager in the test's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc.aio as aio

from eais import tls
from eais.channel import client_options
from eais.credentials import client_credentials
from eais.errors import EaisError
from eais.identity import Identity
from eais.rpc import verbs
from eais.rpc.client import acall, astream
from eais.rpc.hello import hello
from eais.rpc.v1 import common_pb2, hosts_pb2, net_pb2, pool_pb2
from eais_pool.authority import Authority
from eais_pool.brain.actions import Grant, Revoke
from eais_pool.brain.events import (
    Event,
    GrantAccepted,
    GrantFailed,
    Released,
    ShareFailed,
    SharesGone,
)
from eais_pool.brain.host_records import Endpoint
from eais_pool.brain.net_records import NetOffer
from eais_pool.brain.records import HeldLease, SharePick
from eais_pool.config import ManagerConfig
from eais_pool.serving import READY_FILE, Manager
from eais_pool.testing.brains import FakeHost
from eais_pool.wire import device_message, policy_of
from eais_pool.world import World


def dial(ready_file: Path, plane: str, bundle: tls.Bundle) -> aio.Channel:
    """A channel to the "user" or "management" plane of the manager that wrote `ready_file`."""
    endpoint = json.loads(ready_file.read_text())[plane]
    target = f"{endpoint['address']}:{endpoint['port']}"
    options = client_options(endpoint["server_name"])
    return aio.secure_channel(target, client_credentials(bundle), options)


class WireHost:
    """A `FakeHost` behind a real link: it dials, joins, obeys, and dials again.

    Attributes:
        net_plans: of the grants that had one.

    Args:
        host: what it has and holds; its name is that of the identity.
        ready_file: where the manager says how it is reached.
        identity_file: the listener's bundle.
    """

    def __init__(self, host: FakeHost, ready_file: Path, identity_file: Path) -> None:
        self.host = host
        self.joined = asyncio.Event()
        self.net_plans: list[net_pb2.SignedNetPlan] = []
        self._ready_file = ready_file
        self._identity_file = identity_file
        self._reports: asyncio.Queue[hosts_pb2.HostReport] = asyncio.Queue()

    def say(self, report: hosts_pb2.HostReport) -> None:
        """Report something of the test's on the present link."""
        self._reports.put_nowait(report)

    async def run(self, pause: Callable[[], Awaitable[None]]) -> None:
        """Serve until cancelled; `await pause()` comes between two attempts."""
        while True:
            with contextlib.suppress(EaisError, OSError, ValueError, aio.AioRpcError):
                await self._serve()
            self.joined.clear()
            await pause()

    async def _serve(self) -> None:
        bundle = tls.load_bundle(self._identity_file)
        async with dial(self._ready_file, "management", bundle) as channel:
            reports = self._reports = asyncio.Queue()
            reports.put_nowait(hosts_pb2.HostReport(hello=hello("fake-listener")))
            reports.put_nowait(hosts_pb2.HostReport(join=self._join()))
            call = astream(channel, verbs.HOSTS_LINK, _drain(reports))
            async for command in call:
                self.joined.set()
                await self._obey(channel, command, reports)

    async def _obey(
        self,
        channel: aio.Channel,
        command: hosts_pb2.HostCommand,
        reports: asyncio.Queue[hosts_pb2.HostReport],
    ) -> None:
        kind = command.WhichOneof("kind")
        if kind == "grant":
            await self._sign(channel, command.grant)
            if command.grant.HasField("net_plan"):
                self.net_plans.append(command.grant.net_plan)
            reports.put_nowait(report_message(self.host.obey(_grant(command.grant))))
        elif kind == "revoke":
            revoke = Revoke(command.revoke.instance, command.revoke.epoch, 0)
            reports.put_nowait(report_message(self.host.obey(revoke)))

    async def _sign(self, channel: aio.Channel, grant: hosts_pb2.Grant) -> None:
        for share in grant.shares:
            key = tls.new_key()
            request = hosts_pb2.SignWorkerRequest(
                instance=grant.instance, epoch=grant.epoch, n=share.n, csr_pem=tls.make_csr(key)
            )
            reply = await acall(
                channel,
                verbs.HOSTS_SIGN_WORKER,
                request,
                timeout_s=5,
                unreachable="POOL_UNREACHABLE",
            )
            tls.make_bundle(tls.key_to_pem(key), reply.leaf_pem, reply.ca_pem)

    def _join(self) -> hosts_pb2.Join:
        leases = [granted_message(lease) for lease in self.host.leases.values()]
        return hosts_pb2.Join(
            host=self.host.name,
            boot_id="boot",
            devices=[device_message(device) for device in self.host.devices],
            leases=leases,
            user_plane=common_pb2.Endpoint(address="127.0.0.1", port=4000),
            isolation=self.host.isolation,
            vnic_driver="host" if self.host.vnic_address else "loopback",
            vnic_address=self.host.vnic_address,
            net_offer=offer_message(self.host.net) if self.host.net else None,
        )


async def _drain(
    reports: asyncio.Queue[hosts_pb2.HostReport],
) -> AsyncIterator[hosts_pb2.HostReport]:
    while True:
        yield await reports.get()


def _grant(message: hosts_pb2.Grant) -> Grant:
    return Grant(
        instance=message.instance,
        tenant=message.tenant,
        epoch=message.epoch,
        shares=tuple(
            SharePick(each.n, each.device, each.milli, each.unit) for each in message.shares
        ),
        address=message.address,
        vnic_driver=message.vnic_driver,
        run_timeout_s=message.run_timeout_s,
        tolerance=message.tolerance,
        policy=policy_of(message.policy),
    )


def granted_message(lease: HeldLease) -> hosts_pb2.Granted:
    """A held lease as a listener reports it."""
    shares = {share.n: share for share in lease.shares}
    workers = [
        pool_pb2.WorkerEndpoint(
            n=worker.n,
            endpoint=common_pb2.Endpoint(
                address=worker.endpoint.address, port=worker.endpoint.port
            ),
            device=shares[worker.n].device,
            share_milli=shares[worker.n].milli,
            isolation=worker.isolation,
            serving=worker.serving,
            incarnation=worker.incarnation,
        )
        for worker in lease.workers
    ]
    return hosts_pb2.Granted(
        instance=lease.instance,
        epoch=lease.epoch,
        tenant=lease.tenant,
        workers=workers,
        address=lease.address,
        user_plane=_endpoint(lease.user_plane) if lease.user_plane else None,
    )


def _endpoint(endpoint: Endpoint) -> common_pb2.Endpoint:
    return common_pb2.Endpoint(address=endpoint.address, port=endpoint.port)


def offer_message(offer: NetOffer) -> net_pb2.NetOffer:
    """What a network agent says that offers so much."""
    return net_pb2.NetOffer(
        agent=offer.agent,
        drivers=[
            net_pb2.NetDriver(name=each.driver, missing=each.missing) for each in offer.abilities
        ],
        underlay=offer.underlay,
        wireguard_public_key=bytes.fromhex(offer.key),
        namespace=offer.namespace,
        mtu=offer.mtu,
    )


def report_message(event: Event) -> hosts_pb2.HostReport:
    """What a listener sends for a FakeHost's event."""
    match event:
        case GrantAccepted(_, held):
            return hosts_pb2.HostReport(granted=granted_message(held))
        case GrantFailed(_, instance, epoch, failure):
            error = common_pb2.Error(reason=failure.reason, message=failure.message)
            failed = hosts_pb2.GrantFailed(instance=instance, epoch=epoch, error=error)
            return hosts_pb2.HostReport(grant_failed=failed)
        case ShareFailed(_, instance, epoch, n, failure):
            error = common_pb2.Error(reason=failure.reason, message=failure.message)
            lost = hosts_pb2.ShareFailed(instance=instance, epoch=epoch, n=n, error=error)
            return hosts_pb2.HostReport(share_failed=lost)
        case SharesGone(_, instance, epoch, numbers):
            left = hosts_pb2.SharesGone(instance=instance, epoch=epoch, shares=numbers)
            return hosts_pb2.HostReport(shares_gone=left)
        case Released(_, instance, epoch):
            return hosts_pb2.HostReport(released=hosts_pb2.Released(instance=instance, epoch=epoch))
    raise ValueError(f"no listener sends {event}")


class RunningManager:
    """A manager that serves, and identities to call it with.

    Attributes:
        state_dir, owner_dir: where its files are.
    """

    def __init__(self, manager: Manager, state_dir: Path, owner_dir: Path) -> None:
        self.manager = manager
        self.state_dir = state_dir
        self.owner_dir = owner_dir

    @property
    def pool(self) -> str:
        """The trust domain."""
        return self.manager.place.pool

    @property
    def authority(self) -> Authority:
        """The pool's CA, to make any identity."""
        return self.manager.authority

    @property
    def ready_file(self) -> Path:
        """Where it says how it is reached."""
        return self.state_dir / READY_FILE

    def bundle(self, identity: Identity) -> tls.Bundle:
        """A fresh leaf for `identity`."""
        return self.authority.bundle(identity, datetime.now(UTC))

    def frontend(self, tenant: str = "default", name: str = "owner") -> tls.Bundle:
        """A front-end's leaf."""
        return self.bundle(Identity.frontend(self.pool, tenant, name))

    def channel(self, plane: str, bundle: tls.Bundle) -> aio.Channel:
        """A channel to its "user" or "management" plane."""
        return dial(self.ready_file, plane, bundle)

    def wire_host(self, host: FakeHost) -> WireHost:
        """A listener of that host, with a leaf of its own."""
        path = self.state_dir / f"{host.name}.pem"
        tls.save_bundle(path, self.bundle(Identity.listener(self.pool, host.name)))
        return WireHost(host, self.ready_file, path)


@contextlib.asynccontextmanager
async def in_process_manager(
    directory: Path,
    config: ManagerConfig | None = None,
    *,
    leaf_life: timedelta | None = None,
    world: World | None = None,
) -> AsyncIterator[RunningManager]:
    """A real manager in this event loop, with its state below `directory`; ends with the block.

    `leaf_life` may be shorter than any that can be set.
    """
    state_dir, owner_dir = directory / "pool", directory / "owner"
    manager = Manager(
        state_dir,
        owner_dir,
        config or ManagerConfig.for_test(),
        world=world,
        test_leaf_life=leaf_life,
    )
    await manager.start()
    try:
        yield RunningManager(manager, state_dir, owner_dir)
    finally:
        await manager.stop()


@contextlib.asynccontextmanager
async def joined_host(running: RunningManager, host: FakeHost) -> AsyncIterator[WireHost]:
    """`host` with its link to `running` up, until the block ends."""
    wire = running.wire_host(host)
    serving = asyncio.create_task(wire.run(lambda: asyncio.sleep(0.05)))
    try:
        await wire.joined.wait()
        while not _reachable(running, host.name):  # noqa: ASYNC110 - nothing says that it was
            await asyncio.sleep(0)
        yield wire
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def _reachable(running: RunningManager, host: str) -> bool:
    record = running.manager.pump.state.hosts.get(host)
    return record is not None and record.reachable
