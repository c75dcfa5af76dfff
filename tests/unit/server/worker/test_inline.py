"""Short calls that run on the event loop, and those that only seemed to be short."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from eais.rpc.v1 import supervision_pb2, worker_pb2
from eais.transport.parts import RunPart
from eais_server.in_flight import read
from eais_server.testing.runtime import FakeSession
from eais_server.worker.execution import Execution
from eais_server.worker.inline import (
    BAN_S,
    MAX_KINDS,
    SHORT_S,
    SMALL_BYTES,
    InlineRights,
    Kind,
)
from eais_server.worker.inline_runs import InlineRuns
from tests.unit.server.worker.test_plane import Bench, Client, entered, live

ENOUGH = 40
"""Calls after which it is known what the next one takes."""

# what is known of calls


def learnt(rights: InlineRights, seconds: float, runs: int = ENOUGH, now_s: float = 0.0) -> bool:
    """Whether calls of s may run on the event loop after so many that took so long."""
    for _ in range(runs):
        rights.took("s", 100, seconds, now_s)
    return rights.kind("s", 100) is not None


def test_nothing_runs_on_the_event_loop_of_which_nothing_is_known() -> None:
    rights = InlineRights()
    assert rights.kind("s", 100) is None
    assert not learnt(rights, 1e-5, runs=3)


def test_only_what_is_short_and_steadily_so_runs_there() -> None:
    assert learnt(InlineRights(), SHORT_S / 2)
    assert not learnt(InlineRights(), SHORT_S * 2)
    changing = InlineRights()
    for _ in range(ENOUGH):
        changing.took("s", 100, 1e-5, 0.0)
        changing.took("s", 100, 5e-3, 0.0)
    assert changing.kind("s", 100) is None


def test_one_that_the_machine_held_up_changes_nothing_and_some_in_a_row_do() -> None:
    rights = InlineRights()
    learnt(rights, SHORT_S / 3)
    assert learnt(rights, 100.0, runs=1)
    assert not learnt(rights, 100.0, runs=2)
    assert learnt(rights, SHORT_S / 3)


def test_calls_of_other_sizes_and_sessions_are_others() -> None:
    rights = InlineRights()
    assert learnt(rights, 1e-5)
    assert rights.kind("s", 10_000) is None
    assert rights.kind("t", 100) is None
    for _ in range(ENOUGH):
        rights.took("s", SMALL_BYTES + 1, 1e-5, 0.0)
    assert rights.kind("s", SMALL_BYTES + 1) is None


def test_a_session_whose_run_lasted_earns_its_right_anew_after_a_while() -> None:
    rights = InlineRights()
    assert learnt(rights, 1e-5)
    rights.overran("s", 10.0)
    assert not learnt(rights, 1e-5, now_s=10.0 + BAN_S / 2)
    assert not learnt(rights, 1e-5, runs=3, now_s=10.0 + BAN_S)
    assert learnt(rights, 1e-5, now_s=10.0 + BAN_S)


def test_what_is_known_is_bounded() -> None:
    rights = InlineRights()
    for number in range(3 * MAX_KINDS):
        rights.took(str(number), 1, 1e-5, 0.0)
        assert len(rights._kinds) <= MAX_KINDS


def ticking() -> Callable[[], int]:
    """A clock for which all takes 30 microseconds."""
    ticks = itertools.count(0, 30_000)
    return lambda: next(ticks)


def test_the_event_loop_has_its_turn_among_runs_that_follow_each_other() -> None:
    async def test() -> None:
        clock = ticking()
        inline = InlineRuns(Execution(clock), clock)
        told = asyncio.Event()
        inline.again = told.set
        prepared = inline.prepared("s", FakeSession(lambda feed: []))
        runs = 0
        while inline.has_time:
            assert inline.run(RunPart(session="s"), prepared, Kind()) is not None
            runs += 1
        assert runs > 1
        await told.wait()
        assert bool(inline.has_time)
        inline.close()

    live(test)


# on the data plane


class Threads(Bench):
    """A plane whose session tells on which thread its runs are."""

    def __init__(self) -> None:
        super().__init__(threads=2, queue_limit_s=60.0)
        self.on: list[int] = []
        self.marked: list[tuple[str, ...]] = []
        self.sessions["s"] = self.fake = FakeSession(self.answer)

    def answer(self, feed: Mapping[str, Any]) -> list[Any]:
        self.on.append(threading.get_ident())
        self.marked.append(read(self.page).running)
        return [feed["x"]]

    @property
    def here(self) -> int:
        """How many runs were on the event loop."""
        return self.on.count(threading.get_ident())

    async def known_to_be_short(self) -> Client:
        """A client, after calls that were so short that nothing can make it forgotten soon."""
        client = await self.greeted()
        rights = self.plane._hub.runner.inline.rights
        for bits in range(20):
            rights._kinds["s", bits] = Kind(mean_s=-1.0)
        client.call(0)
        assert await client.answers(1) == {0: ""}
        assert self.here == 1
        return client


def test_calls_earn_it_to_run_on_the_event_loop() -> None:
    async def test() -> None:
        bench = Threads()
        client = await bench.greeted()
        call_id = 0
        while not bench.here:
            client.call(call_id)
            assert await client.answers(1) == {call_id: ""}
            call_id += 1
        assert call_id > 3
        await client.close()

    live(test)


def test_short_calls_run_on_the_event_loop_marked_and_counted_as_all_are() -> None:
    async def test() -> None:
        bench = Threads()
        client = await bench.known_to_be_short()
        before = bench.here
        client.call(99)
        assert await client.answers(1) == {99: ""}
        assert bench.here == before + 1
        assert set(bench.marked) == {("s",)}
        found = read(bench.page)
        assert (found.running, found.finished) == ((), {"s": 2})
        counters = bench.counters
        assert (counters.requests, sum(counters.latency)) == (2, 2)
        assert (counters.in_flight, bench.plane._budget.held) == (0, 0)
        assert counters.bytes_in
        assert counters.bytes_out
        assert counters.busy_ns
        assert counters.answered_ns
        await client.close()

    live(test)


def test_many_short_calls_of_one_message_are_all_answered_once() -> None:
    async def test() -> None:
        bench = Threads()
        client = await bench.known_to_be_short()
        for call_id in range(1000):
            client.call(call_id)
        assert await client.answers(1000) == dict.fromkeys(range(1000), "")
        assert bench.fake.runs == 1 + 1000
        assert bench.plane._hub.runner.in_flight == 0
        await client.close()

    live(test)


def test_a_call_that_fails_there_is_answered_so_and_counted() -> None:
    async def test() -> None:
        bench = Threads()
        client = await bench.known_to_be_short()
        client.call(1, inputs=[])
        assert await client.answers(1) == {1: "BUG"}
        assert read(bench.page).running == ()
        assert bench.counters.failed == {"BUG": 1}
        await client.close()

    live(test)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"epoch": 0}, "STALE_EPOCH"),
        ({"epoch": 2}, "DRAINING"),
        ({"instance": "other"}, "NOT_FOUND"),
        ({"session": "t"}, "SESSION_UNKNOWN"),
    ],
)
def test_what_is_refused_is_refused_however_short(fields: dict[str, Any], reason: str) -> None:
    async def test() -> None:
        bench = Threads()
        client = await bench.known_to_be_short()
        client.call(1, **fields)
        assert await client.answers(1) == {1: reason}
        assert bench.fake.runs == 1
        await client.close()

    live(test)


def test_a_run_that_lasts_on_the_event_loop_is_run_again_on_a_thread() -> None:
    async def test() -> None:
        bench = Threads()
        client = await bench.known_to_be_short()
        bench.fake.block()
        entries = bench.fake.runs
        client.call(1)
        for _ in range(entries + 1):
            await entered(bench.fake)
        client.call(2)
        await entered(bench.fake)
        before = bench.here
        bench.fake.release()
        assert await client.answers(2) == {1: "", 2: ""}
        client.call(3)
        assert await client.answers(1) == {3: ""}
        assert bench.here == before
        found = read(bench.page)
        assert (found.running, found.finished) == ((), {"s": 4})
        assert bench.counters.failed == {}
        await client.close()

    live(test)


def test_a_call_that_waited_and_lasts_there_is_run_again_too() -> None:
    async def test() -> None:
        bench = Threads()
        client = await bench.known_to_be_short()
        bench.fake.block()
        bench.plane._hub.runner.inline._spend(10**9)
        client.call(1)
        while bench.fake.runs < 3:  # noqa: ASYNC110  (it has no event)
            await asyncio.sleep(0.001)
        bench.fake.release()
        assert await client.answers(1) == {1: ""}
        assert read(bench.page).finished == {"s": 2}
        await client.close()

    live(test)


def test_a_suspects_calls_run_on_threads_and_so_do_others_meanwhile() -> None:
    async def test() -> None:
        bench = Threads()
        client = await bench.known_to_be_short()
        bench.sessions["t"] = FakeSession()
        before = bench.here
        suspects = [supervision_pb2.Suspect(session="t")]
        bench.plane.suspect(supervision_pb2.Suspects(suspects=suspects))
        client.call(1)
        assert await client.answers(1) == {1: ""}
        assert bench.here == before
        client.call(2, session="t")
        assert await client.answers(1) == {2: ""}
        client.call(3)
        assert await client.answers(1) == {3: ""}
        assert bench.here == before + 1
        await client.close()

    live(test)


def test_while_a_call_runs_on_a_thread_none_runs_on_the_event_loop() -> None:
    async def test() -> None:
        bench = Threads()
        client = await bench.known_to_be_short()
        bench.sessions["t"] = other = FakeSession()
        other.block()
        client.call(1, session="t")
        await entered(other)
        before = bench.here
        client.call(2)
        assert await client.answers(1) == {2: ""}
        assert bench.here == before
        other.release()
        assert await client.answers(1) == {1: ""}
        await client.close()

    live(test)


def test_calls_with_options_of_their_own_run_on_threads() -> None:
    async def test() -> None:
        bench = Threads()
        client = await bench.known_to_be_short()
        before = bench.here
        own: list[dict[str, Any]] = [
            {"options": worker_pb2.RunOptions(tag="mine")},
            {"timeout_us": 1000},
        ]
        for call_id, fields in enumerate(own):
            client.call(call_id, **fields)
            assert (await client.answers(1)).keys() == {call_id}
        assert bench.here == before
        while bench.plane._hub.runner.in_flight:  # noqa: ASYNC110  (it has no event)
            await asyncio.sleep(0.001)
        client.call(3, timeout_us=10_000_000)
        assert await client.answers(1) == {3: ""}
        assert bench.here == before + 1
        await client.close()

    live(test)


def test_a_session_that_is_unloaded_is_not_kept_for_the_next_call() -> None:
    async def test() -> None:
        bench = Threads()
        client = await bench.known_to_be_short()
        assert bench.plane._hub.runner.inline._prepared
        del bench.sessions["s"]
        bench.plane.forget("s")
        assert not bench.plane._hub.runner.inline._prepared
        client.call(1)
        assert await client.answers(1) == {1: "SESSION_UNKNOWN"}
        bench.sessions["s"] = FakeSession(lambda feed: [np.float32(2)])
        client.call(2)
        assert await client.answers(1) == {2: ""}
        await client.close()

    live(test)
