"""What reaches the pool manager from outside. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass

from eais.binding_limits import NO_LIMITS, BindingLimits
from eais.instance_policy import DEFAULT_POLICY, InstancePolicy
from eais.neighbours import ANYWHERE
from eais.ratio import UNSAID
from eais_pool.brain.defrag_records import DefragAsk
from eais_pool.brain.host_records import HostRecord
from eais_pool.brain.ledger_records import UsageRecord
from eais_pool.brain.loads import LoadsReported
from eais_pool.brain.membership import Limits
from eais_pool.brain.net_records import NetOffer
from eais_pool.brain.ratio_records import DemandSeen
from eais_pool.brain.records import (
    Failure,
    HeldLease,
    LeaseKey,
    OfLease,
    OpVerb,
    WorkerRecord,
)
from eais_pool.policy.profiles import Profile
from eais_pool.policy.ratio.control import Decision


@dataclass(frozen=True, slots=True)
class ManagerStarted:
    """The first event of a manager's life; no link is up. `wall`: seconds since 1970."""

    boot_id: str
    wall: float = 0.0


@dataclass(frozen=True, slots=True)
class OpRequested:
    """A front-end asks for a verb; tenant and front-end are those of its certificate.

    An operator's verbs have no tenant: `frontend` is the operator then, and `host` may be named,
    and a `device` of it. `wait_s`: how long it stays in line while there is no room.
    `limits`: of the binding. `vnic`: the driver that is asked for; "": the pool's choice. `net`:
    what the network agent of the front-end's host offers, which a repetition may say otherwise.
    """

    verb: OpVerb
    tenant: str
    frontend: str
    op_id: str
    instance: str = ""
    type: str = ""
    no_start: bool = False
    host: str = ""
    policy: InstancePolicy = DEFAULT_POLICY
    device: str = ""
    wait_s: float = 0.0
    limits: BindingLimits = NO_LIMITS
    defrag: DefragAsk | None = None
    vnic: str = ""
    net: NetOffer | None = None

    @property
    def params(self) -> tuple[str, ...]:
        """All that must be the same for a repetition of the op_id to be one."""
        no_start = "no_start" if self.no_start else ""
        rest = [self.host] if self.host else []
        rest += [self.device] if self.device else []
        if not self.policy.is_default:
            rest += [f"ring={self.policy.ring}", f"slo_p99_us={self.policy.slo_p99_us}"]
        if self.policy.rate_per_s or self.policy.price_cap_per_h:
            rest.append(f"rate={self.policy.rate_per_s:g}")
            rest.append(f"price_cap={self.policy.price_cap_per_h:g}")
        rest += [f"wait={self.wait_s:g}"] if self.wait_s else []
        if self.limits:
            said = self.limits
            rest.append(f"limits={said.ttl_s:g},{said.budget!r},{said.idle_s:g}")
        if self.policy.ratio != UNSAID:
            ratio = self.policy.ratio
            rest.append(f"ratio={ratio.text},{ratio.least},{ratio.most},{'+'.join(ratio.kinds)}")
            rest += [f"late_target={ratio.late_target:g}"] if ratio.late_target else []
        if self.defrag is not None:
            rest.append(f"moves={self.defrag.most},{self.defrag.stop}")
        if (beside := self.policy.neighbours) != ANYWHERE:
            rest.append(f"neighbours={beside.spread},{beside.near},{beside.strict}")
        if self.policy.tolerance is not None:
            rest.append(f"tolerance={self.policy.tolerance}")
        rest += [f"vnic={self.vnic}"] if self.vnic else []
        cap = self.policy.vnic_cap_bytes_per_s
        rest += [f"vnic_cap={cap}"] if cap else []
        return (self.verb.value, self.frontend, self.instance, self.type, no_start, *rest)


@dataclass(frozen=True, slots=True)
class TokenRequested:
    """An operator asks for a join token; its name is that of its certificate.

    The secret's SHA-256 and the salt that it was made of are new ones, hex, as is the name that
    is taken if none is asked for: a repetition of the op_id brings others, which don't count.
    """

    operator: str
    op_id: str
    purpose: str
    tenant: str
    name: str
    secret_sha256: str
    salt: str
    spare_name: str

    @property
    def params(self) -> tuple[str, ...]:
        """All that must be the same for a repetition of the op_id to be one."""
        return ("token", self.purpose, self.tenant, self.name)


@dataclass(frozen=True, slots=True)
class TenantRequested:
    """An operator makes a tenant, or changes the quotas of one.

    `quotas` are set; `defaults` go back to what the configuration says.
    """

    operator: str
    op_id: str
    tenant: str
    create: bool = False
    quotas: Limits = ()
    defaults: tuple[str, ...] = ()

    @property
    def params(self) -> tuple[str, ...]:
        """All that must be the same for a repetition of the op_id to be one."""
        changes = sorted(f"{what}={limit}" for what, limit in self.quotas)
        return ("tenant", self.tenant, str(self.create), *changes, "/", *sorted(self.defaults))


@dataclass(frozen=True, slots=True)
class JoinRequested:
    """Somebody shows a token's secret, and two keys to certify: SHA-256 of each, hex."""

    secret_sha256: str
    purpose: str
    keys: tuple[str, str]


@dataclass(frozen=True, slots=True)
class HostJoined:
    """A listener's link is up: what its host has, and the leases on its disk."""

    host: HostRecord
    leases: tuple[HeldLease, ...]


@dataclass(frozen=True, slots=True)
class HostLost:
    """A listener's link is down."""

    host: str


@dataclass(frozen=True, slots=True)
class GrantAccepted:
    """A host has the lease on its disk and its workers ready."""

    host: str
    held: HeldLease

    @property
    def key(self) -> LeaseKey:
        """The lease that it is about."""
        return LeaseKey(self.host, self.held.instance, self.held.epoch)


@dataclass(frozen=True, slots=True)
class GrantFailed(OfLease):
    """A host couldn't grant; nothing of the lease is left there."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class ShareFailed(OfLease):
    """A share that was to be added to a lease can't be served."""

    n: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class SharesGone(OfLease):
    """What a host was told to take back isn't there, or not any more."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GrantGoesOn(OfLease):
    """A host still fetches or loads what is to come with a lease."""


@dataclass(frozen=True, slots=True)
class Released(OfLease):
    """A host has seen the exit of the lease's workers."""


@dataclass(frozen=True, slots=True)
class WorkersChanged(OfLease):
    """The workers of a lease are others now."""

    workers: tuple[WorkerRecord, ...]


@dataclass(frozen=True, slots=True)
class SessionsChanged(OfLease):
    """The session specs on a lease, base64 of each one's wire form, and what they are of."""

    sessions: tuple[str, ...]
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UsageReported(OfLease):
    """Cumulative counters of a lease."""

    usage: UsageRecord


@dataclass(frozen=True, slots=True)
class DeviceReported:
    """A host says how one of its devices is."""

    host: str
    device: str
    health: str
    why: str


@dataclass(frozen=True, slots=True)
class NetOffered:
    """A host's network agent offers something else; None: there is none any more."""

    host: str
    net: NetOffer | None


@dataclass(frozen=True, slots=True)
class ModelMeasured:
    """Hosts have measured what a model takes on devices."""

    profiles: tuple[Profile, ...]


@dataclass(frozen=True, slots=True)
class RatioChosen:
    """The controller of an instance asks for something else than it has."""

    instance: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class InstanceNeeded:
    """A front-end has a call for its instance, which has no worker."""

    instance: str


@dataclass(frozen=True, slots=True)
class DemandCounted:
    """What controllers saw in the last seconds."""

    seen: tuple[DemandSeen, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed.

    Attributes:
        linked: the hosts whose link is up.
        gone: operations in line, as (tenant, op_id), whose callers haven't asked for a while.
        used: when instances that may not be idle last had calls, boot clock, as far as was seen.
    """

    linked: frozenset[str]
    gone: frozenset[tuple[str, str]] = frozenset()
    used: tuple[tuple[str, float], ...] = ()


Event = (
    ManagerStarted
    | OpRequested
    | TokenRequested
    | TenantRequested
    | JoinRequested
    | HostJoined
    | HostLost
    | GrantAccepted
    | GrantFailed
    | ShareFailed
    | SharesGone
    | GrantGoesOn
    | Released
    | WorkersChanged
    | SessionsChanged
    | UsageReported
    | DeviceReported
    | LoadsReported
    | NetOffered
    | ModelMeasured
    | RatioChosen
    | InstanceNeeded
    | DemandCounted
    | Tick
)
