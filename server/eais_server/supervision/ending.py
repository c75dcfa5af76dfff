"""How a lease ends here: nobody opens anything any more, and all of its workers go. (Brain)"""

from __future__ import annotations

from collections.abc import Iterator

from eais_server.supervision import actions as do
from eais_server.supervision.events import Failure
from eais_server.supervision.held import Held
from eais_server.supervision.leaving import leave
from eais_server.supervision.state import State


def end_lease(state: State, held: Held, grace_s: float, now: float) -> list[do.Action]:
    """Its calls in flight have `grace_s` to finish."""
    held.releasing = True
    leaving = Failure("DRAINING", "the instance is leaving this host")
    return [
        *refuse_pending(held, leaving),
        *(a for worker in state.of(held) for a in leave(state, worker, grace_s, now)),
    ]


def refuse_pending(held: Held, failure: Failure) -> Iterator[do.Action]:
    """What is being opened won't be."""
    for session in [s for s in held.sessions.values() if not s.kept]:
        del held.sessions[session.id]
        yield do.RefuseSession(held.instance, session.id, failure)
