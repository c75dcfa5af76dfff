"""The management plane's verb that moves instances so that less is lost.

A plan is made in a thread of its own, of a picture that doesn't change; the manager goes on
meanwhile, and each move is held against what is so then (`eais_pool.brain.defragmenting`).
"""

from __future__ import annotations

import asyncio

from eais.errors import UsageError
from eais.rpc import verbs
from eais.rpc.server import Binding, Caller, unary
from eais.rpc.v1 import hosts_pb2
from eais_pool.brain.defrag_records import STEPS_MOST, DefragAsk, DefragPlan, Step
from eais_pool.brain.defragmenting import picture_of, planned
from eais_pool.brain.events import OpRequested
from eais_pool.brain.records import OpVerb
from eais_pool.pump import Pump


class DefragService:
    """`PoolAdmin.Defrag` of one pool."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump

    def bindings(self) -> list[Binding]:
        """What serves the verb."""
        return [unary(verbs.POOL_ADMIN_DEFRAG, self.defrag)]

    async def defrag(
        self, request: hosts_pb2.DefragRequest, caller: Caller
    ) -> hosts_pb2.DefragReply:
        """See `PoolAdmin.Defrag`."""
        if request.moves > STEPS_MOST:
            raise UsageError("ARGUMENT", f"moves is at most {STEPS_MOST}, not {request.moves}")
        if request.dry_run + request.stop + request.show > 1:
            raise UsageError("ARGUMENT", "one of dry_run, stop and show, not several")
        most = request.moves or STEPS_MOST
        if request.dry_run:
            return _reply(await self._plan(most), begun=False)
        if not request.show:
            await self._ask(request, caller.identity.name, most)
        record = self._pump.state.defrag
        if record is None:
            raise UsageError("NOT_FOUND", "nothing was defragmented so far")
        if not (request.show or request.stop) and record.op_id != request.op_id:
            raise UsageError("NOT_FOUND", "another defragmentation came after that one")
        return _reply(record.plan, begun=True)

    async def _ask(self, request: hosts_pb2.DefragRequest, operator: str, most: int) -> None:
        known = ("", request.op_id) in self._pump.state.ops
        plan = None if known or request.stop else await self._plan(most)
        asked = DefragAsk(most, request.stop, plan)
        event = OpRequested(OpVerb.DEFRAG, "", operator, request.op_id, defrag=asked)
        await self._pump.request(event)

    async def _plan(self, most: int) -> DefragPlan:
        picture = picture_of(self._pump.state, self._pump.settings)
        return await asyncio.to_thread(planned, picture, most)


def _reply(plan: DefragPlan, *, begun: bool) -> hosts_pb2.DefragReply:
    return hosts_pb2.DefragReply(
        moves=[_move(step, begun) for step in plan.steps],
        lost_before_milli=plan.lost_before,
        lost_after_milli=plan.lost_after,
        rooms=[
            hosts_pb2.RoomChange(
                kind=room.kind, before_milli=room.before_milli, after_milli=room.after_milli
            )
            for room in plan.rooms
        ],
        over=plan.is_over,
        left_out=plan.left_out,
    )


def _move(step: Step, begun: bool) -> hosts_pb2.DefragMove:
    return hosts_pb2.DefragMove(
        instance=step.instance,
        type=step.type,
        origin=step.origin,
        to=step.to,
        gain_milli=step.gain,
        state=step.state.value if begun else "",
        why=step.why,
    )
