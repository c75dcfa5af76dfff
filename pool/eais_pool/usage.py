"""Both planes' side of the ledger: a tenant asks of itself, an operator of all."""

from __future__ import annotations

import math

from eais.errors import UsageError
from eais.rpc import verbs
from eais.rpc.server import Binding, Caller, unary
from eais.rpc.v1 import ledger_pb2
from eais_pool.brain.ledger_asked import By, Used
from eais_pool.pump import Pump


class LedgerService:
    """The services `Ledger` and `LedgerAdmin` of one pool."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump

    def user_bindings(self) -> list[Binding]:
        """What serves a tenant's verb."""
        return [unary(verbs.LEDGER_USAGE, self.own)]

    def management_bindings(self) -> list[Binding]:
        """What serves an operator's."""
        return [unary(verbs.LEDGER_ADMIN_USAGE, self.everybodys)]

    async def own(self, request: ledger_pb2.UsageRequest, caller: Caller) -> ledger_pb2.UsageReply:
        """See `Ledger.Usage`."""
        if not caller.identity.tenant:
            raise AssertionError("the verb table lets only front-ends in")
        return await self._answer(request, caller.identity.tenant)

    async def everybodys(
        self, request: ledger_pb2.UsageRequest, caller: Caller
    ) -> ledger_pb2.UsageReply:
        """See `LedgerAdmin.Usage`."""
        return await self._answer(request, "")

    async def _answer(self, request: ledger_pb2.UsageRequest, tenant: str) -> ledger_pb2.UsageReply:
        times = (request.since_s, request.until_s)
        if not all(map(math.isfinite, times)) or not request.since_s > request.until_s >= 0:
            raise UsageError("ARGUMENT", "a time must begin before it ends, and end by now")
        found = await self._pump.used(*times, _by(request), tenant)
        return ledger_pb2.UsageReply(lines=map(_line, found))


def _by(request: ledger_pb2.UsageRequest) -> tuple[By, ...]:
    try:
        return tuple(dict.fromkeys(map(By, request.by)))
    except ValueError:
        words = ", ".join(By)
        raise UsageError("ARGUMENT", f"usage is told apart by {words}") from None


def _line(used: Used) -> ledger_pb2.UsageLine:
    return ledger_pb2.UsageLine(
        tenant=used.tenant,
        instance=used.instance,
        kind=used.kind,
        model=used.model,
        device_s=used.device_s,
        cost=used.cost,
        requests=used.requests,
        bytes_in=used.bytes_in,
        bytes_out=used.bytes_out,
        busy_ns=used.busy_ns,
        vnic_bytes_in=used.vnic_bytes_in,
        vnic_bytes_out=used.vnic_bytes_out,
        vnic_packets_in=used.vnic_packets_in,
        vnic_packets_out=used.vnic_packets_out,
    )
