"""The embedded pool's supervisor: keeps manager and listener running on this machine.

`python -m eais_pool.supervisor --state-dir S --owner-dir O`. See `eais.supervisor`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from setproctitle import setproctitle

from eais import config
from eais.restarts import Patience
from eais.standard_streams import hold_standard_streams
from eais.supervisor import Supervised, Supervisor
from eais.supervisor_program import TITLE, supervise, supervisor_options
from eais_pool.config import ManagerConfig

READY_NAME = "ready.json"


@dataclass(frozen=True, slots=True)
class SupervisorPlan:
    """What to keep running, and where its state is.

    `bind` is the address of both programs, "": on the pool's own loopback addresses;
    `test_leaf_life_s` (seconds) is the manager's, `test_failpoints` of both; None but in tests.
    """

    state_dir: Path
    owner_dir: Path
    config: Path | None
    listener: bool
    bind: str = ""
    test_leaf_life_s: float | None = None
    test_failpoints: Path | None = None

    def programs(self, pid: int) -> Mapping[str, Supervised]:
        """The programs; each ends when process `pid` does."""
        python = [sys.executable, "-m"]
        common = ["--parent-pid", str(pid), *(["--config", str(self.config)] * bool(self.config))]
        common += ["--bind", self.bind] if self.bind else []
        ready = str(self.state_dir / READY_NAME)
        manager = [*python, "eais_pool.manager", "--state-dir", str(self.state_dir)]
        if self.test_leaf_life_s is not None:
            manager += ["--test-leaf-life-s", str(self.test_leaf_life_s)]
        listener = [*python, "eais_server.listener"]
        listener += ["--state-dir", str(self.state_dir / "listener")]
        if self.test_failpoints is not None:
            for program in (manager, listener):
                program += ["--test-failpoints", str(self.test_failpoints)]
        manager += ["--owner-dir", str(self.owner_dir), *common]
        programs = {"manager": Supervised(manager, 3.0)}
        if self.listener:
            programs["listener"] = Supervised([*listener, "--pool-file", ready, *common], 6.0)
        return programs


def main(argv: Sequence[str] | None = None) -> int:
    """Run the supervisor; the exit code is that of `eais.report`."""
    hold_standard_streams()
    parser = supervisor_options()
    parser.add_argument("--owner-dir", type=Path, required=True)
    parser.add_argument("--bind", metavar="ADDRESS")
    parser.add_argument("--no-listener", action="store_true")
    parser.add_argument("--test-leaf-life-s", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--test-failpoints", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    setproctitle(TITLE)
    return supervise(given, "this pool", partial(_run, given))


def _run(given: argparse.Namespace, patience: Patience) -> None:
    plan = _plan(given)
    Supervisor(given.state_dir, plan.programs(os.getpid()), patience).run()
    (given.state_dir / READY_NAME).unlink(missing_ok=True)


def _plan(given: argparse.Namespace) -> SupervisorPlan:
    manager = config.load(
        ManagerConfig,
        table="manager",
        flags={"bind": given.bind},
        environ=os.environ,
        file=config.read_pool_file(given.config),
    )
    return SupervisorPlan(
        given.state_dir,
        given.owner_dir,
        given.config,
        not given.no_listener,
        manager.bind,
        given.test_leaf_life_s,
        given.test_failpoints,
    )


if __name__ == "__main__":
    sys.exit(main())
