"""Starts workers by exec from the main thread, and sees their exit by pidfd."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Exit:
    """How a worker ended: by itself with `code`, or (code None) killed by `signal`."""

    code: int | None
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A worker that was started.

    Attributes:
        k: the number it was started with.
        pid: its process id, for logs.
        pidfd: the spawner's; don't close it.
        control: the listener's end of the control socket; give it to `AsyncControl.open`,
            which then owns it.
        directory: its own, made empty; only the listener writes there.
    """

    k: int
    pid: int
    pidfd: int
    control: socket.socket
    directory: Path


OnExit = Callable[[Exit], None]


class Spawner(Protocol):
    """Starts and ends workers; called on the main thread alone."""

    def spawn(self, k: int, on_exit: OnExit) -> WorkerProcess:
        """Start a worker in a new, empty directory `k`, a number not used before.

        `on_exit` is called once, on the running event loop, after the process is reaped and
        its directory removed; then nothing of it is left but `control`.

        Raises:
            RemoteError: PROCESS_FAILED; nothing is left behind.
        """
        ...

    def kill(self, process: WorkerProcess, signum: int) -> None:
        """Send a signal; nothing if it has exited. Its exit is still seen by `on_exit`."""
        ...


class ExecSpawner:
    """The real spawner; needs the running event loop.

    Args:
        workers: the directory of the workers' directories; made if need be.
        level: the isolation level that workers must have.
        secret_root: what workers must not be able to read.
        environ: of the listener; workers get nothing of it but the locale.
        data_limit_bytes: for each worker's memory, if any.
        log_fd: where workers' output goes.
        program: what to run, before the flags.
    """

    def __init__(
        self,
        workers: Path,
        *,
        level: int,
        secret_root: Path,
        environ: Mapping[str, str],
        data_limit_bytes: int | None = None,
        log_fd: int = 2,
        program: Sequence[str] = (),
    ) -> None:
        raise NotImplementedError

    def spawn(self, k: int, on_exit: OnExit) -> WorkerProcess:
        """As `Spawner`; `RuntimeError` off the main thread (a worker dies with its thread)."""
        raise NotImplementedError

    def kill(self, process: WorkerProcess, signum: int) -> None:
        """As `Spawner`."""
        raise NotImplementedError


def clean_up(workers: Path) -> int:
    """Remove the directories of workers that a crash left; how many.

    Only for the listener that holds its lock, before it spawns: the last one's workers died
    with it.
    """
    raise NotImplementedError
