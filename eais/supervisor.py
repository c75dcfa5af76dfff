"""Keeps the programs of one place running: an embedded pool's, or a listener host's.

A supervisor holds `supervisor.lock` in the place's directory for its life, ends its programs
when it is told to (SIGTERM, SIGINT), and they end with it if it is killed. They tell it that
they move, as they tell systemd where that runs them (`eais.notify`). When each is started again
is decided by `eais.restarts`.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from eais import config, files, restarts
from eais.errors import ConfigError
from eais.log_files import BoundedLogs, append_only
from eais.notices import Notices
from eais.telemetry.logs import format_of, log_to_stderr

log = logging.getLogger(__name__)

LOCK_NAME = "supervisor.lock"
OWN_NAME = "supervisor"


@dataclass(frozen=True, slots=True)
class SupervisorConfig:
    """All that can be set of a supervisor; ValueError names what can't be.

    Attributes:
        watchdog_s: for how long manager or listener may stand still; then it is looked at once
            more, 1 s later, killed and started again; 0: for ever. Workers end with their
            listener, so what stands still for less goes on.
        log_format: "text" or "json", of its own log.
    """

    watchdog_s: float = 10.0
    log_format: str = "text"

    def __post_init__(self) -> None:
        format_of(self.log_format)
        if not (self.watchdog_s == 0 or 2 <= self.watchdog_s <= 3600):
            raise ValueError(f"watchdog_s = {self.watchdog_s}: must be 2 to 3600, or 0: never")


def begin(file: Path | None, environ: Mapping[str, str]) -> restarts.Patience:
    """Log as the settings say; how long programs may be silent, as they say.

    Raises:
        ConfigError: CONFIG.
    """
    settings = config.load(
        SupervisorConfig,
        table="supervisor",
        flags={},
        environ=environ,
        file=config.read_pool_file(file),
    )
    log_to_stderr(f"eais-{OWN_NAME}", format_of(settings.log_format))
    return restarts.Patience(watchdog_s=settings.watchdog_s)


@dataclass(frozen=True, slots=True)
class Supervised:
    """A program: its command line, which ends when this process does, and its time to end."""

    command: Sequence[str]
    stop_grace_s: float


def take_lock(directory: Path, what: str) -> IO[str]:
    """Hold the directory's supervisor lock and write our pid into it; `what` runs there.

    Raises `ConfigError` LOCKED if another supervisor runs, STATE_DIR if the
    directory can't be used.
    """
    try:
        files.private_dir(directory)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        lock = os.fdopen(os.open(directory / LOCK_NAME, flags, 0o600), "r+")
    except OSError as error:
        text = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
        raise ConfigError("STATE_DIR", text) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ConfigError("LOCKED", f"{what} is already running on this machine") from None
    pid = str(os.getpid()).encode()
    try:
        # Over what is there: on a full disk, what is emptied first may get no byte back.
        os.pwrite(lock.fileno(), pid, 0)
        lock.truncate(len(pid))
    except OSError as error:
        raise ConfigError("STATE_DIR", f"{directory}: {error.strerror}") from None
    return lock


class Supervisor:
    """The shell around `restarts`: starts, signals and reaps child processes, hears what they say.

    Args:
        directory: where logs (`NAME.log`, kept short) and the socket are.
        programs: by name, in the order in which they are started.

    Raises:
        OSError: they could not be heard.
    """

    def __init__(
        self,
        directory: Path,
        programs: Mapping[str, Supervised],
        patience: restarts.Patience,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._programs = programs
        self._patience = patience
        self._clock = clock
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._selector = selectors.DefaultSelector()
        graces = {name: program.stop_grace_s for name, program in programs.items()}
        self._state = restarts.new_state(graces, clock(), patience)
        self._notices = Notices(directory)
        # Its own too, which whoever started it made its output.
        logs = [directory / f"{name}.log" for name in (*programs, OWN_NAME)]
        self._logs = BoundedLogs(logs, log.warning)
        self._running = True
        self._stop_asked = False

    def run(self) -> None:
        """Serve until told to stop; returns when every program has ended."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._on_readable(wake_read, lambda: os.read(wake_read, 4096))
        self._on_readable(self._notices.fileno(), self._hear)
        append_only(self._directory / f"{OWN_NAME}.log")
        self._feed(restarts.Tick())
        while self._running:
            self._wait()
        self._notices.close()

    def _on_signal(self, number: int, frame: object) -> None:
        # Only noted: it may come while a child is being started that isn't yet known.
        self._stop_asked = True

    def _wait(self) -> None:
        if self._notices.lost:
            self._listen_again()
        self._logs.look(self._clock())
        wake = restarts.next_wake(self._state)
        wake = self._logs.look_at if wake is None else min(wake, self._logs.look_at)
        for key, _mask in self._selector.select(max(0.0, wake - self._clock())):
            key.data()
        if self._stop_asked:
            self._feed(restarts.StopAsked())
        self._feed(restarts.Tick())

    def _on_readable(self, fd: int, do: Callable[[], object]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, do)

    def _listen_again(self) -> None:
        """What couldn't be heard isn't held against anybody."""
        deaf = self._notices.fileno()
        with contextlib.suppress(OSError):  # it is tried again
            self._notices.bind_again()
            self._selector.unregister(deaf)
            self._on_readable(self._notices.fileno(), self._hear)
            log.warning("its socket was taken away, and made again")
        for name in self._children:
            self._feed(restarts.Alive(name))

    def _hear(self) -> None:
        names = {child.pid: name for name, child in self._children.items()}
        for pid, lines in self._notices.heard():
            if pid not in names:
                continue
            if "STOPPING=1" in lines:
                self._feed(restarts.Leaving(names[pid]))
            elif lines & {"READY=1", "WATCHDOG=1"}:
                self._feed(restarts.Alive(names[pid]))

    def _reap(self, name: str, pidfd: int) -> None:
        self._selector.unregister(pidfd)
        os.close(pidfd)
        code = self._children.pop(name).wait()
        log.info("%s ended with %s", name, code)
        self._feed(restarts.Ended(name))

    def _feed(self, event: restarts.Event) -> None:
        for action in restarts.on_event(self._state, event, self._clock()):
            match action:
                case restarts.Start(name):
                    self._start(name)
                case restarts.Terminate(name):
                    self._children[name].terminate()
                case restarts.Kill(name, why):
                    log.warning("%s is killed: %s", name, why)
                    self._children[name].kill()
                case restarts.Exit():
                    self._running = False

    def _start(self, name: str) -> None:
        try:
            child = self._spawn(name)
        except OSError as error:  # no memory, no descriptors, no log: as if it had ended at once
            log.error("%s can't be started: %s", name, error)
            self._feed(restarts.Started(name, 0))
            self._feed(restarts.Ended(name))
            return
        self._children[name] = child
        pidfd = os.pidfd_open(child.pid)
        self._on_readable(pidfd, lambda: self._reap(name, pidfd))
        self._feed(restarts.Started(name, child.pid))

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        with (self._directory / f"{name}.log").open("ab") as output:
            return subprocess.Popen(
                self._programs[name].command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environ(),
            )

    def _environ(self) -> dict[str, str]:
        """Ours, but for who is to be told: what is in it of that was meant for this process."""
        watchdog_us = round(self._patience.watchdog_s * 1e6)
        names = {"NOTIFY_SOCKET": self._notices.address, "WATCHDOG_USEC": str(watchdog_us)}
        kept = {name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"}
        return {**kept, **names}
