"""What a worker's death says of the session that it was loading. (Brain)"""

from __future__ import annotations

from signal import Signals
from typing import Final

from eais_server.supervision.events import Failure, WorkerExited
from eais_server.supervision.state import Session, Worker

LOAD_TIMEOUT: Final = "its load took too long"
"""Why a worker was killed whose load didn't end: `Worker.killed`."""

_FAULTS = frozenset({"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGSYS"})
# Deaths in a row while loading it, after which a session is at fault whatever ran beside it.
_DEATHS = 2


def verdict(
    session: Session, worker: Worker, exit_: WorkerExited, load_timeout_s: float
) -> Failure | None:
    """Why the session is at fault for this death, or None; counts it in `session.deaths`.

    A session that is being opened for the first time is at fault at once when it was the only
    one in the worker, or when its load took too long. A kill from outside, or a death beside
    other sessions that may have run, proves nothing until it happens again. A session that
    was loaded before is given up only for faults, and a kill from outside is none.
    """
    if worker.killed and worker.killed != LOAD_TIMEOUT:
        return None
    late = worker.killed == LOAD_TIMEOUT
    fault = late or _is_fault(exit_)
    session.deaths += fault or not session.kept
    at_once = not session.kept and (late or (fault and not worker.loaded))
    if not at_once and session.deaths < _DEATHS:
        return None
    return _too_late(load_timeout_s) if late else _crashed(exit_)


def how_it_ended(exit_: WorkerExited) -> dict[str, str]:
    """The exit as metadata: `signal` by name, or `exit_code`."""
    if not exit_.signal:
        return {"exit_code": str(exit_.code)}
    known = exit_.signal in set(Signals)
    return {"signal": Signals(exit_.signal).name if known else str(exit_.signal)}


def _is_fault(exit_: WorkerExited) -> bool:
    return how_it_ended(exit_).get("signal") in _FAULTS or exit_.code != 0


def _too_late(limit_s: float) -> Failure:
    metadata = {"stage": "load", "limit_s": f"{limit_s:g}"}
    return Failure("MODEL_LOAD_TIMEOUT", f"loading took longer than {limit_s:g} s", metadata)


def _crashed(exit_: WorkerExited) -> Failure:
    how = how_it_ended(exit_)
    died = how.get("signal", f"exit code {exit_.code}")
    text = f"the worker died while it loaded the model ({died})"
    return Failure("MODEL_CRASHED", text, {"stage": "load", **how})
