"""Processes of this user that serve an instance, to be killed: found by title, held by pidfd."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import closing, suppress
from pathlib import Path

from eais.errors import RemoteError, UsageError
from eais_client.load.brain.scenario import Victim
from eais_client.load.scenario_world import Death
from eais_client.load.targets.seeing import titled

ENDS_WITHIN_S = 10.0
LISTENER = "eais-listener"
_DEPTH = 8
"""Of a worker below its listener, at most."""


def victim_of(instance: str, host: str, victim: Victim) -> tuple[int, str]:
    """The process to kill, and its title.

    Raises `UsageError` WRONG_STATE if none of this user serves the instance on this machine: no
    other process is ever killed.
    """
    worker = f"eais-worker {instance}"
    found = sorted(titled(worker))
    if not found:
        where = f", which is on {host}," if host else ""
        raise UsageError(
            "WRONG_STATE",
            f"no worker of {instance}{where} is a process of this user on this machine",
            hint="a scenario kills only what belongs to a pool, or host, that its user runs here",
        )
    if victim is Victim.WORKER:
        return found[0], worker
    listener = _above(found[0], LISTENER)
    if listener is None:
        raise UsageError("WRONG_STATE", f"the listener of {instance} can't be seen from here")
    return listener, LISTENER


def kill(pid: int, title: str, victim: Victim) -> Death:
    """Kill -9, and see it end.

    Raises WRONG_STATE if it is another process meanwhile, PROCESS_FAILED if it doesn't end.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise _gone(victim, pid) from None
    with closing(os.fdopen(pidfd, "rb")):
        # Titles are read while the process is held: its number can't have passed on since.
        before = frozenset(titled(title))
        if pid not in before:
            raise _gone(victim, pid)
        sent = time.monotonic()
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(ENDS_WITHIN_S * 1000):
            text = f"{victim} {pid} had SIGKILL, and was there {ENDS_WITHIN_S:g} s later"
            raise RemoteError("PROCESS_FAILED", text)
    return Death(f"{victim} {pid}", title, before, sent, time.monotonic())


def _gone(victim: Victim, pid: int) -> UsageError:
    return UsageError("WRONG_STATE", f"{victim} {pid} had ended before it could be killed")


def _above(pid: int, title: str) -> int | None:
    """The process of that title which `pid` descends from, if it is this user's."""
    ours = set(titled(title))
    for _ in range(_DEPTH):
        if pid in ours:
            return pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return None
    return None
