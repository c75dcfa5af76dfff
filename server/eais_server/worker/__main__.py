"""Starts a worker: `python -I -m eais_server.worker`, by the listener alone.

The process confines itself before anything that starts threads is imported, so
the imports of this file come in two parts.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import setproctitle

import eais.errors
from eais.telemetry.logs import log_to_stderr
from eais_server.isolation import IsolationUnavailable, NotPristine, ParentGone, confine
from eais_server.worker.arguments import WorkerArguments, parse_arguments
from eais_server.worker.compiled import compile_once

log = logging.getLogger("eais_server.worker")
# Loaded while its folder can still be listed: where the project is installed in place, the
# folder above it is closed to a confined worker.
PRELOADED = (eais.errors,)


def main(argv: list[str]) -> int:
    """Confine this process, load the runtimes, serve; the exit code."""
    setproctitle.setproctitle("eais-worker (starting)")
    given = parse_arguments(argv)
    log_to_stderr("eais-worker", given.log_format)
    compile_once(Path(__file__).with_name("start.py"))
    try:
        confine(given.confinement)
    except (IsolationUnavailable, NotPristine, ParentGone) as error:
        log.error("not confined, so not started: %s", error)
        return 1
    serve = load()
    return serve(given)


def load() -> Callable[[WorkerArguments], int]:
    """Import all that a worker needs; `eais_server.worker.start.serve`.

    From here on threads may be started: they are confined too. Garbage is collected again from
    `serve` on: what modules make is none, and to look for some takes a tenth of the time.
    """
    gc.disable()
    from eais_server.worker.start import serve

    return serve


if __name__ == "__main__":
    code = 1
    try:
        code = main(sys.argv[1:])
    finally:
        logging.shutdown()
        # A run that doesn't stop must not keep the process: interpreters wait for their threads.
        os._exit(code)
