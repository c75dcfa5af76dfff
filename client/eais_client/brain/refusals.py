"""What becomes of a call that a worker refused. (Brain)

Its worker lives, and ran nothing of it or failed at it: the reason says whether it is sent
again, when, and whether that was an attempt.
"""

from __future__ import annotations

from eais.errors import EaisError
from eais_client.brain import leaving, pace
from eais_client.brain.call_events import Action, Refused
from eais_client.brain.call_state import Call, Link, LinkState, State
from eais_client.brain.dispatch import note_due, reopen


def refused(state: State, event: Refused, now: float, do: list[Action]) -> None:
    """Send the call again, then or elsewhere, or end it with what it was refused for."""
    call = state.calls.get(event.call)
    if call is None or call.link is None or call.link.stream != event.stream:
        return  # from a stream that the call has left
    link, error = call.link, event.error
    if error.reason == "DRAINING":
        if link.state is LinkState.OPEN:
            link.state = LinkState.DRAINING
        leaving.wait_again(state, event.call, error, now, do, counted=False)
    elif error.reason == "STALE_EPOCH":
        call.newer_than, call.finds_before = link.epoch, state.finds
        state.newest_stale = max(state.newest_stale, link.epoch)
        leaving.wait_again(state, event.call, error, now, do, counted=False)
    elif error.reason == "SESSION_UNKNOWN":
        _session_unknown(state, event.call, error, now, do)
    elif error.reason == "BUSY" and event.push_back_s > 0:
        _no_room(state, link, event, now, do)
    elif _may_retry(state, call, error, now):
        delay_s = state.limits.backoff.delay_s(call.attempts, state.rng)
        call.not_before = now + max(delay_s, event.push_back_s)
        leaving.wait_again(state, event.call, error, now, do)
    else:
        leaving.fail(state, event.call, error, do)


def _no_room(state: State, link: Link, event: Refused, now: float, do: list[Action]) -> None:
    """Nothing ran: it waits until there is room, or ends if that is past its deadline."""
    call, since = state.calls[event.call], state.calls[event.call].since
    leaving.wait_again(state, event.call, event.error, now, do, counted=False)
    if event.call not in state.waiting:
        return
    call.since = since
    if not pace.pushed_back(state, call, link, event.push_back_s, now):
        leaving.fail(state, event.call, event.error, do)
    note_due(state, call, now)


def _session_unknown(
    state: State, number: int, error: EaisError, now: float, do: list[Action]
) -> None:
    """Open the session again: it may be lost again meanwhile, with its worker or its last holder.

    Nothing ran of the call. It goes on for as long as it would wait for a worker.
    """
    call = state.calls[number]
    call.unknown, call.unknown_since = call.unknown + 1, min(call.unknown_since, now)
    if now >= call.unknown_since + state.limits.unavailable_timeout_s:
        leaving.fail(state, number, error, do)
        return
    call.not_before = now + state.limits.backoff.delay_s(call.unknown - 1, state.rng)
    reopen(state, call.session, do)
    leaving.wait_again(state, number, error, now, do, counted=False)


def _may_retry(state: State, call: Call, error: EaisError, now: float) -> bool:
    if not error.retryable or call.attempts >= state.limits.max_attempts:
        return False
    return state.ended is None and state.budget.take(now)
