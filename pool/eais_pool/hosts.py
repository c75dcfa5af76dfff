"""The management plane's side for listeners: links, and leaves for their workers.

A host has one live link; a newer one takes the place of the older if it is the same listener's,
and is refused if it is another's. Which host it is, is read from the certificate.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine

from eais.errors import EaisError, Unavailable, UsageError
from eais.identity import Identity, Role
from eais.rpc import verbs
from eais.rpc.hello import check_version, hello_reply
from eais.rpc.server import Binding, Caller, greet, stream, unary
from eais.rpc.v1 import hosts_pb2
from eais_pool.activity import counted
from eais_pool.brain.activity import Activities
from eais_pool.brain.events import (
    Event,
    HostJoined,
    HostLost,
    SessionsChanged,
    UsageReported,
)
from eais_pool.brain.records import LeaseKey, LeasePhase
from eais_pool.profiler import Profiler
from eais_pool.pump import Pump
from eais_pool.renewal import Issuer
from eais_pool.reports import ended, joined, reported
from eais_pool.service import FIRST_MESSAGE_S, SOFTWARE

log = logging.getLogger(__name__)

# From the end of a line that its host has left to the Join on the next one.
_MOVES_WITHIN_S = 5.0
_PROCESS_LIMIT = 64

Reports = AsyncIterator[hosts_pb2.HostReport]

HEAR_AGAIN_S = 0.5
"""How often a host's word is tried again while the journal can't be written."""


class Link:
    """One stream to a host: commands wait here until they are sent.

    Attributes:
        process: of the listener, random; "" if it doesn't say.
    """

    def __init__(self, host: str, process: str = "") -> None:
        self.host = host
        self.process = process
        self._waiting: asyncio.Queue[hosts_pb2.HostCommand | EaisError | None] = asyncio.Queue()
        self.replaced = asyncio.Event()

    def send(self, command: hosts_pb2.HostCommand) -> None:
        """Queue a command."""
        self._waiting.put_nowait(command)

    def end(self, why: EaisError | None = None) -> None:
        """End the stream after what is queued; with an error, if there is one."""
        self._waiting.put_nowait(why)

    async def commands(self) -> AsyncIterator[hosts_pb2.HostCommand]:
        """The commands, as they come, until `end`."""
        while True:
            command = await self._waiting.get()
            if command is None:
                return
            if isinstance(command, EaisError):
                raise command
            yield command


class Links:
    """The live links, by host."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}

    @property
    def hosts(self) -> frozenset[str]:
        """Hosts whose link is up."""
        return frozenset(self._links)

    def add(self, link: Link) -> None:
        """Take a new link in; the host's older one ends, which the same listener had.

        Raises:
            UsageError: NAME_TAKEN, another listener has it: what they hold of the host's leases
                can't be both.
        """
        older = self._links.get(link.host)
        if older and older.process and link.process and older.process != link.process:
            raise UsageError(
                "NAME_TAKEN",
                f"another listener is host {link.host!r} of this pool at the moment",
                hint="end one of them, or give this one a name of its own by a new token",
            )
        self._links[link.host] = link
        if older is not None:
            older.replaced.set()
            older.end(Unavailable("POOL_UNREACHABLE", "a newer link took this one's place"))

    def remove(self, link: Link) -> bool:
        """Take a link out; whether it was still the host's."""
        if self._links.get(link.host) is not link:
            return False
        del self._links[link.host]
        return True

    def live(self, link: Link) -> bool:
        """Whether it is its host's link."""
        return self._links.get(link.host) is link

    def send(self, host: str, command: hosts_pb2.HostCommand) -> None:
        """Queue a command for a host; dropped without a link."""
        link = self._links.get(host)
        if link is not None:
            link.send(command)

    def close(self) -> None:
        """End all links, of which nobody is to hear that they did."""
        stopping = Unavailable("POOL_UNREACHABLE", "the manager is stopping")
        ending, self._links = self._links, {}
        for link in ending.values():
            link.replaced.set()
            link.end(stopping)


class HostsService:
    """The service `Hosts` of one pool."""

    def __init__(
        self,
        pump: Pump,
        links: Links,
        issuer: Issuer,
        activities: Activities,
        profiler: Profiler,
    ) -> None:
        self._pump = pump
        self._profiler = profiler
        self._activities = activities
        self._links = links
        self._issuer = issuer
        self._tasks: set[asyncio.Task[None]] = set()

    def bindings(self) -> list[Binding]:
        """What serves each of the service's verbs."""
        return [
            greet(verbs.HOSTS_GREET, SOFTWARE),
            stream(verbs.HOSTS_LINK, self.link),
            unary(verbs.HOSTS_SIGN_WORKER, self.sign_worker),
            unary(verbs.HOSTS_RENEW, self._issuer.renewer(Role.LISTENER)),
        ]

    async def link(self, reports: Reports, caller: Caller) -> AsyncIterator[hosts_pb2.HostCommand]:
        """See `Hosts.Link`."""
        host = caller.identity.name
        hello = await _first(reports, "hello")
        check_version(hello.hello)
        yield hosts_pb2.HostCommand(hello=hello_reply(SOFTWARE))
        join = (await _first(reports, "join")).join
        event, last = joined(host, join), ended(host, join)
        link = Link(host, join.process[:_PROCESS_LIMIT])
        self._links.add(link)
        reading = self._keep(self._follow(link, event, last, reports))
        try:
            async for command in link.commands():
                yield command
        finally:
            # Its own finally says that the host is lost.
            reading.cancel()

    async def _follow(
        self, link: Link, event: HostJoined, last: list[UsageReported], reports: Reports
    ) -> None:
        """Have the host's Join and then its reports decided, in their order.

        The last counters of leases that are gone come first: with the Join they are closed.
        """
        why: EaisError | None = None
        moving = False
        try:
            for usage in last:
                await self._decide(link, usage)
                _say_kept(link, usage)
            await self._decide(link, event)
            self._activities.begun_anew(link.host)
            self._profiler.host_gone(link.host)  # what it was told on another line has ended
            log.info("host %s joined", link.host)
            moving = await self._hear(link, reports)
        except EaisError as error:
            log.warning("the link of host %s ends: %s", link.host, error)
            why = error
        finally:
            link.end(why)
            if moving:
                self._keep(self._await_next(link))
            elif self._links.remove(link):
                await self._lost(link.host)

    async def _decide(self, link: Link, event: Event) -> None:
        """Have what a host says decided, however long the journal can't be written.

        The host and its devices are there meanwhile, and what it says next waits.
        """
        said = False
        while True:
            try:
                return await self._pump.submit(event)
            except Unavailable as error:
                if error.reason != "JOURNAL_UNAVAILABLE" or not self._links.live(link):
                    raise
                if not said:
                    log.warning("host %s is heard again later: %s", link.host, error)
                said = True
            await asyncio.sleep(HEAR_AGAIN_S)

    async def _hear(self, link: Link, reports: Reports) -> bool:
        """Have the reports decided until they end; whether the host goes on on another link."""
        async for report in reports:
            if not self._links.live(link):
                return False
            if report.WhichOneof("kind") == "moving":
                return True
            if self._profiler.heard(report):
                continue
            event = reported(link.host, report)
            if isinstance(event, UsageReported):
                self._count(event, report.usage)
            await self._decide(link, event)
            if isinstance(event, SessionsChanged):
                self._activities.used(event.instance)
                self._profiler.opened(event)
            if isinstance(event, UsageReported) and report.usage.last:
                _say_kept(link, event)
        return False

    def _count(self, event: UsageReported, usage: hosts_pb2.Usage) -> None:
        if self._pump.state.lease(event.key) is not None:
            self._activities.counted(event.key, counted(usage))

    async def _await_next(self, link: Link) -> None:
        """The host has said all on this link: its Join on the next one is due soon."""
        try:
            async with asyncio.timeout(_MOVES_WITHIN_S):
                await link.replaced.wait()
        except TimeoutError:
            if self._links.remove(link):
                await self._lost(link.host)

    def _keep(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        # The loop itself holds tasks weakly.
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _lost(self, host: str) -> None:
        log.warning("host %s is lost", host)
        self._profiler.host_gone(host)
        try:
            await asyncio.shield(self._pump.submit(HostLost(host)))
        except Unavailable as error:
            # The next Tick finds the host without a link.
            log.warning("%s", error)

    async def sign_worker(
        self, request: hosts_pb2.SignWorkerRequest, caller: Caller
    ) -> hosts_pb2.SignWorkerReply:
        """See `Hosts.SignWorker`."""
        key = LeaseKey(caller.identity.name, request.instance, request.epoch)
        lease = self._pump.state.lease(key)
        numbers = {share.n for share in lease.shares} if lease else set()
        if lease is None or lease.phase is LeasePhase.CLOSING or request.n not in numbers:
            raise UsageError("NOT_FOUND", "there is no such worker on a lease of this host")
        authority = self._issuer.authority
        identity = Identity.worker(authority.pool, request.instance, request.n)
        leaf = self._issuer.sign(caller, identity, request.csr_pem)
        return hosts_pb2.SignWorkerReply(leaf_pem=leaf, ca_pem=authority.ca_pem)


def _say_kept(link: Link, event: UsageReported) -> None:
    """The last counters of a lease are in the journal."""
    kept = hosts_pb2.UsageKept(instance=event.instance, epoch=event.epoch)
    link.send(hosts_pb2.HostCommand(usage_kept=kept))


async def _first(reports: Reports, kind: str) -> hosts_pb2.HostReport:
    """The next report, which must be of `kind`, and soon."""
    try:
        async with asyncio.timeout(FIRST_MESSAGE_S):
            report = await anext(reports)
    except TimeoutError:
        raise UsageError("FIRST_MESSAGE_TIMEOUT", f"{kind} must be sent at once") from None
    except StopAsyncIteration:
        raise UsageError("MALFORMED_MESSAGE", f"the stream ended before {kind}") from None
    if report.WhichOneof("kind") != kind:
        raise UsageError("MALFORMED_MESSAGE", f"expected {kind}")
    return report
