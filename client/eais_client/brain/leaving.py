"""How a call leaves where it stands: it ends, is withdrawn, or goes back to wait. (Brain)"""

from __future__ import annotations

from eais.errors import EaisError
from eais_client.brain.call_events import Action, Cancel, Fail
from eais_client.brain.call_state import Call, Link, State
from eais_client.brain.dispatch import note_due


def leave_link(state: State, number: int, call: Call) -> Link | None:
    """Take the call off its link, which is returned; None if it was on none."""
    link, call.link = call.link, None
    if link is not None:
        link.calls.discard(number)
        state.in_flight_bytes -= call.size
    return link


def forget(state: State, number: int, do: list[Action]) -> Link | None:
    """The call is over; the link that it was on, if any."""
    call = state.calls.pop(number)
    state.waiting.discard(number)
    state.unwatched.pop(number, None)
    return leave_link(state, number, call)


def fail(state: State, number: int, error: EaisError, do: list[Action]) -> None:
    """End the call with `error`."""
    forget(state, number, do)
    do.append(Fail(number, error))


def fail_waiting(
    state: State, error: EaisError, do: list[Action], session: str | None = None
) -> None:
    """End the calls that wait, or those of `session` that do."""
    for number, call in list(state.waiting.items()):
        if session in (None, call.session):
            fail(state, number, error, do)


def withdraw(state: State, number: int, do: list[Action]) -> None:
    """Forget a call that may be running, and tell its worker."""
    link = forget(state, number, do)
    if link is not None and link.stream:
        do.append(Cancel(number, link.stream))


def wait_again(
    state: State,
    number: int,
    error: EaisError,
    now: float,
    do: list[Action],
    *,
    counted: bool = True,
) -> None:
    """Back to WAIT, if the instance still serves; `counted`: the attempt was one."""
    if state.ended is not None:
        fail(state, number, state.ended, do)
        return
    call = state.calls[number]
    call.avoid = leave_link(state, number, call)
    call.attempts -= 0 if counted else 1
    call.last_error, call.since = error, now
    state.waiting.add(number, call)
    note_due(state, call, now)
