"""A supervisor as a program of its own: its options, whoever started it, its exit code."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from eais.errors import ConfigError, EaisError
from eais.parent import end_with_parent
from eais.restarts import Patience
from eais.standard_streams import leave, tell
from eais.supervisor import begin, take_lock

TITLE: Final = "eais-supervisor"


def supervisor_options() -> argparse.ArgumentParser:
    """What every supervisor is told; a place adds its own."""
    parser = argparse.ArgumentParser(prog=TITLE)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--parent-pid", type=int, help="end when this process does")
    return parser


def supervise(
    given: argparse.Namespace, what: str, keep_running: Callable[[Patience], None]
) -> int:
    """Hold the place's lock while `keep_running` does; the exit code is that of `eais.report`.

    Args:
        given: at least `supervisor_options`.
        what: runs at the place, for people.
        keep_running: returns when it was told to stop and every program has ended.
    """
    if given.parent_pid and not end_with_parent(given.parent_pid, signal.SIGTERM):
        return 0
    try:
        with take_lock(given.state_dir, what):
            keep_running(begin(given.config, os.environ))
    except OSError as error:
        where = error.filename or given.state_dir
        return tell(ConfigError("STATE_DIR", f"{where}: {error.strerror or error}"))
    except EaisError as error:
        return tell(error)
    return leave(0)
