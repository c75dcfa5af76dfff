"""How many calls a worker is given at once: as many as it takes. (Brain)

A worker that refuses a call for want of room has run nothing of it. So that is no attempt and
no token of the retry budget; the call waits for as long as it was told, or goes to another
worker that has room. And the link's *window* shrinks to the calls that the worker has: from
then on each answer makes room for one more call, so that what is refused stays a small part of
what is sent however many callers there are. Without refusals the window grows, the faster the
longer there were none.

Callers wait here in order of arrival, as long as their deadlines allow. Without deadline they
wait while calls of this process are being answered.
"""

from __future__ import annotations

from typing import Final

from eais_client.brain.call_state import Call, Limits, Link, LinkState, State

ADMITTED_AFTER_S: Final = 1.0
"""A worker refuses at once: a call that it has had for so long runs, or will."""
_ROUNDS_A_STEP: Final = 80.0
_JITTER: Final = 0.1
_FIRST_WINDOW: Final = 4.0


def has_room(link: Link, now: float, limits: Limits) -> bool:
    """Whether the link may be given another call."""
    count = len(link.calls) + 1
    return count <= limits.max_calls and count <= link.window and link.resume_at <= now


def answered(link: Link) -> None:
    """The worker answered one of the link's calls, which has left it."""
    if len(link.calls) + 2 > link.window:
        link.rounds += 1 / link.window
        link.window += min(1.0, link.rounds / _ROUNDS_A_STEP / link.window)


def broken(link: Link) -> None:
    """The link's stream broke: a worker that comes back gets a few calls first."""
    link.window, link.rounds, link.resume_at = min(link.window, _FIRST_WINDOW), 0.0, 0.0


def pushed_back(state: State, call: Call, link: Link, push_back_s: float, now: float) -> bool:
    """A call that has left the link was refused; whether it can still be sent in time."""
    link.window, link.rounds = float(max(1, len(link.calls))), 0.0
    wait_s = push_back_s * (1 + _JITTER * state.rng())
    if not link.calls:
        # No answer will come to make room.
        link.resume_at = now + wait_s
    session = state.sessions[call.session]
    others = [each for each in state.links if session.is_on(each) and _may_take(state, each, now)]
    if link not in others and call.moved < len(others):
        call.moved, call.not_before = call.moved + 1, now
        return True
    call.moved, call.not_before = 0, now + wait_s
    return now + push_back_s < call.deadline_at


def _may_take(state: State, link: Link, now: float) -> bool:
    return link.usable and link.epoch == state.epoch and has_room(link, now, state.limits)


def is_served(state: State, call: Call, now: float) -> bool:
    """Whether a call that waits does so behind others of this process that are being served."""
    session = state.sessions[call.session]
    if call.newer_than >= state.epoch or session.opening:
        return False
    return any(session.is_on(link) and _serves(state, link, now) for link in state.links)


def _serves(state: State, link: Link, now: float) -> bool:
    if link.state is not LinkState.OPEN:
        return False
    if now - link.answered_at < state.limits.unavailable_timeout_s and link.answered_at > 0:
        return True
    return any(state.calls[n].sent_at <= now - ADMITTED_AFTER_S for n in link.calls)
