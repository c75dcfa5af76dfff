"""Confines the calling process, a worker that has loaded nothing yet, to its level.

The kernel binds a Landlock ruleset and a seccomp filter to the calling thread and to what it
starts later. Importing onnxruntime or grpc starts threads, so this runs before either.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from eais_server.isolation.landlock import worker_ruleset
from eais_server.isolation.level import IsolationLevel, IsolationUnavailable, probe_level
from eais_server.isolation.limits import WorkerLimits, close_descriptors, limit_resources
from eais_server.isolation.privileges import (
    die_with_parent,
    drop_capabilities,
    forbid_dumps,
    forbid_new_privileges,
)
from eais_server.isolation.readable import SecretsReadable, readable_paths
from eais_server.isolation.syscalls import worker_filter

ALLOWED_ENVIRONMENT: Final = frozenset(
    ("LANG", "LC_ALL", "LC_CTYPE", "OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY", "TZ")
)
"""The variables a worker may be started with. LC_CTYPE is set by Python itself."""

_TOO_LATE: Final = ("numpy", "onnxruntime", "grpc", "uvloop")


class NotPristine(Exception):
    """The process isn't as the spawner must start it; a bug, not a property of the host."""


@dataclass(frozen=True, slots=True)
class WorkerConfinement:
    """How one worker is confined.

    Attributes:
        work_dir: the worker's own directory, empty, which becomes its current one. At level 2
            it may read what is linked into it later, and write nothing.
        parent_pid: the process that started it, at whose end it is killed.
        level: the level to have; there is no falling back to a lower one.
        keep_fds: descriptors to keep besides 0, 1 and 2. No unix datagram sockets.
        secret_roots: directories that hold keys, the store and other workers' directories. All
            but `work_dir` must be out of reach.
        limits: of resources.
    """

    work_dir: Path
    parent_pid: int
    level: IsolationLevel
    keep_fds: tuple[int, ...] = ()
    secret_roots: tuple[Path, ...] = ()
    limits: WorkerLimits = field(default_factory=WorkerLimits)


def confine(spec: WorkerConfinement, *, abi: int | None = None) -> IsolationLevel:
    """Confine this process for good; returns the level in force, which is the one asked for.

    Must be called on the process's only thread, before numpy, onnxruntime or grpc is imported.
    When it raises, the process may be partly confined and must exit.

    Args:
        spec: how.
        abi: the Landlock ABI to reckon with; the kernel is asked when None.

    Raises:
        IsolationUnavailable: this host can't give `spec.level`.
        NotPristine: other threads, modules, variables or files are here already.
        ParentGone: the parent died meanwhile.
        ValueError: a descriptor to keep is a unix datagram socket, which sends to any path.
        OSError: a descriptor to keep isn't open.
    """
    probe = probe_level(abi)
    if probe.level < spec.level:
        raise IsolationUnavailable(probe.reason)
    _require_pristine(spec.work_dir)
    if spec.level == 1:
        _apply_level_1(spec)
    else:
        _apply_both_levels(spec, probe.landlock_abi)
    return spec.level


def _require_pristine(work_dir: Path) -> None:
    loaded = [name for name in _TOO_LATE if name in sys.modules]
    if loaded:
        raise NotPristine(f"already imported: {', '.join(loaded)}")
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise NotPristine(f"{threads} threads are running")
    extra = sorted(os.environ.keys() - ALLOWED_ENVIRONMENT)
    if extra:
        raise NotPristine(f"environment not cleared: {', '.join(extra)}")
    if not work_dir.is_dir() or any(work_dir.iterdir()):
        raise NotPristine("the work directory isn't an empty directory")


def _apply_level_1(spec: WorkerConfinement, *also_keep: int) -> None:
    close_descriptors((*spec.keep_fds, *also_keep))
    os.umask(0o077)
    os.chdir(spec.work_dir)
    limit_resources(spec.limits)
    forbid_new_privileges()
    drop_capabilities()
    # Last: a change of credentials may reset either.
    forbid_dumps()
    die_with_parent(spec.parent_pid)


def _apply_both_levels(spec: WorkerConfinement, abi: int) -> None:
    with _as_unavailable():
        ruleset = worker_ruleset(abi, readable_paths(spec.work_dir, spec.secret_roots))
    with ruleset:
        _apply_level_1(spec, ruleset.fileno())
        with _as_unavailable():
            ruleset.restrict()
            worker_filter().load()
    _require_in_force()


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except (OSError, SecretsReadable) as error:
        raise IsolationUnavailable(str(error)) from error


def _require_in_force() -> None:
    """Try what level 2 must refuse, so that no library or kernel can only seem to confine."""
    if _permitted(lambda: list(Path("/").iterdir())):
        raise IsolationUnavailable("Landlock was set but isn't in force")
    if _permitted(lambda: socket.socket(socket.AF_UNIX).close()):
        raise IsolationUnavailable("the system call filter was set but isn't in force")


def _permitted(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PermissionError:
        return False
    return True
