"""Level 1's limits on resources and descriptors."""

from __future__ import annotations

import os
import resource
import socket
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STANDARD_FDS: Final = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Resource limits of one worker, soft and hard alike.

    RLIMIT_NPROC isn't here: it counts every process and thread of the uid, the listener's and
    the user's own too, so a worker would fail for what others do (and root is exempt from it).

    Attributes:
        data_bytes: private writable memory (RLIMIT_DATA); None leaves it as it is. Model files
            that the runtime maps read-only don't count.
        open_files: descriptors (RLIMIT_NOFILE).
        log_bytes: how far standard output and error may grow where they are regular files, and
            how large any other file or memfd may get (RLIMIT_FSIZE).
    """

    data_bytes: int | None = None
    open_files: int = 4096
    log_bytes: int = 1 << 30


def limit_resources(limits: WorkerLimits) -> None:
    """Set the limits; a hard limit that is already lower is kept."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, limits.open_files)
    _lower(resource.RLIMIT_FSIZE, _largest_log() + limits.log_bytes)
    if limits.data_bytes is not None:
        _lower(resource.RLIMIT_DATA, limits.data_bytes)


def limit_data(pid: int, more_bytes: int) -> None:
    """Let another process have so much private writable memory more than it has now.

    A limit that is lower already stays. From outside, so that it can't be undone there.

    Raises:
        ProcessLookupError: it has ended.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    has = next((int(x.split()[1]) for x in status.splitlines() if x.startswith("VmData:")), None)
    if has is None:
        raise ProcessLookupError(pid)  # a zombie has no memory
    soft, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
    value = min([has * 1024 + more_bytes, *(v for v in (soft, hard) if v >= 0)])
    resource.prlimit(pid, resource.RLIMIT_DATA, (value, value))


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _largest_log() -> int:
    """Bytes of the longest regular file among stdout and stderr: the limit counts from 0."""
    found = (os.fstat(fd) for fd in (1, 2))
    return max((s.st_size for s in found if stat.S_ISREG(s.st_mode)), default=0)


def close_descriptors(keep: Iterable[int]) -> None:
    """Close all descriptors but 0, 1, 2 and `keep`.

    Raises:
        OSError: one of those to keep isn't open.
        ValueError: one of those to keep could be used to reach other processes.
    """
    kept = {*_STANDARD_FDS, *keep}
    for fd in sorted(kept):
        _refuse_datagram(fd)
    for fd in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if fd not in kept:
            _close_if_open(fd)


def _refuse_datagram(fd: int) -> None:
    # A unix datagram socket, connected or not, sends to any path by sendto(2).
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return
    sock = socket.socket(fileno=fd)
    try:
        if sock.family == socket.AF_UNIX and sock.type == socket.SOCK_DGRAM:
            raise ValueError(f"descriptor {fd} is a unix datagram socket")
    finally:
        sock.detach()


def _close_if_open(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        # The descriptor by which /proc/self/fd was listed is already closed.
        return
