"""What the points are called at which a test lets the manager die: see `eais.failpoints`.

What is being done is a verb, or a host's report.
"""

from __future__ import annotations

from typing import Final

from eais_pool.brain.events import Event, OpRequested

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
