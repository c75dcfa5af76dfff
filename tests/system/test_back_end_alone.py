"""A back-end whose manager is away, and a listener that dies or stands still: calls go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import eais
from benchmarks.faults.processes import descendants, titled
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from tests.system.stack import Stack, embedded_pool, eventually, op

MODEL = Path(onnxruntime.__file__).parent / "datasets" / "mul_1.onnx"
X = np.arange(6, dtype=np.float32).reshape(3, 2)
CALL_TIMEOUT_S = 60.0
NO_WATCHDOG = "[listener]\ncpu_cores = 4\n[supervisor]\nwatchdog_s = 0\n"
QUICK_WATCHDOG = "[listener]\ncpu_cores = 4\n[supervisor]\nwatchdog_s = 2\n"


class Backend:
    """An embedded pool with one attached instance, and a session that is in use."""

    def __init__(self, stack: Stack, instance: pool_pb2.Instance, session: Any) -> None:
        self.stack, self.instance, self._session = stack, instance, session
        self.want = session.run(None, {"X": X})[0]

    def call(self) -> bool:
        """Whether a call is answered as the first one was."""
        return bool(np.array_equal(self._session.run(None, {"X": X})[0], self.want))

    def pid(self, title: str) -> int | None:
        """The pool's process of that title."""
        found = titled(self.stack.supervisor.pid, title)
        return found.pid if found else None

    def listener(self) -> int:
        return eventually(lambda: self.pid("eais-listener"), "a listener")

    def manager(self) -> int:
        return eventually(lambda: self.pid("eais-manager"), "a manager")

    def worker(self) -> int:
        return eventually(lambda: self.pid(f"eais-worker {self.instance.id}"), "its worker")

    def workers(self) -> set[int]:
        """All of this pool's, spares too."""
        below = descendants(self.stack.supervisor.pid)
        return {process.pid for process in below if process.title.startswith("eais-worker")}

    def reachable(self) -> bool:
        """Whether the manager reaches the host."""
        return any(host.reachable for host in self.stack.status().hosts)

    def check_unchanged(self) -> None:
        """The manager knows the instance as it was attached, whatever happened since."""
        eventually(lambda: self.stack.joined(), "the host is reached")
        now = self.stack.instance(self.instance.id)
        assert now.state == pool_pb2.IN_USE
        assert now.epoch == self.instance.epoch
        endpoints = [worker.endpoint for worker in now.workers]
        assert endpoints == [worker.endpoint for worker in self.instance.workers]


@contextmanager
def backend(root: Path, config: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    with embedded_pool(root, config) as stack:
        monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
        monkeypatch.delenv("EAIS_INSTANCE", raising=False)
        request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
        instance = stack.ask(verbs.POOL_ATTACH, request).instance
        options = [{"timeout_s": CALL_TIMEOUT_S}]
        with eais.InferenceSession(MODEL, provider_options=options) as session:
            yield Backend(stack, instance, session)


@pytest.fixture
def unwatched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """One whose stopped processes stay so."""
    with backend(tmp_path, NO_WATCHDOG, monkeypatch) as made:
        yield made


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def gone(pid: int) -> bool | None:
    """True when there is no such process, nor a zombie of it."""
    return None if Path(f"/proc/{pid}").exists() else True


def test_while_the_manager_is_away_workers_and_listener_come_back(unwatched: Backend) -> None:
    with stopped(unwatched.manager()):
        first = unwatched.worker()
        os.kill(first, signal.SIGKILL)
        assert unwatched.call()
        orphans = unwatched.workers()
        os.kill(unwatched.listener(), signal.SIGKILL)
        assert unwatched.call()
        for pid in orphans:
            eventually(partial(gone, pid), "no worker outlives its listener")
        assert unwatched.worker() not in {first, *orphans}
    unwatched.check_unchanged()
    assert unwatched.call()


def test_a_listener_that_stands_still_for_a_while_costs_nothing(unwatched: Backend) -> None:
    worker, listener = unwatched.worker(), unwatched.listener()
    with stopped(listener):
        eventually(lambda: not unwatched.reachable() or None, "the manager misses it")
        assert unwatched.call()
        now = unwatched.stack.instance(unwatched.instance.id)
        assert now.state == pool_pb2.IN_USE
        assert now.epoch == unwatched.instance.epoch
    unwatched.check_unchanged()
    assert unwatched.call()
    assert (unwatched.worker(), unwatched.listener()) == (worker, listener)


def test_a_listener_that_stands_still_for_long_is_ended_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with backend(tmp_path, QUICK_WATCHDOG, monkeypatch) as made:
        listener, orphans = made.listener(), made.workers()
        os.kill(listener, signal.SIGSTOP)
        for pid in (listener, *orphans):
            eventually(partial(gone, pid), "it and its workers end")
        assert made.call()
        made.check_unchanged()
