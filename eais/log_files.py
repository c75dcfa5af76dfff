"""Keeps the logs that programs append to bounded: `NAME.log` and the one before, `NAME.log.1`.

A log is the standard output of a program and of what that starts, and all of them hold the file
open. So what a full log has is copied, and the log emptied where it is: that is right for whoever
appends (O_APPEND). What is written in the instant between the two is lost.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

LOG_BYTES: Final = 10 << 20
LOOK_EVERY_S: Final = 2.0
"""A log may be longer than its bound by what is written in so long."""

_PIECE: Final = 1 << 20


class BoundedLogs:
    """Looks after some logs, every `LOOK_EVERY_S` seconds.

    Args:
        tell: takes a line for each log that can't be bounded, once until it can.
        limit: in bytes, of each log and of the one before it.
    """

    def __init__(
        self, logs: Iterable[Path], tell: Callable[[str], object], limit: int = LOG_BYTES
    ) -> None:
        self._logs = tuple(logs)
        self._tell = tell
        self._limit = limit
        self._failed: set[Path] = set()
        self.look_at = 0.0

    def look(self, now: float) -> None:
        """Bound the logs, if it is time to look."""
        if now < self.look_at:
            return
        self.look_at = now + LOOK_EVERY_S
        for log in self._logs:
            try:
                bound_log(log, self._limit)
                self._failed.discard(log)
            except OSError as error:
                if log not in self._failed:
                    self._failed.add(log)
                    self._tell(f"{log.name} can't be kept short: {error}")


def bound_log(log: Path, limit: int = LOG_BYTES) -> bool:
    """Move what a log of `limit` bytes or more has, its end at least, to `NAME.log.1`; if it was.

    Raises:
        OSError: it couldn't be copied; the log is as it was.
    """
    try:
        if log.lstat().st_size < limit:
            return False
    except FileNotFoundError:
        return False
    fd = os.open(log, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _copy_end(fd, older_log(log), limit)
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)
    return True


def older_log(log: Path) -> Path:
    """Where what was in the log before is."""
    return log.with_name(f"{log.name}.1")


def append_only(log: Path, descriptors: Iterable[int] = (1, 2)) -> None:
    """Have these of our descriptors that are `log` append to it, whoever opened them.

    Raises:
        OSError: the log can't be looked at.
    """
    for fd in descriptors:
        if log.exists() and os.path.samestat(os.fstat(fd), log.stat()):
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)


def _copy_end(fd: int, to: Path, limit: int) -> None:
    """Copy the last `limit` bytes, from a line's begin, and a piece more if it comes meanwhile."""
    size = os.fstat(fd).st_size
    at = max(0, size - limit)
    inside_a_line = at > 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(to, flags, stat.S_IRUSR | stat.S_IWUSR), "wb") as copy:
        while at < size + _PIECE and (data := os.pread(fd, _PIECE, at)):
            at += len(data)
            if inside_a_line:
                begun, newline, data = data.partition(b"\n")
                data, inside_a_line = (data, False) if newline else (begun, False)
            copy.write(data)
