"""A spawner without processes: the test is the worker."""

from __future__ import annotations

import shutil
import signal
import socket
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from eais_server.in_flight import Page
from eais_server.process import Exit, OnExit, WorkerProcess
from eais_server.turns.page import Seat


@dataclass(slots=True)
class FakeWorker:
    """What a test sees of a worker that was "started".

    Attributes:
        process: what the spawner gave to the listener.
        far_end: the worker's end of the control socket; give it to `ControlSocket`.
        signals: what it was sent.
        memory_bytes: what it may have more than it had; 0: no limit.
        ended: how, once it has.
    """

    process: WorkerProcess
    far_end: socket.socket
    on_exit: OnExit
    signals: list[int] = field(default_factory=list)
    memory_bytes: int = 0
    ended: Exit | None = None


class FakeSpawner:
    """A `Spawner` whose workers do what the test says.

    `kill` with SIGKILL ends a worker at once, unless "kill" is blocked.
    """

    def __init__(self, workers: Path) -> None:
        self.started: dict[int, FakeWorker] = {}
        self._root = workers
        self._faults: dict[str, list[Exception]] = defaultdict(list)
        self._blocked: dict[str, list[FakeWorker]] = {}

    def fail_next(self, op: str, error: Exception) -> None:
        """The next `op` ("spawn", "kill") raises `error`."""
        self._faults[op].append(error)

    def block(self, op: str) -> None:
        """Hold the effect of `op` ("kill") back until `release`."""
        self._blocked.setdefault(op, [])

    def release(self, op: str) -> None:
        """Let what `block` held back happen, in order."""
        for worker in self._blocked.pop(op, []):
            self.end(worker.process.k, Exit(None, signal.SIGKILL))

    def spawn(self, k: int, on_exit: OnExit) -> WorkerProcess:
        """As `Spawner`."""
        self._trip("spawn")
        near, far = socket.socketpair()
        directory = self._root / str(k)
        directory.mkdir(parents=True)
        process = WorkerProcess(k, 100_000 + k, -1, near, directory, Page(), Seat())
        self.started[k] = FakeWorker(process, far, on_exit)
        return process

    def kill(self, process: WorkerProcess, signum: int) -> None:
        """As `Spawner`."""
        self._trip("kill")
        worker = self.started[process.k]
        if worker.ended is not None:
            return
        worker.signals.append(signum)
        if signum == signal.SIGKILL and "kill" in self._blocked:
            self._blocked["kill"].append(worker)
        elif signum == signal.SIGKILL:
            self.end(process.k, Exit(None, signum))

    def limit_memory(self, process: WorkerProcess, more_bytes: int) -> None:
        """As `Spawner`."""
        self.started[process.k].memory_bytes = more_bytes

    def is_stopped(self, process: WorkerProcess) -> bool:
        """As `Spawner`: whether the last of SIGSTOP and SIGCONT that it was sent is the first."""
        sent = self.started[process.k].signals
        stops = [signum for signum in sent if signum in (signal.SIGSTOP, signal.SIGCONT)]
        return stops[-1:] == [signal.SIGSTOP]

    def end(self, k: int, how: Exit) -> None:
        """Worker `k` exits now: its socket closes, its directory goes, `on_exit` is told."""
        worker = self.started[k]
        if worker.ended is not None:
            return
        worker.ended = how
        worker.far_end.close()
        shutil.rmtree(worker.process.directory)
        worker.on_exit(how)

    def close(self) -> None:
        """Close all sockets that are still open; for a test's end."""
        for worker in self.started.values():
            worker.far_end.close()
            worker.process.control.close()
            worker.process.page.close()
            worker.process.seat.close()

    def _trip(self, op: str) -> None:
        if self._faults[op]:
            raise self._faults[op].pop(0)
