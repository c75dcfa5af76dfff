"""A manager's management plane behind `OperatorClient`: hosts, tenants, tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

from google.protobuf.message import Message

from eais.errors import EaisError, UsageError
from eais.rpc.v1 import common_pb2, hosts_pb2, pool_pb2
from eais.rpc.verbs import Verb

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)

TOKEN = f"eais1.{'ab' * 32}.{'c' * 27}"
LIFE_S = 600


class FakeManager:
    """Answers as the manager would; `asked` keeps every request.

    A drain goes on by one look (`Status`) at a time: each takes an instance off a draining
    host, unless `stuck` says why it can't move. A device that is checked is `checking` for one
    look, and then as `checks` says: by device, its health and why. `defrag` is the plan, of which
    each look (`Defrag` with the same op_id) ends a move.
    """

    def __init__(self, *hosts: str) -> None:
        self.hosts = {
            host: hosts_pb2.HostUse(host=host, reachable=True, isolation=2) for host in hosts
        }
        self.instances: dict[str, pool_pb2.Instance] = {}
        self.tenants = {"default": hosts_pb2.Tenant(name="default")}
        self.stuck: dict[str, str] = {}
        self.checks: dict[str, tuple[str, str]] = {}
        self._checking: dict[str, list[tuple[str, str]]] = {}
        self.defrag = hosts_pb2.DefragReply(over=True)
        self.asked: list[Message] = []
        self._failures: list[EaisError] = []

    def add(self, tenant: str, host: str) -> pool_pb2.Instance:
        """An instance of `tenant` that is in use on `host`."""
        made = pool_pb2.Instance(
            id=f"ei-{len(self.instances) + 1:04x}",
            tenant=tenant,
            type="cpu.1",
            state=pool_pb2.IN_USE,
            frontend="ada",
            host=host,
            epoch=1,
            tolerance="exact",
        )
        self.instances[made.id] = made
        return made

    def fail_next(self, error: EaisError) -> None:
        """Answer the next call with `error`."""
        self._failures.append(error)

    def call(self, verb: Verb[Req, Rep], request: Req, timeout_s: float | None) -> Rep:
        """Answer as the manager would."""
        self.asked.append(request)
        if self._failures:
            raise self._failures.pop(0)
        return cast("Rep", getattr(self, f"_{verb.method}")(request))

    def close(self) -> None:
        """Nothing to close."""

    def _CreateToken(self, request: hosts_pb2.CreateTokenRequest) -> hosts_pb2.CreateTokenReply:
        if request.tenant:
            self._tenant(request.tenant)
        where = common_pb2.Endpoint(address="10.0.0.5", port=7443)
        return hosts_pb2.CreateTokenReply(token=TOKEN, life_s=LIFE_S, enrolment=where)

    def _SetTenant(self, request: hosts_pb2.SetTenantRequest) -> hosts_pb2.TenantReply:
        if not request.create:
            tenant = self._tenant(request.tenant)
        elif request.tenant in self.tenants:
            raise UsageError("NAME_TAKEN", f"there is a tenant {request.tenant}")
        else:
            tenant = hosts_pb2.Tenant(name=request.tenant)
        set_now = {quota.what for quota in request.quotas} | set(request.defaults)
        kept = [quota for quota in tenant.quotas if quota.what not in set_now]
        self.tenants[request.tenant] = hosts_pb2.Tenant(
            name=request.tenant, quotas=[*kept, *request.quotas], used=tenant.used
        )
        return hosts_pb2.TenantReply(tenant=self.tenants[request.tenant])

    def _ListTenants(self, request: hosts_pb2.ListTenantsRequest) -> hosts_pb2.ListTenantsReply:
        return hosts_pb2.ListTenantsReply(tenants=self.tenants.values())

    def _ListInstances(self, request: pool_pb2.ListRequest) -> pool_pb2.ListReply:
        return pool_pb2.ListReply(instances=self.instances.values())

    def _Cordon(self, request: hosts_pb2.CordonRequest) -> hosts_pb2.HostReply:
        host = self._host(request.host)
        if request.device:
            self._checking[request.device] = [("checking", ""), self.checks[request.device]]
            return hosts_pb2.HostReply(host=self._seen(host))
        host.cordoned = request.cordoned
        host.draining = host.draining and request.cordoned
        return hosts_pb2.HostReply(host=self._seen(host))

    def _Drain(self, request: hosts_pb2.DrainRequest) -> hosts_pb2.HostReply:
        host = self._host(request.host)
        host.cordoned = host.draining = True
        return hosts_pb2.HostReply(host=self._seen(host))

    def _ForceDetach(self, request: hosts_pb2.ForceDetachRequest) -> pool_pb2.InstanceReply:
        if request.instance not in self.instances:
            raise UsageError("NOT_FOUND", f"there is no instance {request.instance}")
        instance = self.instances[request.instance]
        instance.state, instance.epoch = pool_pb2.BINDABLE, instance.epoch + 1
        instance.frontend = instance.host = ""
        return pool_pb2.InstanceReply(instance=instance)

    def _Defrag(self, request: hosts_pb2.DefragRequest) -> hosts_pb2.DefragReply:
        before = [each for each in self.asked if isinstance(each, hosts_pb2.DefragRequest)][:-1]
        waiting = [move for move in self.defrag.moves if move.state in ("waiting", "moving")]
        if request.stop:
            for move in waiting:
                move.state, move.why = "skipped", "an operator ended it"
        elif request.op_id and request in before:
            for move in waiting[:1]:
                move.state = "done"
        self.defrag.over = not any(m.state in ("waiting", "moving") for m in self.defrag.moves)
        return self.defrag

    def _Status(self, request: hosts_pb2.PoolStatusRequest) -> hosts_pb2.PoolStatusReply:
        for host in self.hosts.values():
            moving = [i for i in self._on(host.host) if host.draining and i.id not in self.stuck]
            for instance in moving[:1]:
                instance.host = next(name for name in self.hosts if name != host.host)
        return hosts_pb2.PoolStatusReply(
            pool="local-5f3a9c1e",
            hosts=[self._seen(host) for host in self.hosts.values()],
            devices=[self._looked_at(device) for device in self._checking],
        )

    def _looked_at(self, device: str) -> hosts_pb2.DeviceUse:
        known = self._checking[device]
        health, why = known.pop(0) if len(known) > 1 else known[0]
        return hosts_pb2.DeviceUse(
            host="local",
            device=hosts_pb2.Device(id=device, kind="gpu"),
            health=health,
            health_reason=why,
        )

    def _seen(self, host: hosts_pb2.HostUse) -> hosts_pb2.HostUse:
        there = list(self._on(host.host))
        host.instances = len(there)
        stuck = [f"{i.id}: {self.stuck[i.id]}" for i in there if i.id in self.stuck]
        host.stuck[:] = stuck if host.draining else []
        return host

    def _on(self, host: str) -> Iterable[pool_pb2.Instance]:
        return [instance for instance in self.instances.values() if instance.host == host]

    def _host(self, name: str) -> hosts_pb2.HostUse:
        if name not in self.hosts:
            raise UsageError("NOT_FOUND", f"there is no host {name}")
        return self.hosts[name]

    def _tenant(self, name: str) -> hosts_pb2.Tenant:
        if name not in self.tenants:
            raise UsageError("NOT_FOUND", f"there is no tenant {name}")
        return self.tenants[name]
