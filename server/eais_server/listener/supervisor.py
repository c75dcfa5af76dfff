"""The supervisor of a back-end that is a host of its own: keeps its listener running.

`python -m eais_server.listener.supervisor --state-dir D [--config FILE]`, on a host that has
joined a pool. All of D is the listener's, with the supervisor's lock and the logs in it. See
`eais.supervisor`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from setproctitle import setproctitle

from eais.errors import ConfigError, EaisError
from eais.parent import end_with_parent
from eais.standard_streams import hold_standard_streams, leave, tell
from eais.supervisor import Supervised, Supervisor, begin, take_lock
from eais_server.listener.manager_place import JOINED_FILE

_STOP_GRACE_S = 6.0


def listener_command(state_dir: Path, config: Path | None, parent_pid: int) -> list[str]:
    """The listener's command line; it ends when process `parent_pid` does."""
    command = [sys.executable, "-m", "eais_server.listener", "--state-dir", str(state_dir)]
    command += ["--pool-file", str(state_dir / JOINED_FILE), "--parent-pid", str(parent_pid)]
    return [*command, "--config", str(config)] if config else command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the supervisor; the exit code is that of `eais.report`."""
    hold_standard_streams()
    parser = argparse.ArgumentParser(prog="eais-supervisor")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--parent-pid", type=int, help="end when this process does")
    given = parser.parse_args(argv)
    setproctitle("eais-supervisor")
    if given.parent_pid and not end_with_parent(given.parent_pid, signal.SIGTERM):
        return 0
    try:
        with take_lock(given.state_dir, "this listener"):
            command = listener_command(given.state_dir, given.config, os.getpid())
            programs = {"listener": Supervised(command, _STOP_GRACE_S)}
            patience = begin(given.config, os.environ)
            Supervisor(given.state_dir, programs, patience).run()
    except OSError as error:
        where = error.filename or given.state_dir
        return tell(ConfigError("STATE_DIR", f"{where}: {error.strerror or error}"))
    except EaisError as error:
        return tell(error)
    return leave(0)


if __name__ == "__main__":
    sys.exit(main())
