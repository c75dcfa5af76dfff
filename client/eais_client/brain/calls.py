"""The calls of one attachment: where each stands, and who answers it next. (Brain)

A call WAITs for an open stream to a worker, or is SENT on one. Rules, from the design:

- An attempt counts only when its request went to a live worker; a call has three.
- One broken stream takes one token of the retry budget, however many calls were on it;
  each refusal that may be retried takes one, but for those of a worker that has no room
  now and says until when (`eais_client.brain.pace`). Tokens come back with time and with answers,
  so that retries never add more than about a tenth to the load.
- Waiting for an endpoint, or for room, is no attempt. It ends at the caller's deadline, or
  when nothing was answered for `unavailable_timeout_s`.
- What isn't retryable by the error table is never sent twice.

Everything that happens is an event given to `on_event`, which says what to do as actions.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from eais.errors import EaisError, make_error
from eais_client.brain import last_word, leaving, mistrust, pace, refusals, replacing
from eais_client.brain.call_errors import closed, late, unanswered
from eais_client.brain.call_events import (
    Abandoned,
    Action,
    Answered,
    Complete,
    Ended,
    Endpoints,
    Event,
    Fail,
    FindFailed,
    Refused,
    Renewed,
    SessionDropped,
    SessionLost,
    SessionOpened,
    StreamBroken,
    StreamDraining,
    StreamOpened,
    Submitted,
    Tick,
)
from eais_client.brain.call_state import Call, LinkState, Session, State
from eais_client.brain.dispatch import dispatch, note_due, reopen
from eais_client.brain.endpoints import take_workers


def on_event(state: State, event: Event, now: float) -> list[Action]:
    """Take `event` at `now` (seconds, monotonic) into `state`; what to do about it."""
    actions: list[Action] = []
    _HANDLERS[type(event)](state, event, now, actions)
    dispatch(state, now, actions)
    return actions


def _submitted(state: State, event: Submitted, now: float, do: list[Action]) -> None:
    if state.ended is not None and now < state.ended_until:
        do.append(Fail(event.call, state.ended))
        return
    if event.session not in state.sessions:
        do.append(Fail(event.call, closed(state.instance)))
        return
    call = Call(event.session, event.size, event.deadline_at, event.watched, now, event.patience_s)
    # It may have been started again, which the Watch has yet to tell.
    call.doubts, call.finds_before = state.ended is not None, state.finds
    state.calls[event.call] = call
    state.waiting.add(event.call, call)
    if not event.watched:
        state.unwatched[event.call] = call
    note_due(state, call, now)


def _answered(state: State, event: Answered, now: float, do: list[Action]) -> None:
    if event.call in state.calls:
        link = leaving.forget(state, event.call, do)
        if link is not None:
            link.answered_at = now
            pace.answered(link)
        state.budget.answered()
        state.find_failures, state.find_error = 0, None
        do.append(Complete(event.call))


def _abandoned(state: State, event: Abandoned, now: float, do: list[Action]) -> None:
    if event.call in state.calls:
        leaving.withdraw(state, event.call, do)


def _stream_opened(state: State, event: StreamOpened, now: float, do: list[Action]) -> None:
    link = state.link_of(event.stream)
    if link is None:
        replacing.opened(state, event.stream)
    elif link.state is LinkState.CONNECTING:
        link.state, link.failures = LinkState.OPEN, 0


def _stream_draining(state: State, event: StreamDraining, now: float, do: list[Action]) -> None:
    link = state.link_of(event.stream)
    if link is not None and link.state is LinkState.OPEN:
        link.state = LinkState.DRAINING


def _stream_broken(state: State, event: StreamBroken, now: float, do: list[Action]) -> None:
    link = state.link_of(event.stream)
    if link is None:
        replacing.broken(state, event.stream, now)
        return
    lost, ends = sorted(link.calls), link.state in (LinkState.DRAINING, LinkState.LEAVING)
    if not replacing.took_over(link):
        link.state, link.stream, link.failures = LinkState.DOWN, 0, link.failures + 1
        link.retry_at = now + state.limits.backoff.delay_s(link.failures, state.rng)
    if ends:
        link.retired = True  # until an endpoint set names it again
    pace.broken(link)
    state.find_error = event.error
    may_retry = bool(lost) and event.error.retryable and state.budget.take(now)
    for number in reversed(lost):
        _broken_under(state, number, event.error, may_retry, now, do)
    if event.error.reason == mistrust.REASON:
        mistrust.mistrust(state, link, event.error)
    elif not event.error.retryable and not state.has_usable_link():
        leaving.fail_waiting(state, event.error, do)


def _broken_under(
    state: State, number: int, behind: EaisError, may_retry: bool, now: float, do: list[Action]
) -> None:
    """What becomes of a call whose stream broke."""
    call = state.calls[number]
    error = behind
    if behind.retryable:
        error = make_error(
            "WORKER_DIED",
            f"the worker of {state.instance} went away during the call",
            metadata={"instance": state.instance, "attempts": str(call.attempts)},
        )
    if may_retry and call.attempts < state.limits.max_attempts:
        call.not_before = now + state.limits.backoff.delay_s(call.attempts, state.rng)
        leaving.wait_again(state, number, error, now, do)
        return
    leaving.leave_link(state, number, call)
    if not last_word.ask(state, number, error, now, do):
        leaving.fail(state, number, state.ended or error, do)


def _endpoints(state: State, event: Endpoints, now: float, do: list[Action]) -> None:
    if event.found:
        state.finding, state.find_at = False, now + _ask_again_s(state, event, now)
    known = event.epoch == state.epoch
    if event.epoch < state.epoch or (known and event.found and state.ended is not None):
        return  # the Watch knew better
    if not known:
        state.epoch = event.epoch
        for session in state.sessions:
            reopen(state, session, do)
    state.ended, state.ended_until, state.stranded = None, 0.0, event.stranded
    for call in state.waiting.values():
        call.doubts = False
    take_workers(state, event, now)
    _fail_hopeless(state, event, do)


def _ask_again_s(state: State, event: Endpoints, now: float) -> float:
    """How long an answer to `Find` holds.

    One that names a worker that doesn't serve yet is no failure: nothing can be dialled before
    the next one. So it holds for a part of the time that calls have waited, and a worker that
    comes soon is found soon, while one that loads for minutes is asked for once a second.
    """
    limits = state.limits
    if event.epoch < state.epoch or all(worker.serving for worker in event.workers):
        state.find_failures += 1
        return limits.backoff.delay_s(state.find_failures, state.rng)
    waited_s = now - min((call.since for call in state.waiting.values()), default=now)
    most_s = min(max(limits.coming_first_s, limits.coming_share * waited_s), limits.coming_cap_s)
    return most_s * (1 + state.rng()) / 2


def _fail_hopeless(state: State, event: Endpoints, do: list[Action]) -> None:
    """End the calls that an answer to `Find` leaves with nowhere to go.

    They were refused as too old, and nobody knows a newer epoch; or strangers answer at the
    workers' addresses, and nobody knows others.
    """
    if not event.found:
        return
    for number, call in list(state.waiting.items()):
        asked_since = call.finds_before < state.finds
        if call.newer_than >= state.epoch and asked_since and call.last_error is not None:
            leaving.fail(state, number, call.last_error, do)
    if (stranger := mistrust.confirmed(state)) is not None:
        leaving.fail_waiting(state, stranger, do)


def _find_failed(state: State, event: FindFailed, now: float, do: list[Action]) -> None:
    state.finding, state.find_failures = False, state.find_failures + 1
    state.find_at = now + state.limits.backoff.delay_s(state.find_failures, state.rng)
    state.find_error = event.error
    if state.ended is not None:
        leaving.fail_waiting(state, state.ended, do)
    elif not event.error.retryable and not state.has_usable_link():
        leaving.fail_waiting(state, event.error, do)


def _ended(state: State, event: Ended, now: float, do: list[Action]) -> None:
    state.ended = event.error
    if event.found:
        state.finding, state.find_failures, state.find_at = False, 0, now
        state.ended_until = now + state.limits.trust_ended_s
    for number, call in list(state.waiting.items()):
        if not call.doubts or (event.found and call.finds_before < state.finds):
            leaving.fail(state, number, event.error, do)
    for link in state.links:
        # What was sent is finished by a worker that drains; its stream's end says if not.
        link.retired = True


def _session_opened(state: State, event: SessionOpened, now: float, do: list[Action]) -> None:
    session = state.sessions.setdefault(event.session, Session(event.epoch))
    if event.epoch >= session.epoch:
        session.epoch, session.not_on = event.epoch, event.not_on or None
    session.opening = False
    _heard_last_word(state, event.session, None, do)
    if session.epoch < state.epoch:
        reopen(state, event.session, do)
    elif session.epoch > state.epoch:
        state.epoch = session.epoch
        for other, held in state.sessions.items():
            if held.epoch < state.epoch:
                reopen(state, other, do)


def _session_lost(state: State, event: SessionLost, now: float, do: list[Action]) -> None:
    _heard_last_word(state, event.session, event.error, do)
    if event.session in state.sessions:
        state.sessions[event.session].opening = False
        # The next call on it tries anew.
        state.sessions[event.session].epoch = -1
        leaving.fail_waiting(state, event.error, do, session=event.session)


def _heard_last_word(state: State, session: str, error: EaisError | None, do: list[Action]) -> None:
    for number, why in last_word.heard(state, session, error):
        leaving.fail(state, number, why, do)


def _session_dropped(state: State, event: SessionDropped, now: float, do: list[Action]) -> None:
    state.sessions.pop(event.session, None)
    for number, call in list(state.calls.items()):
        if call.session == event.session:
            leaving.withdraw(state, number, do)
            do.append(Fail(number, closed(state.instance)))


def _renewed(state: State, event: Renewed, now: float, do: list[Action]) -> None:
    replacing.begin(state)


def _tick(state: State, event: Tick, now: float, do: list[Action]) -> None:
    state.wake_at = state.due_at = inf
    for number, call in list(state.calls.items()):
        if call.deadline_at <= now and not call.watched:
            leaving.withdraw(state, number, do)
            do.append(Fail(number, late()))
        elif number in state.waiting and now >= call.since + state.patience_s(call):
            _out_of_patience(state, number, now, do)
    for call in state.calls.values():
        note_due(state, call, now)


def _out_of_patience(state: State, number: int, now: float, do: list[Action]) -> None:
    call = state.calls[number]
    if last_word.is_asked(call):
        _heard_last_word(state, call.session, None, do)
    elif pace.is_served(state, call, now):
        call.since = now
    else:
        leaving.fail(state, number, unanswered(state, call), do)


_HANDLERS: dict[type[Event], Callable[..., None]] = {
    Submitted: _submitted,
    Answered: _answered,
    Refused: refusals.refused,
    Abandoned: _abandoned,
    StreamOpened: _stream_opened,
    StreamBroken: _stream_broken,
    StreamDraining: _stream_draining,
    Endpoints: _endpoints,
    FindFailed: _find_failed,
    Ended: _ended,
    SessionOpened: _session_opened,
    SessionLost: _session_lost,
    SessionDropped: _session_dropped,
    Renewed: _renewed,
    Tick: _tick,
}
