"""One event at a time through the reactor: decide, journal, apply, then speak.

The journal is written in a thread of its own, so that streams live on meanwhile.
If it can't be written nothing is applied, answered or sent, and whoever brought
the event is told JOURNAL_UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from eais.errors import EaisError, Unavailable, make_error
from eais.failpoints import Reach, nowhere
from eais.telemetry.metrics import Times
from eais_pool.brain.actions import (
    Action,
    Command,
    Journal,
    News,
    Notice,
    Publish,
    Refuse,
    Reopen,
    Reply,
    Send,
    Tell,
    Told,
)
from eais_pool.brain.events import (
    Event,
    JoinRequested,
    OpRequested,
    TenantRequested,
    TokenRequested,
)
from eais_pool.brain.facts import Fact
from eais_pool.brain.ledger_asked import Asked, By, Used, still_open, summed
from eais_pool.brain.reactor import Reactor
from eais_pool.brain.records import Answer
from eais_pool.brain.state import OpKey, PoolState
from eais_pool.failpoints import name_of
from eais_pool.store import Store

log = logging.getLogger(__name__)

Clock = Callable[[], float]
_QUEUE_LIMIT = 1024
_DEMAND_AT_ONCE = 50
_Outcome = Answer | Told | None


class Mouth(Protocol):
    """Where commands and news go; neither waits nor fails."""

    def send(self, host: str, command: Command) -> None:
        """Queue a command for a host's link; without a link it is dropped."""
        ...

    def publish(self, news: News) -> None:
        """Queue something for a front-end's watchers."""
        ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    make: Callable[[], Event]
    done: asyncio.Future[_Outcome]


@dataclass(frozen=True, slots=True)
class _Item:
    event: Event
    done: asyncio.Future[_Outcome]


class Pump:
    """The one writer of `state`.

    Attributes:
        state: read it between two awaits; it is never half of an event.
        settings: the pool's rules.
        fault: why the journal couldn't be written the last time; "" if it could.
        journal_times, journal_failures: of all writes so far.
    """

    def __init__(
        self,
        reactor: Reactor,
        store: Store,
        mouth: Mouth,
        *,
        clock: Clock,
        boot_id: str,
        reach: Reach = nowhere,
    ) -> None:
        self.state: PoolState = store.replay()
        self.settings = reactor.settings
        self._reactor = reactor
        self._store = store
        self._mouth = mouth
        self._clock = clock
        self._boot_id = boot_id
        self._reach = reach
        # None: nothing is to be decided, only to be shown that it would be (`moves`).
        self._queue: asyncio.Queue[_Waiting | None] = asyncio.Queue(_QUEUE_LIMIT)
        self._ledger_row = store.ledger.last_row
        self.fault = ""
        self.journal_times = Times()
        self.journal_failures = 0
        self._stepped = asyncio.Event()
        self._waiters: dict[OpKey, list[asyncio.Future[_Outcome]]] = {}
        self._closed = False
        self._first: Event | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")

    async def begin(self, first: Event) -> bool:
        """Have `first` decided before anything else; False if the journal can't be written now.

        Then it is tried again before each event that comes, which is refused as long as that
        fails; `state` is what the journal says.
        """
        self._first = first
        try:
            await self.submit(first)
        except Unavailable as error:
            log.error("nothing can be changed until the journal can be written: %s", error)
            return False
        return True

    async def submit(self, event: Event) -> None:
        """Have an event decided; returns when that is durable and done.

        Raises:
            Unavailable: JOURNAL_UNAVAILABLE.
        """
        await self._put(lambda: event)

    async def submit_late(self, make: Callable[[], Event]) -> None:
        """The same, of an event that is made when its turn has come, of what holds then.

        Those that wait for a full queue may be overtaken, so what an event said when it was
        brought may be older than what has been decided since.

        Raises:
            Unavailable: JOURNAL_UNAVAILABLE.
        """
        await self._put(make)

    async def request(self, event: OpRequested) -> Answer:
        """Have a verb decided, and wait for the operation's end, however long it takes.

        Raises:
            EaisError: the refusal. A stored failure comes back as an `Answer`.
        """
        answer = await self._put(lambda: event)
        if not isinstance(answer, Answer):
            raise AssertionError(f"{event.verb.value} ended without an answer")
        return answer

    async def ask(self, event: TokenRequested | TenantRequested | JoinRequested) -> Told:
        """Have what is done at once decided; returns when it is durable.

        Raises:
            EaisError: the refusal.
        """
        answer = await self._put(lambda: event)
        if answer is None or isinstance(answer, Answer):
            raise AssertionError(f"{name_of(event)} ended without its answer")
        return answer

    async def _put(self, make: Callable[[], Event]) -> _Outcome:
        if self._closed:
            raise _stopping()
        done: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Waiting(make, done))
        return await done

    @property
    def journal_rows(self) -> int:
        """Facts since the journal's last snapshot."""
        return self._store.rows

    async def moves(self) -> None:
        """Return when the next event has been decided, or could have been if there was none.

        However many wait: it is asked whether they move, not when the last one is done. It says
        the same of the thread that writes the journal.
        """
        self._stepped.clear()
        if self._queue.empty():
            self._queue.put_nowait(None)
        await self._stepped.wait()

    async def run(self) -> None:
        """Decide events until cancelled."""
        while True:
            waiting = await self._queue.get()
            if waiting is None:
                await asyncio.get_running_loop().run_in_executor(self._writer, _nothing)
            else:
                await self._decide(_Item(waiting.make(), waiting.done))
            self._stepped.set()

    async def _decide(self, item: _Item) -> None:
        try:
            await self._step(item)
        except EaisError as error:
            _set_error(item.done, error)
        except Exception:
            # A bug of ours must not end the pool; nothing was applied.
            log.exception("BUG: %s", name_of(item.event))
            bug = make_error("BUG", "the manager failed on this; its log says how")
            _set_error(item.done, bug)

    async def used(
        self, since_s: float, until_s: float, by: tuple[By, ...], tenant: str
    ) -> list[Used]:
        """What leases were charged for and used, in order of what is told apart.

        Args:
            since_s, until_s: how long ago the time that is asked of began, and ended.
            tenant: "" for all.

        Raises:
            Unavailable: JOURNAL_UNAVAILABLE.
        """
        now = self.state.ledger_time(self._clock())
        asked = Asked(now - since_s, now - until_s, by, tenant)
        found = list(still_open(self.state, asked, now))
        # What has a row by now isn't open, and what is open has none.
        rows = partial(self._store.used, replace(asked, last_row=self._ledger_row))
        found += await asyncio.get_running_loop().run_in_executor(self._writer, rows)
        return summed(found)

    async def demand(self, until: int = 0, after: int = 0) -> AsyncGenerator[str]:
        """What demand there was, row by row as text, the oldest first.

        A few rows at a time: others' writes come between.

        Args:
            after, until: of rows with a number above the one, and up to the other; 0: all that
                there are now.

        Raises:
            Unavailable: JOURNAL_UNAVAILABLE.
        """
        until = until or self._store.last_seq
        while True:
            read = partial(self._store.demand, after, until, _DEMAND_AT_ONCE)
            rows = await asyncio.get_running_loop().run_in_executor(self._writer, read)
            if not rows:
                return
            for after, text in rows:  # noqa: B007 (the last one's number is where to go on)
                yield text

    async def tidy(self) -> None:
        """Merge old rows of the ledger, a few at a time."""
        now = self.state.ledger_time(self._clock())
        work = partial(self._store.tidy, now)
        left = True
        while left:
            left = await asyncio.get_running_loop().run_in_executor(self._writer, work)

    def refuse(self) -> None:
        """Take no more events, and refuse all who wait: the manager is stopping."""
        self._closed = True
        waiting = [done for waiters in self._waiters.values() for done in waiters]
        while not self._queue.empty():
            if one := self._queue.get_nowait():
                waiting.append(one.done)
        for done in waiting:
            _set_error(done, _stopping())

    def close(self) -> None:
        """End the writer's thread and the journal; `run` must have been cancelled."""
        self.refuse()
        self._writer.shutdown(wait=True)
        self._store.close()

    async def _step(self, item: _Item) -> None:
        if self._first is not None and item.event is not self._first:
            await self._do(_Item(self._first, asyncio.get_running_loop().create_future()))
        await self._do(item)

    async def _do(self, item: _Item) -> None:
        what = name_of(item.event)
        self._reach(f"{what}.received")
        actions = self._reactor.on_event(self.state, item.event, self._clock())
        self._reach(f"{what}.decided")
        for action in actions:
            if isinstance(action, Journal):
                await self._commit(action.facts, what)
        if item.event is self._first:
            self._first = None
        self._reach(f"{what}.applied")
        self._expect_answer(item, actions)
        self._speak(item, actions)
        self._reach(f"{what}.said")

    async def _commit(self, facts: tuple[Fact, ...], what: str) -> None:
        loop = asyncio.get_running_loop()
        at = self._clock()
        write = partial(self._store.append, facts, at, self._boot_id, what)
        try:
            await loop.run_in_executor(self._writer, write)
        except Unavailable as error:
            self.fault = str(error)
            self.journal_failures += 1
            raise
        self.fault = ""
        self.journal_times.took(self._clock() - at)
        for fact in facts:
            self.state.apply(fact)
        self._ledger_row = self._store.ledger.last_row
        if self._store.crowded:
            try:
                await loop.run_in_executor(self._writer, self._store.compact, self.state)
            except Unavailable as error:
                # What was decided is durable; the next event tries to compact again.
                log.warning("%s", error)

    def _expect_answer(self, item: _Item, actions: Iterable[Action]) -> None:
        """Let an operation's requester wait for its Reply, which may be among `actions`."""
        event = item.event
        if not isinstance(event, OpRequested):
            return
        if not any(isinstance(action, Refuse) for action in actions):
            key = (event.tenant, event.op_id)
            # Who asks again and again for what waits in line has hung up the time before.
            waiters = [each for each in self._waiters.get(key, ()) if not each.done()]
            self._waiters[key] = [*waiters, item.done]

    def _speak(self, item: _Item, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Reply(tenant, op_id, answer):
                    for done in self._waiters.pop((tenant, op_id), ()):
                        _set_result(done, answer)
                case Tell(told):
                    _set_result(item.done, told)
                case Refuse(failure):
                    _set_error(item.done, failure.error())
                case Send(host, command):
                    self._mouth.send(host, command)
                case Publish() | Notice() | Reopen():
                    self._mouth.publish(action)
                case Journal():
                    pass
        if not isinstance(item.event, OpRequested):
            _set_result(item.done, None)


def _nothing() -> None:
    """What a thread does to show that it does what it is given."""


def _set_result(done: asyncio.Future[_Outcome], answer: _Outcome) -> None:
    # A requester that has hung up has cancelled its future.
    if not done.done():
        done.set_result(answer)


def _set_error(done: asyncio.Future[_Outcome], error: EaisError) -> None:
    if not done.done():
        done.set_exception(error)


def _stopping() -> Unavailable:
    return Unavailable("POOL_UNREACHABLE", "the manager is stopping")
