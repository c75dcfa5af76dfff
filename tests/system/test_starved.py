"""A worker that the machine gives no CPU, on the real stack: it isn't taken for a hung one."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

import eais
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_server.listener.cpu_waits import thread_look
from tests.system.stack import Stack, embedded_pool, eventually, op
from tests.unit.server.runtime import models

ADD = {"x": np.ones(2, np.float32)}
# It ends by itself, whatever becomes of the test.
BUSY = "import time\nends_at = time.monotonic() + 30\nwhile time.monotonic() < ends_at: pass"
KILLED = "is killed: its heartbeat stopped, after somebody stopped it"
NO_CPU = "says nothing: it waits for a CPU"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a process its CPUs back"),
    pytest.mark.skipif(
        thread_look(Path("/proc/self")) is None, reason="this kernel counts no waits for a CPU"
    ),
]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A pool of its own, whose listener's log is read."""
    with embedded_pool(tmp_path) as made:
        yield made


@pytest.fixture
def one(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> pool_pb2.Instance:
    """An instance, as programs find it."""
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made: pool_pb2.Instance = stack.ask(verbs.POOL_ATTACH, request).instance
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
    monkeypatch.setenv("EAIS_INSTANCE", made.id)
    return made


def schedule(pid: int, policy: int, nice: int) -> None:
    """All threads of a process; `nice` is its session's, where the kernel groups by sessions."""
    with suppress(FileNotFoundError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))
    for folder in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setscheduler(int(folder.name), policy, os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, int(folder.name), nice)


@contextmanager
def starved(pid: int) -> Iterator[None]:
    """The process gets only what another leaves of its core, which is next to nothing."""
    command = [sys.executable, "-I", "-c", BUSY]
    busy = subprocess.Popen(command, start_new_session=True)
    try:
        os.sched_setaffinity(busy.pid, os.sched_getaffinity(pid))
        try:
            schedule(busy.pid, os.SCHED_OTHER, -20)
        except PermissionError:
            pytest.skip("a container's root that may not say who gets the CPU")
        schedule(pid, os.SCHED_IDLE, 19)
        yield
    finally:
        busy.kill()
        busy.wait()
        with suppress(FileNotFoundError):
            schedule(pid, os.SCHED_OTHER, 0)


def said(stack: Stack, what: str) -> bool | None:
    """Whether the listener's log has it by now."""
    return what in (stack.state / "listener.log").read_text() or None


def has_gone(pid: int) -> bool | None:
    return None if Path(f"/proc/{pid}").exists() else True


def test_a_worker_without_a_cpu_lives_on(stack: Stack, one: pool_pb2.Instance) -> None:
    with eais.InferenceSession(models.relu()) as session:
        assert session.run(None, ADD)[0].tolist() == [1, 1]
        before = stack.instance(one.id).workers[0].incarnation
        pid = eventually(lambda: stack.worker_pid(one.id), "a worker runs")
        with starved(pid):
            eventually(functools.partial(said, stack, NO_CPU), "it was silent for too long")
        assert session.run(None, ADD)[0].tolist() == [1, 1]
        assert stack.worker_pid(one.id) == pid
    assert stack.instance(one.id).workers[0].incarnation == before


def test_a_worker_that_is_stopped_waits_for_no_cpu(stack: Stack, one: pool_pb2.Instance) -> None:
    with eais.InferenceSession(models.relu()) as session:
        pid = eventually(lambda: stack.worker_pid(one.id), "a worker runs")
        with starved(pid):
            os.kill(pid, signal.SIGSTOP)
            eventually(functools.partial(said, stack, KILLED), "the frozen worker is killed")
        # To die it needs a CPU, too.
        eventually(functools.partial(has_gone, pid), "the frozen worker is gone")
        assert session.run(None, ADD)[0].tolist() == [1, 1]
