"""A pool of one tenant, for tests of the command line."""

from __future__ import annotations

from typing import TypeVar, cast

from google.protobuf.message import Message

from eais.errors import EaisError, UsageError
from eais.rpc.v1 import pool_pb2
from eais.rpc.verbs import Verb
from eais_client.cli.testing_reports import FakeReports
from eais_client.testing.vnics import planned_vnic

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)


class FakePool(FakeReports):
    """A pool of one tenant behind `PoolClient`: keeps instances, refuses wrong states.

    What is attached with the offer of a network agent gets a vNIC of the kernel when it is
    started. `attaches` keeps what was asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.instances: dict[str, pool_pb2.Instance] = {}
        self.attaches: list[pool_pb2.AttachRequest] = []
        self._offered: set[str] = set()
        self._failures: list[EaisError] = []

    def fail_next(self, error: EaisError) -> None:
        """Answer the next call with `error`."""
        self._failures.append(error)

    def call(self, verb: Verb[Req, Rep], request: Req, timeout_s: float | None) -> Rep:
        """Answer as the manager would."""
        if self._failures:
            raise self._failures.pop(0)
        return cast("Rep", getattr(self, f"_{verb.method.lower()}")(request))

    def close(self) -> None:
        """Nothing to close."""

    def _create(self, request: pool_pb2.CreateRequest) -> pool_pb2.InstanceReply:
        return self._reply(self._new(request, ephemeral=False))

    def _attach(self, request: pool_pb2.AttachRequest) -> pool_pb2.InstanceReply:
        if request.type:
            instance = self._new(request, ephemeral=True)
        elif request.instance:
            instance = self._get(request.instance)
        else:
            instance = self._first_bindable()
        instance.state, instance.frontend = pool_pb2.BOUND, "owner"
        instance.vnic.driver, instance.vnic.address = "loopback", "127.64.16.18"
        instance.vnic.isolation = "mTLS only"
        self.attaches.append(request)
        self._offered.discard(instance.id)
        if request.HasField("net_offer"):
            self._offered.add(instance.id)
        return self._reply(instance) if request.no_start else self._grant(instance)

    def _start(self, request: pool_pb2.InstanceRequest) -> pool_pb2.InstanceReply:
        return self._grant(self._in(request.instance, pool_pb2.BOUND))

    def _stop(self, request: pool_pb2.InstanceRequest) -> pool_pb2.InstanceReply:
        instance = self._in(request.instance, pool_pb2.IN_USE)
        instance.state, instance.host = pool_pb2.BOUND, ""
        instance.ClearField("workers")
        return self._reply(instance)

    def _detach(self, request: pool_pb2.InstanceRequest) -> pool_pb2.InstanceReply:
        instance = self._get(request.instance)
        for name in ("workers", "vnic", "frontend", "host"):
            instance.ClearField(name)
        instance.state = pool_pb2.DELETED if instance.ephemeral else pool_pb2.BINDABLE
        if instance.ephemeral:
            del self.instances[instance.id]
        return self._reply(instance)

    def _delete(self, request: pool_pb2.InstanceRequest) -> pool_pb2.InstanceReply:
        instance = self._in(request.instance, pool_pb2.BINDABLE)
        instance.state = pool_pb2.DELETED
        del self.instances[instance.id]
        return self._reply(instance)

    def _describe(self, request: pool_pb2.DescribeRequest) -> pool_pb2.InstanceReply:
        return self._reply(self._get(request.instance))

    def _list(self, request: pool_pb2.ListRequest) -> pool_pb2.ListReply:
        return pool_pb2.ListReply(instances=self.instances.values())

    def _new(
        self, request: pool_pb2.CreateRequest | pool_pb2.AttachRequest, *, ephemeral: bool
    ) -> pool_pb2.Instance:
        made = pool_pb2.Instance(
            id=f"ei-{len(self.instances) + 1:04x}",
            tenant="default",
            type=request.type,
            state=pool_pb2.BINDABLE,
            tolerance=request.policy.tolerance or "exact",
            ephemeral=ephemeral,
            policy=request.policy,
        )
        self.instances[made.id] = made
        return made

    def _grant(self, instance: pool_pb2.Instance) -> pool_pb2.InstanceReply:
        instance.state, instance.host = pool_pb2.IN_USE, "local"
        instance.epoch += 1
        instance.listener.address, instance.listener.port = "127.64.16.2", 40118
        worker = instance.workers.add(
            n=1, kind="cpu", device="cpu0", share_milli=1000, isolation=2, serving=True
        )
        worker.enforcement, worker.incarnation = "cooperative", 1
        worker.memory_bytes, worker.memory_enforcement = 4 << 30, "forced"
        worker.endpoint.address, worker.endpoint.port = "127.64.16.18", 40117
        worker.endpoint.server_name = f"1.{instance.id}.local-5f3a9c1e.internal"
        if instance.id in self._offered:
            number = int(instance.id.removeprefix("ei-"), 16)
            vnic = planned_vnic(instance.id, "local", instance.epoch << 20, n=number)
            instance.vnic.CopyFrom(vnic)
        return self._reply(instance)

    def _first_bindable(self) -> pool_pb2.Instance:
        for instance in self.instances.values():
            if instance.state == pool_pb2.BINDABLE:
                return instance
        raise UsageError("NOT_FOUND", "no bindable instance")

    def _get(self, instance_id: str) -> pool_pb2.Instance:
        if instance_id not in self.instances:
            raise UsageError("NOT_FOUND", f"there is no instance {instance_id}")
        return self.instances[instance_id]

    def _in(self, instance_id: str, state: pool_pb2.InstanceState) -> pool_pb2.Instance:
        instance = self._get(instance_id)
        if instance.state != state:
            now = pool_pb2.InstanceState.Name(instance.state)
            raise UsageError("WRONG_STATE", f"{instance_id} is {now}")
        return instance

    @staticmethod
    def _reply(instance: pool_pb2.Instance) -> pool_pb2.InstanceReply:
        return pool_pb2.InstanceReply(instance=instance)
