"""The embedded pool's supervisor: keeps manager and listener running on this machine.

`python -m eais_pool.supervisor --state-dir S --owner-dir O`. It holds
`S/supervisor.lock` for its life, ends its programs when it is told to
(SIGTERM, SIGINT), and they end with it if it is killed. They tell it that they
move, as they tell systemd where that runs them (`eais.notify`).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from setproctitle import setproctitle

from eais import config, files
from eais.errors import ConfigError, EaisError
from eais.parent import end_with_parent
from eais.standard_streams import hold_standard_streams, leave, tell
from eais_pool import restarts
from eais_pool.config import SupervisorConfig
from eais_pool.notices import Notices

LOCK_NAME = "supervisor.lock"
READY_NAME = "ready.json"


@dataclass(frozen=True, slots=True)
class SupervisorPlan:
    """What to keep running, and where its state is.

    `test_leaf_life_s` is the manager's, seconds; None but in tests.
    """

    state_dir: Path
    owner_dir: Path
    config: Path | None
    listener: bool
    patience: restarts.Patience
    test_leaf_life_s: float | None = None

    def commands(self, pid: int) -> Mapping[str, list[str]]:
        """The programs' command lines; each ends when process `pid` does."""
        python = [sys.executable, "-m"]
        common = ["--parent-pid", str(pid), *(["--config", str(self.config)] * bool(self.config))]
        ready = str(self.state_dir / READY_NAME)
        manager = [*python, "eais_pool.manager", "--state-dir", str(self.state_dir)]
        if self.test_leaf_life_s is not None:
            manager += ["--test-leaf-life-s", str(self.test_leaf_life_s)]
        listener = [
            *python,
            "eais_server.listener",
            "--state-dir",
            str(self.state_dir / "listener"),
        ]
        programs = {"manager": [*manager, "--owner-dir", str(self.owner_dir), *common]}
        if self.listener:
            programs["listener"] = [*listener, "--pool-file", ready, *common]
        return programs


def take_lock(state_dir: Path) -> IO[str]:
    """Hold the pool's supervisor lock and write our pid into it.

    Raises `ConfigError` LOCKED if another supervisor runs, STATE_DIR if the
    directory can't be used.
    """
    try:
        files.private_dir(state_dir)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        lock = os.fdopen(os.open(state_dir / LOCK_NAME, flags, 0o600), "r+")
    except OSError as error:
        text = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
        raise ConfigError("STATE_DIR", text) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ConfigError("LOCKED", "this pool is already running on this machine") from None
    pid = str(os.getpid()).encode()
    try:
        # Over what is there: on a full disk, what is emptied first may get no byte back.
        os.pwrite(lock.fileno(), pid, 0)
        lock.truncate(len(pid))
    except OSError as error:
        raise ConfigError("STATE_DIR", f"{state_dir}: {error.strerror}") from None
    return lock


class Supervisor:
    """The shell around `restarts`: starts, signals and reaps child processes, hears what they say.

    Raises:
        OSError: they could not be heard.
    """

    def __init__(self, plan: SupervisorPlan, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan = plan
        self._clock = clock
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._selector = selectors.DefaultSelector()
        self._commands = plan.commands(os.getpid())
        graces = {"manager": 3.0, "listener": 6.0}
        self._state = restarts.new_state(
            {name: graces[name] for name in self._commands}, clock(), plan.patience
        )
        self._notices = Notices(plan.state_dir)
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
        self._feed(restarts.Tick())
        while self._running:
            self._wait()
        self._notices.close()
        (self._plan.state_dir / READY_NAME).unlink(missing_ok=True)

    def _on_signal(self, number: int, frame: object) -> None:
        # Only noted: it may come while a child is being started that isn't yet known.
        self._stop_asked = True

    def _wait(self) -> None:
        if self._notices.lost:
            self._listen_again()
        wake = restarts.next_wake(self._state)
        wait = None if wake is None else max(0.0, wake - self._clock())
        for key, _mask in self._selector.select(wait):
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
            self._log("its socket was taken away, and made again")
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
        self._log(f"{name} ended with {code}")
        self._feed(restarts.Ended(name))

    def _feed(self, event: restarts.Event) -> None:
        for action in restarts.on_event(self._state, event, self._clock()):
            match action:
                case restarts.Start(name):
                    self._start(name)
                case restarts.Terminate(name):
                    self._children[name].terminate()
                case restarts.Kill(name, why):
                    self._log(f"{name} is killed: {why}")
                    self._children[name].kill()
                case restarts.Exit():
                    self._running = False

    def _start(self, name: str) -> None:
        try:
            child = self._spawn(name)
        except OSError as error:  # no memory, no descriptors, no log: as if it had ended at once
            self._log(f"{name} can't be started: {error}")
            self._feed(restarts.Started(name, 0))
            self._feed(restarts.Ended(name))
            return
        self._children[name] = child
        pidfd = os.pidfd_open(child.pid)
        self._on_readable(pidfd, lambda: self._reap(name, pidfd))
        self._feed(restarts.Started(name, child.pid))

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        with (self._plan.state_dir / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                self._commands[name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ(),
            )

    def _environ(self) -> dict[str, str]:
        """Ours, but for who is to be told: what is in it of that was meant for this process."""
        watchdog_us = round(self._plan.patience.watchdog_s * 1e6)
        names = {"NOTIFY_SOCKET": self._notices.address, "WATCHDOG_USEC": str(watchdog_us)}
        kept = {name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"}
        return {**kept, **names}

    def _log(self, text: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with contextlib.suppress(OSError):  # a full disk is no reason to end the pool
            sys.stderr.write(f"{stamp} eais-supervisor {text}\n")
            sys.stderr.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the supervisor; the exit code is that of `eais.report`."""
    hold_standard_streams()
    parser = argparse.ArgumentParser(prog="eais-supervisor")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--owner-dir", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--no-listener", action="store_true")
    parser.add_argument("--parent-pid", type=int, help="end when this process does")
    parser.add_argument("--test-leaf-life-s", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    setproctitle("eais-supervisor")
    if given.parent_pid and not end_with_parent(given.parent_pid, signal.SIGTERM):
        return 0
    try:
        with take_lock(given.state_dir):
            Supervisor(_plan(given)).run()
    except OSError as error:
        where = error.filename or given.state_dir
        return tell(ConfigError("STATE_DIR", f"{where}: {error.strerror or error}"))
    except EaisError as error:
        return tell(error)
    return leave(0)


def _plan(given: argparse.Namespace) -> SupervisorPlan:
    settings = config.load(
        SupervisorConfig,
        table="supervisor",
        flags={},
        environ=os.environ,
        file=config.read_pool_file(given.config),
    )
    patience = restarts.Patience(watchdog_s=settings.watchdog_s)
    return SupervisorPlan(
        given.state_dir,
        given.owner_dir,
        given.config,
        not given.no_listener,
        patience,
        given.test_leaf_life_s,
    )


if __name__ == "__main__":
    sys.exit(main())
