"""Processes of this machine: who holds a pool's lock, starting a supervisor, ending it.

Processes are held by pidfd, so that a pid that was used again is never signalled.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from eais.errors import ConfigError

PROC = Path("/proc")


class Process(Protocol):
    """A process that may end at any time."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended, after `timeout_s` at most."""
        ...

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        ...

    def kill(self) -> None:
        """End it (SIGKILL)."""
        ...


class Processes(Protocol):
    """The processes of this machine, as `eais pool` needs them."""

    def supervisor_of(self, state_dir: Path) -> Process | None:
        """The supervisor that holds the lock of the pool at `state_dir`, if one does."""
        ...

    def spawn(self, command: Sequence[str], log: Path, environ: Mapping[str, str]) -> Process:
        """Start `command` in a session of its own, with its output appended to `log`."""
        ...


class PidfdProcess:
    """A process held by pidfd."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self._child = child
        self._pidfd = os.pidfd_open(pid)

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended, after `timeout_s` at most; a child is reaped."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        ended = bool(poll.poll(max(0.0, timeout_s) * 1000))
        if ended and self._child is not None:
            self._child.wait()
        return ended

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it (SIGKILL)."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self._pidfd)


class LocalProcesses:
    """The real ones, by /proc and pidfd."""

    def supervisor_of(self, state_dir: Path) -> Process | None:
        """The process that `supervisor.lock` names, if it does hold that lock."""
        lock = state_dir / "supervisor.lock"
        try:
            process = PidfdProcess(int(lock.read_text() or "0"))
        except (OSError, ValueError, OverflowError):
            return None
        # Asked after the pidfd was opened: the pid can't have passed on since.
        return process if holds_flock(process.pid, lock) else None

    def spawn(self, command: Sequence[str], log: Path, environ: Mapping[str, str]) -> Process:
        """Start `command`; `ConfigError` STATE_DIR if its log can't be written."""
        try:
            log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with log.open("ab") as output:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    env=dict(environ),
                    start_new_session=True,
                )
        except OSError as error:
            raise ConfigError("STATE_DIR", f"{error.filename}: {error.strerror}") from None
        return PidfdProcess(child.pid, child)


def holds_flock(pid: int, file: Path) -> bool:
    """Whether process `pid` has `file` open and locked by flock.

    The kernel says so in /proc/PID/fdinfo; trying the lock would disturb its holder.
    """
    try:
        fds = list((PROC / str(pid) / "fd").iterdir())
    except OSError:
        return False
    return any(_is_file(fd, file) and _is_locked(pid, fd.name) for fd in fds)


def _is_file(fd: Path, file: Path) -> bool:
    try:
        return fd.samefile(file)
    except OSError:
        return False


def _is_locked(pid: int, fd: str) -> bool:
    try:
        lines = (PROC / str(pid) / "fdinfo" / fd).read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("lock:") and "FLOCK" in line for line in lines)
