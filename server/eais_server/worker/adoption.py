"""A worker that has a tenant: its share of a device, its port, its data plane."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from eais import tls
from eais.device_type import WHOLE_MILLI
from eais.errors import EaisError, make_error
from eais.instance_policy import InstancePolicy
from eais.rpc import verbs
from eais.rpc.health import with_health
from eais.rpc.server import Binding, raw_stream
from eais.rpc.v1 import supervision_pb2
from eais.telemetry.http import LoopbackServer
from eais.telemetry.metrics import Reading, Tally
from eais.telemetry.pages import own_pages
from eais.telemetry.readiness import Readiness
from eais.tolerance import Precision, Tolerance
from eais_server.devices.driver import (
    REFERENCE,
    DeviceDriver,
    Reservation,
    Runtime,
    RuntimeSession,
)
from eais_server.devices.registry import Maker
from eais_server.in_flight import ROWS, Marks
from eais_server.turns.turn import Turn
from eais_server.worker.calls import CallLimits, Service
from eais_server.worker.choosing_runtime import Choice, Option
from eais_server.worker.counters import Counters, Reporter
from eais_server.worker.execution import answer_it
from eais_server.worker.metrics import readings, runtime_readings
from eais_server.worker.plane import DEFAULT_QUEUE_LIMIT_S, DataPlane, PlaneSettings
from eais_server.worker.ring_door import RingDoor
from eais_server.worker.ring_stream import with_rings
from eais_server.worker.runner import CANCEL_GRACE_S
from eais_server.worker.transports import Port, serve

log = logging.getLogger(__name__)

Drivers = Mapping[str, Maker]
DEFAULT_RUN_TIMEOUT_S: Final = 600


@dataclass(eq=False)
class Adoption:
    """What the listener's Adopt made of a spare. Made by `adopt`.

    Attributes:
        options: what may open models on the share, the plainest first.
        choices: session to what runs it; those that are missing, the reference.
        refused: runtimes that were tried for a session, and aren't used.
        turn: of a share of a device that is shared by turns; None: it has all of its device.
        watched: whether the device is found out about all the time.
    """

    driver: DeviceDriver
    options: tuple[Option, ...]
    tolerance: Tolerance
    share: Reservation
    bundle: tls.Bundle
    plane: DataPlane
    sessions: dict[str, RuntimeSession]
    counters: Counters
    door: RingDoor
    transport: str = ""
    watched: bool = False
    served: Port | None = None
    port: int = 0
    pages: LoopbackServer | None = None
    calls: Tally = field(default_factory=Tally)
    choices: dict[str, Choice] = field(default_factory=dict)
    refused: Tally = field(default_factory=Tally)
    turn: Turn | None = None

    @property
    def has_reference(self) -> bool:
        """Whether the device itself gives the answers that others are compared with."""
        return any(option.runtime == REFERENCE for option in self.options)

    def renew(self, leaf: supervision_pb2.Leaf) -> None:
        """Show another leaf from the next handshake on; a bad one is left aside, and logged."""
        try:
            bundle = bundle_of(leaf)
            if self.served is not None:
                self.served.renew(bundle)
            self.bundle = bundle
        except EaisError as error:
            log.error("the old leaf is kept: %s", error)

    async def bind(self, pool: str, address: str, port: int) -> None:
        """Bind the port, 0 for one that the kernel chooses, and begin to listen.

        Raises:
            EaisError: PORT; ARGUMENT for a transport that isn't one.
        """
        plane = self.plane
        self.served = await serve(
            self.transport,
            pool,
            self._bindings(),
            self.bundle,
            (address, port),
            self.calls,
            plane.admit,
            lambda: not plane.in_flight,
        )
        self.port = self.served.number
        self.pages = await self._show()

    async def _show(self) -> LoopbackServer | None:
        """The pages of this worker on loopback; None if there is no port left."""

        def collected() -> Iterator[Reading]:
            yield from readings(self.counters, self.plane, self.sessions, self.calls)
            yield from runtime_readings(self.sessions, self.choices, self.refused)

        pages = own_pages(collected, Readiness([lambda: self.plane.not_ready]))
        try:
            await pages.start()
        except EaisError as error:
            log.error("no metrics of this worker: %s", error)
            return None
        return pages

    def _bindings(self) -> list[Binding]:
        plane = self.plane
        own = [raw_stream(verbs.WORKER_STREAM, with_rings(plane.stream, self.door))]
        return with_health(own, lambda: not plane.not_ready, plane.admit)

    async def close(self, words_s: float) -> None:
        """End what streams are left; what was answered is sent within `words_s`."""
        if self.pages is not None:
            await self.pages.stop()
        self.door.close()
        if self.served is not None:
            await self.served.stop(words_s)


def adopt(
    message: supervision_pb2.Adopt,
    drivers: Drivers,
    reporter: Reporter,
    counters: Counters,
    marks: Marks,
    rings: socket.socket | None = None,
    turn: Turn | None = None,
    lost: Callable[[EaisError], None] = answer_it,
) -> Adoption:
    """Become the worker that `message` describes; not yet bound.

    `rings` is where clients come for rings, if there may be any; `turn`, how turns on the device
    are taken, if it is shared by turns; `lost` is told when the device fails, if it is watched.

    Call it on the thread from which the run threads are started: they inherit its cores.

    Raises:
        EaisError: DEVICE_LOST when there is no driver of that kind; IdentityError when the
            key and leaf don't fit; ARGUMENT for a policy or a tolerance that is none.
        ValueError: a precision that is none; a bug, since listener and worker are one version.
    """
    driver = _driver(message, drivers)
    options = tuple(_options(message, drivers, driver))
    tolerance = Tolerance.checked(message.tolerance or Tolerance.EXACT)
    bundle = bundle_of(message.leaf)
    policy = InstancePolicy.checked(message.ring, message.slo_p99_us)
    pin(message.cores)
    sessions: dict[str, RuntimeSession] = {}
    threads = min(max(1, message.threads), ROWS)
    plane = DataPlane(
        tenant=message.tenant,
        service=Service(message.instance, message.epoch),
        incarnation=message.incarnation,
        threads=threads,
        sessions=sessions,
        reporter=reporter,
        counters=counters,
        marks=marks,
        settings=PlaneSettings(
            message.run_timeout_s or DEFAULT_RUN_TIMEOUT_S,
            message.queue_limit_ms / 1000 or DEFAULT_QUEUE_LIMIT_S,
            calls=_call_limits(message),
            slo_s=message.slo_p99_us / 1e6,
            cancel_grace_s=_cancel_grace_s(message),
        ),
        turn=turn,
        lost=lost if message.watched else answer_it,
    )
    share = Reservation(
        message.device,
        message.milli,
        threads,
        tuple(message.cores),
        message.memory_bytes,
        words=dict(message.words),
    )
    door = RingDoor(None if message.transport else rings, policy.ring)
    return Adoption(
        driver=driver,
        options=options,
        tolerance=tolerance,
        share=share,
        bundle=bundle,
        plane=plane,
        sessions=sessions,
        counters=counters,
        door=door,
        transport=message.transport,
        turn=turn,
        watched=message.watched,
    )


def _driver(message: supervision_pb2.Adopt, drivers: Drivers) -> DeviceDriver:
    name = message.drivers[0] if message.drivers else ""
    if name not in drivers:
        raise make_error("DEVICE_LOST", f"this worker has no device driver {name[:32]!r}")
    return drivers[name]()


def _options(
    message: supervision_pb2.Adopt, drivers: Drivers, owner: DeviceDriver
) -> Iterator[Option]:
    """What opens models on the share; the owner's reference where nothing was said."""
    made = {message.drivers[0]: owner}
    for each in message.runtimes or [supervision_pb2.Runtime(driver=message.drivers[0])]:
        if each.driver not in drivers:
            # Another driver than the owner's: the share can do without.
            log.error("this worker has no device driver %s", each.driver[:32])
            continue
        if each.driver not in made:
            made[each.driver] = drivers[each.driver]()
        runtime = Runtime(each.name, Precision(each.precision)) if each.name else REFERENCE
        yield Option(made[each.driver], runtime)


def _call_limits(message: supervision_pb2.Adopt) -> CallLimits:
    """As the listener says; what it leaves unsaid is the worker's own."""
    default = CallLimits()
    return CallLimits(
        calls=message.calls_limit or default.calls,
        waiting=message.calls_limit or default.waiting,
        held_bytes=message.bytes_limit or default.held_bytes,
    )


def _cancel_grace_s(message: supervision_pb2.Adopt) -> float:
    """In turns a run comes to its next node by so much later."""
    return CANCEL_GRACE_S * WHOLE_MILLI / message.milli if message.turns else CANCEL_GRACE_S


def bundle_of(leaf: supervision_pb2.Leaf) -> tls.Bundle:
    """The bundle in `leaf`; raises as `eais.tls.make_bundle`."""
    return tls.make_bundle(leaf.key_pem, leaf.leaf_pem, leaf.ca_pem, "the worker's leaf")


def pin(cores: Sequence[int]) -> None:
    """Run on those cores of the host alone, this thread and what it starts; none: on any."""
    if not cores:
        return
    try:
        os.sched_setaffinity(0, cores)
    except OSError as error:
        # The share is cooperative: a core that went away since keeps nobody from work.
        log.warning("can't run on cores %s: %s", list(cores), error)
