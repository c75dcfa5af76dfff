"""The supervisor of a back-end that is a host of its own: keeps its listener running.

`python -m eais_server.listener.supervisor --state-dir D [--config FILE]`, on a host that has
joined a pool. All of D is the listener's, with the supervisor's lock and the logs in it. See
`eais.supervisor`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from setproctitle import setproctitle

from eais.restarts import Patience
from eais.standard_streams import hold_standard_streams
from eais.supervisor import Supervised, Supervisor
from eais.supervisor_program import TITLE, supervise, supervisor_options
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
    given = supervisor_options().parse_args(argv)
    setproctitle(TITLE)
    return supervise(given, "this listener", partial(_run, given))


def _run(given: argparse.Namespace, patience: Patience) -> None:
    command = listener_command(given.state_dir, given.config, os.getpid())
    programs = {"listener": Supervised(command, _STOP_GRACE_S)}
    Supervisor(given.state_dir, programs, patience).run()


if __name__ == "__main__":
    sys.exit(main())
