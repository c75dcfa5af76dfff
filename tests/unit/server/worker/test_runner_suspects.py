"""Suspects and quarantined sessions on the real data plane: real event loop, real run threads."""

from __future__ import annotations

import asyncio

import pytest

from eais.errors import make_error
from eais.rpc.v1 import supervision_pb2
from eais_server.in_flight import read
from eais_server.testing.runtime import FakeSession
from tests.unit.server.worker.test_plane import Bench, Client, entered, live

GONE = make_error("MODEL_QUARANTINED", "it killed workers")


class TwoThreads(Bench):
    """A plane with two run threads and the sessions s and t."""

    def __init__(self) -> None:
        super().__init__(threads=2)
        self.sessions["t"] = self.other = FakeSession()

    def suspect(self, *sessions: str, hold_ms: int = 0) -> None:
        named = [supervision_pb2.Suspect(session=s, hold_ms=hold_ms) for s in sessions]
        self.plane.suspect(supervision_pb2.Suspects(suspects=named))


async def both_blocked(bench: TwoThreads) -> Client:
    client = await bench.greeted()
    bench.fake.block()
    bench.other.block()
    return client


async def in_flight(bench: Bench, count: int) -> None:
    while bench.counters.in_flight != count:  # noqa: ASYNC110  (it has no event)
        await asyncio.sleep(0)


def test_what_runs_is_marked_while_it_does() -> None:
    async def test() -> None:
        bench = TwoThreads()
        client = await both_blocked(bench)
        client.call(1)
        client.call(2, session="t")
        await entered(bench.fake)
        await entered(bench.other)
        assert sorted(read(bench.page).running) == ["s", "t"]
        bench.other.fail_next(make_error("RUN_FAILED", "no"))
        bench.other.release()
        assert await client.answers(1) == {2: "RUN_FAILED"}
        assert read(bench.page).running == ("s",)
        bench.fake.release()
        assert await client.answers(1) == {1: ""}
        found = read(bench.page)
        assert (found.running, found.finished) == ((), {"s": 1, "t": 0})
        await client.close()

    live(test)


def test_a_suspect_waits_until_nothing_runs_and_nothing_runs_beside_it() -> None:
    async def test() -> None:
        bench = TwoThreads()
        client = await both_blocked(bench)
        client.call(1)
        await entered(bench.fake)
        bench.suspect("t")
        client.call(2, session="t")
        client.call(3)
        bench.fake.release()
        await entered(bench.other)
        bench.fake.block()
        assert read(bench.page).running == ("t",)
        bench.other.release()
        answers = await client.answers(2)
        assert answers.keys() <= {1, 2, 3}
        bench.fake.release()
        answers |= await client.answers(1)
        assert answers == {1: "", 2: "", 3: ""}
        await client.close()

    live(test)


def test_calls_that_wait_when_their_session_is_suspected_run_alone_too() -> None:
    async def test() -> None:
        bench = TwoThreads()
        client = await both_blocked(bench)
        for call_id in (1, 2):
            client.call(call_id)
        await entered(bench.fake)
        await entered(bench.fake)
        client.call(3, session="t")
        client.call(4)
        await in_flight(bench, 4)
        bench.suspect("t")
        bench.fake.release()
        await entered(bench.other)
        assert read(bench.page).running == ("t",)
        bench.other.release()
        assert await client.answers(4) == {1: "", 2: "", 3: "", 4: ""}
        await client.close()

    live(test)


def test_a_suspect_that_is_held_runs_after_that() -> None:
    async def test() -> None:
        bench = TwoThreads()
        client = await bench.greeted()
        bench.suspect("t", hold_ms=50)
        client.call(1, session="t")
        client.call(2)
        assert await client.answers(1) == {2: ""}
        assert await client.answers(1) == {1: ""}
        await client.close()

    live(test)


def test_a_quarantined_sessions_calls_end_wherever_they_are() -> None:
    async def test() -> None:
        bench = TwoThreads()
        client = await both_blocked(bench)
        bench.suspect("t")
        client.call(1)
        await entered(bench.fake)
        for call_id in (2, 3):
            client.call(call_id, session="t")
        client.call(4)
        client.call(5)
        await in_flight(bench, 5)
        bench.plane.refuse("t", GONE)
        assert await client.answers(2) == {2: "MODEL_QUARANTINED", 3: "MODEL_QUARANTINED"}
        bench.plane.refuse("s", GONE)
        answers = await client.answers(3)
        assert answers == dict.fromkeys((1, 4, 5), "MODEL_QUARANTINED")
        await in_flight(bench, 0)
        assert read(bench.page).running == ()
        await client.close()

    live(test)


@pytest.mark.parametrize("named", [(), ("s",), ("t", "s")])
def test_all_calls_are_answered_whoever_is_suspected(named: tuple[str, ...]) -> None:
    async def test() -> None:
        bench = TwoThreads()
        client = await bench.greeted()
        bench.suspect(*named)
        for call_id in range(40):
            client.call(call_id, session="st"[call_id % 2])
        assert len(await client.answers(40)) == 40
        assert bench.counters.in_flight == 0
        await client.close()

    live(test)
