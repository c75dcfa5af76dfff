"""Starts a worker: `python -I -m eais_server.worker`, by the listener alone.

The process confines itself before anything that starts threads is imported, so
the imports of this file come in two parts.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

import setproctitle

import eais.errors
from eais_server.isolation import (
    IsolationLevel,
    IsolationUnavailable,
    NotPristine,
    ParentGone,
    WorkerConfinement,
    WorkerLimits,
    confine,
)

log = logging.getLogger("eais_server.worker")
# Loaded while its folder can still be listed: where the project is installed in place, the
# folder above it is closed to a confined worker.
PRELOADED = (eais.errors,)


def main(argv: list[str]) -> int:
    """Confine this process, load the runtimes, serve; the exit code."""
    setproctitle.setproctitle("eais-worker (spare)")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    given = _arguments(argv)
    level: IsolationLevel = given.level
    confinement = WorkerConfinement(
        work_dir=given.dir,
        parent_pid=given.parent_pid,
        level=level,
        keep_fds=(given.control_fd,),
        secret_roots=tuple(given.secret_root),
        limits=WorkerLimits(data_bytes=given.data_limit),
    )
    try:
        confine(confinement)
    except (IsolationUnavailable, NotPristine, ParentGone) as error:
        log.error("not confined, so not started: %s", error)
        return 1
    return _serve(given.control_fd, given.dir, level)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="eais-worker", description=__doc__)
    parser.add_argument("--control-fd", type=int, required=True, help="the control socket")
    parser.add_argument("--parent-pid", type=int, required=True, help="the listener")
    parser.add_argument("--dir", type=Path, required=True, help="the worker's own directory")
    parser.add_argument("--level", type=int, choices=(1, 2), required=True, help="isolation")
    parser.add_argument("--secret-root", type=Path, action="append", default=[], help="unreadable")
    parser.add_argument("--data-limit", type=int, default=None, help="bytes of memory")
    return parser.parse_args(argv)


def _serve(control_fd: int, directory: Path, level: IsolationLevel) -> int:
    # From here on threads may be started: they are confined too.
    from eais_server.worker.start import serve

    return serve(control_fd, directory, level)


if __name__ == "__main__":
    code = 1
    try:
        code = main(sys.argv[1:])
    finally:
        logging.shutdown()
        # A run that doesn't stop must not keep the process: interpreters wait for their threads.
        os._exit(code)
