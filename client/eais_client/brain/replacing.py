"""Streams made anew without losing a call: the new one is open before the old one ends. (Brain)

A stream keeps the certificate that its channel was made with. After a renewal each open
stream gets a *successor* to the same worker. Once the worker has said hello on it, new calls
go there; the old one is LEAVING: what is on it is answered on it, then it is closed. Nothing
is sent twice for it, and it is no attempt. A successor that can't be opened is tried again,
and the old stream serves on.
"""

from __future__ import annotations

from collections.abc import Iterable

from eais_client.brain.call_events import Action, Connect, Disconnect
from eais_client.brain.call_state import Link, LinkState, State, Successor


def begin(state: State) -> None:
    """The identity was renewed: what was dialled until now is to be replaced."""
    state.generation += 1
    state.replacing = True


def connect_successors(state: State, now: float, do: list[Action]) -> None:
    """Open a successor of each stream that needs one and has none; give up what isn't needed."""
    for link in state.links:
        if link.successor is not None and not link.usable:
            do.append(Disconnect(link.successor.stream))
            link.successor = None
        if _needs_successor(state, link) and link.successor is None and link.replace_at <= now:
            state.streams += 1
            link.successor = Successor(state.streams, state.generation)
            do.append(Connect(state.streams, link.worker))
    state.replacing = any(_is_old(state, link) for link in state.links)


def wake_times(state: State, now: float) -> Iterable[float]:
    """When successors that couldn't be opened are to be tried again."""
    for link in state.links:
        if link.replace_at > now and link.successor is None and _needs_successor(state, link):
            yield link.replace_at


def opened(state: State, stream: int) -> None:
    """The worker said hello on a successor: it takes the old stream's place."""
    link = _succeeded_by(state, stream)
    if link is None or link.successor is None or not link.usable:
        return  # given up by `connect_successors`
    leaving = Link(link.worker, link.epoch, LinkState.LEAVING, link.stream, calls=link.calls)
    for number in leaving.calls:
        state.calls[number].link = leaving
    link.calls = set()
    state.links.append(leaving)
    state.replaced += 1
    _promote(link, link.successor)


def broken(state: State, stream: int, now: float) -> None:
    """A successor couldn't be opened; the old stream serves on."""
    link = _succeeded_by(state, stream)
    if link is not None:
        link.successor, link.replace_failures = None, link.replace_failures + 1
        delay_s = state.limits.replace_backoff.delay_s(link.replace_failures, state.rng)
        link.replace_at = now + delay_s


def took_over(link: Link) -> bool:
    """The old stream broke: if a successor is on its way, that is now waited for instead."""
    if link.successor is None:
        return False
    link.state = LinkState.CONNECTING
    _promote(link, link.successor)
    return True


def _promote(link: Link, successor: Successor) -> None:
    link.stream, link.generation = successor.stream, successor.generation
    link.successor, link.replace_at, link.replace_failures = None, 0.0, 0


def _needs_successor(state: State, link: Link) -> bool:
    return link.usable and link.epoch == state.epoch and link.generation < state.generation


def _is_old(state: State, link: Link) -> bool:
    """Whether the link has, or may come to have, an open stream of an older identity."""
    alive = link.state in (LinkState.OPEN, LinkState.CONNECTING)
    return link.successor is not None or (alive and link.generation < state.generation)


def _succeeded_by(state: State, stream: int) -> Link | None:
    for link in state.links:
        if link.successor is not None and link.successor.stream == stream:
            return link
    return None
