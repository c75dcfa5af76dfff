"""More than a worker can carry, on a real pool: nothing lost, and every place is free again."""

from __future__ import annotations

import queue
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from onnx import helper, numpy_helper

import eais
from benchmarks.faults.model import BIG, SMALL, Question
from benchmarks.faults.model import model as affine
from benchmarks.overload.model import model as slow
from eais.errors import EaisError
from eais.rpc import client, verbs
from eais.rpc.hello import hello
from eais.rpc.v1 import pool_pb2, value_pb2, worker_pb2
from eais.testing.values import encode_value
from eais.value import Deferred
from eais_server.worker.calls import CallLimits
from tests.system.raw import open_session
from tests.system.stack import Stack, embedded_pool, eventually, op
from tests.unit.server.runtime import models

# So short that nearly every call of many threads is refused at first.
CONFIG = "[listener]\ncpu_cores = 4\nqueue_limit_ms = 5\n"
THREADS, CALLS = 24, 12


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with embedded_pool(tmp_path_factory.mktemp("overload"), CONFIG) as made:
        yield made


@pytest.fixture(scope="module")
def at(stack: Stack) -> pool_pb2.Instance:
    reply = stack.ask(verbs.POOL_ATTACH, pool_pb2.AttachRequest(op_id=op(), type="cpu.1"))

    def ready() -> pool_pb2.Instance | None:
        instance = stack.instance(reply.instance.id)
        return instance if instance.workers and instance.workers[0].serving else None

    return eventually(ready, "a worker serves")


@pytest.fixture
def _here(stack: Stack, at: pool_pb2.Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
    monkeypatch.setenv("EAIS_INSTANCE", at.id)


@pytest.mark.usefixtures("_here")
def test_many_threads_of_one_program_are_all_answered() -> None:
    with eais.InferenceSession(slow()) as session:

        def call(number: int) -> float:
            x = np.array([1.0 + number % 7], np.float32)
            return float(session.run(None, {"x": x})[0]) / float(x[0])

        with ThreadPoolExecutor(THREADS) as threads:
            found = list(threads.map(call, range(THREADS * CALLS)))
    assert len(found) == THREADS * CALLS
    assert max(found) == pytest.approx(min(found), rel=0.01)


@pytest.mark.usefixtures("_here")
def test_a_deadline_that_can_not_be_met_is_known_before_it_passes() -> None:
    said: Counter[str] = Counter()
    with eais.InferenceSession(slow(), provider_options=[{"timeout_s": 0.05}]) as session:

        def call(_: int) -> None:
            try:
                session.run(None, {"x": np.ones(1, np.float32)})
            except EaisError as error:
                said[error.reason] += 1
            else:
                said["answered"] += 1

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(call, range(THREADS * CALLS)))
    assert said["answered"] > 0
    assert set(said) <= {"answered", "BUSY", "DEADLINE_EXCEEDED"}


@pytest.mark.usefixtures("_here")
def test_more_uploads_at_once_than_a_listener_takes_are_all_served(tmp_path: Path) -> None:
    """Each model has a weight of its own, and more bytes than a message holds."""
    files = []
    for number in range(20):
        w = np.full((1 << 20) + number, number, np.float32)
        file = tmp_path / f"{number}.onnx"
        file.write_bytes(_constant(w))
        files.append(file)

    def first(file: Path) -> float:
        with eais.InferenceSession(file) as session:
            return float(session.run(None, {"x": np.zeros(1, np.float32)})[0][0])

    with ThreadPoolExecutor(len(files)) as threads:
        assert list(threads.map(first, files)) == [float(number) for number in range(20)]


def _constant(w: npt.NDArray[np.float32]) -> bytes:
    return models.model(
        helper.make_node("Add", ["x", "w"], ["y"]),
        inputs=[models.info("x", dims=(1,))],
        outputs=[models.info("y", dims=(w.size,))],
        initializers=(numpy_helper.from_array(w, "w"),),
    )


class Line:
    """A raw stream: what is put on it, and all answers so far."""

    def __init__(self, stack: Stack, at: pool_pb2.Instance, session: str) -> None:
        self._at, self._session = at, session
        self._out: queue.SimpleQueue[worker_pb2.ToWorker | None] = queue.SimpleQueue()
        self._out.put(worker_pb2.ToWorker(hello=hello("eais-test")))
        self._channel = stack.dial(at.workers[0].endpoint, stack.frontend())
        self._replies = client.stream(self._channel, verbs.WORKER_STREAM, iter(self._out.get, None))
        assert next(self._replies).HasField("hello")

    def close(self) -> None:
        self._out.put(None)
        self._replies.cancel()
        self._channel.close()

    def put(self, **fields: object) -> None:
        self._out.put(worker_pb2.ToWorker(**fields))  # type: ignore[arg-type]

    def call(self, number: int, size: int, **fields: object) -> Deferred:
        """Send a call; the pieces that are to follow it."""
        deferred = Deferred()
        value = encode_value(Question(number, size).feeds["x"], deferred)
        run = worker_pb2.Run(
            call_id=number,
            instance=self._at.id,
            epoch=self._at.epoch,
            session=self._session,
            inputs=[value_pb2.NamedValue(name="x", value=value)],
            **fields,  # type: ignore[arg-type]
        )
        self.put(runs=[run])
        return deferred

    def pieces(self, number: int, deferred: Deferred, share: float) -> None:
        """Send that share of the pieces."""
        found = list(deferred.pieces())
        for tensor, offset, data in found[: round(share * len(found))]:
            piece = worker_pb2.Piece(call_id=number, tensor=tensor, offset=offset, data=bytes(data))
            self.put(pieces=[piece])

    def cancel(self, *numbers: int) -> None:
        self.put(cancels=[worker_pb2.Cancel(call_id=number) for number in numbers])

    def answers(self, numbers: set[int]) -> dict[int, str]:
        """What these calls were answered: a reason, or ""."""
        found: dict[int, str] = {}
        while not numbers <= found.keys():
            for answer in next(self._replies).answers:
                found[answer.call_id] = answer.error.reason
        return found


@contextmanager
def line_to(stack: Stack, at: pool_pb2.Instance, session: str) -> Iterator[Line]:
    made = Line(stack, at, session)
    try:
        yield made
    finally:
        made.close()


def places_are_free(stack: Stack, at: pool_pb2.Instance, session: str) -> None:
    """All that one stream may have is taken again, and given back."""
    numbers = set(range(1, CallLimits().calls + 1))
    with line_to(stack, at, session) as line:
        for number in numbers:
            line.call(number, BIG)
        line.call(len(numbers) + 1, BIG)
        assert line.answers({len(numbers) + 1}) == {len(numbers) + 1: "BUSY"}
        line.cancel(*numbers)
        assert set(line.answers(numbers).values()) == {"CANCELLED"}


def test_every_place_is_free_again_wherever_calls_were_ended(
    stack: Stack, at: pool_pb2.Instance
) -> None:
    session = open_session(stack, at, affine(), {}).id
    rng, numbers = random.Random(5), iter(range(1, 1 << 30))
    for ends in ("cancel", "deadline", "gone"):
        for _ in range(4):
            with line_to(stack, at, session) as line:
                sent = set()
                for share in (0.0, 0.5, 1.0, 1.0, 1.0):
                    for size in (SMALL, BIG, 4 * BIG):
                        number = next(numbers)
                        sent.add(number)
                        limit = {"timeout_us": rng.randrange(1, 20_000)}
                        fields = limit if ends == "deadline" else {}
                        deferred = line.call(number, size, **fields)
                        line.pieces(number, deferred, share)
                if ends == "cancel":
                    line.cancel(*sent)
                if ends != "gone":
                    said = line.answers(sent)
                    allowed = {"", "CANCELLED", "DEADLINE_EXCEEDED", "BUSY"}
                    assert set(said.values()) <= allowed
    # Of a session that never ran, so that no time is expected of its calls.
    fresh = open_session(stack, at, affine(), {}, graph_optimization_level=1).id
    places_are_free(stack, at, fresh)
