"""Which call goes to which worker, and what it takes to reach one. (Brain)

A call goes to the open link with the fewest calls on it, to another one than its last
where there are several. Calls wait in order of arrival when the bytes in flight are at
their bound, or when each link has as many calls as its worker takes (`pace`). While one
waits, workers are connected to; when none can be, they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final

from eais_client.brain import pace
from eais_client.brain.call_events import Action, Connect, Disconnect, Find, Reopen, Send, WakeAt
from eais_client.brain.call_state import Call, Link, LinkState, State
from eais_client.brain.replacing import connect_successors, wake_times

_LOOK_AGAIN_S: Final = 0.5


def dispatch(state: State, now: float, do: list[Action]) -> None:
    """Send what can be sent; else see to it that it can be; end streams not needed."""
    if state.waiting:
        _send_waiting(state, now, do)
    if state.waiting:
        _seek_workers(state, now, do)
    if state.replacing:
        connect_successors(state, now, do)
    _tidy_links(state, do)
    if state.waiting or state.unwatched or state.replacing:
        _set_wake(state, now, do)


def _send_waiting(state: State, now: float, do: list[Action]) -> None:
    links = [link for link in state.links if link.usable and link.epoch == state.epoch]
    sent = []
    for number, call in state.waiting.items():
        links = [link for link in links if pace.has_room(link, now, state.limits)]
        if not links:
            break
        if call.not_before > now or call.newer_than >= state.epoch or call.deadline_at <= now:
            continue
        if not _has_room(state, call):
            break
        if not _session_ready(state, call, do):
            continue
        session = state.sessions[call.session]
        its = links if session.not_on is None else list(filter(session.is_on, links))
        if its:
            _send(state, number, call, its, now, do)
            sent.append(number)
    for number in sent:
        state.waiting.discard(number)


def _send(
    state: State, number: int, call: Call, links: list[Link], now: float, do: list[Action]
) -> None:
    link = min(links, key=lambda link: (link is call.avoid, len(link.calls), link.worker.n))
    call.link, call.attempts, call.sent_at = link, call.attempts + 1, now
    link.calls.add(number)
    state.in_flight_bytes += call.size
    state.retries += call.attempts > 1
    do.append(Send(number, link.stream, state.epoch, link.worker.n))


def _has_room(state: State, call: Call) -> bool:
    # One call may always go, however large.
    total = state.in_flight_bytes + call.size
    return not state.in_flight_bytes or total <= state.limits.max_in_flight_bytes


def _session_ready(state: State, call: Call, do: list[Action]) -> bool:
    session = state.sessions[call.session]
    if session.epoch < state.epoch:
        reopen(state, call.session, do)
    return not session.opening


def _seek_workers(state: State, now: float, do: list[Action]) -> None:
    for link in state.links:
        due = link.state is LinkState.DOWN and link.retry_at <= now and not link.mistrusted
        if due and link.worker.serving and not link.retired and link.epoch == state.epoch:
            state.streams += 1
            link.state, link.stream = LinkState.CONNECTING, state.streams
            link.generation = state.generation
            do.append(Connect(link.stream, link.worker))
    if not state.finding and state.find_at <= now and _needs_finding(state):
        state.finding = True
        state.finds += 1
        do.append(Find())


def _needs_finding(state: State) -> bool:
    stale = state.newest_stale >= state.epoch and any(
        call.newer_than >= state.epoch for call in state.waiting.values()
    )
    # A first connection under way is no reason to ask: it has not failed yet.
    hopeful = [
        link
        for link in state.links
        if not link.retired
        and (link.usable or (link.state is LinkState.CONNECTING and not link.failures))
    ]
    return stale or not hopeful or _is_nowhere(state, hopeful)


def _is_nowhere(state: State, links: list[Link]) -> bool:
    """Whether a call waits whose session is on none of the links."""
    partial = {name: s for name, s in state.sessions.items() if s.not_on is not None}
    nowhere = {name for name, s in partial.items() if not any(map(s.is_on, links))}
    return bool(nowhere) and any(call.session in nowhere for call in state.waiting.values())


def _tidy_links(state: State, do: list[Action]) -> None:
    keep = []
    for link in state.links:
        done = link.retired or link.state in (LinkState.DRAINING, LinkState.LEAVING)
        if done and not link.calls and link.stream:
            do.append(Disconnect(link.stream))
            link.state, link.stream, link.retired = LinkState.DOWN, 0, True
        if link.stream or link.calls or not link.retired:
            keep.append(link)
    state.links[:] = keep


def _set_wake(state: State, now: float, do: list[Action]) -> None:
    wake_at = min(_wake_times(state, now), default=inf)
    if wake_at < state.wake_at:
        state.wake_at = wake_at
        do.append(WakeAt(wake_at))


def _wake_times(state: State, now: float) -> Iterable[float]:
    yield state.due_at
    if state.waiting:
        for link in state.links:
            yield from (at for at in (link.retry_at, link.resume_at) if at > now)
        if state.find_at > now:
            yield state.find_at
    if state.replacing:
        yield from wake_times(state, now)


def note_due(state: State, call: Call, now: float) -> None:
    """Have a Tick come when something of the call is to happen."""
    if call.link is None:
        state.due_at = min(state.due_at, _out_of_patience_at(state, call, now))
        if call.not_before > now:
            state.due_at = min(state.due_at, call.not_before)
    if not call.watched:
        state.due_at = min(state.due_at, call.deadline_at)


def _out_of_patience_at(state: State, call: Call, now: float) -> float:
    longest, brief = state.limits.unavailable_timeout_s, call.patience_s
    if brief >= longest:
        return call.since + longest
    # Whether a worker can be reached may change with any event: it is looked at again.
    at = call.since + brief
    return at if at > now else min(now + _LOOK_AGAIN_S, call.since + longest)


def reopen(state: State, name: str, do: list[Action]) -> None:
    """Have the session opened again, unless that is under way."""
    session = state.sessions[name]
    if not session.opening:
        session.opening = True
        do.append(Reopen(name))
