"""What the parts of one listener share: its name, its memory, its disk, its way to the pool."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, ParamSpec, TypeVar

from eais.failpoints import Reach, nowhere
from eais.identity import Identity
from eais.rpc.v1 import hosts_pb2, listener_pb2, pool_pb2
from eais_server.listener import messages
from eais_server.listener.admission import Admission
from eais_server.listener.config import ListenerConfig
from eais_server.listener.inventory import Inventory
from eais_server.listener.lease import Lease
from eais_server.listener.leases import ListenerFiles
from eais_server.listener.session_view import session_states
from eais_server.listener.sessions import SessionBook
from eais_server.listener.usage import UsageMeter
from eais_server.store import ModelStore
from eais_server.supervision import State
from eais_server.supervision.events import Event
from eais_server.vnic import VnicDriver

CLIENT_THREADS: Final = 4
"""That write, sync and hash what clients send."""

P = ParamSpec("P")
T = TypeVar("T")


def _to_nobody(report: hosts_pb2.HostReport) -> None:
    """While the pool can't be reached: the next Join tells all that matters."""


async def _none_died(instance: str) -> None:
    """Nobody supervises workers yet."""


def _unheard(event: Event) -> None:
    raise RuntimeError(f"nobody supervises workers yet: {event}")


@dataclass(slots=True)
class Host:
    """One listener's memory and its parts.

    Attributes:
        pool: the trust domain.
        name: of this host, as its certificate says.
        boot_id: of this boot of the host.
        clock: seconds, monotonic.
        state: the supervision's, to be read.
        tell: hands an event to the supervision of workers. Set once that is there.
        deaths_seen: waits until the supervision knows of all workers of an instance that have
            died by now. Set as `tell`.
        report: hands a report to the pool, if that can be reached; never waits. Set once
            there is a link.
        reach: told of each write, "save_lease.before" and "save_lease.after".
    """

    pool: str
    name: str
    boot_id: str
    config: ListenerConfig
    clock: Callable[[], float]
    files: ListenerFiles
    store: ModelStore
    inventory: Inventory
    vnics: Mapping[str, VnicDriver]
    admission: Admission
    book: SessionBook
    meter: UsageMeter
    state: State
    tell: Callable[[Event], None] = _unheard
    deaths_seen: Callable[[str], Awaitable[None]] = _none_died
    report: Callable[[hosts_pb2.HostReport], None] = _to_nobody
    reach: Reach = nowhere
    _disk: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="durable")
    )
    _clients: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(CLIENT_THREADS, thread_name_prefix="client")
    )

    async def durable(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a write to the listener's files off the loop; writes keep their order."""
        name = getattr(write, "__name__", "")

        def done() -> T:
            self.reach(f"{name}.before")
            found = write(*args, **kwargs)
            self.reach(f"{name}.after")
            return found

        return await asyncio.get_running_loop().run_in_executor(self._disk, done)

    async def for_client(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Have the store do for a client what it may wait long for: on threads for that alone,
        so that a worker that comes back never waits for those who send models.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._clients, lambda: work(*args, **kwargs))

    def endpoints(self, lease: Lease) -> list[pool_pb2.WorkerEndpoint]:
        """The workers of a lease, as they are now; none while it begins or ends."""
        held = self.state.leases.get(lease.instance)
        seats = self.state.seats(lease.instance) if held and held.epoch == lease.epoch else ()
        return messages.endpoints(self.pool, lease, seats, self.inventory)

    def granted(self, lease: Lease) -> hosts_pb2.Granted:
        """A lease that is held here, with its workers."""
        name = Identity.listener(self.pool, self.name).dns_name
        return messages.granted(lease, self.endpoints(lease), name)

    def publish(self, instance: str) -> None:
        """Tell the pool of the instance's workers as they are now, if its lease is here."""
        lease = self.admission.leases.get(instance)
        if lease:
            changed = hosts_pb2.WorkersChanged(
                instance=instance, epoch=lease.epoch, workers=self.endpoints(lease)
            )
            self.report(hosts_pb2.HostReport(workers=changed))

    def session_states(self, lease: Lease) -> Iterator[listener_pb2.SessionState]:
        """What runs the open sessions of a lease's instance; none while it begins or ends."""
        kept = self.book.of(lease.instance) if lease.instance in self.state.leases else ()
        return session_states(self.state, lease.instance, kept)

    def sessions(self, lease: Lease) -> hosts_pb2.SessionsChanged:
        """The sessions of a lease's instance."""
        specs = [messages.spec_of(session) for session in self.book.of(lease.instance)]
        return hosts_pb2.SessionsChanged(instance=lease.instance, epoch=lease.epoch, specs=specs)

    def close(self) -> None:
        """Wait for the writes that were begun, and give the store back."""
        self._clients.shutdown()
        self._disk.shutdown()
        self.store.close()
