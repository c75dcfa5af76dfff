"""Short calls of one message that run as one on the event loop, where they came in."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eais.errors import make_error
from eais.rpc.v1 import value_pb2, worker_pb2
from eais.testing.values import decode_value, encode_value
from eais.value import Deferred
from eais_server.devices.driver import RunSettings
from eais_server.in_flight import read
from eais_server.testing.runtime import FakeRun, FakeSession
from eais_server.worker.batching.batches import Batchable
from eais_server.worker.batching.kinds import CallKind, Input
from eais_server.worker.inline import Kind
from tests.unit.server.worker.test_plane import Bench, Client, live

SHAPE = (1, 3)


class Plane(Bench):
    """A plane whose session's calls are known to be short, and to pay together."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(threads=1, queue_limit_s=60.0)
        self.rows: list[int] = []
        self.on: set[int] = set()
        self.sessions["s"] = self.fake = FakeSession(self.answer)
        self.plane.batch("s", Batchable(frozenset({"x"})))
        runner = self.plane._hub.runner
        for bits in range(20):
            runner.inline.rights._kinds["s", bits] = Kind(mean_s=-1.0)
        kind = CallKind("s", (), (Input("x", value_pb2.ElementType.FLOAT, SHAPE),))
        for size in sizes:
            runner.batches.policy.tried(
                kind, size, same=True, alone_s=1e3, together_s=1e-9, now_s=0
            )

    def answer(self, feed: Mapping[str, Any]) -> list[Any]:
        self.rows.append(len(feed["x"]))
        self.on.add(threading.get_ident())
        if (feed["x"] < 0).any():
            raise make_error("INPUT_REJECTED", "below zero")
        return [feed["x"] * np.float32(2)]


def run(call_id: int, x: float | None = None, **fields: Any) -> worker_pb2.Run:
    inputs = [named("x", call_id if x is None else x)]
    known: dict[str, Any] = {"instance": "ei", "epoch": 1, "session": "s", "inputs": inputs}
    return worker_pb2.Run(call_id=call_id, **(known | fields))


def named(
    name: str, x: float, shape: tuple[int, ...] = SHAPE, dtype: Any = np.float32
) -> value_pb2.NamedValue:
    """An input, all of whose elements are x."""
    value = encode_value(np.full(shape, x, dtype), Deferred())
    return value_pb2.NamedValue(name=name, value=value)


async def answered(client: Client, *runs: worker_pb2.Run) -> dict[int, worker_pb2.Answer]:
    """The answers to a message of these calls."""
    client.send(runs=runs)
    found: dict[int, worker_pb2.Answer] = {}
    while len(found) < len(runs):
        message = await client.receive()
        assert message is not None
        found.update({answer.call_id: answer for answer in message.answers})
    return found


def shares(answers: Mapping[int, worker_pb2.Answer]) -> dict[int, int]:
    """How many each ran with; all outputs are right."""
    for call_id, answer in answers.items():
        (output,) = answer.outputs
        assert np.array_equal(decode_value(output, iter(())), np.full(SHAPE, 2.0 * call_id))
    return {call_id: answer.account.batch_size for call_id, answer in answers.items()}


def test_calls_of_a_message_run_as_one() -> None:
    async def test() -> None:
        plane = Plane(2, 4)
        client = await plane.greeted()
        got = shares(await answered(client, *map(run, range(1, 8))))
        assert got == {1: 4, 2: 4, 3: 4, 4: 4, 5: 2, 6: 2, 7: 1}
        assert plane.rows == [4, 2, 1]
        assert plane.on == {threading.get_ident()}
        assert plane.counters.requests == 7
        assert read(plane.page).running == ()
        await client.close()

    live(test)


def test_a_call_alone_in_its_message_runs_alone() -> None:
    async def test() -> None:
        plane = Plane(2, 4)
        client = await plane.greeted()
        assert shares(await answered(client, run(1))) == {1: 1}
        await client.close()

    live(test)


def test_what_is_not_alike_has_its_own_run() -> None:
    async def test() -> None:
        plane = Plane(2, 4)
        client = await plane.greeted()
        other = run(9, options=worker_pb2.RunOptions(tag="t"))
        got = shares(await answered(client, run(1), run(2), other, run(3), run(4)))
        assert (got[1], got[2], got[9]) == (2, 2, 1)
        await client.close()

    live(test)


class Outputs(FakeSession):
    """A session whose runs give an output for each that is asked for: so many times x."""

    def prepare(self, settings: RunSettings) -> FakeRun:
        return OutputsRun(self)


class OutputsRun(FakeRun):
    """See `Outputs`."""

    def execute(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        self._session.work(feed, threading.Event())
        return [feed["x"] * np.float32(name) for name in outputs]


def pairs(plane: Plane, *kinds: CallKind) -> None:
    """Two calls of each kind pay together."""
    policy = plane.plane._hub.runner.batches.policy
    for kind in kinds:
        policy.tried(kind, 2, same=True, alone_s=1e3, together_s=1e-9, now_s=0)


async def values(plane: Plane, *runs: worker_pb2.Run) -> dict[int, list[float]]:
    """The first number of each output of these calls, that came in one message."""
    client = await plane.greeted()
    answers = await answered(client, *runs)
    await client.close()
    return {
        call_id: [float(decode_value(output, iter(())).flat[0]) for output in answer.outputs]
        for call_id, answer in answers.items()
    }


def test_calls_of_another_session_that_follow_are_run_by_it() -> None:
    async def test() -> None:
        plane = Plane(2)
        plane.sessions["t"] = FakeSession(lambda feed: [feed["x"] * np.float32(100)])
        got = await values(plane, run(1), run(2), run(3, session="t"), run(4, session="t"))
        assert got == {1: [2], 2: [4], 3: [300], 4: [400]}
        assert plane.rows == [2]

    live(test)


def test_calls_that_ask_for_other_outputs_and_follow_get_those() -> None:
    async def test() -> None:
        plane = Plane()
        plane.sessions["s"] = Outputs()
        x = (Input("x", value_pb2.ElementType.FLOAT, SHAPE),)
        pairs(plane, CallKind("s", ("2",), x), CallKind("s", ("3",), x))
        runs = [run(n, outputs=["2"]) for n in (1, 2)] + [run(n, outputs=["3"]) for n in (3, 4)]
        got = await values(plane, *runs)
        assert got == {1: [2], 2: [4], 3: [9], 4: [12]}

    live(test)


def test_calls_whose_inputs_come_in_another_order_and_follow_keep_them_apart() -> None:
    async def test() -> None:
        plane = Plane()
        plane.plane.batch("s", Batchable(frozenset({"a", "b"})))
        plane.sessions["s"] = FakeSession(lambda feed: [feed["a"] - feed["b"]])
        a, b = (Input(name, value_pb2.ElementType.FLOAT, SHAPE) for name in "ab")
        pairs(plane, CallKind("s", (), (a, b)), CallKind("s", (), (b, a)))
        ab = [named("a", 5), named("b", 3)]
        runs = [run(1, inputs=ab), run(2, inputs=ab)]
        runs += [run(3, inputs=ab[::-1]), run(4, inputs=ab[::-1])]
        assert await values(plane, *runs) == {1: [2], 2: [2], 3: [2], 4: [2]}

    live(test)


def test_calls_of_another_type_with_as_many_bytes_that_follow_keep_theirs() -> None:
    async def test() -> None:
        plane = Plane()
        singles = Input("x", value_pb2.ElementType.FLOAT, (1, 4))
        pairs(plane, CallKind("s", (), (singles,)))
        runs = [run(n, inputs=[named("x", n, (1, 4))]) for n in (1, 2)]
        runs += [run(n, inputs=[named("x", n, (1, 2), np.float64)]) for n in (3, 4)]
        assert await values(plane, *runs) == {1: [2], 2: [4], 3: [6], 4: [8]}

    live(test)


def test_of_a_batch_that_fails_each_has_its_own_answer() -> None:
    async def test() -> None:
        plane = Plane(2, 4)
        client = await plane.greeted()
        answers = await answered(client, run(1), run(2), run(3, x=-1.0), run(4))
        assert answers.pop(3).error.reason == "INPUT_REJECTED"
        assert shares(answers) == {1: 1, 2: 1, 4: 1}
        await client.close()

    live(test)


def test_what_may_not_be_run_here_is_refused_each() -> None:
    async def test() -> None:
        plane = Plane(2, 4)
        client = await plane.greeted()
        answers = await answered(client, run(1), run(2), run(3, epoch=0), run(4, session="t"))
        reasons = {call_id: answer.error.reason for call_id, answer in answers.items()}
        assert reasons == {1: "", 2: "", 3: "STALE_EPOCH", 4: "SESSION_UNKNOWN"}
        assert answers[1].account.batch_size == 2
        await client.close()

    live(test)


def test_a_session_that_is_let_go_runs_nothing_together() -> None:
    async def test() -> None:
        plane = Plane(2, 4)
        client = await plane.greeted()
        plane.plane.forget("s")
        got = shares(await answered(client, run(1), run(2)))
        assert got == {1: 1, 2: 1}
        await client.close()

    live(test)


def test_a_trial_begins_and_ends_while_no_call_waits() -> None:
    async def test() -> None:
        plane = Plane()
        client = await plane.greeted()
        call_id, seen = 1, 1
        while seen < 2:
            got = shares(await answered(client, run(call_id), run(call_id + 1)))
            seen, call_id = max(got.values()), call_id + 2
        await client.close()

    live(test)
