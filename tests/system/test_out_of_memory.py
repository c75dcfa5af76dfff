"""A model that takes the host's memory: the kernel kills its worker, and that counts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import eais
from eais.errors import EaisError
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from tests.system.stack import Stack, embedded_pool, eventually, op
from tests.system.test_backend_races import listener_pid
from tests.system.test_backend_workers import pid_of, workers_of
from tests.unit.server.runtime import models

FS = Path("/sys/fs/cgroup")
ROOM = 512 << 20


class MemoryGroup:
    """A memory cgroup of this test's own, version 1 or 2."""

    def __init__(self, name: str) -> None:
        self.version = 1 if (FS / "memory" / "memory.limit_in_bytes").exists() else 2
        self.path = (FS / "memory" if self.version == 1 else FS) / name
        try:
            self.path.mkdir()
        except OSError as error:
            pytest.skip(f"no cgroup can be made here: {error.strerror}")
        if not self._limit.exists():
            self.path.rmdir()
            pytest.skip("cgroups made here have no memory controller")

    @property
    def _limit(self) -> Path:
        return self.path / ("memory.limit_in_bytes" if self.version == 1 else "memory.max")

    def add(self, pid: int) -> None:
        (self.path / "cgroup.procs").write_text(str(pid))

    def dismiss(self, pid: int) -> None:
        (self.path.parent / "cgroup.procs").write_text(str(pid))

    def pids(self) -> set[int]:
        return {int(pid) for pid in (self.path / "cgroup.procs").read_text().split()}

    def leave_room(self, size: int) -> None:
        """Let those in it have `size` bytes more than they have."""
        name = "memory.usage_in_bytes" if self.version == 1 else "memory.current"
        self._limit.write_text(str(int((self.path / name).read_text()) + size))


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    made = MemoryGroup(f"eais-test-{os.getpid()}")
    yield made
    eventually(lambda: (not made.pids()) or None, "all that was in it has ended")
    made.path.rmdir()


@pytest.fixture
def stack(tmp_path: Path, group: MemoryGroup) -> Iterator[Stack]:
    """A pool whose listener is in the group, and so are all workers that it starts."""
    with embedded_pool(tmp_path) as made:
        group.add(listener_pid(made))
        for pid in workers_of(made):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: (set(workers_of(made)) & group.pids()) or None, "a spare in the group")
        yield made


def test_a_model_that_takes_all_memory_is_quarantined(
    stack: Stack, group: MemoryGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    with (
        eais.InferenceSession(models.relu()) as innocent,
        eais.InferenceSession(models.bomb()) as bomb,
    ):
        assert bomb.run(None, {"n": np.array([3], np.int64)})[0].tolist() == [0, 0, 0]
        pid_of(stack, "eais-worker (spare)")  # it has all that it needs by then
        # The worker and its spare stay behind: the kernel might choose the listener else.
        group.dismiss(listener_pid(stack))
        group.leave_room(ROOM)
        with pytest.raises(EaisError) as caught:
            bomb.run(None, {"n": np.array([1 << 28], np.int64)})
        assert caught.value.reason == "MODEL_QUARANTINED"
        metadata = caught.value.metadata
        assert (metadata["signal"], metadata["cause"]) == ("SIGKILL", "memory")
        assert innocent.run(None, {"x": np.ones(2, np.float32)})[0].tolist() == [1, 1]
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))
