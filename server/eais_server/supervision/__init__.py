"""The life of workers: spares, adoption, loading, restarts, ends. (Brain)"""

from __future__ import annotations

from eais_server.supervision.held import SeatView
from eais_server.supervision.life import WORKER_TABLE, WorkerEvent, WorkerState
from eais_server.supervision.reactor import on_event
from eais_server.supervision.state import Limits, State

__all__ = [
    "WORKER_TABLE",
    "Limits",
    "SeatView",
    "State",
    "WorkerEvent",
    "WorkerState",
    "on_event",
]
