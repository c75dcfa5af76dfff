"""Stand-ins for what the pool manager meets, and a whole manager inside a test.

FakeHost            a back-end for the brains: commands in, events out
FakeShell           the shell around a reactor, without I/O: journals, applies, checks
WireHost            a FakeHost that speaks to a real manager over the real wire
in_process_manager  a real manager on loopback, in the test's event loop
joined_host         a WireHost whose link to it is up
"""

from __future__ import annotations

from eais_pool.testing.brains import FakeHost, FakeShell, device
from eais_pool.testing.wire import RunningManager, WireHost, in_process_manager, joined_host

__all__ = [
    "FakeHost",
    "FakeShell",
    "RunningManager",
    "WireHost",
    "device",
    "in_process_manager",
    "joined_host",
]
