"""What happened, as the journal keeps it. (Brain)

A fact is decided once, written, then applied; replay applies it again and
decides nothing. Its class's name is its kind in the journal and its fields are
the row: rename neither. A field that is added needs a default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eais.instance_policy import DEFAULT_POLICY, InstancePolicy
from eais_pool.brain.binding_facts import BindingFact
from eais_pool.brain.defrag_records import DefragFact
from eais_pool.brain.host_records import Endpoint, HostRecord
from eais_pool.brain.lease_changes import Resize
from eais_pool.brain.ledger_facts import LedgerFact
from eais_pool.brain.ledger_records import UsageRecord
from eais_pool.brain.loads import LoadsChanged
from eais_pool.brain.membership import MembershipFact
from eais_pool.brain.net_records import NetLink, NetOffer
from eais_pool.brain.ratio_records import RatioFact
from eais_pool.brain.records import Answer, OfLease, OpRecord, SharePick, WorkerRecord
from eais_pool.policy.profiles import Profile


@dataclass(frozen=True, slots=True)
class PoolStarted:
    """A manager began to serve: boot clock values of another boot mean nothing to it.

    `wall`: seconds since 1970.
    """

    boot_id: str
    at: float
    wall: float = 0.0


@dataclass(frozen=True, slots=True)
class HostRegistered:
    """A listener's link is up, and this is what its host has."""

    host: HostRecord


@dataclass(frozen=True, slots=True)
class HostOffered:
    """What the network agent of a host offers; None: it has none."""

    host: str
    net: NetOffer | None


@dataclass(frozen=True, slots=True)
class HostWentAway:
    """A listener's link is down; the shares of its leases are LOST. `at`: boot clock."""

    host: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class HostCordoned:
    """An operator takes a host out of placement, has it drained, or takes it in again."""

    host: str
    cordoned: bool
    draining: bool


@dataclass(frozen=True, slots=True)
class DeviceHealthChanged:
    """A device is healthy or not, as its host says, or an operator has it checked."""

    host: str
    device: str
    health: str
    why: str


@dataclass(frozen=True, slots=True)
class InstanceCreated:
    """PENDING, CREATING, BINDABLE at once: an instance that holds nothing."""

    instance: str
    tenant: str
    type: str
    tolerance: str
    ephemeral: bool
    policy: InstancePolicy = DEFAULT_POLICY


@dataclass(frozen=True, slots=True)
class InstanceBound:
    """BINDABLE to BOUND."""

    instance: str
    frontend: str
    address: str
    vnic: str = ""
    net: NetOffer | None = None


@dataclass(frozen=True, slots=True)
class InstanceDraining:
    """IN_USE to DRAINING."""

    instance: str


@dataclass(frozen=True, slots=True)
class InstanceStopped:
    """DRAINING to BOUND."""

    instance: str


@dataclass(frozen=True, slots=True)
class InstanceUnbound:
    """BOUND to BINDABLE; the address is free again."""

    instance: str


@dataclass(frozen=True, slots=True)
class InstanceDeleted:
    """To DELETED."""

    instance: str
    at: float


@dataclass(frozen=True, slots=True)
class InstanceFailed:
    """To FAILED, with a word of the error table and the text behind it."""

    instance: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class InstanceFenced:
    """What was granted before is of an older epoch now, and why the instance lost it."""

    instance: str
    epoch: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class LeaseReserved(OfLease):
    """Shares RESERVED for an instance, under a new epoch.

    `moving`: beside the lease that it has, whose place this one is to take. `at`: boot clock.
    `weighed`: what else was considered, in words; `provisional`: nothing was known of it.
    """

    tenant: str
    address: str
    shares: tuple[SharePick, ...]
    why: str
    moving: bool = False
    at: float = 0.0
    vnic_driver: str = "loopback"
    weighed: tuple[str, ...] = ()
    provisional: bool = False
    link: NetLink | None = None


@dataclass(frozen=True, slots=True)
class LeaseReservedAgain(OfLease):
    """The host came back without the lease, or with one that is still MOVING: LOST shares are
    RESERVED, same epoch.

    At the address, and by the driver, that it has now; "": as before.
    """

    address: str = ""
    vnic_driver: str = ""
    link: NetLink | None = None


@dataclass(frozen=True, slots=True)
class LeaseGoesOn(OfLease):
    """The host of a MOVING lease still fetches or loads."""

    at: float


@dataclass(frozen=True, slots=True)
class LeaseArrived(OfLease):
    """A MOVING lease is granted, but some sessions aren't there: who has them is asked."""

    workers: tuple[WorkerRecord, ...]
    at: float
    user_plane: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class MoveFailed(OfLease):
    """The instance stays on this lease for now. `to`: the host that failed; "": none was found."""

    to: str
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class LeaseOpened(OfLease):
    """The OPEN line: shares GRANTED, instance IN_USE, under this epoch from now on."""

    tenant: str
    shares: tuple[SharePick, ...]
    workers: tuple[WorkerRecord, ...]
    user_plane: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class LeaseHeld(OfLease):
    """An open lease is held by its host as before, or again."""

    workers: tuple[WorkerRecord, ...]
    user_plane: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class SharesReserved(OfLease):
    """More shares RESERVED for an open lease, which are to take the place of those it has."""

    shares: tuple[SharePick, ...]
    resize: Resize


@dataclass(frozen=True, slots=True)
class SharesGranted(OfLease):
    """The host has added these to the lease."""

    shares: tuple[SharePick, ...]


@dataclass(frozen=True, slots=True)
class InstanceResized(OfLease):
    """The shares that came serve: the instance is of the type that it was resized to."""


@dataclass(frozen=True, slots=True)
class SharesDraining(OfLease):
    """Shares of an open lease are taken back; DRAINING where the host can be told so."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SharesReleased(OfLease):
    """The host has seen their workers' exit: FREE."""

    shares: tuple[SharePick, ...]


@dataclass(frozen=True, slots=True)
class LeaseClosing(OfLease):
    """The pool wants the lease gone; DRAINING where the host can be told so."""


@dataclass(frozen=True, slots=True)
class LeaseClosed(OfLease):
    """The host has seen the workers' exit: shares FREE. The CLOSE line of an opened lease."""

    tenant: str
    opened: bool
    usage: UsageRecord


@dataclass(frozen=True, slots=True)
class LeaseFound(OfLease):
    """A host holds a lease that the pool never gave, or no longer knows: to be gone."""

    tenant: str
    address: str
    shares: tuple[SharePick, ...]


@dataclass(frozen=True, slots=True)
class LeaseWorkers(OfLease):
    """The workers of an open lease are others now."""

    workers: tuple[WorkerRecord, ...]


@dataclass(frozen=True, slots=True)
class LeaseSessions(OfLease):
    """The session specs of an open lease, base64 of each one's wire form.

    `models`: what they are of, SHA-256 in hex, in the same order.
    """

    sessions: tuple[str, ...]
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeaseUsage(OfLease):
    """The cumulative counters of a lease."""

    usage: UsageRecord


@dataclass(frozen=True, slots=True)
class ChoiceConfirmed(OfLease):
    """What was taken before anything was known stays, now that something is; and why."""

    why: str
    weighed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProfilesMeasured:
    """What models take on devices, as hosts have measured it."""

    profiles: tuple[Profile, ...]


@dataclass(frozen=True, slots=True)
class OpBegun:
    """An operation was accepted; from here on its op_id is taken."""

    op: OpRecord


@dataclass(frozen=True, slots=True)
class OpAnswered:
    """An operation's answer, which every repetition gets."""

    tenant: str
    op_id: str
    at: float
    answer: Answer


@dataclass(frozen=True, slots=True)
class OpDone:
    """An operator's operation, which ended as it began; its op_id is taken."""

    op: OpRecord


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Answers and DELETED instances that were kept long enough; ops as (tenant, op_id)."""

    ops: tuple[tuple[str, str], ...]
    instances: tuple[str, ...]


Fact = (
    PoolStarted
    | HostRegistered
    | HostWentAway
    | HostOffered
    | HostCordoned
    | DeviceHealthChanged
    | LoadsChanged
    | InstanceCreated
    | InstanceBound
    | InstanceDraining
    | InstanceStopped
    | InstanceUnbound
    | InstanceDeleted
    | InstanceFailed
    | InstanceFenced
    | LeaseReserved
    | LeaseReservedAgain
    | LeaseGoesOn
    | LeaseArrived
    | MoveFailed
    | LeaseOpened
    | LeaseHeld
    | SharesReserved
    | SharesGranted
    | InstanceResized
    | SharesDraining
    | SharesReleased
    | LeaseClosing
    | LeaseClosed
    | LeaseFound
    | LeaseWorkers
    | LeaseSessions
    | LeaseUsage
    | ChoiceConfirmed
    | ProfilesMeasured
    | OpBegun
    | OpAnswered
    | OpDone
    | Forgotten
    | BindingFact
    | DefragFact
    | LedgerFact
    | MembershipFact
    | RatioFact
)

FACTS: Final[dict[str, type[Fact]]] = {kind.__name__: kind for kind in Fact.__args__}

#: What demand there was: of these rows the newest outlive a snapshot.
DEMAND_KIND: Final = "DemandSeen"
