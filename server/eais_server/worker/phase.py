"""The life of a worker process as it sees it itself. (Brain)

The listener's messages are its events. A message that comes in the wrong phase
is a bug of the listener's, and the worker's end.
"""

from __future__ import annotations

from enum import StrEnum

from eais.transition import TransitionTable


class Phase(StrEnum):
    """SPARE has no tenant; ADOPTED has its port bound; SERVING answers calls.

    MEASURING has a model to measure, and nobody who calls.
    CHECKING never has a tenant: it runs the known model on a device, and is ended then.
    """

    SPARE = "SPARE"
    ADOPTED = "ADOPTED"
    SERVING = "SERVING"
    MEASURING = "MEASURING"
    DRAINING = "DRAINING"
    CHECKING = "CHECKING"


class PhaseEvent(StrEnum):
    """What the listener says."""

    ADOPT = "adopt"
    CHECK = "check"
    LOAD = "load"
    UNLOAD = "unload"
    LEAF = "leaf"
    SERVE = "serve"
    SUSPECTS = "suspects"
    MEASURE = "measure"
    TIME_BATCH = "time_batch"
    DRAIN = "drain"


_P = Phase
_E = PhaseEvent

PHASE_TABLE: TransitionTable[Phase, PhaseEvent] = TransitionTable(
    "worker process",
    {
        (_P.SPARE, _E.ADOPT): _P.ADOPTED,
        (_P.SPARE, _E.CHECK): _P.CHECKING,
        (_P.SPARE, _E.DRAIN): _P.DRAINING,
        (_P.SPARE, _E.MEASURE): _P.MEASURING,
        (_P.MEASURING, _E.TIME_BATCH): _P.MEASURING,
        (_P.MEASURING, _E.DRAIN): _P.DRAINING,
        (_P.CHECKING, _E.DRAIN): _P.DRAINING,
        (_P.ADOPTED, _E.LOAD): _P.ADOPTED,
        (_P.ADOPTED, _E.UNLOAD): _P.ADOPTED,
        (_P.ADOPTED, _E.LEAF): _P.ADOPTED,
        (_P.ADOPTED, _E.SUSPECTS): _P.ADOPTED,
        (_P.ADOPTED, _E.SERVE): _P.SERVING,
        (_P.ADOPTED, _E.DRAIN): _P.DRAINING,
        (_P.SERVING, _E.LOAD): _P.SERVING,
        (_P.SERVING, _E.UNLOAD): _P.SERVING,
        (_P.SERVING, _E.LEAF): _P.SERVING,
        (_P.SERVING, _E.SUSPECTS): _P.SERVING,
        (_P.SERVING, _E.DRAIN): _P.DRAINING,
        # What crossed the drain on its way changes nothing.
        (_P.DRAINING, _E.LOAD): _P.DRAINING,
        (_P.DRAINING, _E.UNLOAD): _P.DRAINING,
        (_P.DRAINING, _E.LEAF): _P.DRAINING,
        (_P.DRAINING, _E.SUSPECTS): _P.DRAINING,
        (_P.DRAINING, _E.SERVE): _P.DRAINING,
        (_P.DRAINING, _E.TIME_BATCH): _P.DRAINING,
        (_P.DRAINING, _E.DRAIN): _P.DRAINING,
    },
)
