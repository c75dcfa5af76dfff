"""The management plane's side for operators."""

from __future__ import annotations

from eais import __version__
from eais.identity import Identity, Role
from eais.instance import InstanceState
from eais.rpc import verbs
from eais.rpc.server import Binding, Caller, greet, unary
from eais.rpc.v1 import hosts_pb2
from eais_pool.brain.records import DeviceRecord, HostRecord
from eais_pool.brain.state import PoolState
from eais_pool.pump import Pump
from eais_pool.renewal import Issuer
from eais_pool.service import SOFTWARE
from eais_pool.turnover import Turnover
from eais_pool.wire import device_message, endpoint_message


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
            hosts=[_host_use(self._pool, host) for host in hosts],
            ca=self._turnover.state(),
        )

    async def roll_ca(
        self, request: hosts_pb2.RollCaRequest, caller: Caller
    ) -> hosts_pb2.RollCaReply:
        """See `PoolAdmin.RollCa`."""
        begun = await self._turnover.begin_roll()
        return hosts_pb2.RollCaReply(ca=self._turnover.state(), begun=begun)


def _device_use(state: PoolState, host: HostRecord, device: DeviceRecord) -> hosts_pb2.DeviceUse:
    shares = [
        hosts_pb2.ShareUse(instance=lease.instance, milli=share.milli, state=share.state.value)
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
    )


def _host_use(pool: str, host: HostRecord) -> hosts_pb2.HostUse:
    listener = Identity.listener(pool, host.host)
    management = host.management_plane
    return hosts_pb2.HostUse(
        host=host.host,
        reachable=host.reachable,
        isolation=host.isolation,
        isolation_reason=host.isolation_reason,
        vnic_driver=host.vnic_driver,
        user_plane=endpoint_message(host.user_plane, listener),
        management_plane=endpoint_message(management, listener) if management else None,
    )
