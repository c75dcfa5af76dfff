from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from eais.errors import EaisError, Unavailable
from eais_pool.brain.actions import Action, Command, News, Publish
from eais_pool.brain.events import Event, HostLost, ManagerStarted, OpRequested, Tick
from eais_pool.brain.facts import Fact
from eais_pool.brain.reactor import Reactor
from eais_pool.brain.records import Answer, OpVerb
from eais_pool.brain.state import PoolState
from eais_pool.failpoints import points
from eais_pool.policy import GRADIENT
from eais_pool.policy.placement.live import policy_of
from eais_pool.pump import Pump
from eais_pool.store import Store
from eais_pool.testing import FakeHost
from tests.unit.pool.rig import SETTINGS, ids, op_id


class Mouth:
    def __init__(self) -> None:
        self.sent: list[Command] = []
        self.shown: list[str] = []

    def send(self, host: str, command: Command) -> None:
        self.sent.append(command)

    def publish(self, news: News) -> None:
        assert isinstance(news, Publish)
        self.shown.append(news.view.state.value)


class FailingStore(Store):
    """A store whose disk can be full."""

    full = False
    meanwhile: Callable[[], None] | None = None

    def append(self, facts: Sequence[Fact], at: float, boot_id: str, what: str) -> None:
        if self.meanwhile:
            self.meanwhile()
        if self.full:
            raise Unavailable("JOURNAL_UNAVAILABLE", "full")
        super().append(facts, at, boot_id, what)


class Rig:
    def __init__(self, path: Path, reactor: Reactor | None = None) -> None:
        made = ids()
        self.reached: list[str] = []
        self.store = FailingStore(path, compact_rows=4, reach=self.reached.append)
        self.mouth = Mouth()
        self.pump = Pump(
            reactor or Reactor(SETTINGS, policy_of(GRADIENT), lambda: next(made)),
            self.store,
            self.mouth,
            clock=lambda: 7.0,
            boot_id="boot",
            reach=self.reached.append,
        )


def on_pump(path: Path, test: Callable[[Rig], Awaitable[None]]) -> Rig:
    async def run() -> Rig:
        rig = Rig(path / "journal.sqlite")
        running = asyncio.create_task(rig.pump.run())
        try:
            async with asyncio.timeout(30):
                await rig.pump.submit(ManagerStarted("boot"))
                await test(rig)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            rig.pump.close()
        return rig

    return asyncio.run(run())


def attach(n: int = 1) -> OpRequested:
    return OpRequested(OpVerb.ATTACH, "acme", "box", op_id(n), type="cpu.1")


def test_all_who_ask_for_one_operation_get_its_answer(tmp_path: Path) -> None:
    host = FakeHost()

    async def test(rig: Rig) -> None:
        await rig.pump.submit(host.join())
        asking = [asyncio.create_task(rig.pump.request(attach())) for _ in range(3)]
        hung_up = asyncio.create_task(rig.pump.request(attach()))
        while not rig.mouth.sent:  # noqa: ASYNC110 - the pump is another task of this loop
            await asyncio.sleep(0)
        await rig.pump.submit(Tick(frozenset({"h1"})))
        hung_up.cancel()
        await asyncio.gather(hung_up, return_exceptions=True)
        await rig.pump.submit(host.obey(rig.mouth.sent[0]))
        first, *rest = await asyncio.gather(*asking)
        assert rest == [first, first]
        assert first.view is not None
        assert await rig.pump.request(attach()) == first
        assert rig.mouth.shown == ["BOUND", "IN_USE"]

    on_pump(tmp_path, test)


def test_steps_come_in_their_order(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        rig.reached.clear()
        await rig.pump.submit(FakeHost().join())
        assert rig.reached == list(points("host_joined"))

    on_pump(tmp_path, test)


def test_without_a_journal_nothing_is_done_and_afterwards_all_is_well(tmp_path: Path) -> None:
    host = FakeHost()

    async def test(rig: Rig) -> None:
        await rig.pump.submit(host.join())
        before = rig.pump.state.copy()
        rig.store.full = True
        for event in (attach(), HostLost("h1")):
            with pytest.raises(Unavailable) as error:
                await (
                    rig.pump.request(event)
                    if isinstance(event, OpRequested)
                    else rig.pump.submit(event)
                )
            assert error.value.reason == "JOURNAL_UNAVAILABLE"
        assert rig.pump.state == before
        assert (rig.mouth.sent, rig.mouth.shown) == ([], [])
        rig.store.full = False
        asking = asyncio.create_task(rig.pump.request(attach()))
        while not rig.mouth.sent:  # noqa: ASYNC110 - the pump is another task of this loop
            await asyncio.sleep(0)
        await rig.pump.submit(host.obey(rig.mouth.sent[0]))
        assert (await asking).view is not None
        rig.store.full = True
        # What is stored needs no journal.
        assert (await rig.pump.request(attach())).view is not None
        rig.store.full = False

    on_pump(tmp_path, test)


def test_what_comes_first_comes_first_however_late_the_disk(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        rig.store.full = True
        before = rig.pump.state.copy()
        assert not await rig.pump.begin(ManagerStarted("next boot"))
        for event in (FakeHost().join(), Tick(frozenset())):
            with pytest.raises(Unavailable) as error:
                await rig.pump.submit(event)
            assert error.value.reason == "JOURNAL_UNAVAILABLE"
        assert rig.pump.state == before
        rig.store.full = False
        rig.reached.clear()
        await rig.pump.submit(FakeHost().join())
        assert rig.pump.state.boot_id == "next boot"
        assert [point for point in rig.reached if point.endswith("committed")] == [
            "manager_started.committed",
            "host_joined.committed",
        ]
        assert await rig.pump.begin(ManagerStarted("third boot"))

    on_pump(tmp_path, test)


def test_a_refusal_reaches_the_one_who_asked(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        with pytest.raises(Unavailable) as error:
            await rig.pump.request(attach())
        assert error.value.reason == "NO_DEVICE"

    on_pump(tmp_path, test)


def test_the_state_is_that_of_the_journal_snapshots_included(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        for n in range(1, 8):
            create = OpRequested(OpVerb.CREATE, "acme", "box", op_id(n), type="cpu.1")
            await rig.pump.request(create)

    state = on_pump(tmp_path, test).pump.state
    store = Store(tmp_path / "journal.sqlite")
    assert store.replay() == state
    assert not store.crowded
    store.close()


def test_who_waits_when_it_stops_is_told(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        await rig.pump.submit(FakeHost().join())
        asking = asyncio.create_task(rig.pump.request(attach()))
        while not rig.mouth.sent:  # noqa: ASYNC110 - the pump is another task of this loop
            await asyncio.sleep(0)
        rig.pump.refuse()
        for waiting in (asking, rig.pump.request(attach(2))):
            with pytest.raises(EaisError) as error:
                await waiting
            assert error.value.reason == "POOL_UNREACHABLE"

    on_pump(tmp_path, test)


class BrokenReactor(Reactor):
    """A reactor with a bug."""

    def on_event(self, state: PoolState, event: Event, now: float) -> list[Action]:
        if isinstance(event, HostLost):
            raise KeyError("a bug")
        return super().on_event(state, event, now)


def test_a_bug_ends_one_event_and_not_the_pool(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> Answer:
        rig = Rig(
            tmp_path / "journal.sqlite",
            BrokenReactor(SETTINGS, policy_of(GRADIENT), lambda: "ei-1"),
        )
        running = asyncio.create_task(rig.pump.run())
        with pytest.raises(EaisError) as error:
            await rig.pump.submit(HostLost("h1"))
        assert error.value.reason == "BUG"
        create = OpRequested(OpVerb.CREATE, "acme", "box", op_id(1), type="cpu.1")
        answer = await rig.pump.request(create)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        rig.pump.close()
        return answer

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(run()).view is not None
    assert "BUG: host_lost" in caplog.text


def test_a_pump_with_nothing_to_do_moves(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        await rig.pump.moves()
        await rig.pump.moves()

    on_pump(tmp_path, test)


def test_a_pump_moves_while_many_wait(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        waiting = [asyncio.ensure_future(rig.pump.submit(Tick(frozenset()))) for _ in range(3000)]
        await asyncio.sleep(0)
        await rig.pump.moves()
        assert sum(not event.done() for event in waiting) > 2000
        await asyncio.gather(*waiting)

    on_pump(tmp_path, test)


def test_a_pump_whose_disk_hangs_does_not_move(tmp_path: Path) -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        goes_on.wait(30)

    async def test(rig: Rig) -> None:
        rig.store.meanwhile = hang
        event = asyncio.ensure_future(rig.pump.submit(FakeHost().join()))
        await asyncio.to_thread(hangs.wait, 30)
        moved = asyncio.ensure_future(rig.pump.moves())
        done, _ = await asyncio.wait([moved], timeout=0.05)
        assert not done
        rig.store.meanwhile = None
        goes_on.set()
        await event
        await moved

    on_pump(tmp_path, test)


def test_a_host_that_joined_meanwhile_is_not_taken_for_lost(tmp_path: Path) -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        goes_on.wait(30)

    async def test(rig: Rig) -> None:
        linked: set[str] = set()
        rig.store.meanwhile = hang
        joins = asyncio.ensure_future(rig.pump.submit(FakeHost().join()))
        await asyncio.to_thread(hangs.wait, 30)
        ticks = asyncio.ensure_future(rig.pump.submit_late(lambda: Tick(frozenset(linked))))
        await asyncio.sleep(0)
        linked.add(FakeHost().name)
        goes_on.set()
        await joins
        await ticks
        assert rig.pump.state.hosts[FakeHost().name].reachable

    on_pump(tmp_path, test)
