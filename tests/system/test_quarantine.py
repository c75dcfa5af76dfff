"""Models that kill their workers, and workers that are killed from outside, on the real stack."""

from __future__ import annotations

import functools
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import eais
from eais.errors import EaisError
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from tests.system.stack import Stack, embedded_pool, eventually, op
from tests.system.test_backend_races import listener_pid
from tests.unit.server.runtime import models

INT64, BOOL = TensorProto.INT64, TensorProto.BOOL
LOWEST = np.iinfo(np.int32).min
# One more than condemns a model, if they counted.
KILLS = 3
ADD = {"x": np.ones(2, np.float32)}
HALVES = {"x": np.array([4, 6], np.int32), "y": np.array([2, 3], np.int32)}
DEADLY = {"x": np.array([LOWEST, 6], np.int32), "y": np.array([-1, 3], np.int32)}

kills_by_division = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="elsewhere a division that overflows traps nothing"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A pool of its own: what is quarantined stays so."""
    with embedded_pool(tmp_path_factory.mktemp("pool")) as made:
        yield made


def attach(stack: Stack, kind: str) -> pool_pb2.Instance:
    request = pool_pb2.AttachRequest(op_id=op(), type=kind)
    made: pool_pb2.Instance = stack.ask(verbs.POOL_ATTACH, request).instance
    return made


@pytest.fixture(scope="module")
def ones(stack: Stack) -> pool_pb2.Instance:
    """An instance whose calls run one at a time, for all tests: it goes with the pool."""
    return attach(stack, "cpu.1")


@pytest.fixture(scope="module")
def twos(stack: Stack) -> pool_pb2.Instance:
    """The same, two at a time."""
    return attach(stack, "cpu.2")


@pytest.fixture
def one(
    stack: Stack, ones: pool_pb2.Instance, monkeypatch: pytest.MonkeyPatch
) -> pool_pb2.Instance:
    """Of those that run calls one at a time, as programs find it."""
    return found(stack, ones, monkeypatch)


@pytest.fixture
def two(
    stack: Stack, twos: pool_pb2.Instance, monkeypatch: pytest.MonkeyPatch
) -> pool_pb2.Instance:
    """The same, two at a time."""
    return found(stack, twos, monkeypatch)


def found(
    stack: Stack, made: pool_pb2.Instance, monkeypatch: pytest.MonkeyPatch
) -> pool_pb2.Instance:
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
    monkeypatch.setenv("EAIS_INSTANCE", made.id)
    return made


def incarnation(stack: Stack, made: pool_pb2.Instance) -> int:
    """Of its worker; each death adds one."""
    return int(stack.instance(made.id).workers[0].incarnation)


def refused(act: Callable[[], object]) -> EaisError:
    with pytest.raises(EaisError) as caught:
        act()
    return caught.value


def own(data: bytes, number: int) -> bytes:
    """The same model with another digest."""
    return data + models.field(2, f"{number}".encode())  # producer_name, last one wins


def test_a_model_that_kills_while_it_loads_is_quarantined_after_two(
    stack: Stack, one: pool_pb2.Instance
) -> None:
    before = incarnation(stack, one)
    with eais.InferenceSession(models.relu()) as innocent:
        first = refused(lambda: eais.InferenceSession(models.depth_to_space_2_32()))
        assert (first.reason, first.metadata["signal"]) == ("MODEL_CRASHED", "SIGFPE")
        for _ in range(3):
            more = refused(lambda: eais.InferenceSession(models.depth_to_space_2_32()))
            assert more.reason == "MODEL_QUARANTINED"
            assert more.metadata["deaths"] == "2"
            assert (more.metadata["stage"], more.metadata["signal"]) == ("load", "SIGFPE")
        assert innocent.run(None, ADD)[0].tolist() == [1, 1]
    assert incarnation(stack, one) == before + 2


def test_a_quarantine_outlives_the_listener(stack: Stack, one: pool_pb2.Instance) -> None:
    model = own(models.depth_to_space_2_32(), 1)
    reasons = [refused(lambda: eais.InferenceSession(model)).reason for _ in range(2)]
    assert reasons == ["MODEL_CRASHED", "MODEL_QUARANTINED"]
    os.kill(listener_pid(stack), signal.SIGKILL)
    with eais.InferenceSession(models.relu()) as innocent:  # it is back
        assert innocent.run(None, ADD)[0].tolist() == [1, 1]
    before = incarnation(stack, one)
    assert refused(lambda: eais.InferenceSession(model)).reason == "MODEL_QUARANTINED"
    assert incarnation(stack, one) == before


@kills_by_division
def test_a_model_that_kills_when_it_runs_is_quarantined_after_two(
    stack: Stack, one: pool_pb2.Instance
) -> None:
    before = incarnation(stack, one)
    with (
        eais.InferenceSession(models.relu()) as innocent,
        eais.InferenceSession(models.divide()) as divide,
    ):
        assert divide.run(None, HALVES)[0].tolist() == [2, 2]
        dead = refused(lambda: divide.run(None, DEADLY))
        assert dead.reason == "MODEL_QUARANTINED"
        assert (dead.metadata["stage"], dead.metadata["signal"]) == ("run", "SIGFPE")
        assert refused(lambda: divide.run(None, HALVES)).reason == "MODEL_QUARANTINED"
        assert innocent.run(None, ADD)[0].tolist() == [1, 1]
        again = refused(lambda: eais.InferenceSession(models.divide()))
        assert again.reason == "MODEL_QUARANTINED"
    assert incarnation(stack, one) == before + 2


class Callers:
    """Threads that call without pause until told to end; every answer is checked."""

    def __init__(self, session: eais.InferenceSession, count: int, size: int = 2) -> None:
        self._session = session
        self._size = size
        self._answers = [0] * count
        self._over = threading.Event()
        self._threads = ThreadPoolExecutor(count)
        self._calls = [self._threads.submit(self._call, n) for n in range(count)]

    def _call(self, number: int) -> int:
        x = np.full(self._size, number, np.float32)
        x[-1] = -1
        while not self._over.is_set():
            (y,) = self._session.run(None, {"x": x})
            assert y.shape == x.shape
            assert (y[0], y[-2], y[-1]) == (number, number, 0)
            self._answers[number] += 1
        return self._answers[number]

    def go_on(self) -> None:
        """Wait until each is answered again: a call is sent to three workers, and no more."""
        before = list(self._answers)

        def answered() -> bool | None:
            over = any(call.done() for call in self._calls)
            pairs = zip(self._answers, before, strict=True)
            return over or all(now > then for now, then in pairs) or None

        eventually(answered, "every caller is answered")

    def end(self) -> list[int]:
        """How many answers each had; raises what one was raised."""
        self._over.set()
        self._threads.shutdown()
        return [call.result() for call in self._calls]


@kills_by_division
def test_innocents_lose_nothing_beside_a_crasher(stack: Stack, two: pool_pb2.Instance) -> None:
    before = incarnation(stack, two)
    model = own(models.divide(), 2)
    with eais.InferenceSession(models.relu()) as innocent, eais.InferenceSession(model) as crasher:
        callers = Callers(innocent, 6)
        try:
            dead = refused(lambda: crasher.run(None, DEADLY))
        finally:
            answers = callers.end()
    assert dead.reason == "MODEL_QUARANTINED"
    assert refused(lambda: eais.InferenceSession(model)).reason == "MODEL_QUARANTINED"
    assert min(answers) > 0
    # Beside others, then twice alone.
    assert incarnation(stack, two) <= before + 3


def any_length() -> bytes:
    """y = max(x, 0), of as many numbers as there are."""
    node = helper.make_node("Relu", ["x"], ["y"])
    dims = models.info("x", dims=["n"]), models.info("y", dims=["n"])
    return models.model(node, inputs=[dims[0]], outputs=[dims[1]])


@pytest.mark.parametrize(
    ("kind", "size"),
    [("one", 2), ("two", 2), ("two", 1 << 20)],
    ids=["alone", "beside others", "in pieces"],
)
def test_kills_from_outside_condemn_nobody(
    stack: Stack, kind: str, size: int, request: pytest.FixtureRequest
) -> None:
    """Of workers that run, that take a call's pieces in, or are amid a reply in pieces."""
    made = request.getfixturevalue(kind)
    with eais.InferenceSession(any_length()) as innocent:
        callers = Callers(innocent, 2, size)
        try:
            for _ in range(KILLS):
                callers.go_on()
                replace_worker(stack, made)
        finally:
            answers = callers.end()
        assert min(answers) > 0
        assert innocent.run(None, ADD)[0].tolist() == [1, 1]


def counting() -> bytes:
    """As many trips around a loop as `trips` says; y = x."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["go"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [models.info("i", INT64, []), models.info("on", BOOL, []), models.info("v")],
        [models.info("go", BOOL, []), models.info("w")],
    )
    on = helper.make_tensor("on0", BOOL, [], [True])
    loop = helper.make_node("Loop", ["trips", "on0", "x"], ["y"], body=body)
    inputs = [models.info("x"), models.info("trips", INT64, [])]
    return models.model(loop, inputs=inputs, outputs=[models.info("y")], initializers=(on,))


def cpu_s(pid: int) -> float:
    """What the process has computed so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def trips_for(session: eais.InferenceSession, pid: int, seconds: float) -> int:
    """How many take the worker that long, whatever else the machine does."""
    trips, took_s = 50_000, 0.0
    while took_s < seconds / 4:
        trips, before = 2 * trips, cpu_s(pid)
        session.run(None, ADD | {"trips": np.array(trips)})
        took_s = cpu_s(pid) - before
    return int(trips * seconds / took_s)


def busy_worker(stack: Stack, made: pool_pb2.Instance) -> int:
    """The instance's worker, once it has computed for longer than adoption and load take."""
    pid = eventually(lambda: stack.worker_pid(made.id), "a worker runs")
    enough_s = cpu_s(pid) + 0.4
    eventually(lambda: cpu_s(pid) > enough_s or None, "the call runs")
    return pid


def has_gone(pid: int) -> bool | None:
    return None if Path(f"/proc/{pid}").exists() else True


def test_workers_that_are_stopped_from_outside_condemn_nobody(
    stack: Stack, one: pool_pb2.Instance
) -> None:
    """Twice amid the same call, alone in flight, with no answer between."""
    before = incarnation(stack, one)
    with eais.InferenceSession(counting()) as innocent, ThreadPoolExecutor(1) as caller:
        first = eventually(lambda: stack.worker_pid(one.id), "a worker runs")
        trips = trips_for(innocent, first, 1.5)
        call = caller.submit(innocent.run, None, ADD | {"trips": np.array(trips)})
        for _ in range(2):
            pid = busy_worker(stack, one)
            os.kill(pid, signal.SIGSTOP)
            eventually(functools.partial(has_gone, pid), "the frozen worker is killed")
        assert call.result()[0].tolist() == [1, 1]
        with eais.InferenceSession(counting()) as again:
            assert again.run(None, ADD | {"trips": np.array(1)})[0].tolist() == [1, 1]
    assert incarnation(stack, one) == before + 2


def replace_worker(stack: Stack, made: pool_pb2.Instance) -> None:
    """Kill it from outside, and wait until its successor serves."""
    before = incarnation(stack, made)
    os.kill(eventually(lambda: stack.worker_pid(made.id), "a worker runs"), signal.SIGKILL)

    def back() -> bool | None:
        (worker,) = stack.instance(made.id).workers
        return (worker.serving and worker.incarnation > before) or None

    eventually(back, "its successor serves")
