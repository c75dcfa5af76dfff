"""The listener: the back-end's daemon. It owns this host's devices and their workers.

`python -m eais_server.listener --state-dir D --pool-file F [--config FILE] [--bind ADDRESS]`:

All of D is the listener's own; `D/identity.pem` is put there by who made it a
member of the pool. F is what the manager writes when it serves. One asyncio
loop on the main thread: workers are tied to the thread that starts them. Never
in this process: numpy, onnxruntime, a model's bytes in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from eais import files, tls
from eais.errors import EaisError, make_error
from eais.identity import Role
from eais.notify import Notifier, turns
from eais.parent import end_with_parent
from eais.process_limits import keep_keys_and_connections
from eais.rpc.v1 import common_pb2, hosts_pb2
from eais.standard_streams import hold_standard_streams, leave, tell
from eais.telemetry.logs import bind, format_of, log_to_stderr, use_format
from eais.telemetry.metrics import Reading, Tally
from eais.telemetry.pages import own_pages, start_kept
from eais.telemetry.readiness import Readiness
from eais_server.isolation import IsolationProbe
from eais_server.listener import messages
from eais_server.listener.admin import AdminPlane
from eais_server.listener.admission import Admission
from eais_server.listener.arrivals import Arrivals
from eais_server.listener.commands import HostCommands
from eais_server.listener.deeds import ListenerDeeds
from eais_server.listener.grants import Grants
from eais_server.listener.health import Health
from eais_server.listener.health_file import HealthFile
from eais_server.listener.host import Host
from eais_server.listener.hosted import HostedShares
from eais_server.listener.lease_vnics import LeaseVnics
from eais_server.listener.leases import ListenerFiles
from eais_server.listener.leftover_vnics import LeftoverVnics
from eais_server.listener.line import renew_as
from eais_server.listener.link import Link
from eais_server.listener.loads import Loads
from eais_server.listener.manager_place import ManagerPlace
from eais_server.listener.measuring import Measurements
from eais_server.listener.metrics import readings, worker_targets
from eais_server.listener.models_plane import ModelsPlane
from eais_server.listener.net_offers import NetOffers
from eais_server.listener.openings import Openings
from eais_server.listener.own_identity import OwnIdentity
from eais_server.listener.peers import GrpcPeers
from eais_server.listener.place import Place
from eais_server.listener.planes import InstancePlanes, Planes
from eais_server.listener.quarantine_file import QuarantineFile
from eais_server.listener.renewal import Renewal
from eais_server.listener.self_report import STATUS_FILE, SelfReport, status
from eais_server.listener.sessions import SessionBook
from eais_server.listener.shared import SharedDevices
from eais_server.listener.surroundings import (
    Surroundings,
    add_arguments,
    hold_lock,
    surroundings,
    unusable,
)
from eais_server.listener.upkeep import Upkeep
from eais_server.listener.usage import UsageMeter
from eais_server.listener.user_plane import UserPlane
from eais_server.listener.vnic_drivers import vnic_drivers
from eais_server.listener.workers import Workers
from eais_server.store import ModelStore
from eais_server.supervision import State
from eais_server.supervision import events as on
from eais_server.vnic import HostDriver, LoopbackDriver
from eais_server.vnic.loopback import in_range

log = logging.getLogger(__name__)

# Of the three seconds that a listener has to end: the drain, then kills, then the files.
LONGEST_DRAIN_S = 2.0
ENDS_WITHIN_S = 2.75

# Longer than a small file is written.
_SAVED_IN_S = 60.0


class Listener:
    """One listener, made within the running loop. `run` is its life."""

    def __init__(self, world: Surroundings) -> None:
        """Raises EaisError or OSError when the directory or an identity can't be used."""
        self._world = world
        self._process = secrets.token_hex(16)
        self._leaf = tls.OwnLeaf(_identity_file(world))
        self.host = host = _host(world, self._leaf.current())
        bind(host=host.name)
        self.link = Link(self._manager, self._leaf.current, self._first_reports)
        self.openings = Openings(host)
        identity = self._leaf.current
        self.arrivals = Arrivals(host, self.openings, lambda: GrpcPeers(identity))
        self._hosted = HostedShares(host.inventory, host.state)
        self.measurements = Measurements(
            host, world.spawner, lambda: GrpcPeers(identity), world.level, self._hosted
        )
        make_way = self.measurements.make_way
        self.readiness = Readiness([self._why_not_ready])
        self._calls = Tally()
        users = UserPlane(host, self.openings)
        self._own_planes = InstancePlanes(
            host.pool, identity, users.bindings, self.readiness.is_ready, self._calls
        )
        leftovers = LeftoverVnics(world.agent, host.pool, host.name)
        self.vnics = LeaseVnics(host, self._own_planes, leftovers)
        self.grants = Grants(host, self.link.sign, self.arrivals, make_way, self.vnics)
        quarantine = QuarantineFile(
            world.directory / "quarantine.json",
            host.config.limits.quarantine_s,
            world.clock,
            world.now,
            world.disk,
        )
        host.state.quarantine.restore(quarantine.load())
        self._shared = SharedDevices(host.inventory, lambda event: host.tell(event))
        kept = HealthFile(world.directory / "devices.json", world.disk)
        self.health = Health(host, kept, self._hosted)
        self.loads = Loads(host, self._hosted)
        self.offers = NetOffers(host, world.agent)
        self._deeds = ListenerDeeds(host, self.grants, self.openings, quarantine, self.health)
        self.workers = Workers(
            host.state,
            world.spawner,
            self._deeds,
            clock=world.clock,
            level=world.level,
            hosted=self._hosted,
            shared=self._shared,
        )
        self.upkeep = Upkeep(host, self.openings)
        own = self._own_identity()
        self.renewal = Renewal(host, self.grants, self.workers, self.link, own, world.now)
        host.tell, host.report = self.workers.tell, self.link.report
        host.deaths_seen = self.workers.deaths_seen
        self.planes = Planes.bind(
            world.directory / "place.json",
            Place(world.address, world.config.user_port, world.config.management_port),
            host.pool,
            self._leaf.current,
            users.bindings(),
            [*AdminPlane(host).bindings(), *ModelsPlane(host, identity, world.now).bindings()],
            self.readiness.is_ready,
            self._calls,
        )
        workers_page = {"/workers": lambda accept: worker_targets(host, self.workers)}
        self.pages = own_pages(self._readings, self.readiness, workers_page)

    def _own_identity(self) -> OwnIdentity:
        return OwnIdentity(
            self._leaf,
            tls.OwnLeaf(self._world.directory / "enrolment.pem"),
            self.link.renew,
            lambda enrolled, request: renew_as(self._manager(), enrolled, request),
            lambda file, bundle: self.host.durable(file.replace, bundle),
            now=self._world.now,
            clock=self._world.clock,
        )

    def _readings(self) -> Iterator[Reading]:
        return readings(self.host, self.link, self.workers, self.upkeep, self._calls)

    def _why_not_ready(self) -> str:
        """A manager that is away is none: what is held here is served meanwhile."""
        if not self.link.ever_joined:
            return "it hasn't joined the pool yet"
        if self.upkeep.unwritten:
            return f"the disk doesn't take the counters of {len(self.upkeep.unwritten)} leases"
        return "DRAINING" if self.host.state.stopping else ""

    async def run(self, stop: asyncio.Event, notifier: Notifier) -> None:
        """Serve until `stop` is set, then drain; leases stay on disk for the next listener.

        `notifier` is told that it serves, and that its event loop moves. It isn't told of the
        disk: a slow one is no reason to end workers that serve.

        Raises what one of its parts failed of: the process is to end and be started again.
        """
        self._shared.start()
        self.openings.restore()
        await self.grants.restore()
        await self.vnics.tidy()
        await self.offers.look()
        self.workers.tell(on.Tick())
        parts = [
            asyncio.create_task(self.workers.run(), name="workers"),
            asyncio.create_task(
                self.link.run(HostCommands(self.grants, self.measurements, self.health)),
                name="link",
            ),
            asyncio.create_task(self.upkeep.run(), name="upkeep"),
            asyncio.create_task(self.vnics.run(), name="vnics"),
            asyncio.create_task(self.health.run(), name="health"),
            asyncio.create_task(self.loads.run(), name="loads"),
            asyncio.create_task(self.offers.run(), name="net-offers"),
            asyncio.create_task(self.renewal.run(), name="renewal"),
            asyncio.create_task(self._self_report().run(), name="self-report"),
        ]
        await self.planes.start()
        await start_kept(self.pages, self._world.directory, self._world.config.metrics_port)
        notifier.ready()
        watched = asyncio.create_task(notifier.watch(turns))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopped, *parts], return_when=asyncio.FIRST_COMPLETED)
            notifier.stopping()
            await self._drain(parts)
        finally:
            await _cancel([stopped, watched, *parts])
            await self.link.close()
            await self.pages.stop()
            await self.arrivals.close()
            await self.measurements.close()
            await self._own_planes.close_all(0)
            self._hosted.close()
            self._shared.close()
            await asyncio.to_thread(self.host.close)
        _raise_failed(parts)

    async def _drain(self, parts: list[asyncio.Task[None]]) -> None:
        if any(part.done() for part in parts):
            return  # a bug: there may be nobody left to drain
        grace_s = min(self._world.config.drain_grace_s, LONGEST_DRAIN_S)
        self.workers.tell(on.ShutdownAsked(grace_s))
        ending = asyncio.gather(
            self.planes.stop(grace_s),
            self._own_planes.close_all(grace_s),
            self._deeds.all_gone.wait(),
        )
        try:
            await asyncio.wait_for(ending, ENDS_WITHIN_S)
        except TimeoutError:
            log.warning("some workers haven't exited yet; they end with this process")

    def _self_report(self) -> SelfReport:
        path = self._world.directory / STATUS_FILE
        return SelfReport(path, lambda: status(self.host, self.planes.place, self.link))

    def _manager(self) -> ManagerPlace:
        place = ManagerPlace.read(self._world.pool_file)
        if place.pool != self.host.pool:
            raise make_error("CONFIG", f"the pool there is {place.pool}, not {self.host.pool}")
        return place

    def _first_reports(self) -> list[hosts_pb2.HostReport]:
        """All that the manager doesn't know of this host."""
        leases = self.host.admission.leases.values()
        self.host.meter.forget_told()
        return [
            hosts_pb2.HostReport(join=self._join()),
            *(hosts_pb2.HostReport(sessions=self.host.sessions(lease)) for lease in leases),
        ]

    def _join(self) -> hosts_pb2.Join:
        host, place, probe = self.host, self.planes.place, self._world.isolation
        name = self._leaf.current().identity.dns_name
        return hosts_pb2.Join(
            host=host.name,
            boot_id=host.boot_id,
            devices=[
                messages.device(info, host.state.devices.get(info.id), self.loads.known(info.id))
                for info in host.inventory.devices
            ],
            leases=[host.granted(lease) for lease in host.admission.leases.values()],
            user_plane=common_pb2.Endpoint(
                address=place.address, port=place.user_port, server_name=name
            ),
            isolation=self._world.level,
            isolation_reason=_why_not_more(probe, self._world.level),
            vnic_driver=LoopbackDriver.name if in_range(place.address) else HostDriver.name,
            vnic_address="" if in_range(place.address) else place.address,
            net_offer=self.offers.known,
            process=self._process,
            ended=[messages.usage(name, record, last=True) for name, record in host.files.finals()],
            management_plane=common_pb2.Endpoint(
                address=place.address, port=place.management_port, server_name=name
            ),
        )


def _identity_file(world: Surroundings) -> Path:
    """Without what a listener that was killed while it renewed left: that holds a private key."""
    path = world.directory / "identity.pem"
    # Who made this listener a member writes there too.
    files.remove_leftovers_of(path, world.now().timestamp() - _SAVED_IN_S)
    return path


def _host(world: Surroundings, bundle: tls.Bundle) -> Host:
    if bundle.identity.role is not Role.LISTENER:
        raise make_error("CERT_IDENTITY", f"{bundle.identity.uri} isn't a listener's identity")
    config, meter = world.config, UsageMeter()
    return Host(
        pool=bundle.identity.pool,
        name=bundle.identity.name,
        boot_id=world.boot_id,
        config=config,
        clock=world.clock,
        files=ListenerFiles(world.directory, world.disk),
        store=ModelStore(
            world.directory / "store",
            limit_bytes=config.store_limit_bytes,
            tenant_limit_bytes=config.tenant_store_bytes or None,
            uploads_per_tenant=config.tenant_uploads,
            partial_keep_s=config.chunk_timeout_s,
            clock=world.clock,
        ),
        inventory=world.inventory,
        vnics=vnic_drivers(world, bundle.identity, meter),
        reach=world.reach,
        admission=Admission(world.level),
        book=SessionBook(config.session_idle_s),
        meter=meter,
        state=State(config.limits),
    )


def _why_not_more(probe: IsolationProbe, level: int) -> str:
    return probe.reason or ("the operator's setting" if level < probe.level else "")


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _raise_failed(parts: list[asyncio.Task[None]]) -> None:
    for part in parts:
        if not part.cancelled() and (error := part.exception()):
            raise error


async def _live(world: Surroundings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Listener(world).run(stop, Notifier.from_environ(os.environ, os.getpid()))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def main(argv: Sequence[str] | None = None) -> int:
    """Run a listener until SIGTERM or SIGINT; the exit code is that of `eais.report`."""
    hold_standard_streams()
    setproctitle("eais-listener")
    parser = argparse.ArgumentParser(prog="eais-listener")
    add_arguments(parser)
    given = parser.parse_args(argv)
    if given.parent_pid and not end_with_parent(given.parent_pid, signal.SIGTERM):
        return 0
    log_to_stderr("eais-listener")
    keep_keys_and_connections()
    try:
        with (
            hold_lock(given.state_dir),
            ExitStack() as devices,
            asyncio.Runner(loop_factory=_loop_factory()) as runner,
        ):
            world = surroundings(given, os.environ, devices)
            use_format(format_of(world.config.log_format))
            runner.run(_live(world))
    except EaisError as error:
        return tell(error)
    except OSError as error:
        return tell(unusable(given.state_dir, error))
    return leave(0)
