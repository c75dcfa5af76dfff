"""What other listeners call: Fetch, a piece of a model's file, on a ticket of the manager's."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Final

from eais import tls
from eais.errors import make_error
from eais.rpc.server import Binding, Caller, unary
from eais.rpc.v1 import hosts_pb2
from eais.rpc.verbs import MODELS_FETCH
from eais.ticket import read_ticket
from eais_server.listener.host import Host
from eais_server.store import ManifestFile

PIECE_BYTES: Final = 4 << 20


@dataclass(slots=True)
class _Loan:
    """Files that are kept for another listener, by that name, until then."""

    name: str
    until: asyncio.TimerHandle | None = None


class ModelsPlane:
    """The handler of the Models service.

    Args:
        identity: this listener's; its CA certificates are those in force.
        now: the time of day, aware.
    """

    def __init__(
        self, host: Host, identity: Callable[[], tls.Bundle], now: Callable[[], datetime]
    ) -> None:
        self._host = host
        self._identity = identity
        self._now = now
        # By ticket. Each is let go after a while, unless more is asked for on it.
        self._lent: dict[str, _Loan] = {}
        self._numbers = count(1)

    def bindings(self) -> list[Binding]:
        """The verb of the service."""
        return [unary(MODELS_FETCH, self.fetch)]

    async def fetch(self, request: hosts_pb2.FetchRequest, caller: Caller) -> hosts_pb2.FetchReply:
        """See `Models.Fetch`."""
        ticket = self._ticket(request, caller)
        await self._lend(ticket, hashlib.sha256(request.ticket.ticket).hexdigest())
        read = self._host.store.read
        size, data = await self._host.for_client(
            read, ticket.tenant, request.sha256, request.offset, PIECE_BYTES
        )
        return hosts_pb2.FetchReply(size=size, data=data)

    def _ticket(self, request: hosts_pb2.FetchRequest, caller: Caller) -> hosts_pb2.Ticket:
        ticket = read_ticket(request.ticket, self._host.pool, self._identity().ca_pem, self._now())
        holder = getattr(ticket, "from")
        if holder != self._host.name or ticket.to != caller.identity.name:
            raise make_error("TICKET", "the ticket is between two other listeners")
        if request.sha256 not in ticket.sha256:
            raise make_error("TICKET", "the ticket is for other files")
        return ticket

    async def _lend(self, ticket: hosts_pb2.Ticket, digest: str) -> None:
        """Keep the ticket's files while they are fetched, and a little longer."""
        loan = self._lent.get(digest)
        if loan is None:
            loan = _Loan(f"lent {next(self._numbers)}")
            files = [ManifestFile("", sha256, 0) for sha256 in ticket.sha256]
            await self._host.for_client(self._host.store.pin, loan.name, ticket.tenant, files)
            # Another that began meanwhile ends in its own time.
            self._lent[digest] = loan
        if loan.until:
            loan.until.cancel()
        later = asyncio.get_running_loop().call_later
        loan.until = later(self._host.config.chunk_timeout_s, self._let_go, digest, loan)

    def _let_go(self, digest: str, loan: _Loan) -> None:
        if self._lent.get(digest) is loan:
            del self._lent[digest]
        # The store may be busy with the disk.
        asyncio.get_running_loop().run_in_executor(None, self._host.store.unpin, loan.name)
