"""Named points at which a test lets the manager die, as kill -9 would.

A point is `<what>.<step>`: what is being done (a verb, or a host's report), and
how far it got. Without `--test-failpoints` nobody listens at them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from eais_pool.brain.events import Event, OpRequested

Reach = Callable[[str], None]

#: received: nothing decided. decided: nothing written. written: in the journal, not committed.
#: committed: durable, not applied. applied: nothing said. said: commands and answers are queued.
STEPS: Final = ("received", "decided", "written", "committed", "applied", "said")


def points(*whats: str) -> tuple[str, ...]:
    """All points of these events, in the order in which they are reached."""
    return tuple(f"{what}.{step}" for what in whats for step in STEPS)


ATTACH_POINTS: Final = points("attach", "grant_accepted")
DETACH_POINTS: Final = points("detach", "released")


def name_of(event: Event) -> str:
    """What the points of an event are called."""
    if isinstance(event, OpRequested):
        return event.verb.value
    words = type(event).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in words).removeprefix("_")


def nowhere(point: str) -> None:
    """Reach a point, and nothing happens."""


def die_at_named_in(file: Path) -> Reach:
    """Die of SIGKILL at the point that `file` names when it is reached; the name is gone then.

    Of one that is named several times, with spaces between, at the last of so many times.
    """

    def reach(point: str) -> None:
        named = file.read_text().split()
        if named and named[0] == point:
            file.write_text(" ".join(named[1:]))
            if len(named) == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    return reach
