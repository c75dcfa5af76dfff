"""What is counted of a listener's worker processes, beside what supervision needs."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Final

from eais.rpc.v1 import supervision_pb2
from eais.telemetry.metrics import Tally, Times
from eais_server.listener.live_worker import LiveWorker
from eais_server.listener.messages import is_port
from eais_server.process import Exit

BEAT_LATE_S: Final = 0.5
"""Twice as long as is usual."""

_SIGNALS: Final = {number.value: number.name for number in signal.Signals}


@dataclass(slots=True)
class Figures:
    """Since this process began.

    Attributes:
        exits: by cause: "exit", a signal's name, or "out of memory".
        adoptions: seconds until the port is bound.
        beats_late: heartbeats that came `BEAT_LATE_S` or more after the one before.
    """

    exits: Tally = field(default_factory=Tally)
    adoptions: Times = field(default_factory=Times)
    beats_late: int = 0

    def beat(self, live: LiveWorker, now: float) -> None:
        """A heartbeat came."""
        if live.beat_at and now - live.beat_at >= BEAT_LATE_S:
            self.beats_late += 1
        live.beat_at = now

    def adopted(self, live: LiveWorker, said: supervision_pb2.Adopted, now: float) -> None:
        """A worker says that it is."""
        if is_port(said.metrics_port):
            live.metrics_port = said.metrics_port
        if live.adopted_at and not said.HasField("error"):
            self.adoptions.took(now - live.adopted_at)

    def ended(self, how: Exit, *, out_of_memory: bool) -> None:
        """A worker has exited."""
        name = _SIGNALS.get(how.signal or 0, "exit")
        self.exits.add("out of memory" if out_of_memory else name)
