"""The pool manager as operators call it: its management plane."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eais.identity import Role
from eais.rpc import verbs
from eais.rpc.v1 import hosts_pb2, pool_pb2
from eais_client.context import Context, ContextStore
from eais_client.defrag import Defragmentation
from eais_client.dialer import Peer
from eais_client.instances import Instance
from eais_client.manager_client import (
    PATIENCE_S,
    ManagerClient,
    freshen,
    instances_of,
    new_op_id,
)
from eais_client.own_identity import operator_identity
from eais_client.pool_status import CaRoll, CaState, HostUse, NewToken, PoolStatus
from eais_client.tenants import QuotaChanges, Tenant
from eais_client.usage import By, UsageLine, usage_lines, usage_request
from eais_client.whatif import ReplayLine, replay_lines, replay_request


class OperatorClient(ManagerClient):
    """The pool's management plane, as the context's operator. Thread-safe."""

    @classmethod
    def of_context(
        cls, store: ContextStore, context: Context, *, patience_s: float = PATIENCE_S
    ) -> OperatorClient:
        """A client of the context's pool, as its operator, renewed if it is time.

        Raises `IdentityError` CERT_MISSING if the context has no operator.
        """
        own = operator_identity(store, context)
        peer = Peer(own.dialer, own.manager, verbs.POOL_ADMIN_GREET, "POOL_UNREACHABLE")
        freshen(own, peer)
        return cls(peer, patience_s=patience_s)

    def status(self) -> PoolStatus:
        """Hosts, devices and shares as they are now."""
        reply = self.call(verbs.POOL_ADMIN_STATUS, hosts_pb2.PoolStatusRequest())
        return PoolStatus.of_message(reply)

    def usage(self, since_s: float, until_s: float, by: Iterable[By]) -> tuple[UsageLine, ...]:
        """What all tenants have used and were charged, from and until so many seconds ago."""
        request = usage_request(since_s, until_s, by)
        return usage_lines(self.call(verbs.LEDGER_ADMIN_USAGE, request))

    def what_if(
        self, since_s: float, until_s: float, instance: str, policies: Sequence[str]
    ) -> tuple[ReplayLine, ...]:
        """The same of all tenants' demand."""
        request = replay_request(since_s, until_s, instance, policies)
        return replay_lines(self.call(verbs.WHAT_IF_ADMIN_REPLAY, request))

    def roll_ca(self) -> CaRoll:
        """Begin to replace the pool's CA; a roll that is under way goes on."""
        reply = self.call(verbs.POOL_ADMIN_ROLL_CA, hosts_pb2.RollCaRequest())
        return CaRoll(CaState.of_message(reply.ca), reply.begun)

    def create_token(self, purpose: Role, *, tenant: str = "", name: str = "") -> NewToken:
        """A token to join with as `purpose`; a front-end's is of `tenant`.

        Raises NOT_FOUND if there is no such tenant, NAME if a name can't be one.
        """
        request = hosts_pb2.CreateTokenRequest(
            op_id=new_op_id(), purpose=purpose.value, tenant=tenant, name=name
        )
        return NewToken.of_message(self.call(verbs.POOL_ADMIN_CREATE_TOKEN, request))

    def create_tenant(self, name: str, quotas: QuotaChanges) -> Tenant:
        """A new tenant; NAME_TAKEN if it is there."""
        return self._set_tenant(name, quotas, create=True)

    def set_quotas(self, name: str, quotas: QuotaChanges) -> Tenant:
        """Change the quotas of a tenant; NOT_FOUND if there is none."""
        return self._set_tenant(name, quotas, create=False)

    def _set_tenant(self, name: str, quotas: QuotaChanges, *, create: bool) -> Tenant:
        request = hosts_pb2.SetTenantRequest(
            op_id=new_op_id(),
            tenant=name,
            create=create,
            quotas=quotas.messages(),
            defaults=quotas.defaults,
        )
        return Tenant.of_message(self.call(verbs.POOL_ADMIN_SET_TENANT, request).tenant)

    def tenants(self) -> tuple[Tenant, ...]:
        """All tenants, with their quotas and what they have."""
        reply = self.call(verbs.POOL_ADMIN_LIST_TENANTS, hosts_pb2.ListTenantsRequest())
        return tuple(map(Tenant.of_message, reply.tenants))

    def instances(self) -> tuple[Instance, ...]:
        """All instances of all tenants that aren't DELETED."""
        reply = self.call(verbs.POOL_ADMIN_LIST_INSTANCES, pool_pb2.ListRequest())
        return instances_of(reply.instances)

    def cordon(self, host: str, *, cordoned: bool = True) -> HostUse:
        """Grant nothing more on a host, or grant again, which also ends a drain."""
        request = hosts_pb2.CordonRequest(op_id=new_op_id(), host=host, cordoned=cordoned)
        return HostUse.of_message(self.call(verbs.POOL_ADMIN_CORDON, request).host)

    def check_device(self, host: str, device: str) -> None:
        """Have a device checked, and granted again if it passes; `status` says how it is."""
        request = hosts_pb2.CordonRequest(op_id=new_op_id(), host=host, device=device)
        self.call(verbs.POOL_ADMIN_CORDON, request)

    def drain(self, host: str) -> HostUse:
        """Begin to move a host's instances to others; `status` says how far it is."""
        request = hosts_pb2.DrainRequest(op_id=new_op_id(), host=host)
        return HostUse.of_message(self.call(verbs.POOL_ADMIN_DRAIN, request).host)

    def force_detach(self, instance: str) -> Instance:
        """End an instance's lease and binding, whatever its tenant does."""
        request = hosts_pb2.ForceDetachRequest(op_id=new_op_id(), instance=instance)
        reply = self.call(verbs.POOL_ADMIN_FORCE_DETACH, request)
        return Instance.of_message(reply.instance)

    def defrag(
        self, op_id: str = "", moves: int = 0, *, dry_run: bool = False, show: bool = False
    ) -> Defragmentation:
        """Begin to move instances so that less is lost, at most so many; 0: all that gain.

        With an `op_id` again: how far that is. `dry_run`: what would be done; `show`: the last one.
        """
        request = hosts_pb2.DefragRequest(op_id=op_id, moves=moves, dry_run=dry_run, show=show)
        return Defragmentation.of_message(self.call(verbs.POOL_ADMIN_DEFRAG, request))

    def end_defrag(self) -> Defragmentation:
        """Begin no more of the moves under way."""
        request = hosts_pb2.DefragRequest(op_id=new_op_id(), stop=True)
        return Defragmentation.of_message(self.call(verbs.POOL_ADMIN_DEFRAG, request))
