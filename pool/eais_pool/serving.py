"""A whole manager in one event loop: put together, started, stopped."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import grpc.aio as aio

from eais import files, tls
from eais.errors import Unavailable
from eais.failpoints import Reach, nowhere
from eais.rpc.server import Binding
from eais.rpc.verbs import Plane
from eais.telemetry.metrics import Reading, Tally
from eais.telemetry.pages import own_pages, start_kept
from eais.telemetry.readiness import Readiness
from eais_pool.addresses import MANAGER_OFFSET, claim
from eais_pool.admin import AdminService
from eais_pool.authority import Authority
from eais_pool.brain.actions import Command, Grant, News
from eais_pool.brain.activity import Activities
from eais_pool.brain.address_plan import AddressPlan
from eais_pool.brain.events import ManagerStarted, Tick
from eais_pool.brain.host_records import Endpoint, HostRecord
from eais_pool.brain.net_rules import NetRules
from eais_pool.brain.profiling import Profiling
from eais_pool.brain.quotas import Quotas
from eais_pool.brain.ratios import Ratios
from eais_pool.brain.reactor import Reactor
from eais_pool.brain.studies import Rules
from eais_pool.config import ManagerConfig
from eais_pool.defrag import DefragService
from eais_pool.enrolment import EnrolmentService, Planes
from eais_pool.hosts import HostsService, Links
from eais_pool.journal_file import remove_dead_copies
from eais_pool.metrics import readings
from eais_pool.net_plans import NetPlans
from eais_pool.owner import Keeper, embedded_identities
from eais_pool.place import Place, load_place, lock, new_pool_name, save_place
from eais_pool.planes import Bound, bind, port_key, write_ready
from eais_pool.policy.placement.live import policy_of
from eais_pool.policy.prices import Prices
from eais_pool.presence import Presence
from eais_pool.profiler import Profiler
from eais_pool.pump import Pump
from eais_pool.ratio_loop import RatioLoop
from eais_pool.renewal import Issuer
from eais_pool.replays import Replays
from eais_pool.service import PoolService
from eais_pool.store import Store
from eais_pool.tenancy import Door, TenancyService
from eais_pool.tickets import Tickets
from eais_pool.turnover import Turnover
from eais_pool.usage import LedgerService
from eais_pool.watchers import Watchers
from eais_pool.whatif import WhatIfService
from eais_pool.wire import command_message
from eais_pool.world import World, boot_id

log = logging.getLogger(__name__)

READY_FILE = "ready.json"
STOP_GRACE_S = 1.0
TIDY_EVERY_S = 3600.0
"""How often rows of the ledger are looked for that are old."""


@dataclass(frozen=True, slots=True)
class _Mouth:
    links: Links
    watchers: Watchers
    tickets: Tickets
    plans: NetPlans

    def send(self, host: str, command: Command) -> None:
        message = command_message(command)
        if isinstance(command, Grant):
            sources, plan = self.tickets.sources(command, host), self.plans.backend(command, host)
            message = command_message(command, sources, plan)
        self.links.send(host, message)

    def publish(self, news: News) -> None:
        self.watchers.publish(news)


class Manager:
    """The manager of the pool whose state is in `state_dir`.

    Attributes:
        place: the pool's name, range and ports, once it was started.
        pump: the pool's state and the one way to change it, once it was started.
        authority: the pool's CA, once it was started.
        readiness: whether verbs should be sent here.
        pages: what it shows of itself on loopback.
        planes: where its sockets are, once it was started.
    """

    place: Place
    pump: Pump
    authority: Authority
    planes: Mapping[Plane, Endpoint]
    _turnover: Turnover
    _profiler: Profiler

    def __init__(
        self,
        state_dir: Path,
        owner_dir: Path | None,
        config: ManagerConfig,
        *,
        quotas: Quotas | None = None,
        prices: Prices | None = None,
        vnics: NetRules | None = None,
        world: World | None = None,
        reach: Reach = nowhere,
        test_leaf_life: timedelta | None = None,
    ) -> None:
        self._state_dir = state_dir
        self._own_dir = state_dir / "manager"
        self._own_leaf = tls.OwnLeaf(self._own_dir / "identity.pem")
        self._owner_dir = owner_dir
        self._config = config
        self._quotas = quotas or Quotas()
        self._prices = prices or Prices()
        self._vnics = vnics or NetRules()
        self._world = world or World(boot_id=boot_id())
        self._reach = reach
        # A test's is shorter than any that can be set.
        self._leaf_life = test_leaf_life or config.leaf_life
        self._links = Links()
        self._watchers = Watchers()
        self._activities = Activities(self._world.clock)
        self._presence = Presence(self._world.clock)
        self.readiness = Readiness()
        self._calls = Tally()
        self._replays = Replays()
        self.pages = own_pages(self._readings, self.readiness)
        self._held = ExitStack()
        self._opened = False
        self._ratio_loop: RatioLoop | None = None
        self._servers: list[aio.Server] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serve on all planes, then say so in `ready.json`.

        Raises:
            EaisError: the state directory, journal, addresses or CA won't do; nothing is held.
            OSError: a file can't be read or written.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End streams, servers and tasks within two seconds; what was decided stays decided."""
        if self._ratio_loop is not None:
            await self._ratio_loop.stop()
        if self._opened:
            self.pump.refuse()
        self._links.close()
        self._watchers.close()
        await self.pages.stop()
        await asyncio.gather(*(server.stop(STOP_GRACE_S) for server in self._servers))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._held.close()

    def _readings(self) -> Iterator[Reading]:
        return readings(self.pump, self._watchers, self._calls)

    async def failed(self) -> None:
        """Return when a task that must not end has ended; it is logged."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            log.error("BUG: %s ended", task.get_name(), exc_info=task.exception())

    async def _start(self) -> None:
        plan = self._take_place()
        address = self._config.bind or plan.host(MANAGER_OFFSET)
        self.authority = Authority.open(self._state_dir / "ca", self.place.pool, self._world.wall())
        self._turnover = self._keep_identities()
        self.pump = self._open_pump(plan)
        self._spawn("pump", self.pump.run())
        await self.pump.begin(self._started)
        self._profiler = self._new_profiler()
        self.readiness.require(lambda: self.pump.fault)
        bound = {plane: self._bind(plane, address) for plane in Plane}
        self.planes = places = {plane: each.endpoint for plane, each in bound.items()}
        for plane, each in bound.items():
            bindings = self._bindings(plane, places)
            await each.serve(self.place.pool, bindings, self.readiness.is_ready, self._calls)
        await start_kept(self.pages, self._own_dir, self._config.metrics_port)
        self._keep_ports(places)
        write_ready(self._state_dir / READY_FILE, self.place.pool, places)
        self._spawn("tick", self._tick())
        self._spawn("identities", self._turnover.run())
        self._spawn("ledger", self._tidy())
        self._spawn("profiler", self._profiler.run())
        self._ratio_loop = self._new_ratio_loop()
        self._spawn("ratios", self._ratio_loop.run())
        where = ", ".join(f"{plane.value} {places[plane].port}" for plane in Plane)
        log.info("pool %s: serving on %s: %s", self.place.pool, address, where)

    @property
    def _started(self) -> ManagerStarted:
        return ManagerStarted(self._world.boot_id, self._world.wall().timestamp())

    def _take_place(self) -> AddressPlan:
        files.private_dir(self._state_dir)
        files.private_dir(self._own_dir)
        self._held.callback(os.close, lock(self._own_dir))
        files.remove_leftovers(self._own_dir)
        remove_dead_copies()
        kept = load_place(self._own_dir)
        claimed = claim(kept.network if kept else None)
        self._held.callback(claimed.close)
        if kept is None:
            kept = Place(new_pool_name(self._state_dir), claimed.plan.network)
            save_place(self._own_dir, kept)
        self.place = kept
        return claimed.plan

    def _keep_ports(self, places: Mapping[Plane, Endpoint]) -> None:
        """Remember the ports, so that the next start takes them again; without, it asks for any."""
        place = replace(
            self.place,
            user_port=places[Plane.USER].port,
            management_port=places[Plane.MANAGEMENT].port,
            enrolment_port=places[Plane.ENROLMENT].port,
        )
        if place != self.place:
            self.place = place
            try:
                save_place(self._own_dir, place)
            except OSError as error:
                log.error("the ports can't be written down: %s", error)

    def _keep_identities(self) -> Turnover:
        places = embedded_identities(self.place.pool, self._state_dir, self._owner_dir)
        keeper = Keeper(self.authority, places, self._leaf_life, self._world.wall, self._own_leaf)
        turnover = Turnover(self.authority, keeper, self._leaf_life, self._world.wall)
        self._held.callback(turnover.close)
        turnover.advance()
        try:
            keeper.refresh()
        except OSError as error:
            if not (self._own_dir / "identity.pem").exists():
                raise
            log.error("identities of this machine can't be written: %s", error)
        return turnover

    def _open_pump(self, plan: AddressPlan) -> Pump:
        store = Store(
            self._own_dir / "journal.sqlite",
            compact_rows=self._config.journal_rows,
            reach=self._reach,
        )
        settings = self._config.settings(plan, self._quotas, self._prices, self._vnics)
        reactor = Reactor(settings, policy_of(self._config.placement), self._world.new_id)
        pump = Pump(
            reactor,
            store,
            _Mouth(self._links, self._watchers, self._tickets, self._plans),
            clock=self._world.clock,
            boot_id=self._world.boot_id,
            reach=self._reach,
        )
        self._held.callback(pump.close)
        self._opened = True
        return pump

    @property
    def _tickets(self) -> Tickets:
        def hosts() -> Mapping[str, HostRecord]:
            return self.pump.state.hosts

        return Tickets(self.place.pool, self._own_leaf.current, self._world.wall, hosts)

    @property
    def _plans(self) -> NetPlans:
        return NetPlans(self.place.pool, self._own_leaf.current)

    def _new_profiler(self) -> Profiler:
        rules = Rules(after_s=self._config.profile_after_s)
        return Profiler(
            Profiling(self._prices, rules),
            self.pump,
            self._links.send,
            self._tickets,
            self._world.clock,
            self._world.wall,
        )

    def _new_ratio_loop(self) -> RatioLoop:
        ratios = Ratios(self.pump.settings, self._activities)
        return RatioLoop(ratios, self.pump, self._world.clock)

    @property
    def _what_if(self) -> WhatIfService:
        return WhatIfService(self.pump, self._replays, self._world.clock)

    @property
    def _issuer(self) -> Issuer:
        return Issuer(self.authority, self._leaf_life, self._world.wall)

    def _bindings(self, plane: Plane, places: Mapping[Plane, Endpoint]) -> list[Binding]:
        match plane:
            case Plane.USER:
                return self._user_bindings()
            case Plane.MANAGEMENT:
                door = Door(places[Plane.ENROLMENT], self._shown_ca)
                tenancy = TenancyService(self.authority, self.pump, door, self._activities)
                return [*self._management_bindings(), *tenancy.bindings()]
            case Plane.ENROLMENT:
                return self._enrolment(places).bindings()

    def _shown_ca(self) -> bytes:
        """The hash of the CA that whoever joins is shown now."""
        return tls.certificate_sha256(tls.issuer_pem(self._own_leaf.current()))

    def _enrolment(self, places: Mapping[Plane, Endpoint]) -> EnrolmentService:
        return EnrolmentService(
            self.authority,
            self.pump,
            Planes(places[Plane.USER], places[Plane.MANAGEMENT]),
            leaf_life=self._leaf_life,
            wall=self._world.wall,
            clock=self._world.clock,
        )

    def _user_bindings(self) -> list[Binding]:
        service = PoolService(
            self.place.pool,
            self._plans,
            self.pump,
            self._watchers,
            self._issuer,
            self._activities,
            self._presence,
            self._world.clock,
        )
        told = [*LedgerService(self.pump).user_bindings(), *self._what_if.user_bindings()]
        return [*service.bindings(), *self._profiler.bindings(), *told]

    def _management_bindings(self) -> list[Binding]:
        hosts = HostsService(self.pump, self._links, self._issuer, self._activities, self._profiler)
        admin = AdminService(self.place.pool, self.pump, self._issuer, self._turnover)
        ledger = LedgerService(self.pump).management_bindings()
        told = [*ledger, *self._what_if.management_bindings()]
        defrag = DefragService(self.pump).bindings()
        return [*hosts.bindings(), *admin.bindings(), *defrag, *told]

    def _bind(self, plane: Plane, address: str) -> Bound:
        key = port_key(plane)
        fixed, kept = getattr(self._config, key), getattr(self.place, key)
        bound = bind(plane, address, fixed, kept, self._own_leaf)
        self._servers.append(bound.server)
        return bound

    def _spawn(self, name: str, work: Coroutine[object, object, None]) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    def _ticked(self) -> Tick:
        state, used_at = self.pump.state, self._activities.used_at
        used = tuple((name, used_at[name]) for name in state.bindings if name in used_at)
        return Tick(self._links.hosts, self._presence.gone(state), used)

    async def _tidy(self) -> None:
        while True:
            try:
                await self.pump.tidy()
            except Unavailable as error:
                log.warning("%s", error)
            await asyncio.sleep(TIDY_EVERY_S)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._config.tick_s)
            self._activities.keep({lease.key for lease in self.pump.state.all_leases()})
            try:
                await self.pump.submit_late(self._ticked)
            except Unavailable as error:
                log.warning("%s", error)
