"""Supervised programs while they end: told to, waited for, killed."""

from __future__ import annotations

from pathlib import Path

from eais.errors import RemoteError
from eais_client.cli.processes import Process

DOWN_WITHIN_S = 15.0


def stop(supervisor: Process, log: Path) -> None:
    """Tell a supervisor to stop, and wait until it has ended.

    Raises `RemoteError` PROCESS_FAILED, which names its log, if that takes too long.
    """
    supervisor.terminate()
    if not supervisor.wait(DOWN_WITHIN_S):
        raise RemoteError(
            "PROCESS_FAILED",
            f"the supervisor (pid {supervisor.pid}) is still stopping after {DOWN_WITHIN_S:.0f} s",
            hint=f"see {log}",
        )


def end(supervisor: Process) -> None:
    """Stop what didn't come up; kill it if it takes too long."""
    supervisor.terminate()
    if not supervisor.wait(DOWN_WITHIN_S):
        supervisor.kill()
        supervisor.wait(DOWN_WITHIN_S)
