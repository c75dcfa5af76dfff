"""The embedded pool of this machine: brought up, found, taken down.

`up` starts the supervisor (`python -m eais_pool.supervisor`) in the background, waits
until the manager serves and a host has joined, and writes the context. What doesn't
come up is stopped again, and the last error line of its log is the error raised.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eais import files
from eais.errors import ConfigError, IdentityError, Unavailable
from eais.paths import state_dir as state_root
from eais_client.cli.coming_up import (
    LOOK_EVERY_S,
    ComingUp,
    LogMark,
    brought_up,
    devices_environ,
)
from eais_client.cli.ending import stop
from eais_client.cli.outside import Outside
from eais_client.cli.processes import Process, Processes
from eais_client.cli.progress import Progress
from eais_client.context import Context, ContextStore
from eais_client.pool_status import PoolStatus

DEFAULT_NAME = "local"
# A program of a pool that runs already may be between two starts.
JOIN_WITHIN_S = 5.0
# Journal, CA, identities and logs of a pool that begins.
FIRST_START_BYTES = 1 << 20

_NEEDED_BY = {
    "manager": ("sqlalchemy", "setproctitle"),
    "listener": ("onnxruntime", "uvloop", "landlockpy", "seccompy", "setproctitle"),
}
# What was there before the manager came up: an ended certificate, and an address that may have
# been left to another server. It makes both anew.
_NOT_YET = frozenset({"CERT_MISSING", "CERT_EXPIRED", "SERVER_UNTRUSTED"})


@dataclass(frozen=True, slots=True)
class PoolPlace:
    """Where one embedded pool keeps its state, and whose contexts name it."""

    name: str
    state_dir: Path
    store: ContextStore

    @classmethod
    def find(
        cls, name: str, environ: Mapping[str, str], state_dir: Path | None = None
    ) -> PoolPlace:
        """The pool called `name`: at `state_dir`, where its context says, or the XDG place."""
        store = ContextStore.of_environ(environ)
        store.folder(name)  # refuses names that can't be a context's
        known = store.read().contexts.get(name)
        if state_dir is None and known is not None and known.state_dir:
            state_dir = Path(known.state_dir)
        return cls(name, (state_dir or state_root(environ) / "pools" / name).absolute(), store)

    @property
    def ready_file(self) -> Path:
        """What the manager writes when it serves."""
        return self.state_dir / "ready.json"

    def log(self, program: str) -> Path:
        """The log of "supervisor", "manager" or "listener"."""
        return self.state_dir / f"{program}.log"


@dataclass(frozen=True, slots=True)
class UpOptions:
    """How to bring a pool up; `bound`: it ends when this process does, however that ends."""

    listener: bool = True
    config: Path | None = None
    cpu_cores: int | None = None
    bind: str | None = None
    bound: bool = False
    simulate: str | None = None

    def flags(self) -> list[str]:
        """The flags that were given, as the command line calls them."""
        given = {
            "--no-listener": not self.listener,
            "--config": self.config is not None,
            "--cpu-cores": self.cpu_cores is not None,
            "--bind": self.bind is not None,
            "--simulate": self.simulate is not None,
        }
        return [flag for flag, is_given in given.items() if is_given]


@dataclass(frozen=True, slots=True)
class RunningPool:
    """A pool that serves; `started` if it did not run before.

    `enrolment`: "ADDRESS:PORT" where machines join it.
    """

    context: Context
    status: PoolStatus
    process: Process
    started: bool
    enrolment: str


def check_installed(*programs: str) -> None:
    """`ConfigError` NOT_INSTALLED if "manager" or "listener" lacks a module that it needs."""
    needed = dict.fromkeys(module for program in programs for module in _NEEDED_BY[program])
    missing = [module for module in needed if importlib.util.find_spec(module) is None]
    if missing:
        whole, extra = ("pool", "all") if "manager" in programs else ("listener", "server")
        raise ConfigError(
            "NOT_INSTALLED",
            f"a {whole} on this machine needs {', '.join(missing)}",
            hint=f"pip install 'eais[{extra}]'",
        )


class LocalPool:
    """The shell around one embedded pool's processes."""

    def __init__(self, place: PoolPlace, outside: Outside) -> None:
        self.place = place
        self._processes = outside.processes()
        self._ask_status = outside.ask_status
        self._environ = outside.environ
        self._clock = outside.clock
        self._sleep = outside.sleep

    def running(self) -> Process | None:
        """The pool's supervisor, if it runs."""
        return self._processes.supervisor_of(self.place.state_dir)

    def require_running(self) -> Process:
        """The pool's supervisor; `Unavailable` POOL_NOT_RUNNING if there is none."""
        found = self.running()
        if found is None:
            raise _not_running(self.place.name)
        return found

    def up(self, options: UpOptions, progress: Progress) -> RunningPool:
        """Bring the pool up unless it runs, and write its context.

        Raises the error that kept it from coming up; nothing that was started is left.
        """
        found = self.running()
        if found is not None:
            return self._join(found, progress)
        check_installed("manager", *(["listener"] * options.listener))
        _check_room(self.place.state_dir)
        mark = LogMark(self.place.ready_file, self.place.log, ("manager", "listener"))
        return brought_up(
            lambda: self._spawn(options),
            lambda process: self._come_up(process, mark, options, progress),
            self.running,
            lambda other: self._join(other, progress),
        )

    def down(self) -> bool:
        """Stop the pool and wait until it has ended; False if it didn't run."""
        found = self.running()
        if found is None:
            return False
        stop(found, self.place.log("supervisor"))
        return True

    def status(self) -> RunningPool:
        """The running pool as it is now; POOL_NOT_RUNNING if it isn't."""
        process = self.require_running()
        context = self._context()
        status = self._ask_status(self.place.store, context)
        return RunningPool(context, status, process, False, self._enrolment())

    def _spawn(self, options: UpOptions) -> Process:
        place = self.place
        command = [sys.executable, "-m", "eais_pool.supervisor"]
        command += ["--state-dir", str(place.state_dir)]
        command += ["--owner-dir", str(place.store.folder(place.name).absolute())]
        command += ["--config", str(options.config.absolute())] if options.config else []
        command += [] if options.listener else ["--no-listener"]
        command += ["--bind", options.bind] if options.bind is not None else []
        command += ["--parent-pid", str(os.getpid())] if options.bound else []
        environ = devices_environ(self._environ, options.cpu_cores, options.simulate)
        return self._processes.spawn(command, place.log("supervisor"), environ)

    def _come_up(
        self, process: Process, mark: LogMark, options: UpOptions, progress: Progress
    ) -> RunningPool:
        coming = self._coming(process, mark)
        progress.step("starting the pool manager", 0, 3)
        while not mark.ready_is_new():
            coming.wait("manager")
        context = self._keep_context()
        progress.step("waiting for the pool manager", 1, 3)
        while (status := self._try_status(context)) is None:
            coming.wait("manager")
        progress.step("starting the listener", 2, 3)
        while options.listener and not any(host.reachable for host in status.hosts):
            coming.wait("listener")
            status = self._try_status(context) or status
        if process.wait(0):  # another command's supervisor was first, and serves
            raise coming.failure("supervisor", "ended")
        return RunningPool(context, status, process, True, self._enrolment())

    def _join(self, process: Process, progress: Progress) -> RunningPool:
        """Wait for a pool that another command brought up, or is bringing up."""
        coming = self._coming(process, None)
        progress.step("waiting for the pool manager", 1, 3)
        while not self.place.ready_file.exists():
            coming.wait("manager")
        context = self._keep_context()
        while (status := self._try_status(context)) is None:
            coming.wait("manager")
        joined_by = self._clock() + JOIN_WITHIN_S
        while not any(host.reachable for host in status.hosts) and self._clock() < joined_by:
            self._sleep(LOOK_EVERY_S)
            status = self._try_status(context) or status
        return RunningPool(context, status, process, False, self._enrolment())

    def _coming(self, process: Process, mark: LogMark | None) -> ComingUp:
        return ComingUp(process, "pool", self.place.log, mark, self._clock, self._sleep)

    def _try_status(self, context: Context) -> PoolStatus | None:
        try:
            return self._ask_status(self.place.store, context)
        except Unavailable:
            return None
        except IdentityError as error:
            if error.reason not in _NOT_YET:
                raise
            return None

    def _keep_context(self) -> Context:
        """Write the context; it becomes the current one if there is none."""
        context = self._context()
        if self.place.store.read().contexts.get(context.name) != context:
            self.place.store.set(context)
        return context

    def _context(self) -> Context:
        place = self.place
        return read_ready(place.ready_file, place.name, place.state_dir).context

    def _enrolment(self) -> str:
        place = self.place
        return read_ready(place.ready_file, place.name, place.state_dir).enrolment


def check_runs(context: Context, processes: Processes) -> None:
    """`Unavailable` POOL_NOT_RUNNING if the context's pool is this machine's and isn't up.

    Nobody would answer, which takes long to find out by asking.
    """
    here = context.state_dir
    if here and processes.supervisor_of(Path(here)) is None:
        raise _not_running(context.name)


def _check_room(state_dir: Path) -> None:
    """`ConfigError` STATE_DIR if a new pool can't begin there.

    Its programs would be started again and again, and a full disk takes none of their words. A
    pool that has begun serves on a full disk as far as it can.
    """
    if (state_dir / "ca").exists():
        return
    try:
        files.private_dir(state_dir)
        with tempfile.TemporaryFile(dir=state_dir) as probe:
            os.posix_fallocate(probe.fileno(), 0, FIRST_START_BYTES)
    except OSError as error:
        text = f"{state_dir}: {error.strerror}" if error.strerror else str(error)
        raise ConfigError("STATE_DIR", text) from None


def _not_running(name: str) -> Unavailable:
    return Unavailable(
        "POOL_NOT_RUNNING",
        f"pool {name!r} isn't running on this machine",
        hint=f"eais pool up{_name_flag(name)}",
    )


@dataclass(frozen=True, slots=True)
class Ready:
    """Where a manager serves: its context, and "ADDRESS:PORT" where machines join."""

    context: Context
    enrolment: str


def read_ready(file: Path, name: str, state_dir: Path) -> Ready:
    """What the manager that wrote `file` says of itself.

    Raises `Unavailable` POOL_NOT_RUNNING if there is no such file, `ConfigError` STATE_DIR
    if it can't be read.
    """
    try:
        data = json.loads(file.read_text())
        user, management, enrolment = (
            f"{data[plane]['address']}:{data[plane]['port']}"
            for plane in ("user", "management", "enrolment")
        )
        pool = str(data["pool"])
    except FileNotFoundError:
        raise Unavailable("POOL_NOT_RUNNING", f"pool {name!r} isn't ready") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "`eais pool down`, then `eais pool up`, writes it anew"
        why = error.strerror if isinstance(error, OSError) else "not what the manager wrote"
        raise ConfigError("STATE_DIR", f"{file}: {why}", hint=hint) from None
    return Ready(Context(name, pool, user, management, str(state_dir)), enrolment)


def _name_flag(name: str) -> str:
    return "" if name == DEFAULT_NAME else f" --name {name}"
