"""The user plane: what front-ends call.

Who calls, and so whose instances they are, is read from the certificate. What
isn't the caller's is answered as what isn't there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from eais.errors import Unavailable, UsageError
from eais.identity import Role
from eais.instance import InstanceState, check_instance_name
from eais.net.messages import traffic_message
from eais.rpc import verbs
from eais.rpc.hello import check_version, hello_reply
from eais.rpc.server import Binding, Caller, greet, stream, unary
from eais.rpc.v1 import pool_pb2
from eais_pool.activity import described, word_of
from eais_pool.brain.actions import Publish
from eais_pool.brain.activity import Activities
from eais_pool.brain.events import InstanceNeeded, OpRequested
from eais_pool.brain.host_verbs import not_found
from eais_pool.brain.records import InstanceRecord, LeaseRecord, OpVerb
from eais_pool.brain.state import OpKey
from eais_pool.brain.view_records import InstanceView
from eais_pool.brain.views import view_of
from eais_pool.limits_message import binding_message, limits_of
from eais_pool.net_offers import offer_of
from eais_pool.net_plans import NetPlans
from eais_pool.presence import ANSWER_AFTER_S, Presence
from eais_pool.pump import Pump
from eais_pool.ratio_message import ratio_message
from eais_pool.renewal import Issuer
from eais_pool.watchers import FrontEnd, Watcher, Watchers
from eais_pool.wire import instance_message, policy_of

SOFTWARE = "eais-manager"
FIRST_MESSAGE_S = 10.0


class PoolService:
    """The service `Pool` of one pool."""

    def __init__(
        self,
        pool: str,
        plans: NetPlans,
        pump: Pump,
        watchers: Watchers,
        issuer: Issuer,
        activities: Activities,
        presence: Presence,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._pool = pool
        self._plans = plans
        self._pump = pump
        self._watchers = watchers
        self._issuer = issuer
        self._activities = activities
        self._presence = presence
        self._vnic_driver = pump.settings.vnic_driver

    def bindings(self) -> list[Binding]:
        """What serves each of the service's verbs."""
        return [
            greet(verbs.POOL_GREET, SOFTWARE),
            unary(verbs.POOL_CREATE, self.create),
            unary(verbs.POOL_ATTACH, self.attach),
            unary(verbs.POOL_START, self.start),
            unary(verbs.POOL_STOP, self.stop),
            unary(verbs.POOL_RESIZE, self.resize),
            unary(verbs.POOL_DETACH, self.detach),
            unary(verbs.POOL_DELETE, self.delete),
            unary(verbs.POOL_DESCRIBE, self.describe),
            unary(verbs.POOL_LIST, self.list_instances),
            stream(verbs.POOL_WATCH, self.watch),
            unary(verbs.POOL_RENEW, self._issuer.renewer(Role.FRONTEND)),
        ]

    async def create(
        self, request: pool_pb2.CreateRequest, caller: Caller
    ) -> pool_pb2.InstanceReply:
        """See `Pool.Create`."""
        tenant, frontend = _frontend(caller)
        policy = policy_of(request.policy)
        event = OpRequested(
            OpVerb.CREATE, tenant, frontend, request.op_id, type=request.type, policy=policy
        )
        return await self._ask(event)

    async def attach(
        self, request: pool_pb2.AttachRequest, caller: Caller
    ) -> pool_pb2.InstanceReply:
        """See `Pool.Attach`."""
        tenant, frontend = _frontend(caller)
        event = OpRequested(
            OpVerb.ATTACH,
            tenant,
            frontend,
            request.op_id,
            instance=request.instance and check_instance_name(request.instance),
            type=request.type,
            no_start=request.no_start,
            policy=policy_of(request.policy),
            wait_s=request.wait_ms / 1000,
            limits=limits_of(request.limits),
            vnic=request.vnic,
            net=offer_of(request.net_offer) if request.HasField("net_offer") else None,
        )
        return await self._ask_in_line(event)

    async def start(
        self, request: pool_pb2.InstanceRequest, caller: Caller
    ) -> pool_pb2.InstanceReply:
        """See `Pool.Start`."""
        tenant, frontend = _frontend(caller)
        name, wait_s = check_instance_name(request.instance), request.wait_ms / 1000
        op = (OpVerb.START, tenant, frontend, request.op_id, name)
        return await self._ask_in_line(OpRequested(*op, wait_s=wait_s))

    async def stop(
        self, request: pool_pb2.InstanceRequest, caller: Caller
    ) -> pool_pb2.InstanceReply:
        """See `Pool.Stop`."""
        return await self._ask_about(OpVerb.STOP, request, caller)

    async def resize(
        self, request: pool_pb2.ResizeRequest, caller: Caller
    ) -> pool_pb2.InstanceReply:
        """See `Pool.Resize`."""
        tenant, frontend = _frontend(caller)
        name = check_instance_name(request.instance)
        event = OpRequested(OpVerb.RESIZE, tenant, frontend, request.op_id, name, type=request.type)
        return await self._ask(event)

    async def detach(
        self, request: pool_pb2.InstanceRequest, caller: Caller
    ) -> pool_pb2.InstanceReply:
        """See `Pool.Detach`."""
        return await self._ask_about(OpVerb.DETACH, request, caller)

    async def delete(
        self, request: pool_pb2.InstanceRequest, caller: Caller
    ) -> pool_pb2.InstanceReply:
        """See `Pool.Delete`."""
        return await self._ask_about(OpVerb.DELETE, request, caller)

    async def describe(
        self, request: pool_pb2.DescribeRequest, caller: Caller
    ) -> pool_pb2.InstanceReply:
        """See `Pool.Describe`."""
        asker = tenant, _ = _frontend(caller)
        instance = self._pump.state.instances.get(check_instance_name(request.instance))
        if instance is None or not (_visible(instance, tenant) or _taken_away(instance, tenant)):
            raise not_found(request.instance)
        view = view_of(self._pump.state, instance, self._vnic_driver)
        message = described(view, self._pool, self._activities)
        self._plans.tell(message, view, asker)
        if ratio := ratio_message(self._pump.state, instance, self._clock()):
            message.ratio.CopyFrom(ratio)
        if binding := binding_message(self._pump.state, instance.id, self._clock()):
            message.binding.CopyFrom(binding)
        lease = self._pump.state.live_lease(instance.id)
        if lease is not None:
            placement = pool_pb2.Placement(why=lease.why, weighed=lease.weighed)
            message.placement.CopyFrom(placement)
            self._say_vnic(message.vnic, lease)
        self._say_place(message)
        return pool_pb2.InstanceReply(instance=message)

    async def list_instances(
        self, request: pool_pb2.ListRequest, caller: Caller
    ) -> pool_pb2.ListReply:
        """See `Pool.List`."""
        asker = _frontend(caller)
        instances = []
        for view in self._views(asker[0]):
            message = described(view, self._pool, self._activities)
            self._plans.tell(message, view, asker)
            self._say_place(message)
            instances.append(message)
        return pool_pb2.ListReply(instances=instances)

    async def watch(
        self, requests: AsyncIterator[pool_pb2.WatchUp], caller: Caller
    ) -> AsyncIterator[pool_pb2.WatchDown]:
        """See `Pool.Watch`."""
        await _check_hello(requests)
        yield pool_pb2.WatchDown(hello=hello_reply(SOFTWARE))
        frontend = _frontend(caller)
        watcher = self._watchers.add(frontend)
        for view in self._views(frontend[0]):
            if view.frontend == frontend[1]:
                watcher.tell(Publish(*frontend, view))
        reading = asyncio.create_task(self._read(requests, watcher, frontend))
        try:
            async for news in watcher.news():
                yield self._plans.news(news, frontend)
        finally:
            self._watchers.remove(frontend, watcher)
            reading.cancel()

    async def _read(
        self, requests: AsyncIterator[pool_pb2.WatchUp], watcher: Watcher, frontend: FrontEnd
    ) -> None:
        """Read what comes up until the front-end ends its side, then end ours."""
        try:
            async for message in requests:
                if message.HasField("load"):
                    self._take_load(message.load, watcher, frontend)
                elif message.HasField("want"):
                    await self._take_want(message.want.instance, frontend)
        finally:
            self._activities.silent(watcher)
            watcher.close()

    def _take_load(self, load: pool_pb2.FrontEndLoad, watcher: Watcher, frontend: FrontEnd) -> None:
        instance = self._pump.state.instances.get(load.instance)
        if instance is not None and (instance.tenant, instance.frontend) == frontend:
            self._activities.said(watcher, load.instance, word_of(load))

    async def _take_want(self, name: str, frontend: FrontEnd) -> None:
        """A call finds no worker: one that is scaled to zero is woken."""
        instance = self._pump.state.instances.get(name)
        if instance is None or (instance.tenant, instance.frontend) != frontend:
            return
        self._activities.wanted.add(name)
        if instance.asleep and not instance.op_id:
            with suppress(Unavailable):  # it is said again while the call waits
                await self._pump.submit(InstanceNeeded(name))

    async def _ask_about(
        self, verb: OpVerb, request: pool_pb2.InstanceRequest, caller: Caller
    ) -> pool_pb2.InstanceReply:
        tenant, frontend = _frontend(caller)
        name = check_instance_name(request.instance)
        return await self._ask(OpRequested(verb, tenant, frontend, request.op_id, instance=name))

    async def _ask(self, event: OpRequested) -> pool_pb2.InstanceReply:
        answer = await self._pump.request(event)
        if answer.failure is not None:
            raise answer.failure.error()
        if answer.view is None:
            raise AssertionError("an answer is a view or a failure")
        return self._reply(answer.view, event)

    async def _ask_in_line(self, event: OpRequested) -> pool_pb2.InstanceReply:
        """Its answer; while it waits in line, how it stands after a second or so."""
        if not event.wait_s:
            return await self._ask(event)
        self._presence.heard((event.tenant, event.op_id))
        asking = asyncio.ensure_future(self._ask(event))
        try:
            while True:
                done, _ = await asyncio.wait([asking], timeout=ANSWER_AFTER_S)
                if done:
                    return asking.result()
                if found := self._in_line((event.tenant, event.op_id)):
                    return found
        finally:
            asking.cancel()

    def _say_vnic(self, message: pool_pb2.Vnic, lease: LeaseRecord) -> None:
        """What is said to who asks alone."""
        if lease.link is not None:
            message.counters.CopyFrom(traffic_message(lease.usage.vnic))
            own = self._pump.state.instances[lease.instance].policy.vnic_cap_bytes_per_s
            if lease.link.cap_bytes_per_s and not own:
                message.why = f"{message.why}; its cap is its tenant's"
        elif uncapped := self._pump.settings.vnics.not_kept(lease.tenant, lease.vnic_driver):
            message.why = f"{message.why}; {uncapped}" if message.why else uncapped

    def _in_line(self, key: OpKey) -> pool_pb2.InstanceReply | None:
        """The operation's instance, if it waits in line."""
        state = self._pump.state
        if key not in state.line:
            return None
        instance = state.instances[state.ops[key].instance]
        message = instance_message(view_of(state, instance, self._vnic_driver), self._pool)
        self._say_place(message)
        return pool_pb2.InstanceReply(instance=message)

    def _say_place(self, message: pool_pb2.Instance) -> None:
        place = self._presence.place_of(self._pump.state, self._pump.settings, message.id)
        if place is not None:
            message.line.CopyFrom(pool_pb2.Line(position=place.place, length=place.length))

    def _reply(self, view: InstanceView, event: OpRequested) -> pool_pb2.InstanceReply:
        message = instance_message(view, self._pool)
        self._plans.tell(message, view, (event.tenant, event.frontend))
        return pool_pb2.InstanceReply(instance=message)

    def _views(self, tenant: str) -> list[InstanceView]:
        state = self._pump.state
        return [
            view_of(state, instance, self._vnic_driver)
            for instance in state.instances.values()
            if _visible(instance, tenant)
        ]


def _visible(instance: InstanceRecord, tenant: str) -> bool:
    return instance.tenant == tenant and instance.state is not InstanceState.DELETED


def _taken_away(instance: InstanceRecord, tenant: str) -> bool:
    """Whether it is gone, and not by its owner's doing: then why can be asked for a day."""
    gone = instance.state is InstanceState.DELETED and bool(instance.reason)
    return instance.tenant == tenant and gone


def _frontend(caller: Caller) -> FrontEnd:
    if caller.identity.tenant is None:
        raise AssertionError("the verb table lets only front-ends in")
    return caller.identity.tenant, caller.identity.name


async def _check_hello(requests: AsyncIterator[pool_pb2.WatchUp]) -> None:
    try:
        async with asyncio.timeout(FIRST_MESSAGE_S):
            first = await anext(requests)
    except TimeoutError:
        raise UsageError("FIRST_MESSAGE_TIMEOUT", "Hello must be sent at once") from None
    except StopAsyncIteration:
        raise UsageError("MALFORMED_MESSAGE", "the first message must be Hello") from None
    if first.WhichOneof("kind") != "hello":
        raise UsageError("MALFORMED_MESSAGE", "the first message must be Hello")
    check_version(first.hello)
