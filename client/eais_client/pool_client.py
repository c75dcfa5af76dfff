"""The pool manager as front-ends and operators call it.

Every changing verb carries an `op_id` made once a call, so that it can be sent again after
a lost answer: the pool then gives the stored one. It is sent again only while nobody
answers (POOL_UNREACHABLE, JOURNAL_UNAVAILABLE), until the caller's deadline or `patience_s`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol, Self, TypeVar

from google.protobuf.message import Message

from eais.backoff import RETRY, Rng
from eais.binding_limits import NO_LIMITS, BindingLimits
from eais.deadline import Deadline, current
from eais.errors import EaisError
from eais.identity import Role
from eais.instance_policy import DEFAULT_POLICY, InstancePolicy
from eais.jitter import JITTER
from eais.neighbours import ANYWHERE
from eais.ratio import UNSAID
from eais.rpc import verbs
from eais.rpc.v1 import (
    hosts_pb2,
    listener_pb2,
    pool_pb2,
    profiles_pb2,
)
from eais.rpc.verbs import Verb
from eais_client import renewal
from eais_client.context import Context, ContextStore
from eais_client.defrag import Defragmentation
from eais_client.dialer import Dialer, Peer
from eais_client.instances import Instance
from eais_client.model_profile import ProfileReport
from eais_client.own_identity import OwnIdentity, frontend_identity, operator_identity
from eais_client.pool_status import CaRoll, CaState, HostUse, NewToken, PoolStatus
from eais_client.tenants import QuotaChanges, Tenant
from eais_client.usage import By, UsageLine, usage_lines, usage_request
from eais_client.whatif import ReplayLine, replay_lines, replay_request

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)

#: Is told of an instance that waits in line, once a second or so.
Waits = Callable[[Instance], None]

PATIENCE_S = 10.0
RENEW_TIMEOUT_S = 5.0
# A command that could go on with the leaf it has doesn't wait for long.
FRESHEN_TIMEOUT_S = 2.0
_AGAIN = frozenset({"POOL_UNREACHABLE", "JOURNAL_UNAVAILABLE"})


def unsaid(instance: Instance) -> None:
    """What waits is told to nobody."""


class Caller(Protocol):
    """What carries one call to a server; `eais_client.dialer.Peer` is one."""

    def call(self, verb: Verb[Req, Rep], request: Req, timeout_s: float | None) -> Rep:
        """Call a unary verb; every failure is an `EaisError`."""
        ...

    def close(self) -> None:
        """End what is under way."""
        ...


class _ManagerClient:
    """Calls to the manager, which are sent again while it doesn't answer."""

    def __init__(
        self,
        peer: Caller,
        *,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: Rng = JITTER,
    ) -> None:
        self._peer = peer
        self._patience_s = patience_s
        self._clock = clock
        self._sleep = sleep
        self._rng = rng

    def close(self) -> None:
        """End the connection."""
        self._peer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _call(self, verb: Verb[Req, Rep], request: Req) -> Rep:
        """Call until answered, refused, or out of patience or time."""
        patience = Deadline.after(self._patience_s, self._clock())
        caller = current()
        failures = 0
        while True:
            try:
                caller.check(self._clock())
                return self._peer.call(verb, request, caller.left_or_none(self._clock()))
            except EaisError as error:
                failures += 1
                wait_s = RETRY.delay_s(failures, self._rng)
                until = patience.earlier(caller)
                if error.reason not in _AGAIN or until.passed(self._clock() + wait_s):
                    raise
            self._sleep(wait_s)


class PoolClient(_ManagerClient):
    """The verbs of a front-end; `with deadline(...)` bounds each call. Thread-safe.

    Every failure is an `EaisError`: POOL_UNREACHABLE, NOT_FOUND (also for what is another
    tenant's), WRONG_STATE, NO_DEVICE, TYPE_UNKNOWN, QUOTA, CERT_..., ...
    """

    @classmethod
    def of_context(
        cls, store: ContextStore, context: Context, *, patience_s: float = PATIENCE_S
    ) -> PoolClient:
        """A client of the context's pool, as the context's front-end, renewed if it is time."""
        own = frontend_identity(store, context)
        peer = pool_peer(own.dialer, context)
        freshen(own, peer)
        return cls(peer, patience_s=patience_s)

    def create(self, type: str, policy: InstancePolicy = DEFAULT_POLICY) -> Instance:
        """A new instance of `type` ("cpu.2", "gpu.1-8", "auto"): BINDABLE, holding nothing."""
        request = pool_pb2.CreateRequest(op_id=new_op_id(), type=type, policy=_said(policy))
        return self._instance(verbs.POOL_CREATE, request)

    def attach(
        self,
        *,
        instance: str = "",
        type: str = "",
        start: bool = True,
        policy: InstancePolicy = DEFAULT_POLICY,
        wait_s: float = 0.0,
        waits: Waits = unsaid,
        limits: BindingLimits = NO_LIMITS,
    ) -> Instance:
        """Bind to this front-end and start. With `type` a new one, which `policy` is of, with
        neither the first bindable one of the tenant; `start=False` stops at BOUND.

        While there is no room it waits in line, `wait_s` at most: NO_DEVICE then. `waits` is told
        how it stands, again and again. Whatever else ends this call takes it out of the line.
        `limits`: of the binding, from when it is granted.
        """
        request = pool_pb2.AttachRequest(
            op_id=new_op_id(),
            instance=instance,
            type=type,
            no_start=not start,
            policy=_said(policy),
            wait_ms=round(wait_s * 1000),
            limits=_limits(limits),
        )
        return self._in_line(verbs.POOL_ATTACH, request, waits)

    def start(self, instance: str, *, wait_s: float = 0.0, waits: Waits = unsaid) -> Instance:
        """BOUND to IN_USE: a lease under a new epoch; it waits as `attach`."""
        request = pool_pb2.InstanceRequest(
            op_id=new_op_id(), instance=instance, wait_ms=round(wait_s * 1000)
        )
        return self._in_line(verbs.POOL_START, request, waits)

    def stop(self, instance: str) -> Instance:
        """IN_USE to BOUND: drains, and gives the shares back."""
        return self._instance(verbs.POOL_STOP, _named(instance))

    def resize(self, instance: str, type: str) -> Instance:
        """Another type for an IN_USE instance, under live calls; what fails leaves it as it was."""
        request = pool_pb2.ResizeRequest(op_id=new_op_id(), instance=instance, type=type)
        return self._instance(verbs.POOL_RESIZE, request)

    def detach(self, instance: str) -> Instance:
        """Undo all that attach did."""
        return self._instance(verbs.POOL_DETACH, _named(instance))

    def delete(self, instance: str) -> Instance:
        """End a BINDABLE or FAILED instance."""
        return self._instance(verbs.POOL_DELETE, _named(instance))

    def describe(self, instance: str) -> Instance:
        """The instance as it is now; NOT_FOUND if there is none of the caller's tenant."""
        return self._instance(verbs.POOL_DESCRIBE, pool_pb2.DescribeRequest(instance=instance))

    def list(self) -> tuple[Instance, ...]:
        """All instances of the caller's tenant that aren't DELETED."""
        reply = self._call(verbs.POOL_LIST, pool_pb2.ListRequest())
        return _instances(reply.instances)

    def usage(self, since_s: float, until_s: float, by: Iterable[By]) -> tuple[UsageLine, ...]:
        """What the tenant has used and was charged, from and until so many seconds ago."""
        request = usage_request(since_s, until_s, by)
        return usage_lines(self._call(verbs.LEDGER_USAGE, request))

    def what_if(
        self, since_s: float, until_s: float, instance: str, policies: Sequence[str]
    ) -> tuple[ReplayLine, ...]:
        """What these policies would have made of the tenant's demand, from and until so many
        seconds ago; of one instance, or with "" of all.

        BUSY while another replay is under way, REPLAY_LIMIT if it takes too much.
        """
        request = replay_request(since_s, until_s, instance, policies)
        return replay_lines(self._call(verbs.WHAT_IF_REPLAY, request))

    def measure(
        self,
        op_id: str,
        *,
        spec: listener_pb2.SessionSpec | None = None,
        digest: str = "",
        tolerance: str = "",
    ) -> ProfileReport:
        """Have a model measured on the pool's idle devices, or ask how far that is.

        By its spec, if its files are at a host of the pool; or by its digest, if an instance of
        the tenant has it open. `op_id` is the same until the report says that it is over.
        """
        request = profiles_pb2.MeasureRequest(
            op_id=op_id, spec=spec, digest=bytes.fromhex(digest), tolerance=tolerance
        )
        return ProfileReport.of_message(self._call(verbs.PROFILES_MEASURE, request))

    def _in_line(
        self, verb: Verb[Req, pool_pb2.InstanceReply], request: Req, waits: Waits
    ) -> Instance:
        """The answer, asked for again and again while it waits in line."""
        seen: Instance | None = None
        try:
            while (found := self._instance(verb, request)).line is not None:
                seen = found
                waits(found)
        except BaseException as error:
            if seen is not None and not isinstance(error, EaisError):
                with suppress(EaisError):  # it leaves the line all the same, some seconds later
                    self.stop(seen.id)
            raise
        return found

    def _instance(self, verb: Verb[Req, pool_pb2.InstanceReply], request: Req) -> Instance:
        return Instance.of_message(self._call(verb, request).instance)


class OperatorClient(_ManagerClient):
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
        reply = self._call(verbs.POOL_ADMIN_STATUS, hosts_pb2.PoolStatusRequest())
        return PoolStatus.of_message(reply)

    def usage(self, since_s: float, until_s: float, by: Iterable[By]) -> tuple[UsageLine, ...]:
        """What all tenants have used and were charged, from and until so many seconds ago."""
        request = usage_request(since_s, until_s, by)
        return usage_lines(self._call(verbs.LEDGER_ADMIN_USAGE, request))

    def what_if(
        self, since_s: float, until_s: float, instance: str, policies: Sequence[str]
    ) -> tuple[ReplayLine, ...]:
        """The same of all tenants' demand."""
        request = replay_request(since_s, until_s, instance, policies)
        return replay_lines(self._call(verbs.WHAT_IF_ADMIN_REPLAY, request))

    def roll_ca(self) -> CaRoll:
        """Begin to replace the pool's CA; a roll that is under way goes on."""
        reply = self._call(verbs.POOL_ADMIN_ROLL_CA, hosts_pb2.RollCaRequest())
        return CaRoll(CaState.of_message(reply.ca), reply.begun)

    def create_token(self, purpose: Role, *, tenant: str = "", name: str = "") -> NewToken:
        """A token to join with as `purpose`; a front-end's is of `tenant`.

        Raises NOT_FOUND if there is no such tenant, NAME if a name can't be one.
        """
        request = hosts_pb2.CreateTokenRequest(
            op_id=new_op_id(), purpose=purpose.value, tenant=tenant, name=name
        )
        return NewToken.of_message(self._call(verbs.POOL_ADMIN_CREATE_TOKEN, request))

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
        return Tenant.of_message(self._call(verbs.POOL_ADMIN_SET_TENANT, request).tenant)

    def tenants(self) -> tuple[Tenant, ...]:
        """All tenants, with their quotas and what they have."""
        reply = self._call(verbs.POOL_ADMIN_LIST_TENANTS, hosts_pb2.ListTenantsRequest())
        return tuple(map(Tenant.of_message, reply.tenants))

    def instances(self) -> tuple[Instance, ...]:
        """All instances of all tenants that aren't DELETED."""
        reply = self._call(verbs.POOL_ADMIN_LIST_INSTANCES, pool_pb2.ListRequest())
        return _instances(reply.instances)

    def cordon(self, host: str, *, cordoned: bool = True) -> HostUse:
        """Grant nothing more on a host, or grant again, which also ends a drain."""
        request = hosts_pb2.CordonRequest(op_id=new_op_id(), host=host, cordoned=cordoned)
        return HostUse.of_message(self._call(verbs.POOL_ADMIN_CORDON, request).host)

    def check_device(self, host: str, device: str) -> None:
        """Have a device checked, and granted again if it passes; `status` says how it is."""
        request = hosts_pb2.CordonRequest(op_id=new_op_id(), host=host, device=device)
        self._call(verbs.POOL_ADMIN_CORDON, request)

    def drain(self, host: str) -> HostUse:
        """Begin to move a host's instances to others; `status` says how far it is."""
        request = hosts_pb2.DrainRequest(op_id=new_op_id(), host=host)
        return HostUse.of_message(self._call(verbs.POOL_ADMIN_DRAIN, request).host)

    def force_detach(self, instance: str) -> Instance:
        """End an instance's lease and binding, whatever its tenant does."""
        request = hosts_pb2.ForceDetachRequest(op_id=new_op_id(), instance=instance)
        reply = self._call(verbs.POOL_ADMIN_FORCE_DETACH, request)
        return Instance.of_message(reply.instance)

    def defrag(
        self, op_id: str = "", moves: int = 0, *, dry_run: bool = False, show: bool = False
    ) -> Defragmentation:
        """Begin to move instances so that less is lost, at most so many; 0: all that gain.

        With an `op_id` again: how far that is. `dry_run`: what would be done; `show`: the last one.
        """
        request = hosts_pb2.DefragRequest(op_id=op_id, moves=moves, dry_run=dry_run, show=show)
        return Defragmentation.of_message(self._call(verbs.POOL_ADMIN_DEFRAG, request))

    def end_defrag(self) -> Defragmentation:
        """Begin no more of the moves under way."""
        request = hosts_pb2.DefragRequest(op_id=new_op_id(), stop=True)
        return Defragmentation.of_message(self._call(verbs.POOL_ADMIN_DEFRAG, request))


def freshen(own: OwnIdentity, peer: Caller) -> None:
    """Renew the identity over `peer` if it is time; never raises for it."""
    renewal.freshen(own.renewal(lambda ask: peer.call(own.verb, ask, FRESHEN_TIMEOUT_S)))


def pool_peer(dialer: Dialer, context: Context) -> Peer:
    """The user plane of the context's manager."""
    return Peer(dialer, context.manager_address(), verbs.POOL_GREET, "POOL_UNREACHABLE")


def new_op_id() -> str:
    """A UUID that names one changing call, however often it is sent."""
    return str(uuid.uuid4())


def _limits(limits: BindingLimits) -> pool_pb2.BindingLimits | None:
    if not limits:
        return None
    return pool_pb2.BindingLimits(
        ttl_ms=round(limits.ttl_s * 1000),
        budget=limits.budget,
        idle_ms=round(limits.idle_s * 1000),
    )


def _said(policy: InstancePolicy) -> pool_pb2.InstancePolicy | None:
    if policy.is_default:
        return None
    said, beside = policy.ratio, policy.neighbours
    ratio = pool_pb2.RatioPolicy(
        ratio=said.text,
        least=said.least,
        most=said.most,
        kinds=said.kinds,
        late_target=said.late_target,
    )
    neighbours = pool_pb2.Neighbours(spread=beside.spread, near=beside.near, strict=beside.strict)
    return pool_pb2.InstancePolicy(
        ring=policy.ring.value,
        slo_p99_us=policy.slo_p99_us,
        tolerance=policy.tolerance or "",
        rate_per_s=policy.rate_per_s,
        price_cap_per_h=policy.price_cap_per_h,
        ratio=None if said == UNSAID else ratio,
        neighbours=None if beside == ANYWHERE else neighbours,
    )


def _named(instance: str) -> pool_pb2.InstanceRequest:
    return pool_pb2.InstanceRequest(op_id=new_op_id(), instance=instance)


def _instances(messages: Iterable[pool_pb2.Instance]) -> tuple[Instance, ...]:
    return tuple(Instance.of_message(message) for message in messages)
