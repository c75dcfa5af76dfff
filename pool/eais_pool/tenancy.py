"""The management plane's side for operators: tokens, tenants, and everybody's instances."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from eais.errors import make_error
from eais.identity import Identity
from eais.instance import InstanceState
from eais.join_token import JoinToken
from eais.rpc import verbs
from eais.rpc.server import Binding, Caller, unary
from eais.rpc.v1 import hosts_pb2, pool_pb2
from eais_pool.activity import described
from eais_pool.authority import Authority
from eais_pool.brain.activity import Activities
from eais_pool.brain.events import TenantRequested, TokenRequested
from eais_pool.brain.host_records import Endpoint
from eais_pool.brain.membership import Limits, TenantView, TokenRecord
from eais_pool.brain.tenants import tenant_names, view_of_tenant
from eais_pool.brain.tokens import TOKEN_LIFE_S
from eais_pool.brain.views import view_of
from eais_pool.enrolment import secret_sha256
from eais_pool.pump import Pump
from eais_pool.wire import endpoint_message

_SALT_BYTES = 16
# Two machines of one name are one identity, so that no two names that are made up may be equal.
_SPARE_NAME_BYTES = 8


@dataclass(frozen=True, slots=True)
class Door:
    """Where machines join, and the CA, as its hash, that they find there now."""

    endpoint: Endpoint
    ca_sha256: Callable[[], bytes]


class TenancyService:
    """The verbs of `PoolAdmin` about who may use the pool, and who does."""

    def __init__(
        self, authority: Authority, pump: Pump, door: Door, activities: Activities
    ) -> None:
        self._authority = authority
        self._pump = pump
        self._door = door
        self._activities = activities
        self._quotas = pump.settings.quotas

    def bindings(self) -> list[Binding]:
        """What serves each of these verbs."""
        return [
            unary(verbs.POOL_ADMIN_CREATE_TOKEN, self.create_token),
            unary(verbs.POOL_ADMIN_SET_TENANT, self.set_tenant),
            unary(verbs.POOL_ADMIN_LIST_TENANTS, self.list_tenants),
            unary(verbs.POOL_ADMIN_LIST_INSTANCES, self.list_instances),
        ]

    async def create_token(
        self, request: hosts_pb2.CreateTokenRequest, caller: Caller
    ) -> hosts_pb2.CreateTokenReply:
        """See `PoolAdmin.CreateToken`."""
        salt = secrets.token_bytes(_SALT_BYTES)
        event = TokenRequested(
            operator=caller.identity.name,
            op_id=request.op_id,
            purpose=request.purpose,
            tenant=request.tenant,
            name=request.name,
            secret_sha256=secret_sha256(self._token(salt).secret_text),
            salt=salt.hex(),
            spare_name=f"{request.purpose}-{secrets.token_hex(_SPARE_NAME_BYTES)}",
        )
        made = await self._pump.ask(event)
        if not isinstance(made, TokenRecord):
            raise AssertionError(f"{request.op_id} made no token")
        return hosts_pb2.CreateTokenReply(
            token=self._text(made),
            life_s=round(TOKEN_LIFE_S),
            enrolment=endpoint_message(self._door.endpoint, Identity.manager(self._authority.pool)),
        )

    def _token(self, salt: bytes) -> JoinToken:
        return JoinToken(self._door.ca_sha256(), self._authority.token_secret(salt))

    def _text(self, made: TokenRecord) -> str:
        token = self._token(bytes.fromhex(made.salt))
        if secret_sha256(token.secret_text) != made.secret_sha256:
            # The answer to an older question, and another CA signs since.
            raise make_error(
                "TOKEN",
                "the token of that op_id was of a CA that signs no more",
                hint="make another",
            )
        return token.text

    async def set_tenant(
        self, request: hosts_pb2.SetTenantRequest, caller: Caller
    ) -> hosts_pb2.TenantReply:
        """See `PoolAdmin.SetTenant`."""
        event = TenantRequested(
            operator=caller.identity.name,
            op_id=request.op_id,
            tenant=request.tenant,
            create=request.create,
            quotas=tuple(_limit(quota) for quota in request.quotas),
            defaults=tuple(request.defaults),
        )
        view = await self._pump.ask(event)
        if not isinstance(view, TenantView):
            raise AssertionError(f"{request.op_id} is of no tenant")
        return hosts_pb2.TenantReply(tenant=self._message(view))

    async def list_tenants(
        self, request: hosts_pb2.ListTenantsRequest, caller: Caller
    ) -> hosts_pb2.ListTenantsReply:
        """See `PoolAdmin.ListTenants`."""
        state = self._pump.state
        views = (
            view_of_tenant(self._quotas, state, name) for name in tenant_names(self._quotas, state)
        )
        return hosts_pb2.ListTenantsReply(tenants=[self._message(view) for view in views])

    def _message(self, view: TenantView) -> hosts_pb2.Tenant:
        rule = self._pump.settings.vnics.of(view.name)
        return hosts_pb2.Tenant(
            name=view.name,
            quotas=_quota_messages(view.quotas),
            used=_quota_messages(view.used),
            vnic_network=rule.network,
            vnic_cap_bytes_per_s=rule.cap_bytes_per_s,
        )

    async def list_instances(
        self, request: pool_pb2.ListRequest, caller: Caller
    ) -> pool_pb2.ListReply:
        """See `PoolAdmin.ListInstances`."""
        state, driver = self._pump.state, self._pump.settings.vnic_driver
        views = (
            view_of(state, instance, driver)
            for instance in state.instances.values()
            if instance.state is not InstanceState.DELETED
        )
        pool = self._authority.pool
        instances = [described(view, pool, self._activities) for view in views]
        return pool_pb2.ListReply(instances=instances)


def _limit(quota: hosts_pb2.Quota) -> tuple[str, int | None]:
    return quota.what, quota.limit if quota.HasField("limit") else None


def _quota_messages(limits: Limits) -> list[hosts_pb2.Quota]:
    return [hosts_pb2.Quota(what=what, limit=limit) for what, limit in limits]
