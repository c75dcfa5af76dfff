"""Both planes' side of `eais whatif`: a tenant asks of its own instances, an operator of all."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from eais.errors import UsageError
from eais.rpc import verbs
from eais.rpc.server import Binding, Caller, unary
from eais.rpc.v1 import whatif_pb2
from eais_pool.brain.codec import to_json
from eais_pool.pump import Pump
from eais_pool.replays import Replays
from eais_pool.sim.policy_names import MOST, PolicyName
from eais_pool.sim.replay import LEARN_S, Asked


class WhatIfService:
    """The services `WhatIf` and `WhatIfAdmin` of one pool.

    Args:
        clock: the boot clock, seconds.
    """

    def __init__(self, pump: Pump, replays: Replays, clock: Callable[[], float]) -> None:
        self._pump = pump
        self._replays = replays
        self._clock = clock

    def user_bindings(self) -> list[Binding]:
        """What serves a tenant's verb."""
        return [unary(verbs.WHAT_IF_REPLAY, self.own)]

    def management_bindings(self) -> list[Binding]:
        """What serves an operator's."""
        return [unary(verbs.WHAT_IF_ADMIN_REPLAY, self.everybodys)]

    async def own(
        self, request: whatif_pb2.ReplayRequest, caller: Caller
    ) -> whatif_pb2.ReplayReply:
        """See `WhatIf.Replay`."""
        if not caller.identity.tenant:
            raise AssertionError("the verb table lets only front-ends in")
        return await self._answer(request, caller, caller.identity.tenant)

    async def everybodys(
        self, request: whatif_pb2.ReplayRequest, caller: Caller
    ) -> whatif_pb2.ReplayReply:
        """See `WhatIfAdmin.Replay`."""
        return await self._answer(request, caller, "")

    async def _answer(
        self, request: whatif_pb2.ReplayRequest, caller: Caller, tenant: str
    ) -> whatif_pb2.ReplayReply:
        asked = self._asked(request)
        self._check_there(request.instance, tenant)
        with self._replays.place(caller.identity.uri):
            async with aclosing(self._rows(asked, request.instance, tenant)) as rows:
                lines = await self._replays.run(to_json(asked), rows)
        return whatif_pb2.ReplayReply(lines=map(_line, lines))

    def _asked(self, request: whatif_pb2.ReplayRequest) -> Asked:
        times = (request.since_s, request.until_s)
        if not all(map(math.isfinite, times)) or not request.since_s > request.until_s >= 0:
            raise UsageError("ARGUMENT", "a time must begin before it ends, and end by now")
        if len(request.policies) > MOST:
            raise UsageError("ARGUMENT", f"at most {MOST} policies are replayed at once")
        for text in request.policies:
            PolicyName.parse(text)
        now = self._pump.state.ledger_time(self._clock())
        since, until = (now - each for each in times)
        return Asked(since, until, now, tuple(dict.fromkeys(request.policies)))

    def _check_there(self, instance: str, tenant: str) -> None:
        found = self._pump.state.instances.get(instance)
        if instance and (found is None or (tenant and found.tenant != tenant)):
            raise UsageError("NOT_FOUND", f"there is no instance {instance[:64]!r}")

    async def _rows(self, asked: Asked, instance: str, tenant: str) -> AsyncGenerator[str]:
        """The tenant's rows, or everybody's; of one instance, if it is named; as text."""
        begins = f'{{"instance":{json.dumps(instance)},' if instance else ""
        ends = f'"tenant":{json.dumps(tenant)}}}' if tenant else ""
        async with aclosing(self._pump.demand()) as rows:
            async for text in rows:
                if text.startswith(begins) and text.endswith(ends) and _ended(text) > _from(asked):
                    yield text


def _from(asked: Asked) -> float:
    return asked.since - LEARN_S


def _ended(text: str) -> float:
    """When a row ended, ledger time; 0 for one of an earlier EAIS, which doesn't say."""
    _, found, rest = text.rpartition('"ended":')
    return float(rest.partition(",")[0]) if found else 0.0


def _line(plain: dict[str, Any]) -> whatif_pb2.ReplayLine:
    return whatif_pb2.ReplayLine(**plain)
