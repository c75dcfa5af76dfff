"""The pool manager as front-ends call it: its user plane."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

from google.protobuf.message import Message

from eais.binding_limits import NO_LIMITS, BindingLimits
from eais.errors import EaisError
from eais.instance_policy import DEFAULT_POLICY, InstancePolicy
from eais.neighbours import ANYWHERE
from eais.ratio import UNSAID
from eais.rpc import verbs
from eais.rpc.v1 import (
    listener_pb2,
    pool_pb2,
    profiles_pb2,
)
from eais.rpc.verbs import Verb
from eais_client.context import Context, ContextStore
from eais_client.instances import Instance
from eais_client.manager_client import (
    PATIENCE_S,
    ManagerClient,
    freshen,
    instances_of,
    new_op_id,
    pool_peer,
)
from eais_client.model_profile import ProfileReport
from eais_client.own_identity import frontend_identity
from eais_client.usage import By, UsageLine, usage_lines, usage_request
from eais_client.whatif import ReplayLine, replay_lines, replay_request

Req = TypeVar("Req", bound=Message)

#: Is told of an instance that waits in line, once a second or so.
Waits = Callable[[Instance], None]


def unsaid(instance: Instance) -> None:
    """What waits is told to nobody."""


class PoolClient(ManagerClient):
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
        reply = self.call(verbs.POOL_LIST, pool_pb2.ListRequest())
        return instances_of(reply.instances)

    def usage(self, since_s: float, until_s: float, by: Iterable[By]) -> tuple[UsageLine, ...]:
        """What the tenant has used and was charged, from and until so many seconds ago."""
        request = usage_request(since_s, until_s, by)
        return usage_lines(self.call(verbs.LEDGER_USAGE, request))

    def what_if(
        self, since_s: float, until_s: float, instance: str, policies: Sequence[str]
    ) -> tuple[ReplayLine, ...]:
        """What these policies would have made of the tenant's demand, from and until so many
        seconds ago; of one instance, or with "" of all.

        BUSY while another replay is under way, REPLAY_LIMIT if it takes too much.
        """
        request = replay_request(since_s, until_s, instance, policies)
        return replay_lines(self.call(verbs.WHAT_IF_REPLAY, request))

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
        return ProfileReport.of_message(self.call(verbs.PROFILES_MEASURE, request))

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
        return Instance.of_message(self.call(verb, request).instance)


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
