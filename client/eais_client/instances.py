"""Instances, their workers and the pool's devices, as the front-end sees them.

Protobuf stops here: everything above works on these frozen dataclasses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from eais.binding_limits import BindingLimits
from eais.errors import ConfigError
from eais.instance import InstanceState
from eais.instance_policy import DEFAULT_POLICY, InstancePolicy
from eais.neighbours import Neighbours
from eais.ports import PORT_LIMIT
from eais.ratio import RatioPolicy
from eais.rpc.v1 import common_pb2, pool_pb2
from eais_client.instance_ratio import InstanceRatio
from eais_client.vnic_end import Vnic

_PORT_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is reached, and the DNS name that its certificate must carry."""

    address: str
    port: int
    server_name: str

    @classmethod
    def of_message(cls, message: common_pb2.Endpoint) -> Address:
        """The address that an `Endpoint` names."""
        return cls(message.address, message.port, message.server_name)

    @classmethod
    def parse(cls, text: str, server_name: str) -> Address:
        """Read "127.64.16.1:40117" or "[::1]:40117".

        Raises:
            ConfigError: PORT, nobody can be reached at that port; CONFIG for anything else.
        """
        host, colon, port = text.rpartition(":")
        if not (colon and host and port.isascii() and port.isdigit()):
            raise ConfigError("CONFIG", f"{text!r} is not an address and a port, such as ADDR:7443")
        if len(port) > _PORT_DIGITS or not 0 < int(port) < PORT_LIMIT:
            raise ConfigError("PORT", f"{text!r}: a port is 1 to {PORT_LIMIT - 1}")
        return cls(host.removeprefix("[").removesuffix("]"), int(port), server_name)

    @property
    def target(self) -> str:
        """What gRPC dials, so that no name is ever looked up."""
        return ("ipv6:" if ":" in self.address else "ipv4:") + str(self)

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Worker:
    """One inference process of an instance, on one device share."""

    n: int
    address: Address
    kind: str = ""
    device: str = ""
    share_milli: int = 0
    simulated: bool = False
    isolation: int = 0
    enforcement: str = ""
    serving: bool = True
    incarnation: int = 1
    memory_bytes: int = 0
    memory_enforcement: str = ""

    @classmethod
    def of_message(cls, message: pool_pb2.WorkerEndpoint) -> Worker:
        """The worker that a `WorkerEndpoint` describes."""
        return cls(
            n=message.n,
            address=Address.of_message(message.endpoint),
            kind=message.kind,
            device=message.device,
            share_milli=message.share_milli,
            simulated=message.simulated,
            isolation=message.isolation,
            enforcement=message.enforcement,
            serving=message.serving,
            incarnation=message.incarnation,
            memory_bytes=message.memory_bytes,
            memory_enforcement=message.memory_enforcement,
        )

    @property
    def made_of(self) -> str:
        """Whether there is a device: "real" or "simulated"."""
        return "simulated" if self.simulated else "real"


@dataclass(frozen=True, slots=True)
class Activity:
    """What an instance did in the last ten seconds or so.

    Attributes:
        p50_ms, p99_ms: of a call at its worker, queue included.
        busy_cores: of the workers' runtime threads, at work on average.
        waiting_calls: at the front-end.
        frontend_cpu: load of the front-end's cores, 0 to 1; `frontend_busy_cores`: those at work.
    """

    calls_per_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    busy_cores: float = 0.0
    waiting_calls: int = 0
    frontend_cpu: float = 0.0
    frontend_busy_cores: float = 0.0

    @classmethod
    def of_message(cls, message: pool_pb2.Activity) -> Activity:
        """The activity that the wire describes."""
        return cls(
            calls_per_s=message.calls_per_s,
            p50_ms=message.p50_ms,
            p99_ms=message.p99_ms,
            busy_cores=message.busy_cores,
            waiting_calls=message.waiting_calls,
            frontend_cpu=message.frontend_cpu,
            frontend_busy_cores=message.frontend_busy_cores,
        )


@dataclass(frozen=True, slots=True)
class InLine:
    """Which place, from 1, of how many that wait for room."""

    position: int
    length: int

    def __str__(self) -> str:
        return f"position {self.position} of {self.length} in line"


@dataclass(frozen=True, slots=True)
class Bound:
    """How far a binding that has limits is.

    Attributes:
        spent: what was charged so far, in the unit of the pool's prices.
        time_left_s, idle_left_s: None without such a limit, or while it isn't granted.
    """

    limits: BindingLimits
    spent: float
    time_left_s: float | None = None
    idle_left_s: float | None = None

    @classmethod
    def of_message(cls, message: pool_pb2.Binding) -> Bound:
        """The binding that the wire describes."""
        said = message.limits
        limits = BindingLimits(said.ttl_ms / 1000, said.budget, said.idle_ms / 1000)
        timed, idles = map(message.HasField, ("time_left_s", "idle_left_s"))
        return cls(
            limits,
            message.spent,
            message.time_left_s if timed else None,
            message.idle_left_s if idles else None,
        )


@dataclass(frozen=True, slots=True)
class Instance:
    """An elastic accelerated instance as the pool last described it.

    Attributes:
        frontend: the front-end it is bound to, "" unless BOUND, IN_USE or DRAINING.
        listener: who holds the lease; None unless IN_USE.
        reason, detail: why, when FAILED, or taken away.
        ephemeral: made by attach, so that detach deletes it.
        host: the back-end that holds the lease; "" unless IN_USE.
        activity: what it does now; None before its first call, and unless IN_USE.
        line: where it waits for room, if it does.
        why, weighed: why it is where it is, and what was considered; of `describe` alone.
        ratio: as the pool decides it; None if it doesn't; of `describe` alone.
        bound: how far its binding is, if that has limits; of `describe` alone.
    """

    id: str
    state: InstanceState
    type: str = ""
    tenant: str = ""
    frontend: str = ""
    epoch: int = 0
    listener: Address | None = None
    workers: tuple[Worker, ...] = ()
    vnic: Vnic = field(default_factory=Vnic)
    tolerance: str = ""
    ephemeral: bool = False
    reason: str = ""
    detail: str = ""
    host: str = ""
    activity: Activity | None = None
    policy: InstancePolicy = DEFAULT_POLICY
    why: str = ""
    weighed: tuple[str, ...] = ()
    line: InLine | None = None
    ratio: InstanceRatio | None = None
    bound: Bound | None = None

    @classmethod
    def of_message(cls, message: pool_pb2.Instance) -> Instance:
        """The instance that the wire describes."""
        has_listener, is_active = map(message.HasField, ("listener", "activity"))
        return cls(
            id=message.id,
            state=InstanceState(pool_pb2.InstanceState.Name(message.state)),
            type=message.type,
            tenant=message.tenant,
            frontend=message.frontend,
            epoch=message.epoch,
            listener=Address.of_message(message.listener) if has_listener else None,
            workers=workers_of(message.workers),
            vnic=Vnic.of_message(message.vnic),
            tolerance=message.tolerance,
            ephemeral=message.ephemeral,
            reason=message.reason,
            detail=message.detail,
            host=message.host,
            activity=Activity.of_message(message.activity) if is_active else None,
            policy=InstancePolicy.checked(
                message.policy.ring,
                message.policy.slo_p99_us,
                rate_per_s=message.policy.rate_per_s,
                price_cap_per_h=message.policy.price_cap_per_h,
                ratio=_ratio_of(message.policy.ratio),
                neighbours=_neighbours_of(message.policy.neighbours),
                vnic_cap_bytes_per_s=message.policy.vnic_cap_bytes_per_s,
            ),
            why=message.placement.why,
            weighed=tuple(message.placement.weighed),
            line=_line_of(message),
            ratio=InstanceRatio.of_message(message.ratio) if message.HasField("ratio") else None,
            bound=Bound.of_message(message.binding) if message.HasField("binding") else None,
        )


def _line_of(message: pool_pb2.Instance) -> InLine | None:
    if not message.HasField("line"):
        return None
    return InLine(message.line.position, message.line.length)


def _ratio_of(said: pool_pb2.RatioPolicy) -> RatioPolicy:
    return RatioPolicy.checked(said.ratio, said.least, said.most, said.kinds, said.late_target)


def _neighbours_of(said: pool_pb2.Neighbours) -> Neighbours:
    return Neighbours.checked(said.spread, said.near, said.strict)


def workers_of(messages: Iterable[pool_pb2.WorkerEndpoint]) -> tuple[Worker, ...]:
    """The workers of an endpoint set, by number."""
    return tuple(sorted(map(Worker.of_message, messages), key=lambda worker: worker.n))
