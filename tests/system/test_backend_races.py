"""Two things at once on the real stack: each ends in an answer or in a clear word."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eais.errors import EaisError
from eais.rpc import verbs
from eais.rpc.v1 import listener_pb2, pool_pb2, value_pb2
from eais.testing.values import encode_value
from eais.value import Deferred
from tests.system.raw import open_session, run_once
from tests.system.stack import Stack, embedded_pool, eventually, op
from tests.unit.server.runtime import models

ROUNDS = 5
GONE = {"INSTANCE_STOPPED", "NOT_FOUND", "DRAINING", "NO_WORKER", "STALE_EPOCH", "WORKER_DIED"}
CUT_OFF = {"X", "STORE_UNAVAILABLE", "BUSY"}  # X: nobody answers, as `raw` calls that
X = np.ones((3, 2), np.float32)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def attach(stack: Stack) -> pool_pb2.Instance:
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made: pool_pb2.Instance = stack.ask(verbs.POOL_ATTACH, request).instance
    return made


def ask(stack: Stack, verb: Any, made: pool_pb2.Instance) -> None:
    stack.ask(verb, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


@pytest.fixture
def instance(stack: Stack) -> Iterator[pool_pb2.Instance]:
    made = attach(stack)
    yield made
    ask(stack, verbs.POOL_DETACH, made)


def model(number: int, padding: int = 0) -> bytes:
    """Models that differ, so that each is pushed and loaded; the padding is a field of nobody's."""
    return models.relu() + models.field(999, f"{number}".encode() + b" " * padding)


def answers(stack: Stack, made: pool_pb2.Instance, session: str) -> bool:
    x = encode_value(np.array([-1, 2], np.float32), Deferred())
    answer = run_once(stack, made, session, [value_pb2.NamedValue(name="x", value=x)])
    return answer.outputs[0].tensor.raw == np.array([0, 2], np.float32).tobytes()


def opened(stack: Stack, made: pool_pb2.Instance, data: bytes) -> listener_pb2.OpenedSession:
    return open_session(stack, made, data, {})


def ended(opening: Future[listener_pb2.OpenedSession], words: set[str]) -> bool:
    """Whether it was opened; if not, that was said in one of these words."""
    error = opening.exception(60)
    if error is None:
        return True
    assert isinstance(error, EaisError)
    assert error.reason in words, error
    return False


def patient(work: Callable[[], Any], words: set[str]) -> Any:
    """The result, as a client gets it that tries again upon these words."""

    def attempt() -> Any:
        try:
            return work()
        except EaisError as error:
            if error.reason in words:
                return None
            raise

    return eventually(attempt, "an answer")


def test_two_clients_send_one_file_at_once(
    stack: Stack, instance: pool_pb2.Instance, pool: ThreadPoolExecutor
) -> None:
    data = model(0, padding=8 << 20)
    work = [pool.submit(opened, stack, instance, data) for _ in range(4)]
    assert len({one.result().id for one in work}) == 1
    assert answers(stack, instance, work[0].result().id)


def test_an_open_while_the_instance_is_stopped(
    stack: Stack, instance: pool_pb2.Instance, pool: ThreadPoolExecutor
) -> None:
    for number in range(ROUNDS):
        now = stack.instance(instance.id)
        work = [pool.submit(opened, stack, now, model(10 * number + n)) for n in range(3)]
        ask(stack, verbs.POOL_STOP, instance)
        for one in work:
            ended(one, GONE)
        ask(stack, verbs.POOL_START, instance)
    now = stack.instance(instance.id)
    assert answers(stack, now, opened(stack, now, model(999)).id)


def test_an_open_while_the_worker_dies(
    stack: Stack, instance: pool_pb2.Instance, pool: ThreadPoolExecutor
) -> None:
    """A kill from outside counts for nobody, so the load is done again."""
    for number in range(ROUNDS):
        work = pool.submit(opened, stack, instance, model(1000 + number))
        pid = eventually(lambda: stack.worker_pid(instance.id), "a worker runs")
        os.kill(pid, signal.SIGKILL)
        assert ended(work, set())
        eventually(
            lambda: stack.instance(instance.id).workers[0].serving or None, "it serves again"
        )
        assert answers(stack, instance, work.result().id)


def listener_pid(stack: Stack) -> int:
    lock = stack.state / "listener" / "lock"
    for entry in Path("/proc").iterdir():
        try:
            fds = (entry / "fd").iterdir() if entry.name.isdigit() else ()
            if any(fd.readlink() == lock for fd in fds):
                return int(entry.name)
        except OSError:
            continue
    raise AssertionError("no listener")


def own_files(stack: Stack) -> list[str]:
    """What the listener keeps, but for the store's content and what changes all the time."""
    own = stack.state / "listener"
    names = [str(path.relative_to(own)) for path in own.rglob("*") if path.is_file()]
    # A page of counts has a name of its own for each worker.
    names = [re.sub(r"(counts/.*)\.[0-9a-f]{16}(\.page)?$", r"\1", name) for name in names]
    return sorted(n for n in names if not n.startswith(("store/", "workers/", "usage/")))


def end_listener_amid_uploads(
    stack: Stack, made: pool_pb2.Instance, pool: ThreadPoolExecutor, number: int, data: bytes
) -> str:
    """The session, once it could be opened after that."""
    work = [pool.submit(opened, stack, made, data) for _ in range(2)]
    store = stack.state / "listener" / "store"
    eventually(lambda: list(store.rglob("*.part")) or work[0].done() or None, "an upload began")
    os.kill(listener_pid(stack), number)
    for one in work:
        ended(one, GONE | CUT_OFF)
    session = str(patient(lambda: opened(stack, made, data), GONE | CUT_OFF).id)
    patient(lambda: answers(stack, made, session), GONE | CUT_OFF)
    return session


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_a_listener_that_ends_amid_uploads_leaves_nothing_and_comes_back(
    tmp_path: Path, pool: ThreadPoolExecutor, number: int
) -> None:
    with embedded_pool(tmp_path) as stack:
        made = attach(stack)
        session = opened(stack, made, model(1)).id
        before, first = own_files(stack), stack.instance(made.id).workers[0]
        for n in (2, 3):
            end_listener_amid_uploads(stack, made, pool, number, model(n, padding=24 << 20))
        patient(lambda: answers(stack, made, session), GONE | CUT_OFF)
        now = stack.instance(made.id)
        assert (now.epoch, now.workers[0].endpoint) == (made.epoch, first.endpoint)
        eventually(lambda: own_files(stack) == before or None, "it has the same files as before")
        assert not list((stack.state / "listener" / "store").rglob("*.part"))
        workers = stack.state / "listener" / "workers"
        eventually(lambda: len(list(workers.iterdir())) == 2 or None, "worker and spare alone")
        ask(stack, verbs.POOL_DETACH, made)
        assert [name for name in own_files(stack) if name.startswith("leases/")] == []
