"""The management plane's side for operators."""

from __future__ import annotations

from eais import __version__
from eais.errors import UsageError
from eais.identity import Identity, Role
from eais.instance import InstanceState, check_instance_name
from eais.rpc import verbs
from eais.rpc.server import Binding, Caller, greet, unary
from eais.rpc.v1 import hosts_pb2, net_pb2, pool_pb2
from eais_pool.brain.events import OpRequested
from eais_pool.brain.host_records import DeviceRecord, HostRecord
from eais_pool.brain.records import OpVerb
from eais_pool.brain.state import PoolState
from eais_pool.pump import Pump
from eais_pool.renewal import Issuer
from eais_pool.service import SOFTWARE
from eais_pool.turnover import Turnover
from eais_pool.wire import device_message, endpoint_message, instance_message

# That people are told of at a time.
_MOST_STUCK = 100


class AdminService:
    """The service `PoolAdmin` of one pool."""

    def __init__(self, pool: str, pump: Pump, issuer: Issuer, turnover: Turnover) -> None:
        self._pool = pool
        self._pump = pump
        self._issuer = issuer
        self._turnover = turnover

    def bindings(self) -> list[Binding]:
        """What serves each of the service's verbs."""
        return [
            greet(verbs.POOL_ADMIN_GREET, SOFTWARE),
            unary(verbs.POOL_ADMIN_STATUS, self.status),
            unary(verbs.POOL_ADMIN_RENEW, self._issuer.renewer(Role.OPERATOR)),
            unary(verbs.POOL_ADMIN_ROLL_CA, self.roll_ca),
            unary(verbs.POOL_ADMIN_CORDON, self.cordon),
            unary(verbs.POOL_ADMIN_DRAIN, self.drain),
            unary(verbs.POOL_ADMIN_FORCE_DETACH, self.force_detach),
        ]

    async def status(
        self, request: hosts_pb2.PoolStatusRequest, caller: Caller
    ) -> hosts_pb2.PoolStatusReply:
        """See `PoolAdmin.Status`."""
        state = self._pump.state
        hosts = [state.hosts[name] for name in sorted(state.hosts)]
        instances = state.instances.values()
        return hosts_pb2.PoolStatusReply(
            pool=self._pool,
            software=f"{SOFTWARE}/{__version__}",
            devices=[_device_use(state, host, device) for host in hosts for device in host.devices],
            instances=sum(each.state is not InstanceState.DELETED for each in instances),
            hosts=[_host_use(self._pool, state, host) for host in hosts],
            ca=self._turnover.state(),
        )

    async def roll_ca(
        self, request: hosts_pb2.RollCaRequest, caller: Caller
    ) -> hosts_pb2.RollCaReply:
        """See `PoolAdmin.RollCa`."""
        begun = await self._turnover.begin_roll()
        return hosts_pb2.RollCaReply(ca=self._turnover.state(), begun=begun)

    async def cordon(self, request: hosts_pb2.CordonRequest, caller: Caller) -> hosts_pb2.HostReply:
        """See `PoolAdmin.Cordon`."""
        verb = OpVerb.CORDON if request.cordoned else OpVerb.UNCORDON
        if request.device and request.cordoned:
            raise UsageError("ARGUMENT", "a host is cordoned, not one of its devices")
        return await self._ask_about_host(verb, request.op_id, request.host, caller, request.device)

    async def drain(self, request: hosts_pb2.DrainRequest, caller: Caller) -> hosts_pb2.HostReply:
        """See `PoolAdmin.Drain`."""
        return await self._ask_about_host(OpVerb.DRAIN, request.op_id, request.host, caller)

    async def _ask_about_host(
        self, verb: OpVerb, op_id: str, host: str, caller: Caller, device: str = ""
    ) -> hosts_pb2.HostReply:
        """The host as it is when that is done; also the answer to a repetition."""
        operator = caller.identity.name
        await self._pump.request(OpRequested(verb, "", operator, op_id, host=host, device=device))
        state = self._pump.state
        return hosts_pb2.HostReply(host=_host_use(self._pool, state, state.hosts[host]))

    async def force_detach(
        self, request: hosts_pb2.ForceDetachRequest, caller: Caller
    ) -> pool_pb2.InstanceReply:
        """See `PoolAdmin.ForceDetach`."""
        name = check_instance_name(request.instance)
        operator = caller.identity.name
        event = OpRequested(OpVerb.FORCE_DETACH, "", operator, request.op_id, instance=name)
        answer = await self._pump.request(event)
        if answer.view is None:
            raise AssertionError("it is answered with the instance")
        return pool_pb2.InstanceReply(instance=instance_message(answer.view, self._pool))


def _device_use(state: PoolState, host: HostRecord, device: DeviceRecord) -> hosts_pb2.DeviceUse:
    shares = [
        hosts_pb2.ShareUse(
            instance=lease.instance,
            milli=share.milli,
            state=share.state.value,
            tenant=lease.tenant,
        )
        for lease in state.leases_on(host.host)
        for share in lease.shares
        if share.device == device.id
    ]
    used = sum(share.milli for share in shares)
    return hosts_pb2.DeviceUse(
        host=host.host,
        device=device_message(device),
        free_milli=max(0, device.capacity_milli - used),
        reachable=host.reachable,
        shares=shares,
        health=device_health(host, device),
        health_reason=device.why,
    )


def device_health(host: HostRecord, device: DeviceRecord) -> str:
    """ "ok", or why a device is of no use, or of less than it was: `hosts.proto` says more."""
    if not host.reachable:
        return "unreachable"
    if not device.present:
        return "gone"
    if device.health != "ok":
        return device.health
    return "overdrawn" if device.overdrawn else "ok"


def _host_use(pool: str, state: PoolState, host: HostRecord) -> hosts_pb2.HostUse:
    listener = Identity.listener(pool, host.host)
    leases = state.leases_on(host.host)
    stuck = [f"{lease.instance}: {lease.stuck.why}" for lease in leases if lease.stuck]
    management = host.management_plane
    return hosts_pb2.HostUse(
        host=host.host,
        reachable=host.reachable,
        isolation=host.isolation,
        isolation_reason=host.isolation_reason,
        cordoned=host.cordoned,
        draining=host.draining,
        instances=len({lease.instance for lease in leases}),
        stuck=sorted(stuck)[:_MOST_STUCK],
        vnic_driver=host.vnic_driver,
        user_plane=endpoint_message(host.user_plane, listener),
        management_plane=endpoint_message(management, listener) if management else None,
        net_drivers=[
            net_pb2.NetDriver(name=each.driver, missing=each.missing)
            for each in (host.net.abilities if host.net else ())
        ],
    )
