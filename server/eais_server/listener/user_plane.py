"""What front-ends call: Greet, Open, Push, Locate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eais.errors import make_error
from eais.instance import check_instance_name
from eais.rpc.server import Binding, Caller, greet, unary, upload
from eais.rpc.v1 import listener_pb2
from eais.rpc.verbs import LISTENER_GREET, LISTENER_LOCATE, LISTENER_OPEN, LISTENER_PUSH
from eais_server.listener import messages
from eais_server.listener.host import Host
from eais_server.listener.lease import Lease
from eais_server.listener.line import SOFTWARE
from eais_server.listener.openings import Openings
from eais_server.listener.session_view import refusing
from eais_server.listener.sessions import KeptSession
from eais_server.store import Upload
from eais_server.store.manifest import SHA256_BYTES

Chunks = AsyncIterator[listener_pb2.PushChunk]


class UserPlane:
    """The handlers of the Listener service."""

    def __init__(self, host: Host, openings: Openings) -> None:
        self._host = host
        self._openings = openings
        # The files that are being sent, by tenant and SHA-256; set when that ends.
        self._sending: dict[tuple[str, bytes], asyncio.Event] = {}

    def bindings(self) -> list[Binding]:
        """All verbs of the plane."""
        return [
            greet(LISTENER_GREET, SOFTWARE),
            unary(LISTENER_OPEN, self.open),
            upload(LISTENER_PUSH, self.push),
            unary(LISTENER_LOCATE, self.locate),
        ]

    def _admit(self, caller: Caller, instance: str, epoch: int) -> Lease:
        tenant = caller.identity.tenant or ""
        return self._host.admission.admit(tenant, check_instance_name(instance), epoch)

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
            not_on=refusing(self._host.state, lease.instance, found.id),
        )
        return listener_pb2.OpenReply(session=session)

    async def locate(
        self, request: listener_pb2.LocateRequest, caller: Caller
    ) -> listener_pb2.LocateReply:
        """The workers as they are now, without those that have died by now; sessions if asked."""
        lease = self._admit(caller, request.instance, request.epoch)
        await self._host.deaths_seen(lease.instance)
        # The lease may have changed meanwhile.
        lease = self._admit(caller, request.instance, request.epoch)
        workers = self._host.endpoints(lease)
        sessions = self._host.session_states(lease) if request.sessions else ()
        return listener_pb2.LocateReply(workers=workers, sessions=sessions)

    async def push(self, chunks: Chunks, caller: Caller) -> listener_pb2.PushReply:
        """One file of a model, from where the store's copy of it ends."""
        config = self._host.config
        first = await _next(chunks, config.first_message_timeout_s, "FIRST_MESSAGE_TIMEOUT")
        lease = self._admit(caller, first.instance, first.epoch)
        _check_first(first, config.model_max_bytes)
        async with self._turn(lease.tenant, first.sha256):
            coming = await self._begun(lease.tenant, first)
            try:
                await self._write(coming, first, chunks, lease.instance)
                await self._host.for_client(coming.finish)
            finally:
                await asyncio.shield(self._host.for_client(coming.abort))
        return listener_pb2.PushReply(size=coming.size)

    @asynccontextmanager
    async def _turn(self, tenant: str, sha256: bytes) -> AsyncIterator[None]:
        """Wait while another call sends the same file: then there is nothing left to send."""
        file = (tenant, sha256)
        while other := self._sending.get(file):
            await other.wait()
        ended = self._sending[file] = asyncio.Event()
        try:
            yield
        finally:
            del self._sending[file]
            ended.set()

    async def _begun(self, tenant: str, first: listener_pb2.PushChunk) -> Upload:
        begin = self._host.store.begin
        begun = asyncio.ensure_future(
            self._host.for_client(begin, tenant, first.sha256, first.size)
        )
        try:
            return await asyncio.shield(begun)
        except asyncio.CancelledError:
            begun.add_done_callback(_abandon)  # the thread goes on, and there is nobody to send
            raise

    async def _write(
        self, coming: Upload, first: listener_pb2.PushChunk, chunks: Chunks, instance: str
    ) -> None:
        """Each chunk is on its way to the disk before the next is taken from the socket."""
        chunk = first
        while not coming.stored:
            self._openings.pushed(instance)
            if chunk.data:
                await self._host.for_client(coming.write, chunk.offset, chunk.data)
            if coming.offset >= coming.size:
                return
            timeout_s = self._host.config.chunk_timeout_s
            chunk = await _next(chunks, timeout_s, "DEADLINE_EXCEEDED")


def _abandon(begun: asyncio.Future[Upload]) -> None:
    if not begun.cancelled() and not begun.exception():
        begun.result().abort()


def _check_first(first: listener_pb2.PushChunk, limit: int) -> None:
    if len(first.sha256) != SHA256_BYTES:
        raise make_error("MALFORMED_MESSAGE", "a push names its file by SHA-256, 32 bytes")
    if first.size > limit:
        text = f"the file has {first.size} bytes, the limit is {limit}"
        metadata = {"limit": str(limit), "got": str(first.size)}
        raise make_error("MODEL_TOO_LARGE", text, metadata=metadata)


async def _next(chunks: Chunks, timeout_s: float, reason: str) -> listener_pb2.PushChunk:
    try:
        return await asyncio.wait_for(anext(chunks), timeout_s)
    except StopAsyncIteration:
        raise make_error("CHUNK_GAP", "the push ended before the file's end") from None
    except TimeoutError:
        raise make_error(reason, f"no chunk for {timeout_s:g} s") from None
