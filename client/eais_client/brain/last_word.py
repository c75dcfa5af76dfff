"""Why a call died that used up its attempts: its host knows if the model is at fault. (Brain)

The session is opened once more. Is the model quarantined, then that is what the call failed
of; else that its workers died.
"""

from __future__ import annotations

from math import inf

from eais.errors import EaisError
from eais_client.brain.call_events import Action
from eais_client.brain.call_state import Call, State
from eais_client.brain.dispatch import reopen

_AT_FAULT = "MODEL_QUARANTINED"


def ask(state: State, number: int, error: EaisError, now: float, do: list[Action]) -> bool:
    """Have the call, which left its link for `error`, wait for the answer; False if nobody is."""
    call = state.calls[number]
    known = call.session in state.sessions and state.ended is None
    if not known or call.attempts < state.limits.max_attempts or not error.retryable:
        return False
    call.last_error, call.since, call.not_before = error, now, inf
    state.waiting.add(number, call)
    reopen(state, call.session, do)
    return True


def is_asked(call: Call) -> bool:
    """Whether the call waits for nothing but that answer."""
    return call.not_before == inf


def heard(state: State, session: str, error: EaisError | None) -> list[tuple[int, EaisError]]:
    """The calls that waited for it, each with what it fails of; `error`: of the opening."""
    asked = [
        (number, call.last_error)
        for number, call in state.waiting.items()
        if call.session == session and is_asked(call) and call.last_error is not None
    ]
    if error is not None and error.reason == _AT_FAULT:
        return [(number, error) for number, _ in asked]
    return asked
