"""The links of an attachment, as an endpoint set names its workers. (Brain)"""

from __future__ import annotations

from eais_client.brain.call_events import Endpoints
from eais_client.brain.call_state import Link, LinkState, State


def take_workers(state: State, event: Endpoints, now: float) -> None:
    """What is named stays or comes; what isn't is retired: it finishes what it has."""
    known = {
        (link.epoch, link.worker.n, link.worker.address): link
        for link in state.links
        if link.state is not LinkState.LEAVING
    }
    named = set()
    for worker in event.workers:
        key = (event.epoch, worker.n, worker.address)
        named.add(key)
        link = known.get(key)
        if link is None:
            state.links.append(Link(worker, event.epoch))
            continue
        # The Watch tells of a change, an answer to Find may be as it was.
        news = not event.found or worker.incarnation != link.worker.incarnation
        if link.state is LinkState.DOWN and news:
            link.retry_at, link.failures, link.mistrusted = now, 0, None
        if link.state is not LinkState.DRAINING:
            link.retired = False
        link.worker = worker
    for key, link in known.items():
        link.retired = link.retired or key not in named
