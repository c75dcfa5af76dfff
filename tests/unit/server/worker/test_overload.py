"""More calls than a worker can run: who is refused, who is served, and that nothing is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
import pytest

from eais.channel import PIECE_BYTES
from eais.errors import EaisError
from eais.identity import Identity
from eais.rpc.hello import hello
from eais.rpc.v1 import value_pb2, worker_pb2
from eais.testing.values import encode_value
from eais.value import Deferred
from eais_server.testing.runtime import FakeSession
from eais_server.worker.calls import CallLimits
from eais_server.worker.plane import MAX_STREAMS
from tests.unit.server.worker.test_plane import FRONTEND, Bench, Client, entered, live

OTHER = Identity.frontend("pool", "acme", "other")
LARGE = np.zeros(2 * PIECE_BYTES, np.uint8)


async def client_of(bench: Bench, identity: Identity = FRONTEND, *, reads: bool = True) -> Client:
    made = bench.client(identity)
    made.send(hello=hello("test"))
    assert (await anext(made.replies)).HasField("hello")
    if reads:
        made.read()
    return made


async def known_cost(bench: Bench, seconds: float, session: str = "s") -> None:
    """As if calls of the session had taken so long."""
    for size in (1, 1 << 6, 1 << 22):
        for _ in range(3):
            bench.plane._hub.times.took(session, size, seconds)


async def until(condition: Callable[[], object]) -> None:
    """Wait for what happens on this loop; `live` bounds it."""
    while not condition():  # noqa: ASYNC110 - what is asked sets no event
        await asyncio.sleep(0.001)


async def nothing_left(bench: Bench) -> None:
    """Wait until no call holds anything any more."""
    hub, budget = bench.plane._hub, bench.plane._budget
    await until(lambda: not (hub.runner.in_flight or budget.held or hub.backlog.held))
    for connection in bench.plane._connections:
        assert len(connection._dispatch) == 0
        assert connection._dispatch._gate.coming_s == 0
    assert not bench.plane._budget._by_owner
    assert not list(hub.runner._queue)


def test_a_call_that_would_wait_too_long_is_refused_at_once_and_told_until_when() -> None:
    async def test() -> None:
        bench = Bench(queue_limit_s=2500.0)
        await known_cost(bench, 1000.0)
        client = await client_of(bench)
        bench.fake.block()
        client.call(1)
        await entered(bench.fake)
        for call_id in range(2, 10):
            client.call(call_id)
        found: list[worker_pb2.Answer] = []
        while len(found) < 6:
            message = await client.receive()
            assert message is not None
            found += message.answers
        assert {answer.error.reason for answer in found} == {"BUSY"}
        assert {answer.call_id for answer in found} == {4, 5, 6, 7, 8, 9}
        assert all(answer.error.push_back_ms > 0 for answer in found)
        bench.fake.release()
        assert await client.answers(3) == {1: "", 2: "", 3: ""}
        await nothing_left(bench)
        await client.close()

    live(test)


def test_a_call_that_can_not_meet_its_deadline_is_refused_before_it_passes() -> None:
    async def test() -> None:
        bench = Bench(queue_limit_s=60.0)
        await known_cost(bench, 10.0)
        client = await client_of(bench)
        bench.fake.block()
        client.call(1)
        await entered(bench.fake)
        client.call(2, timeout_us=15_000_000)
        assert await client.answers(1) == {2: "BUSY"}
        client.call(3, timeout_us=25_000_000)
        client.call(4)
        bench.fake.release()
        assert await client.answers(3) == {1: "", 3: "", 4: ""}
        await client.close()

    live(test)


def test_a_call_of_another_front_end_is_taken_and_next_however_many_wait() -> None:
    async def test() -> None:
        bench, before = Bench(CallLimits(waiting=20), queue_limit_s=60.0), list[int]()

        def victims(feed: Mapping[str, Any]) -> list[Any]:
            before.append(bench.fake.runs)
            return [feed["x"]]

        bench.sessions["v"] = FakeSession(victims)
        noisy, victim = await client_of(bench), await client_of(bench, OTHER)
        bench.fake.block()
        noisy.call(1)
        await entered(bench.fake)
        for call_id in range(2, 30):
            noisy.call(call_id)
        assert set((await noisy.answers(8)).values()) == {"BUSY"}
        victim.call(1, session="v")
        # Its place is one that the noisy one had.
        assert await noisy.answers(1) == {21: "BUSY"}
        bench.fake.release()
        assert await victim.answers(1) == {1: ""}
        assert before in ([1], [2])
        assert len(await noisy.answers(20)) == 20
        await noisy.close()
        await victim.close()

    live(test)


def test_a_call_whose_deadline_passed_while_it_waited_is_never_run() -> None:
    async def test() -> None:
        bench = Bench()
        client = await client_of(bench)
        bench.fake.block()
        client.call(1)
        await entered(bench.fake)
        client.call(2, timeout_us=1000)
        assert await client.answers(1) == {2: "DEADLINE_EXCEEDED"}
        bench.fake.release()
        assert await client.answers(1) == {1: ""}
        await nothing_left(bench)
        assert bench.fake.runs == 1
        await client.close()

    live(test)


def test_one_front_end_leaves_streams_for_others() -> None:
    async def test() -> None:
        bench = Bench()
        mine = [await client_of(bench, reads=False) for _ in range(MAX_STREAMS // 2)]
        with pytest.raises(EaisError) as caught:
            await client_of(bench)
        assert caught.value.reason == "BUSY"
        assert int(caught.value.metadata["push_back_ms"]) > 0
        other = await client_of(bench, OTHER)
        for client in (*mine, other):
            await client.close()
        assert bench.plane._streams.held == 0

    live(test)


# Where a call is when it is ended, and how it is ended: each must leave nothing behind.

Place = Callable[[Bench, Client], Awaitable[None]]
End = Callable[[Bench, Client], Awaitable[None]]


def deferred_call(client: Client, call_id: int = 1, **fields: object) -> memoryview:
    """Send a call whose input follows in pieces; the input."""
    deferred = Deferred()
    named = value_pb2.NamedValue(name="x", value=encode_value(LARGE, deferred))
    client.call(call_id, inputs=[named], **fields)
    return deferred.buffers[0]


async def in_pieces(bench: Bench, client: Client) -> None:
    """Half of its input is here."""
    data = deferred_call(client)
    piece = worker_pb2.Piece(call_id=1, tensor=0, offset=0, data=bytes(data[:PIECE_BYTES]))
    client.send(pieces=[piece])
    await until(lambda: bench.plane._budget.held >= LARGE.nbytes)


async def queued(bench: Bench, client: Client) -> None:
    """It waits behind another."""
    bench.fake.block()
    client.call(9)
    await entered(bench.fake)
    client.call(1)
    await until(lambda: bench.plane._hub.runner.in_flight == 2)


async def running(bench: Bench, client: Client) -> None:
    """It runs."""
    bench.fake.block()
    client.call(1)
    await entered(bench.fake)


async def answer_in_pieces(bench: Bench, client: Client) -> None:
    """Its answer is made, and waits for a client that hasn't read it."""
    bench.sessions["large"] = FakeSession(lambda feed: [np.zeros(8 * PIECE_BYTES, np.uint8)])
    client.call(1, session="large")
    await until(lambda: bench.plane._hub.backlog.held)


async def cancelled(bench: Bench, client: Client) -> None:
    client.send(cancels=[worker_pb2.Cancel(call_id=1)])


async def disconnected(bench: Bench, client: Client) -> None:
    await client.close()


async def drained(bench: Bench, client: Client) -> None:
    bench.plane.drain()
    await client.close()


@pytest.mark.parametrize("place", [in_pieces, queued, running, answer_in_pieces])
@pytest.mark.parametrize("end", [cancelled, disconnected, drained])
def test_wherever_a_call_is_ended_nothing_of_it_is_left(place: Place, end: End) -> None:
    async def test() -> None:
        bench = Bench(cancel_grace_s=20.0)
        client = await client_of(bench, reads=False)
        await place(bench, client)
        await end(bench, client)
        if end is cancelled:
            client.read()
        bench.fake.release()
        await nothing_left(bench)
        assert bench.counters.in_flight == 0
        if end is cancelled:
            client.call(1)  # the place is free again, and so is the number
            while (await client.answers(1)).get(1) != "":
                pass
            await client.close()
        assert not bench.plane._connections

    live(test)


@pytest.mark.parametrize("place", [in_pieces, queued, running])
def test_a_deadline_ends_a_call_wherever_it_is(place: Place) -> None:
    async def test() -> None:
        bench = Bench(run_timeout_s=0.05, cancel_grace_s=20.0)
        client = await client_of(bench)
        await place(bench, client)
        found: dict[int, str] = {}
        while 1 not in found:
            found |= await client.answers(1)
        assert found[1] == "RUN_TIMEOUT"
        bench.fake.release()
        await nothing_left(bench)
        await client.close()

    live(test)


def test_calls_whose_pieces_never_came_leave_their_stream_idle() -> None:
    async def test() -> None:
        bench = Bench()
        bench.sessions["t"] = FakeSession()
        await known_cost(bench, 0.02)  # of these two a sum keeps something back
        await known_cost(bench, 0.09, "t")
        client = await client_of(bench)
        deferred_call(client, 1)
        deferred_call(client, 2, session="t")
        client.send(cancels=[worker_pb2.Cancel(call_id=n) for n in (1, 2)])
        assert await client.answers(2) == {1: "CANCELLED", 2: "CANCELLED"}
        await nothing_left(bench)
        # Nothing waits, so it is tried, whatever is thought that it takes.
        await known_cost(bench, 5.0)
        client.call(3, timeout_us=4_000_000)
        assert await client.answers(1) == {3: ""}
        await client.close()

    live(test)


def test_a_call_that_is_all_here_does_not_wait_for_one_whose_pieces_are_coming() -> None:
    async def test() -> None:
        bench = Bench()
        bench.sessions["t"] = FakeSession()
        for size in (1, 1 << 6, 1 << 22):
            bench.plane._hub.times.took("t", size, 50.0)
        client = await client_of(bench)
        deferred_call(client, 1, session="t")
        deferred_call(client, 2, session="t")
        assert await client.answers(1) == {2: "BUSY"}
        client.call(3)
        client.call(4)
        assert await client.answers(2) == {3: "", 4: ""}
        client.send(cancels=[worker_pb2.Cancel(call_id=1)])
        assert await client.answers(1) == {1: "CANCELLED"}
        await nothing_left(bench)
        await client.close()

    live(test)


def test_a_cancelled_answer_is_not_sent_to_its_end() -> None:
    async def test() -> None:
        bench = Bench()
        client = await client_of(bench, reads=False)
        await answer_in_pieces(bench, client)
        first = await anext(client.replies)
        assert [answer.call_id for answer in first.answers] == [1]
        client.send(cancels=[worker_pb2.Cancel(call_id=1)])
        client.read()
        client.call(2)
        assert await client.answers(1) == {2: ""}
        await nothing_left(bench)
        await client.close()

    live(test)
