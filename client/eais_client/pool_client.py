"""The pool manager as front-ends call it: its user plane."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from eais.binding_limits import NO_LIMITS, BindingLimits
from eais.errors import EaisError
from eais.identity import Identity
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
from eais_client.brain.ways import Found
from eais_client.config import ClientConfig
from eais_client.context import Context, ContextStore
from eais_client.instances import Instance
from eais_client.manager_client import (
    PATIENCE_S,
    Caller,
    ManagerClient,
    freshen,
    instances_of,
    new_op_id,
    pool_peer,
)
from eais_client.model_profile import ProfileReport
from eais_client.own_identity import frontend_identity
from eais_client.usage import By, UsageLine, usage_lines, usage_request
from eais_client.vnic_end import EndHere
from eais_client.vnic_ends import VnicEnds
from eais_client.whatif import ReplayLine, replay_lines, replay_request

log = logging.getLogger(__name__)

Req = TypeVar("Req", bound=Message)

#: Is told of an instance that waits in line, once a second or so.
Waits = Callable[[Instance], None]


def unsaid(instance: Instance) -> None:
    """What waits is told to nobody."""


@dataclass(frozen=True, slots=True)
class OwnVnics:
    """The vNIC ends of the front-end `identity` on this host."""

    ends: VnicEnds
    identity: Identity


class PoolClient(ManagerClient):
    """The verbs of a front-end; `with deadline(...)` bounds each call. Thread-safe.

    Where the kernel makes an instance's vNIC, this front-end's end of it comes with `attach` and
    `start`, and goes with what ends the binding. Without `vnics` there are none.

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
        ends = VnicEnds.of_config(ClientConfig.of_environ(os.environ, store.file))
        vnics = OwnVnics(ends, own.dialer.identity().identity)
        return cls(peer, vnics, patience_s=patience_s)

    def __init__(self, peer: Caller, vnics: OwnVnics | None = None, **more: Any) -> None:
        super().__init__(peer, **more)
        self._vnics = vnics

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
        vnic: str = "",
    ) -> Instance:
        """Bind to this front-end and start. With `type` a new one, which `policy` is of, with
        neither the first bindable one of the tenant; `start=False` stops at BOUND.

        While there is no room it waits in line, `wait_s` at most: NO_DEVICE then. `waits` is told
        how it stands, again and again. Whatever else ends this call takes it out of the line.
        `limits`: of the binding, from when it is granted. `vnic`: the driver, "" or "auto" for
        the pool's choice; NET_DRIVER if it can't be had, and NET_AGENT if this host has no
        network agent that it takes. What this attached and can't be reached is detached again.
        """
        vnics = self._vnics
        offer = vnics.ends.offer(vnic) if vnics else None
        # Without an offer nothing new is given a way that could fail.
        attached = offer is None or (bool(instance) and self._is_attached(instance))
        request = pool_pb2.AttachRequest(
            op_id=new_op_id(),
            instance=instance,
            type=type,
            no_start=not start,
            policy=_said(policy),
            wait_ms=round(wait_s * 1000),
            limits=_limits(limits),
            vnic=vnic,
            net_offer=offer,
        )
        made = self._in_line(verbs.POOL_ATTACH, request, waits)
        try:
            return self._reached(made)
        except EaisError:
            if not attached:
                with suppress(EaisError):
                    self.detach(made.id)
            raise

    def start(self, instance: str, *, wait_s: float = 0.0, waits: Waits = unsaid) -> Instance:
        """BOUND to IN_USE: a lease under a new epoch; it waits as `attach`."""
        request = pool_pb2.InstanceRequest(
            op_id=new_op_id(), instance=instance, wait_ms=round(wait_s * 1000)
        )
        return self._reached(self._in_line(verbs.POOL_START, request, waits))

    def stop(self, instance: str) -> Instance:
        """IN_USE to BOUND: drains, and gives the shares back."""
        return self._ended(verbs.POOL_STOP, instance)

    def resize(self, instance: str, type: str) -> Instance:
        """Another type for an IN_USE instance, under live calls; what fails leaves it as it was."""
        request = pool_pb2.ResizeRequest(op_id=new_op_id(), instance=instance, type=type)
        return self._instance(verbs.POOL_RESIZE, request)

    def detach(self, instance: str) -> Instance:
        """Undo all that attach did."""
        return self._ended(verbs.POOL_DETACH, instance)

    def delete(self, instance: str) -> Instance:
        """End a BINDABLE or FAILED instance."""
        return self._ended(verbs.POOL_DELETE, instance)

    def vnic_here(self, instance: Instance) -> EndHere | None:
        """This host's end of an instance's vNIC; None if there is none, or no agent."""
        return self._vnics.ends.here(instance.vnic) if self._vnics else None

    def tidy(self) -> None:
        """Take the vNIC ends of this front-end away that no instance of its has any more.

        What can't be done now is logged, and done the next time.
        """
        vnics = self._vnics
        try:
            found = self._found()
            if vnics is not None and found:
                own = vnics.identity
                gone = vnics.ends.stale(found, self.list(), own.pool, own.name)
                vnics.ends.release(gone)
        except EaisError as error:
            # Without an agent nobody can, and whoever asks for a list wants no vNIC.
            away = error.reason == "NET_AGENT"
            said = logging.INFO if away else logging.WARNING
            log.log(said, "vNICs of before may be left on this host: %s", error)

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

    def _is_attached(self, instance: str) -> bool:
        """Whether this front-end has the instance already."""
        return self._vnics is not None and (
            self.describe(instance).frontend == self._vnics.identity.name
        )

    def _reached(self, instance: Instance) -> Instance:
        if self._vnics is not None:
            self._vnics.ends.make(instance.vnic)
        return instance

    def _ended(self, verb: Verb[Any, pool_pb2.InstanceReply], instance: str) -> Instance:
        """Ask for what ends a lease, and take away what had led to it."""
        found = self._found_of(instance)
        ended = self._instance(verb, _named(instance))
        if self._vnics is not None:
            self._vnics.ends.release(found)
        return ended

    def _found_of(self, instance: str) -> Sequence[Found]:
        """This host's ends that lead to an instance; if there may be some, failing is logged."""
        try:
            return [each for each in self._found() if each.key.instance == instance]
        except EaisError as error:
            if error.reason != "NET_AGENT" or self._has_kernels(instance):
                log.warning("the vNIC of %s may be left on this host: %s", instance, error)
        return []

    def _has_kernels(self, instance: str) -> bool:
        try:
            return self.describe(instance).vnic.is_kernels
        except EaisError:
            return False

    def _found(self) -> tuple[Found, ...]:
        vnics = self._vnics
        return vnics.ends.found(vnics.identity.uri) if vnics is not None else ()

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
        vnic_cap_bytes_per_s=policy.vnic_cap_bytes_per_s,
    )


def _named(instance: str) -> pool_pb2.InstanceRequest:
    return pool_pb2.InstanceRequest(op_id=new_op_id(), instance=instance)
