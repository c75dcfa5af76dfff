"""What runs an instance's sessions, as its listener says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from eais.errors import make_error
from eais.rpc import verbs
from eais.rpc.v1 import listener_pb2
from eais_client.config import ClientConfig
from eais_client.context import Context, ContextStore
from eais_client.dialer import Peer
from eais_client.instances import Instance
from eais_client.own_identity import frontend_identity
from eais_client.vnic_ends import VnicEnds

PATIENCE_S: Final = 3.0
"""For one answer, beside which there is more to say."""


@dataclass(frozen=True, slots=True)
class UnusedRuntime:
    """A runtime of the worker's device that the tolerance admits, and why it isn't used."""

    runtime: str
    why: str


@dataclass(frozen=True, slots=True)
class SessionAt:
    """A session at one worker, by number.

    `runtime` is "" while it isn't loaded there. `reason`, `refused`: why it can't be, if so; its
    calls go to the other workers.
    """

    n: int
    runtime: str
    unused: tuple[UnusedRuntime, ...] = ()
    reason: str = ""
    refused: str = ""

    @classmethod
    def of_message(cls, message: listener_pb2.SessionAt) -> SessionAt:
        """What a `SessionAt` says."""
        unused = (UnusedRuntime(each.runtime, each.why) for each in message.unused)
        error = message.error
        return cls(message.n, message.runtime, tuple(unused), error.reason, error.message)


@dataclass(frozen=True, slots=True)
class SessionState:
    """An open session; `model_sha256` is that of the model's own file, in hex."""

    id: str
    model_sha256: str
    workers: tuple[SessionAt, ...]

    @classmethod
    def of_message(cls, message: listener_pb2.SessionState) -> SessionState:
        """What a `SessionState` says."""
        workers = tuple(map(SessionAt.of_message, message.workers))
        return cls(message.id, message.model_sha256.hex(), workers)


def ask_sessions(
    store: ContextStore, context: Context, instance: Instance
) -> tuple[SessionState, ...]:
    """The open sessions of an instance that is IN_USE, asked of its listener.

    Raises:
        EaisError: HOST_UNREACHABLE, from here; STALE_EPOCH, it was started anew meanwhile.
    """
    if instance.listener is None:
        raise make_error("NO_WORKER", f"{instance.id} has no listener now")
    VnicEnds.of_config(ClientConfig.of_environ(os.environ, store.file)).reach(instance.vnic)
    dialer = frontend_identity(store, context).dialer
    peer = Peer(dialer, instance.listener, verbs.LISTENER_GREET, "HOST_UNREACHABLE")
    request = listener_pb2.LocateRequest(instance=instance.id, epoch=instance.epoch, sessions=True)
    try:
        reply = peer.ask(verbs.LISTENER_LOCATE, request, PATIENCE_S)
    finally:
        peer.close()
    return tuple(map(SessionState.of_message, reply.sessions))
