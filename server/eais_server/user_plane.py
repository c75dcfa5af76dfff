"""What front-ends call: Greet, Open, Push, Locate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from eais.errors import make_error
from eais.rpc.server import Binding, Caller, greet, unary, upload
from eais.rpc.v1 import listener_pb2
from eais.rpc.verbs import LISTENER_GREET, LISTENER_LOCATE, LISTENER_OPEN, LISTENER_PUSH
from eais_server import messages
from eais_server.host import Host
from eais_server.lease import Lease
from eais_server.link import SOFTWARE
from eais_server.openings import Openings
from eais_server.sessions import KeptSession
from eais_server.store import Upload

Chunks = AsyncIterator[listener_pb2.PushChunk]


class UserPlane:
    """The handlers of the Listener service."""

    def __init__(self, host: Host, openings: Openings) -> None:
        self._host = host
        self._openings = openings

    def bindings(self) -> list[Binding]:
        """All verbs of the plane."""
        return [
            greet(LISTENER_GREET, SOFTWARE),
            unary(LISTENER_OPEN, self.open),
            upload(LISTENER_PUSH, self.push),
            unary(LISTENER_LOCATE, self.locate),
        ]

    def _admit(self, caller: Caller, instance: str, epoch: int) -> Lease:
        return self._host.admission.admit(caller.identity.tenant or "", instance, epoch)

    async def open(
        self, request: listener_pb2.OpenRequest, caller: Caller
    ) -> listener_pb2.OpenReply:
        """The opened session, or what of it must be pushed first."""
        lease = self._admit(caller, request.instance, request.epoch)
        found = await self._openings.open(lease, request.spec, caller.timeout_s)
        if not isinstance(found, KeptSession):
            return listener_pb2.OpenReply(missing=messages.missing(found))
        # The lease may have changed while the model was loaded.
        lease = self._admit(caller, request.instance, request.epoch)
        session = listener_pb2.OpenedSession(
            id=found.id,
            signature=listener_pb2.Signature.FromString(found.signature),
            workers=self._host.endpoints(lease),
        )
        return listener_pb2.OpenReply(session=session)

    async def locate(
        self, request: listener_pb2.LocateRequest, caller: Caller
    ) -> listener_pb2.LocateReply:
        """The workers as they are now."""
        lease = self._admit(caller, request.instance, request.epoch)
        return listener_pb2.LocateReply(workers=self._host.endpoints(lease))

    async def push(self, chunks: Chunks, caller: Caller) -> listener_pb2.PushReply:
        """One file of a model, from where the store's copy of it ends."""
        config = self._host.config
        first = await _next(chunks, config.first_message_timeout_s, "FIRST_MESSAGE_TIMEOUT")
        lease = self._admit(caller, first.instance, first.epoch)
        if len(first.sha256) != 32 or first.size > config.model_max_bytes:
            limit = config.model_max_bytes
            text = f"a push names a SHA-256 (32 bytes) and a size of at most {limit} bytes"
            raise make_error("MALFORMED_MESSAGE", text, metadata={"limit": str(limit)})
        store = self._host.store
        coming = await asyncio.to_thread(store.begin, lease.tenant, first.sha256, first.size)
        try:
            await self._write(coming, first, chunks, lease.instance)
            await asyncio.to_thread(coming.finish)
        finally:
            await asyncio.shield(asyncio.to_thread(coming.abort))
        return listener_pb2.PushReply(size=coming.size)

    async def _write(
        self, coming: Upload, first: listener_pb2.PushChunk, chunks: Chunks, instance: str
    ) -> None:
        """Each chunk is on its way to the disk before the next is taken from the socket."""
        chunk = first
        while not coming.stored:
            self._openings.pushed(instance)
            if chunk.data:
                await asyncio.to_thread(coming.write, chunk.offset, chunk.data)
            if coming.offset >= coming.size:
                return
            timeout_s = self._host.config.chunk_timeout_s
            chunk = await _next(chunks, timeout_s, "DEADLINE_EXCEEDED")


async def _next(chunks: Chunks, timeout_s: float, reason: str) -> listener_pb2.PushChunk:
    try:
        return await asyncio.wait_for(anext(chunks), timeout_s)
    except StopAsyncIteration:
        raise make_error("CHUNK_GAP", "the push ended before the file's end") from None
    except TimeoutError:
        raise make_error(reason, f"no chunk for {timeout_s:g} s") from None
