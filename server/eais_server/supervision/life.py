"""The life of a worker, as one table. (Brain)

A *spare* is confined and has its libraries, but no tenant; it is adopted once
and never used again after that; or it is *checking* a device, and ends then.
*Draining* is every way out: it was asked to finish, or was killed, and its exit
hasn't been seen yet. Only an exit that was seen (EXITED) makes room for the next
worker of the same device share.
"""

from __future__ import annotations

from enum import StrEnum

from eais.transition import TransitionTable


class WorkerState(StrEnum):
    """Where a worker stands."""

    SPAWNING = "SPAWNING"
    SPARE = "SPARE"
    CHECKING = "CHECKING"
    ADOPTING = "ADOPTING"
    LOADING = "LOADING"
    SERVING = "SERVING"
    DRAINING = "DRAINING"
    EXITED = "EXITED"


class WorkerEvent(StrEnum):
    """What can happen to a worker."""

    READY = "ready"
    ADOPT = "adopt"
    CHECK = "check"
    BOUND = "bound"
    SERVE = "serve"
    DRAIN = "drain"
    EXIT = "exit"


_S = WorkerState
_E = WorkerEvent

WORKER_TABLE: TransitionTable[WorkerState, WorkerEvent] = TransitionTable(
    "worker",
    {
        (_S.SPAWNING, _E.READY): _S.SPARE,
        (_S.SPARE, _E.ADOPT): _S.ADOPTING,
        (_S.SPARE, _E.CHECK): _S.CHECKING,
        (_S.ADOPTING, _E.BOUND): _S.LOADING,
        (_S.LOADING, _E.SERVE): _S.SERVING,
        (_S.SPAWNING, _E.DRAIN): _S.DRAINING,
        (_S.SPARE, _E.DRAIN): _S.DRAINING,
        (_S.CHECKING, _E.DRAIN): _S.DRAINING,
        (_S.ADOPTING, _E.DRAIN): _S.DRAINING,
        (_S.LOADING, _E.DRAIN): _S.DRAINING,
        (_S.SERVING, _E.DRAIN): _S.DRAINING,
        (_S.SPAWNING, _E.EXIT): _S.EXITED,
        (_S.SPARE, _E.EXIT): _S.EXITED,
        (_S.CHECKING, _E.EXIT): _S.EXITED,
        (_S.ADOPTING, _E.EXIT): _S.EXITED,
        (_S.LOADING, _E.EXIT): _S.EXITED,
        (_S.SERVING, _E.EXIT): _S.EXITED,
        (_S.DRAINING, _E.EXIT): _S.EXITED,
    },
)
