"""Other listeners as this one gets models from them: their management planes, over mTLS."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

import grpc.aio

from eais import channel, tls
from eais.credentials import client_credentials
from eais.rpc.client import acall
from eais.rpc.v1 import hosts_pb2
from eais.rpc.verbs import MODELS_FETCH

UNREACHABLE: Final = "HOST_UNREACHABLE"
_PIECE_TIMEOUT_S: Final = 30.0


class Peers(Protocol):
    """The listeners that a grant names as sources."""

    async def piece(
        self, source: hosts_pb2.ModelSource, sha256: bytes, offset: int
    ) -> hosts_pb2.FetchReply:
        """A piece of a file, from `offset`; raises EaisError, whatever is wrong there."""
        ...


class GrpcPeers:
    """`Peers` by gRPC, a channel each, until the block ends."""

    def __init__(self, identity: Callable[[], tls.Bundle]) -> None:
        self._identity = identity
        self._channels: dict[tuple[str, str], grpc.aio.Channel] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for line in self._channels.values():
            await line.close(None)

    async def piece(
        self, source: hosts_pb2.ModelSource, sha256: bytes, offset: int
    ) -> hosts_pb2.FetchReply:
        """See `Peers`."""
        request = hosts_pb2.FetchRequest(ticket=source.ticket, sha256=sha256, offset=offset)
        return await acall(
            self._channel(source),
            MODELS_FETCH,
            request,
            timeout_s=_PIECE_TIMEOUT_S,
            unreachable=UNREACHABLE,
        )

    def _channel(self, source: hosts_pb2.ModelSource) -> grpc.aio.Channel:
        listener = source.listener
        host = f"[{listener.address}]" if ":" in listener.address else listener.address
        key = (f"{host}:{listener.port}", listener.server_name)
        if key not in self._channels:
            self._channels[key] = grpc.aio.secure_channel(
                key[0],
                client_credentials(self._identity()),
                options=channel.client_options(listener.server_name),
            )
        return self._channels[key]
