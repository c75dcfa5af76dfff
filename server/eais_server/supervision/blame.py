"""What a worker's death says of the models that were in flight in it. (Brain)

A death is *a model's doing* when the exit was a fault (SIGSEGV and its like, SIGSYS of our own
filter included), an out-of-memory kill, or this listener's kill for a hang, for a load that took
too long, or for a run that took others' turns on a shared device for too long. Then it counts
against a model if that one alone was in flight: loading with nothing else running, or running
with nothing else running or loading. With several in flight it counts against none; they are
suspects, and tried one at a time. Any other exit (a kill from
outside, SIGTERM, an exit code, our kill for another reason) says nothing of any model; nor does
our kill of a worker that somebody had stopped, or that the machine gave no CPU: it is their
doing that it did nothing.

What was in flight is what the worker claims. It names sessions of its own instance only; a
name that isn't one of those stands for something else that ran.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from signal import Signals
from typing import Final

from eais_server.supervision.events import Failure, WorkerExited
from eais_server.supervision.held import Held, Session, Worker
from eais_server.supervision.quarantine import Stage

LOAD_TIMEOUT: Final = "its load took too long"
"""Why a worker was killed whose load didn't end: `Worker.killed`."""
STUCK: Final = "a call of it doesn't end"
"""Why one was killed that says itself that a run doesn't stop."""
SILENT: Final = "its heartbeat stopped"
"""Why one was killed that said nothing."""
STANDS: Final = "its event loop stands still"
"""Why one was killed that spoke and did nothing else."""
OVERRAN: Final = "it took others' turns on its device for too long"
"""Why one was killed whose run didn't end with its turn, or that computed without one."""
STARVED: Final = "it got no CPU for too long"
"""Why one was killed that said nothing, and waited for a CPU most of that time: nobody's doing."""

_FAULTS = frozenset({"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGSYS"})
_CAUSES = {
    LOAD_TIMEOUT: "load_timeout",
    STUCK: "hang",
    SILENT: "hang",
    STANDS: "hang",
    OVERRAN: "overrun",
}


@dataclass(frozen=True, slots=True)
class Blame:
    """Whose doing a death was.

    Attributes:
        guilty: the session whose model it counts against, if any.
        stage: what that did.
        how: the death as metadata; empty if it was nobody's doing.
        loading, running: suspects, by what they did.
    """

    guilty: Session | None = None
    stage: Stage = "run"
    how: Mapping[str, str] | None = None
    loading: tuple[Session, ...] = ()
    running: tuple[Session, ...] = ()


NOBODY: Final = Blame()


def blame(held: Held, worker: Worker, exit_: WorkerExited) -> Blame:
    """Whose doing the death of one of `held`'s workers was."""
    how = doing(worker.killed, exit_)
    if how is None:
        return NOBODY
    loading = held.sessions.get(worker.loading) if exit_.loading == worker.loading else None
    late = how.get("cause") == _CAUSES[LOAD_TIMEOUT]
    if loading and (late or not exit_.running):
        return Blame(loading, "load", how)
    if late:  # before the runtime saw the model: the disk is slow, or it was dropped meanwhile
        return NOBODY
    running = tuple(held.sessions[name] for name in exit_.running if name in held.sessions)
    models = {session.model for session in running}
    alone = len(models) == 1 and len(running) == len(exit_.running) and not exit_.loading
    if alone:
        return Blame(running[0], "run", how)
    return Blame(how=how, loading=(loading,) if loading else (), running=running)


def how_it_ended(exit_: WorkerExited) -> dict[str, str]:
    """The exit as metadata: `signal` by name, or `exit_code`."""
    if not exit_.signal:
        return {"exit_code": str(exit_.code)}
    known = exit_.signal in set(Signals)
    return {"signal": Signals(exit_.signal).name if known else str(exit_.signal)}


def from_outside(exit_: WorkerExited) -> bool:
    """Whether somebody ended the worker who had nothing to do with what it did."""
    return how_it_ended(exit_).get("signal") in {"SIGKILL", "SIGTERM"}


def crashed(how: Mapping[str, str]) -> Failure:
    """What an Open is answered whose load ended its worker so."""
    if how.get("cause") == "memory":
        text = "the worker ran out of the host's memory while it loaded the model"
    elif how.get("cause") == "hang":
        text = "the worker froze while it loaded the model, and was killed"
    else:
        text = f"the worker died while it loaded the model ({how.get('signal', 'of itself')})"
    return Failure("MODEL_CRASHED", text, {"stage": "load", **how})


def too_late(limit_s: float) -> Failure:
    """What an Open is answered whose load took too long."""
    metadata = {"stage": "load", "limit_s": f"{limit_s:g}"}
    return Failure("MODEL_LOAD_TIMEOUT", f"loading took longer than {limit_s:g} s", metadata)


def doing(killed: str, exit_: WorkerExited) -> dict[str, str] | None:
    """How a worker died, if that was the doing of what it loaded or ran.

    `killed`: why this listener has killed it; "" if it hasn't.
    """
    how = how_it_ended(exit_)
    signal = how.get("signal")
    if signal in _FAULTS:
        return how
    if signal != "SIGKILL":
        return None
    if killed:
        cause = None if exit_.stopped else _CAUSES.get(killed)
    else:
        cause = "memory" if exit_.out_of_memory else None
    return {**how, "cause": cause} if cause else None
