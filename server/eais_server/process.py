"""Starts workers by exec from the main thread, and sees their exit by pidfd."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from eais.errors import ConfigError, make_error
from eais.files import PRIVATE_DIR, private_dir
from eais.transport.ring.handover import listening_socket
from eais_server.count_page import CountPage
from eais_server.in_flight import Page
from eais_server.isolation.limits import limit_data
from eais_server.turns.page import Seat

WORKER_PROGRAM: Final = (sys.executable, "-I", "-m", "eais_server.worker")
"""-I: no PYTHON* variable, current directory or user's packages takes part."""

_log = logging.getLogger(__name__)

# By a signal, by a tracer.
_STOPPED: Final = ("T", "t")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a worker ended: by itself with `code`, or (code None) killed by `signal`."""

    code: int | None
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A pair of packet sockets by which a worker may come to what serves its device.

    Attributes:
        descriptor: the number of the worker's end, in the worker.
        far: the other end, the listener's until it is handed on.
    """

    descriptor: int
    far: socket.socket


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
        page: what it says that it does; close it after the exit.
        seat: where it would be told of its turns on a shared device; as `page`.
        lines: as many as the spawner was told to give each worker; as `page`.
        counts: what it counts; as `page`. None: it tells that in its heartbeats alone.
    """

    k: int
    pid: int
    pidfd: int
    control: socket.socket
    directory: Path
    page: Page
    seat: Seat
    lines: tuple[Line, ...] = ()
    counts: CountPage | None = None


OnExit = Callable[[Exit], None]


class Spawner(Protocol):
    """Starts and ends workers; called on the main thread alone."""

    def spawn(self, k: int, on_exit: OnExit) -> WorkerProcess:
        """Start a worker in a new, empty directory `k`, a number not used before.

        `on_exit` is called once, on the running event loop, after the process is reaped and
        its directory removed; then nothing of it is left but `control`, `page`,
        `seat`, `lines` and `counts`.

        Raises:
            RemoteError: PROCESS_FAILED; nothing is left behind.
        """
        ...

    def kill(self, process: WorkerProcess, signum: int) -> None:
        """Send a signal; nothing if it has exited. Its exit is still seen by `on_exit`."""
        ...

    def limit_memory(self, process: WorkerProcess, more_bytes: int) -> None:
        """Let it have so much private memory more than it has now, for good; 0: no limit."""
        ...

    def is_stopped(self, process: WorkerProcess) -> bool:
        """Whether somebody has stopped it (SIGSTOP, a debugger), so that it can do nothing."""
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
        log_format: of it, as `eais.telemetry.logs.Format`.
        lines: how many each worker gets.
        counts: where the files of what workers count are; None: there are none.
        program: what to run, before the flags.

    Raises:
        ConfigError: STATE_DIR, `workers` can't be used.
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
        log_format: str = "text",
        lines: int = 0,
        counts: Path | None = None,
        program: Sequence[str] = WORKER_PROGRAM,
    ) -> None:
        try:
            self._workers = private_dir(workers)
            self._counts = counts if counts is None else private_dir(counts)
        except OSError as error:
            raise ConfigError("STATE_DIR", f"{workers} can't be used: {error}") from None
        self._program = tuple(program)
        self._flags = ["--level", str(level), "--secret-root", str(secret_root)]
        if data_limit_bytes is not None:
            self._flags += ["--data-limit", str(data_limit_bytes)]
        if log_format != "text":
            self._flags += ["--log-format", log_format]
        self._environment = worker_environment(environ)
        self._log_fd = log_fd
        self._lines = lines
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def spawn(self, k: int, on_exit: OnExit) -> WorkerProcess:
        """As `Spawner`; `RuntimeError` off the main thread (a worker dies with its thread)."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("workers are spawned on the main thread alone")
        loop = asyncio.get_running_loop()
        try:
            process, child = self._start(k)
        except OSError as error:
            why = error.strerror or "unknown"
            raise make_error("PROCESS_FAILED", f"a worker can't be started: {why}") from error
        self._children[k] = child
        loop.add_reader(process.pidfd, self._exited, loop, process, on_exit)
        return process

    def _start(self, k: int) -> tuple[WorkerProcess, subprocess.Popen[bytes]]:
        with ExitStack() as undo:
            directory = self._workers / str(k)
            directory.mkdir(mode=PRIVATE_DIR)
            undo.callback(_remove, directory)
            near, far = socket.socketpair()
            undo.callback(near.close)
            with far, listening_socket() as rings, ExitStack() as handed:
                lines = tuple(_line(undo, handed) for _ in range(self._lines))
                page = Page()
                undo.callback(page.close)
                seat = Seat()
                undo.callback(seat.close)
                counts = self._count_page(undo)
                inherited = {"control": far.fileno(), "page": page.descriptor}
                inherited |= {"ring": rings.fileno()}
                inherited |= {"counts": counts.descriptor} if counts else {}
                many = {"line": [line.descriptor for line in lines], "turn": seat.descriptors}
                child = self._exec(directory, inherited, many)
            page.handed_down()
            seat.handed_down()
            undo.callback(child.wait)
            undo.callback(child.kill)
            pidfd = os.pidfd_open(child.pid)
            undo.pop_all()
        process = WorkerProcess(k, child.pid, pidfd, near, directory, page, seat, lines, counts)
        return process, child

    def _count_page(self, undo: ExitStack) -> CountPage | None:
        if self._counts is None:
            return None
        page = CountPage(self._counts)
        undo.callback(page.close)
        return page

    def _exec(
        self,
        directory: Path,
        inherited: Mapping[str, int],
        many: Mapping[str, Sequence[int]],
    ) -> subprocess.Popen[bytes]:
        own = {
            **{f"--{name}-fd": fd for name, fd in inherited.items()},
            "--parent-pid": os.getpid(),
            "--dir": directory,
        }
        flags = [text for flag, value in own.items() for text in (flag, str(value))]
        flags += [
            text for name, fds in many.items() for fd in fds for text in (f"--{name}-fd", str(fd))
        ]
        return subprocess.Popen(
            [*self._program, *flags, *self._flags],
            cwd=directory,
            env=self._environment,
            pass_fds=(*inherited.values(), *(fd for fds in many.values() for fd in fds)),
            stdin=subprocess.DEVNULL,
            stdout=self._log_fd,
            stderr=self._log_fd,
            # A Ctrl-C at a listener in the foreground is the listener's to handle.
            start_new_session=True,
        )

    def kill(self, process: WorkerProcess, signum: int) -> None:
        """As `Spawner`."""
        if process.k in self._children:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(process.pidfd, signum)

    def limit_memory(self, process: WorkerProcess, more_bytes: int) -> None:
        """As `Spawner`."""
        if more_bytes and process.k in self._children:
            with suppress(ProcessLookupError):
                limit_data(process.pid, more_bytes)

    def is_stopped(self, process: WorkerProcess) -> bool:
        """As `Spawner`."""
        # Until it is reaped here, its process id is no one else's.
        return process.k in self._children and _state(process.pid) in _STOPPED

    def _exited(
        self, loop: asyncio.AbstractEventLoop, process: WorkerProcess, on_exit: OnExit
    ) -> None:
        loop.remove_reader(process.pidfd)
        how = _reap(process.pidfd)
        os.close(process.pidfd)
        # Popen must not wait for a process id that may be another's by now.
        child = self._children.pop(process.k)
        child.returncode = -how.signal if how.code is None and how.signal else how.code
        _remove(process.directory)
        on_exit(how)


def _line(undo: ExitStack, handed: ExitStack) -> Line:
    """A line whose worker's end is closed here once it was `handed`."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    handed.callback(near.close)
    undo.callback(far.close)
    return Line(near.fileno(), far)


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """All the variables of a worker: the listener's locale if that is UTF-8, else C.UTF-8."""
    locale = environ.get("LC_ALL") or environ.get("LANG") or ""
    if not locale.upper().replace("-", "").endswith(".UTF8"):
        locale = "C.UTF-8"
    return {
        "LANG": locale,
        "LC_ALL": locale,
        # numpy multiplies no matrices here, and starting a thread for each core takes a fifth
        # of the time until a worker is ready.
        "OPENBLAS_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def _state(pid: int) -> str:
    """The letter in /proc; "" if that can't be read."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    # The program's name, in brackets, may have any characters.
    return text.rpartition(")")[2].split()[0]


def clean_up(workers: Path) -> int:
    """Remove the directories of workers that a crash left; how many.

    Only for the listener that holds its lock, before it spawns: the last one's workers died
    with it.
    """
    leftovers = list(workers.iterdir()) if workers.is_dir() else []
    for leftover in leftovers:
        _remove(leftover)
    return len(leftovers)


def _reap(pidfd: int) -> Exit:
    info = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    if info is None:
        raise ChildProcessError("a pidfd was readable before its process ended")
    if info.si_code == os.CLD_EXITED:
        return Exit(info.si_status)
    return Exit(None, info.si_status)


def _remove(directory: Path) -> None:
    """Remove a dead worker's directory, whatever modes it gave what it made there."""
    try:
        if directory.is_dir() and not directory.is_symlink():
            directory.chmod(PRIVATE_DIR)
        for folder, below, _files in os.walk(directory):
            for name in below:
                path = Path(folder, name)
                if not path.is_symlink():
                    path.chmod(PRIVATE_DIR)
        shutil.rmtree(directory)
    except OSError as error:
        _log.warning("a worker's directory is left behind: %s", error)
