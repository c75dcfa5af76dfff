"""Files of models come from other listeners, which are tried in turn, each with its ticket.

What an earlier one broke off at, the next goes on from.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from eais.errors import EaisError
from eais.rpc.v1 import hosts_pb2
from eais_server.listener.host import Host
from eais_server.listener.peers import Peers
from eais_server.store import Missing, Upload

log = logging.getLogger(__name__)

_BUSY_AGAIN_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Fetching:
    """Where a tenant's files come from.

    Attributes:
        came: told of each piece.
    """

    host: Host
    peers: Peers
    sources: Sequence[hosts_pb2.ModelSource]
    tenant: str
    came: Callable[[], None]

    async def fetch(self, file: Missing) -> bool:
        """Whether the file is in the store now; False if no source has it.

        Raises:
            EaisError: what the store refuses.
        """
        for source in self.sources:
            coming = await self._begun(file)
            try:
                if await self._pull(source, coming, file):
                    return True
            finally:
                await asyncio.shield(self.host.for_client(coming.abort))
        return False

    async def _begun(self, file: Missing) -> Upload:
        """The file's upload; others that send it, or many, are waited for."""
        until = self.host.clock() + self.host.config.chunk_timeout_s
        while True:
            begin = self.host.store.begin
            try:
                return await self.host.for_client(begin, self.tenant, file.sha256, file.size)
            except EaisError as error:
                if error.reason != "BUSY" or self.host.clock() >= until:
                    raise
            await asyncio.sleep(_BUSY_AGAIN_S)

    async def _pull(self, source: hosts_pb2.ModelSource, coming: Upload, file: Missing) -> bool:
        """Whether all of the file came from `source`, and is what it should be."""
        while not coming.stored and coming.offset < file.size:
            data = await self._piece(source, file, coming.offset)
            if not data:
                return False
            self.came()
            await self.host.for_client(coming.write, coming.offset, data)
        try:
            await self.host.for_client(coming.finish)
        except EaisError as error:
            if error.reason != "DIGEST_MISMATCH":
                raise
            log.warning("%s sent a damaged file", source.listener.server_name)
            return False
        return True

    async def _piece(self, source: hosts_pb2.ModelSource, file: Missing, offset: int) -> bytes:
        """Bytes of the file from `offset`; b"" when that source hasn't got them."""
        try:
            reply = await self.peers.piece(source, file.sha256, offset)
        except EaisError as error:
            log.warning("no model from %s: %s", source.listener.server_name, error)
            return b""
        if reply.size != file.size or offset + len(reply.data) > file.size:
            log.warning("%s has another file of that SHA-256", source.listener.server_name)
            return b""
        return reply.data
