"""What an operator sees of the pool: hosts, devices, whose shares they hold, and its CA."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from eais.rpc.v1 import hosts_pb2
from eais_client.instances import Address


@dataclass(frozen=True, slots=True)
class ShareUse:
    """A share of a device and the instance that has it."""

    instance: str
    milli: int
    state: str
    tenant: str


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """A model, by its SHA-256 in hex, and what loading it onto a device takes.

    Attributes:
        ready_milli: the largest share that would find it loaded now.
    """

    model: str
    load_s: float
    ready_milli: int

    @classmethod
    def of_message(cls, message: hosts_pb2.ModelLoad) -> ModelLoad:
        """What the wire says."""
        return cls(message.model.hex(), message.load_ms / 1000, message.ready_milli)


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """A device of the pool; capacities in milli-devices, memory in bytes.

    Attributes:
        health: "ok", "suspect", "checking", "bad", "unreachable", "gone" from its host, or
            "overdrawn"; `health_reason`: why, where its host said so.
        runtimes: what runs models there, such as "onnxruntime/fp32".
        attach_s: seconds until a share can serve, beside what it takes to load a model.
        loads: the models that have an image for it; None: it needs none, or has yet to say.
        enforcement: of shares; `piece_enforcement`: of those below a whole, "" if it is the same.
        unenforced: why it lends nothing: no share of it can be enforced.
    """

    host: str
    id: str
    kind: str
    model: str
    memory_bytes: int
    capacity_milli: int
    free_milli: int
    granularity_milli: int
    share_limit_milli: int
    simulated: bool
    enforcement: str
    reachable: bool
    health: str
    runtimes: tuple[str, ...]
    shares: tuple[ShareUse, ...]
    health_reason: str = ""
    attach_s: float = 0.0
    loads: tuple[ModelLoad, ...] | None = None
    piece_enforcement: str = ""
    unenforced: str = ""

    @classmethod
    def of_message(cls, message: hosts_pb2.DeviceUse) -> DeviceUse:
        """The device that the wire describes."""
        device = message.device
        return cls(
            host=message.host,
            id=device.id,
            kind=device.kind,
            model=device.model,
            memory_bytes=device.memory_bytes,
            capacity_milli=device.capacity_milli,
            free_milli=message.free_milli,
            granularity_milli=device.granularity_milli,
            share_limit_milli=device.share_limit_milli,
            simulated=device.simulated,
            enforcement=device.enforcement,
            reachable=message.reachable,
            health=message.health,
            health_reason=message.health_reason,
            piece_enforcement=device.piece_enforcement,
            runtimes=tuple(device.runtimes),
            shares=tuple(ShareUse(s.instance, s.milli, s.state, s.tenant) for s in message.shares),
            attach_s=device.attach_ms / 1000,
            unenforced=device.unenforced,
            loads=tuple(map(ModelLoad.of_message, device.loads.models))
            if device.HasField("loads")
            else None,
        )


@dataclass(frozen=True, slots=True)
class HostUse:
    """A back-end host: the isolation level its workers get, and what it takes and holds.

    Attributes:
        isolation_reason: why it isn't a higher level; "" if there is none.
        cordoned: it is granted nothing more; `draining`: its instances are moved away, too.
        instances: how many hold a lease there.
        stuck: while it is drained, those that can't move now, each with the reason.
        vnic_driver: of its instances; "" if it has never said.
        user_plane, management_plane: of its listener; None if it has never said.
        net_drivers: of the kernel, by name, and why there is none; empty without a network agent.
    """

    host: str
    reachable: bool
    isolation: int
    isolation_reason: str
    cordoned: bool = False
    draining: bool = False
    instances: int = 0
    stuck: tuple[str, ...] = ()
    vnic_driver: str = ""
    user_plane: Address | None = None
    management_plane: Address | None = None
    net_drivers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_message(cls, message: hosts_pb2.HostUse) -> HostUse:
        """The host that the wire describes."""
        has_user, has_management = map(message.HasField, ("user_plane", "management_plane"))
        return cls(
            host=message.host,
            reachable=message.reachable,
            isolation=message.isolation,
            isolation_reason=message.isolation_reason,
            cordoned=message.cordoned,
            draining=message.draining,
            instances=message.instances,
            stuck=tuple(message.stuck),
            vnic_driver=message.vnic_driver,
            user_plane=Address.of_message(message.user_plane) if has_user else None,
            management_plane=(
                Address.of_message(message.management_plane) if has_management else None
            ),
            net_drivers=tuple((each.name, each.missing) for each in message.net_drivers),
        )


@dataclass(frozen=True, slots=True)
class CaState:
    """How the pool's CA stands: STEADY, or ANNOUNCED or RETIRING while it is rolled.

    Attributes:
        phase_left_s, roll_left_s: until the phase and the roll end; 0 when STEADY.
        ends: when the CA that signs ends, UTC.
        sha256: of the certificate of the CA that signs, in hex.
    """

    phase: str
    phase_left_s: int
    roll_left_s: int
    ends: datetime
    sha256: str

    @classmethod
    def of_message(cls, message: hosts_pb2.CaState) -> CaState:
        """The state that the wire describes."""
        return cls(
            phase=message.phase,
            phase_left_s=message.phase_left_s,
            roll_left_s=message.roll_left_s,
            ends=datetime.fromtimestamp(message.ca_ends_unix_s, UTC),
            sha256=message.ca_sha256.hex(),
        )


@dataclass(frozen=True, slots=True)
class CaRoll:
    """A roll of the CA; `begun` by the call that this answers, or under way before."""

    ca: CaState
    begun: bool


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The whole pool at one moment."""

    pool: str
    software: str
    instances: int
    devices: tuple[DeviceUse, ...]
    hosts: tuple[HostUse, ...]
    ca: CaState

    @classmethod
    def of_message(cls, message: hosts_pb2.PoolStatusReply) -> PoolStatus:
        """The status that the wire describes."""
        return cls(
            pool=message.pool,
            software=message.software,
            instances=message.instances,
            devices=tuple(map(DeviceUse.of_message, message.devices)),
            hosts=tuple(map(HostUse.of_message, message.hosts)),
            ca=CaState.of_message(message.ca),
        )


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token for one machine to join with, where that is, and how long it is good for."""

    token: str = field(repr=False)
    life_s: int
    enrolment: Address

    @classmethod
    def of_message(cls, message: hosts_pb2.CreateTokenReply) -> NewToken:
        """The token that the wire describes."""
        return cls(message.token, message.life_s, Address.of_message(message.enrolment))
