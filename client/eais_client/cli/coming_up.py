"""Supervised programs while they come up: what they have said since they were started."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from eais.errors import ConfigError, EaisError, RemoteError, make_error
from eais_client.cli.ending import end
from eais_client.cli.processes import Process
from eais_client.cli.signals import held_back

UP_WITHIN_S = 60.0
LOOK_EVERY_S = 0.05
FAILED_STARTS = 3

Running = TypeVar("Running")

_ERROR_LINE = re.compile(r"^error: ([A-Z][A-Z0-9_]*): (.*)$", re.MULTILINE)


class LogMark:
    """The files of a place as they were before its programs were started.

    Args:
        ready: what one of them writes when it serves.
        log: the log of a program, or of "supervisor".
    """

    def __init__(self, ready: Path, log: Callable[[str], Path], programs: Sequence[str]) -> None:
        self._ready = ready
        self._log = log
        self._stamp = _stamp(ready)
        self._offsets = {name: _size(log(name)) for name in ("supervisor", *programs)}

    def ready_is_new(self) -> bool:
        """Whether one has said that it serves since then."""
        return _stamp(self._ready) not in (None, self._stamp)

    def ends_of(self, program: str) -> int:
        """How often the supervisor has seen `program` end since then."""
        return self._since("supervisor").count(f"{program} ended with")

    def last_error(self, program: str) -> EaisError | None:
        """The last error line that `program` wrote since then."""
        found = _ERROR_LINE.findall(self._since(program))
        if not found:
            return None
        reason, text = found[-1]
        return make_error(reason, text)

    def _since(self, program: str) -> str:
        try:
            with self._log(program).open("rb") as file:
                known = self._offsets[program]
                # The supervisor empties a log that has grown too long.
                file.seek(known if known <= os.fstat(file.fileno()).st_size else 0)
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""


class ComingUp:
    """Waits for programs to come up, and finds out why they don't.

    Args:
        process: their supervisor.
        whole: what they are the programs of, for people.
        mark: None when another command started them.
    """

    def __init__(
        self,
        process: Process,
        whole: str,
        log: Callable[[str], Path],
        mark: LogMark | None,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._process = process
        self._whole = whole
        self._log = log
        self._mark = mark
        self._clock = clock
        self._sleep = sleep
        self._until = clock() + UP_WITHIN_S

    def wait(self, program: str) -> None:
        """Wait a little; raise what keeps `program` from coming up, or if it takes too long."""
        self.check(program)
        if self._clock() >= self._until:
            raise self.failure(program, f"isn't ready after {UP_WITHIN_S:.0f} s")
        self._sleep(LOOK_EVERY_S)

    def check(self, program: str) -> None:
        """Raise what has ended the supervisor, or keeps ending `program`."""
        if self._process.wait(0):
            raise self.failure("supervisor", "ended")
        mark = self._mark
        if mark is not None and mark.ends_of(program) >= self._starts(mark, program):
            raise self.failure(program, "doesn't stay up")

    def failure(self, program: str, what: str) -> EaisError:
        """The error that `program` has written, else that it did `what`."""
        found = self._mark.last_error(program) if self._mark else None
        text, hint = f"the {self._whole}'s {program} {what}", f"see {self._log(program)}"
        return found or RemoteError("PROCESS_FAILED", text, hint=hint)

    @staticmethod
    def _starts(mark: LogMark, program: str) -> int:
        """After how many ends a program is given up: what is set wrongly stays so."""
        found = mark.last_error(program)
        return 1 if isinstance(found, ConfigError) and not is_locked(found) else FAILED_STARTS


def devices_environ(
    environ: Mapping[str, str], cpu_cores: int | None, simulate: str | None
) -> dict[str, str]:
    """`environ` with what a listener is to offer, where that is said."""
    said = {"EAIS_CPU_CORES": cpu_cores, "EAIS_SIMULATE": simulate}
    return {**environ, **{name: str(value) for name, value in said.items() if value is not None}}


def brought_up(
    spawn: Callable[[], Process],
    come_up: Callable[[Process], Running],
    running: Callable[[], Process | None],
    join: Callable[[Process], Running],
) -> Running:
    """A place whose supervisor is started now.

    Args:
        spawn: starts the supervisor.
        come_up: waits until its programs serve.
        running: the supervisor that another command started at the same moment, if it did.
        join: waits for that one.

    Raises the error that kept it from coming up; nothing that was started is left.
    """
    process: Process | None = None
    try:
        with held_back():
            process = spawn()
        return come_up(process)
    except BaseException as error:
        if process is not None:
            end(process)
        other = running() if is_locked(error) else None
        if other is None:
            raise
        return join(other)


def is_locked(error: BaseException) -> bool:
    """Whether another command brought the same place up at the same moment."""
    return isinstance(error, EaisError) and error.reason == "LOCKED"


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        info = file.stat()
    except FileNotFoundError:
        return None
    return (info.st_ino, info.st_mtime_ns)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
