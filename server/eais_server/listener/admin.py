"""What operators and the manager call: Greet, Status."""

from __future__ import annotations

import asyncio

from eais.rpc.server import Binding, Caller, greet, unary
from eais.rpc.v1 import hosts_pb2
from eais.rpc.verbs import LISTENER_ADMIN_GREET, LISTENER_ADMIN_STATUS
from eais_server.listener import messages
from eais_server.listener.host import Host
from eais_server.listener.line import SOFTWARE


class AdminPlane:
    """The handlers of the ListenerAdmin service."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def bindings(self) -> list[Binding]:
        """All verbs of the plane."""
        return [
            greet(LISTENER_ADMIN_GREET, SOFTWARE),
            unary(LISTENER_ADMIN_STATUS, self.status),
        ]

    async def status(
        self, request: hosts_pb2.ListenerStatusRequest, caller: Caller
    ) -> hosts_pb2.ListenerStatusReply:
        """What this host holds now."""
        host = self._host
        use = await asyncio.to_thread(host.store.use)
        return hosts_pb2.ListenerStatusReply(
            host=host.name,
            leases=[host.granted(lease) for lease in host.admission.leases.values()],
            store_bytes=use.used_bytes,
            store_limit_bytes=use.limit_bytes,
            spares=host.state.spares(),
            sessions=host.book.count(),
            quarantined=[
                messages.quarantined(record, host.clock())
                for record in host.state.quarantine.records()
                if record.condemned
            ],
        )
