"""What the pool knows, as frozen records. (Brain)

Durations and times are seconds of the manager's boot clock; capacity is in
integer milli-devices. Names of front-ends, tenants and hosts are those of their
certificates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from eais.errors import EaisError, make_error
from eais.instance import InstanceState
from eais.instance_policy import DEFAULT_POLICY, InstancePolicy
from eais.share import ShareState
from eais_pool.brain.host_records import Endpoint, HostRecord
from eais_pool.brain.lease_changes import Arrival, Resize, Stuck
from eais_pool.brain.ledger_records import NOTHING_USED, ChargedShare, UsageRecord
from eais_pool.brain.net_records import NetLink, NetOffer
from eais_pool.brain.view_records import InstanceView
from eais_pool.brain.waiting_records import Waiting

MODELS_MOST: Final = 8
"""Of an instance, that are remembered."""


class LeaseKey(NamedTuple):
    """Names one grant: what reports of a host are matched with."""

    host: str
    instance: str
    epoch: int


@dataclass(frozen=True, slots=True)
class OfLease:
    """What a fact or an event about one lease begins with."""

    host: str
    instance: str
    epoch: int

    @property
    def key(self) -> LeaseKey:
        """The lease that it is about."""
        return LeaseKey(self.host, self.instance, self.epoch)


class LeasePhase(StrEnum):
    """What the pool wants of a lease, whatever its host does now.

    OPENING: granted as soon as the host says so. OPEN: granted. MOVING: beside an OPEN
    one of another host, whose place it takes as soon as its host has the sessions.
    CLOSING: to be gone; it counts against its devices until the host says that it is.
    """

    OPENING = "OPENING"
    OPEN = "OPEN"
    MOVING = "MOVING"
    CLOSING = "CLOSING"


class OpVerb(StrEnum):
    """The verbs that take an op_id."""

    CREATE = "create"
    ATTACH = "attach"
    START = "start"
    STOP = "stop"
    DETACH = "detach"
    DELETE = "delete"
    RESIZE = "resize"
    # An operator's.
    CORDON = "cordon"
    UNCORDON = "uncordon"
    DRAIN = "drain"
    FORCE_DETACH = "force_detach"
    DEFRAG = "defrag"


class Undo(StrEnum):
    """What is to be undone when the grant of an operation fails."""

    NOTHING = "nothing"
    UNBIND = "unbind"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class SharePick:
    """A piece of a device that a worker is to have; `n` is the worker's number, from 1.

    `unit`: in which it lies, as `eais.share_units` says.
    """

    n: int
    device: str
    milli: int
    unit: int = 0


@dataclass(frozen=True, slots=True)
class ShareRecord:
    """A device share that isn't FREE."""

    n: int
    device: str
    milli: int
    state: ShareState
    unit: int = 0


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker as its listener last reported it; its memory is `memory_bytes` at most, or 0."""

    n: int
    endpoint: Endpoint
    isolation: int
    serving: bool
    incarnation: int
    enforcement: str = ""
    memory_bytes: int = 0
    memory_enforcement: str = ""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """An instance's right to shares of one host's devices, from reservation to release.

    Attributes:
        arrival: of a MOVING one.
        stuck: of one whose host drains, or has a bad device that it has a share of.
        opened: the lease's OPEN line was written, so that it ends with a CLOSE line.
        sessions: the session specs that live on it, each as base64 of its wire form.
        why: why it was placed there, in words; `weighed`: what was considered; `provisional`:
            before anything was known of that.
        vnic_driver: what gives the instance its `address` there; `link`: if it is the kernel's.
        user_plane: where its front-end reaches the listener; None: where all do.
        resize: of an OPEN one that is being resized.
        coming: shares, by number, that are to take the place of the others then.
        leaving: those that were taken back, and aren't gone yet.
        unlisted: of both, those that the host hasn't said so far that it has.
        last_n: no share had a higher number so far but for those that it has now.
        charged: its shares that are charged for.
        lost_at: since when they are LOST, ledger time; 0: they aren't.
        booked: what of `usage` is in the ledger; `booked_at`: until when, ledger time.
    """

    host: str
    instance: str
    epoch: int
    tenant: str
    address: str
    phase: LeasePhase
    shares: tuple[ShareRecord, ...]
    why: str = ""
    opened: bool = False
    workers: tuple[WorkerRecord, ...] = ()
    sessions: tuple[str, ...] = ()
    usage: UsageRecord = NOTHING_USED
    arrival: Arrival | None = None
    stuck: Stuck | None = None
    vnic_driver: str = "loopback"
    link: NetLink | None = None
    resize: Resize | None = None
    coming: tuple[int, ...] = ()
    leaving: tuple[int, ...] = ()
    unlisted: tuple[int, ...] = ()
    last_n: int = 0
    weighed: tuple[str, ...] = ()
    provisional: bool = False
    charged: tuple[ChargedShare, ...] = ()
    lost_at: float = 0.0
    booked: UsageRecord = NOTHING_USED
    booked_at: float = 0.0
    user_plane: Endpoint | None = None

    @property
    def key(self) -> LeaseKey:
        """What names it."""
        return LeaseKey(self.host, self.instance, self.epoch)

    @property
    def numbered(self) -> int:
        """The highest number that a share of it ever had."""
        return max((self.last_n, *(share.n for share in self.shares)))

    def on_bad(self, host: HostRecord) -> tuple[int, ...]:
        """Its shares, by number, of devices of its host that are bad; without those that leave."""
        bad = {device.id for device in host.devices if device.is_bad}
        return tuple(s.n for s in self.shares if s.device in bad and s.n not in self.leaving)

    @property
    def is_open(self) -> bool:
        """Whether it was granted, and is wanted."""
        return self.phase is LeasePhase.OPEN

    @property
    def lost(self) -> bool:
        """Whether its host can't be asked about it now."""
        return any(share.state is ShareState.LOST for share in self.shares)


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """An elastic accelerated instance.

    Attributes:
        serial: its place in the order of creation.
        frontend, address: held while it is bound.
        epoch: that of the lease that it has or had last; 0 before the first.
        last_epoch: the highest that was given to a lease which was to take that one's place.
        models: what it had sessions of, SHA-256 in hex, the newest last; at most `MODELS_MOST`.
        opened_by: the front-end that it was bound to then.
        vnic: the driver that it was bound with, as it was asked for; "": the pool's choice.
        net: what the network agent of its front-end's host offered then; None without one.
        asleep: BOUND, and scaled to zero: a call wakes it. `wanted_at`: when one last came, boot
            clock; 0: none since.
        reason, detail: why it FAILED, or lost its front-end, and the text behind it.
        op_id: the operation that is under way on it, or "".
        deleted_at: when it became DELETED, which is remembered for a day.
    """

    id: str
    serial: int
    tenant: str
    type: str
    tolerance: str
    ephemeral: bool
    state: InstanceState
    frontend: str = ""
    address: str = ""
    epoch: int = 0
    op_id: str = ""
    reason: str = ""
    detail: str = ""
    deleted_at: float = 0.0
    last_epoch: int = 0
    policy: InstancePolicy = DEFAULT_POLICY
    models: tuple[str, ...] = ()
    opened_by: str = ""
    asleep: bool = False
    wanted_at: float = 0.0
    vnic: str = ""
    net: NetOffer | None = None

    @property
    def next_epoch(self) -> int:
        """That of its next grant."""
        return max(self.epoch, self.last_epoch) + 1


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that can be stored and sent."""

    reason: str
    message: str
    hint: str = ""
    metadata: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, error: EaisError) -> Failure:
        """`error` as a record."""
        metadata = tuple(sorted(error.metadata.items()))
        return cls(error.reason, error.message, error.hint, metadata)

    def error(self) -> EaisError:
        """The error to raise, of the class that the reason's table names."""
        return make_error(self.reason, self.message, hint=self.hint, metadata=dict(self.metadata))


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation came to: the instance as it then was, or why it failed."""

    view: InstanceView | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class OpRecord:
    """An operation that a front-end asked for, under way or answered.

    Attributes:
        params: all that must be the same for a repetition to be one.
        since: when it began, or began anew with a restarted manager.
        undo: what a failed grant must undo.
        answer: None while it is under way.
        answered_at: when it was answered.
        waits: its place in line, while there is no room for it.
    """

    tenant: str
    op_id: str
    verb: OpVerb
    params: tuple[str, ...]
    instance: str
    since: float
    undo: Undo = Undo.NOTHING
    answer: Answer | None = None
    answered_at: float = 0.0
    waits: Waiting | None = None


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease as a host reports it: what is on its disk, whatever its workers do.

    `missing` is how many of the sessions that were to come with it are not there. `user_plane`:
    where its front-end reaches the listener; None: where all do.
    """

    instance: str
    epoch: int
    tenant: str
    address: str
    shares: tuple[SharePick, ...] = field(default=())
    workers: tuple[WorkerRecord, ...] = field(default=())
    missing: int = 0
    user_plane: Endpoint | None = None
