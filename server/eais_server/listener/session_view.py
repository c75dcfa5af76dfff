"""What runs an instance's sessions, for people who ask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from eais.rpc.v1 import common_pb2, listener_pb2
from eais_server.listener import messages
from eais_server.listener.sessions import KeptSession
from eais_server.supervision import State
from eais_server.supervision.events import Failure, Runs


def session_states(
    state: State, instance: str, kept: Iterable[KeptSession]
) -> Iterator[listener_pb2.SessionState]:
    """The open sessions of an instance that is held here, with its workers by number."""
    for session in kept:
        files = messages.spec_of(session).files
        yield listener_pb2.SessionState(
            id=session.id,
            model_sha256=files[0].sha256,
            workers=_workers(state, instance, session.id),
        )


def refusing(state: State, instance: str, session: str) -> list[int]:
    """The numbers of the workers that can't have the session."""
    held = state.leases.get(instance)
    known = held.sessions.get(session) if held else None
    return sorted(known.refused) if known else []


def _workers(state: State, instance: str, session: str) -> Iterator[listener_pb2.SessionAt]:
    held = state.leases[instance]
    known = held.sessions.get(session)
    for n, slot in sorted(held.slots.items()):
        worker = state.workers.get(slot.worker)
        if known and n in known.refused:
            yield _refused_at(n, known.refused[n])
        else:
            yield _session_at(n, worker.runs.get(session) if worker else None)


def _refused_at(n: int, why: Failure) -> listener_pb2.SessionAt:
    error = common_pb2.Error(reason=why.reason, message=messages.shown(why.message))
    return listener_pb2.SessionAt(n=n, error=error)


def _session_at(n: int, runs: Runs | None) -> listener_pb2.SessionAt:
    if runs is None:
        return listener_pb2.SessionAt(n=n)
    unused = (listener_pb2.UnusedRuntime(runtime=r, why=why) for r, why in runs.unused)
    return listener_pb2.SessionAt(n=n, runtime=runs.runtime, unused=unused)
