"""Addresses at which another server answers than the worker that was meant. (Brain)

A worker that died may have left its port to a stranger, so that is no end: whoever knows
where the workers are is asked once. If it names the same addresses again, calls fail with
what was found there, and nothing is dialled until the next call.
"""

from __future__ import annotations

from eais.errors import EaisError
from eais_client.brain.call_state import Link, LinkState, State

REASON = "SERVER_UNTRUSTED"


def mistrust(state: State, link: Link, error: EaisError) -> None:
    """A stranger answered at the link's address: it isn't dialled again before it is confirmed."""
    link.mistrusted, link.finds_before = error, state.finds


def confirmed(state: State) -> EaisError | None:
    """What to say to waiting calls, now that an answer to `Find` has named the workers.

    None while there is a worker that may be what it should, or that was not asked for since.
    """
    named = [link for link in state.links if _is_named(state, link)]
    strangers = [link for link in named if link.mistrusted and link.finds_before < state.finds]
    if not named or len(strangers) < len(named):
        return None
    error = strangers[0].mistrusted
    for link in strangers:
        link.mistrusted = None
    return error


def _is_named(state: State, link: Link) -> bool:
    alive = link.state is not LinkState.LEAVING and not link.retired
    return alive and link.epoch == state.epoch
