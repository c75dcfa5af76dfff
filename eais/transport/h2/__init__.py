"""gRPC over HTTP/2 without I/O: `Engine` is one connection, a shell reads and writes for it.

(Brain.) h2 has the headers, settings and states; DATA and window updates are read and written here.
"""

from __future__ import annotations

from eais.transport.h2.engine import Engine
from eais.transport.h2.events import (
    Called,
    Ended,
    Event,
    Failed,
    Finished,
    Message,
    Ready,
    Reset,
    Stalled,
)
from eais.transport.h2.limits import H2Limits, Rate, Role

__all__ = [
    "Called",
    "Ended",
    "Engine",
    "Event",
    "Failed",
    "Finished",
    "H2Limits",
    "Message",
    "Rate",
    "Ready",
    "Reset",
    "Role",
    "Stalled",
]
