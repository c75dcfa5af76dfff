"""The way of nearly all calls, without events and actions between its steps. (Brain)

A call that finds an open link with room is sent at once, and its answer ends it: neither has
anybody else's turn to think of. What `Submitted` and `Answered` would do to the state then is
written out here, and nothing else is: where more might be to do these functions change nothing
and say so, and the caller posts the event. Both ways lead to the same state, which a test holds
them to. Each call pays for every function that is entered, so few are.
"""

from __future__ import annotations

from math import inf

from eais_client.brain import pace
from eais_client.brain.call_state import Call, Link, LinkState, State
from eais_client.brain.dispatch import note_due

_OPEN = LinkState.OPEN
_ENDING = (LinkState.DRAINING, LinkState.LEAVING)


def submit_now(
    state: State,
    number: int,
    session: str,
    size: int,
    deadline_at: float = inf,
    watched: bool = True,
    patience_s: float = inf,
    now: float = 0.0,
) -> Link | None:
    """Take a call in and send it: the link that it goes to, under the state's epoch.

    Arguments as `Submitted` has them. None if that takes more than this; nothing is changed then.
    """
    if state.waiting or state.replacing or state.ended is not None or deadline_at <= now:
        return None
    held, limits = state.sessions.get(session), state.limits
    if held is None or held.opening or held.epoch < state.epoch or held.not_on is not None:
        return None
    total = state.in_flight_bytes + size
    if total > size and total > limits.max_in_flight_bytes:
        return None
    link = _free_link(state, now)
    if link is None:
        return None
    call = Call(session, size, deadline_at, watched, now, patience_s)
    call.finds_before = state.finds
    due_at = min(now + limits.unavailable_timeout_s, inf if watched else deadline_at)
    if due_at < state.due_at or patience_s < inf:
        if not _note_due(state, call, now):
            return None
    elif state.due_at < state.wake_at and (state.unwatched or not watched):
        return None
    call.link, call.attempts, call.sent_at = link, 1, now
    state.calls[number] = call
    if not watched:
        state.unwatched[number] = call
    link.calls.add(number)
    state.in_flight_bytes = total
    return link


def answered_now(state: State, number: int, now: float) -> bool:
    """End a call that was answered; False if that takes more than this: nothing is changed then."""
    call = state.calls.get(number)
    if call is None or call.link is None:
        return False
    if state.waiting or state.replacing or state.ended is not None:
        return False
    for each in state.links:
        if each.retired or each.state in _ENDING:
            return False
    if state.unwatched:
        if state.due_at < state.wake_at:
            return False
        state.unwatched.pop(number, None)
    del state.calls[number]
    link, call.link = call.link, None
    link.calls.discard(number)
    state.in_flight_bytes -= call.size
    link.answered_at = now
    pace.answered(link)
    if state.budget.tokens < state.budget.capacity:
        state.budget.answered()
    state.find_failures, state.find_error = 0, None
    return True


def _free_link(state: State, now: float) -> Link | None:
    """The link with the fewest calls and room for one more; None if a link has to be tidied."""
    free: Link | None = None
    for link in state.links:
        if link.retired or link.state in _ENDING:
            return None
        if link.state is not _OPEN or link.epoch != state.epoch:
            continue
        if pace.has_room(link, now, state.limits) and (free is None or _rank(link) < _rank(free)):
            free = link
    return free


def _rank(link: Link) -> tuple[int, int]:
    return len(link.calls), link.worker.n


def _note_due(state: State, call: Call, now: float) -> bool:
    """As `note_due` before the call is sent; False, and no change, if an alarm is to be set."""
    before = state.due_at
    note_due(state, call, now)
    if state.due_at < state.wake_at and (state.unwatched or not call.watched):
        state.due_at = before
        return False
    return True
