from eais.rpc.v1 import common_pb2 as _common_pb2
from eais.rpc.v1 import net_pb2 as _net_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InstanceState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INSTANCE_STATE_UNSPECIFIED: _ClassVar[InstanceState]
    PENDING: _ClassVar[InstanceState]
    CREATING: _ClassVar[InstanceState]
    BINDABLE: _ClassVar[InstanceState]
    BOUND: _ClassVar[InstanceState]
    IN_USE: _ClassVar[InstanceState]
    DRAINING: _ClassVar[InstanceState]
    FAILED: _ClassVar[InstanceState]
    DELETED: _ClassVar[InstanceState]
INSTANCE_STATE_UNSPECIFIED: InstanceState
PENDING: InstanceState
CREATING: InstanceState
BINDABLE: InstanceState
BOUND: InstanceState
IN_USE: InstanceState
DRAINING: InstanceState
FAILED: InstanceState
DELETED: InstanceState

class CreateRequest(_message.Message):
    __slots__ = ("op_id", "type", "policy")
    OP_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    op_id: str
    type: str
    policy: InstancePolicy
    def __init__(self, op_id: _Optional[str] = ..., type: _Optional[str] = ..., policy: _Optional[_Union[InstancePolicy, _Mapping]] = ...) -> None: ...

class AttachRequest(_message.Message):
    __slots__ = ("op_id", "instance", "type", "no_start", "policy", "wait_ms", "limits", "vnic", "net_offer")
    OP_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NO_START_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    VNIC_FIELD_NUMBER: _ClassVar[int]
    NET_OFFER_FIELD_NUMBER: _ClassVar[int]
    op_id: str
    instance: str
    type: str
    no_start: bool
    policy: InstancePolicy
    wait_ms: int
    limits: BindingLimits
    vnic: str
    net_offer: _net_pb2.NetOffer
    def __init__(self, op_id: _Optional[str] = ..., instance: _Optional[str] = ..., type: _Optional[str] = ..., no_start: bool = ..., policy: _Optional[_Union[InstancePolicy, _Mapping]] = ..., wait_ms: _Optional[int] = ..., limits: _Optional[_Union[BindingLimits, _Mapping]] = ..., vnic: _Optional[str] = ..., net_offer: _Optional[_Union[_net_pb2.NetOffer, _Mapping]] = ...) -> None: ...

class BindingLimits(_message.Message):
    __slots__ = ("ttl_ms", "budget", "idle_ms")
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    IDLE_MS_FIELD_NUMBER: _ClassVar[int]
    ttl_ms: int
    budget: float
    idle_ms: int
    def __init__(self, ttl_ms: _Optional[int] = ..., budget: _Optional[float] = ..., idle_ms: _Optional[int] = ...) -> None: ...

class Binding(_message.Message):
    __slots__ = ("limits", "spent", "time_left_s", "idle_left_s")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_S_FIELD_NUMBER: _ClassVar[int]
    IDLE_LEFT_S_FIELD_NUMBER: _ClassVar[int]
    limits: BindingLimits
    spent: float
    time_left_s: float
    idle_left_s: float
    def __init__(self, limits: _Optional[_Union[BindingLimits, _Mapping]] = ..., spent: _Optional[float] = ..., time_left_s: _Optional[float] = ..., idle_left_s: _Optional[float] = ...) -> None: ...

class InstanceRequest(_message.Message):
    __slots__ = ("op_id", "instance", "wait_ms")
    OP_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    op_id: str
    instance: str
    wait_ms: int
    def __init__(self, op_id: _Optional[str] = ..., instance: _Optional[str] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class ResizeRequest(_message.Message):
    __slots__ = ("op_id", "instance", "type")
    OP_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    op_id: str
    instance: str
    type: str
    def __init__(self, op_id: _Optional[str] = ..., instance: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class InstancePolicy(_message.Message):
    __slots__ = ("ring", "slo_p99_us", "tolerance", "rate_per_s", "price_cap_per_h", "ratio", "neighbours", "vnic_cap_bytes_per_s")
    RING_FIELD_NUMBER: _ClassVar[int]
    SLO_P99_US_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    RATE_PER_S_FIELD_NUMBER: _ClassVar[int]
    PRICE_CAP_PER_H_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    VNIC_CAP_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    ring: str
    slo_p99_us: int
    tolerance: str
    rate_per_s: float
    price_cap_per_h: float
    ratio: RatioPolicy
    neighbours: Neighbours
    vnic_cap_bytes_per_s: int
    def __init__(self, ring: _Optional[str] = ..., slo_p99_us: _Optional[int] = ..., tolerance: _Optional[str] = ..., rate_per_s: _Optional[float] = ..., price_cap_per_h: _Optional[float] = ..., ratio: _Optional[_Union[RatioPolicy, _Mapping]] = ..., neighbours: _Optional[_Union[Neighbours, _Mapping]] = ..., vnic_cap_bytes_per_s: _Optional[int] = ...) -> None: ...

class Neighbours(_message.Message):
    __slots__ = ("spread", "near", "strict")
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    NEAR_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    spread: str
    near: str
    strict: bool
    def __init__(self, spread: _Optional[str] = ..., near: _Optional[str] = ..., strict: bool = ...) -> None: ...

class RatioPolicy(_message.Message):
    __slots__ = ("ratio", "least", "most", "kinds", "late_target")
    RATIO_FIELD_NUMBER: _ClassVar[int]
    LEAST_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    LATE_TARGET_FIELD_NUMBER: _ClassVar[int]
    ratio: str
    least: int
    most: int
    kinds: _containers.RepeatedScalarFieldContainer[str]
    late_target: float
    def __init__(self, ratio: _Optional[str] = ..., least: _Optional[int] = ..., most: _Optional[int] = ..., kinds: _Optional[_Iterable[str]] = ..., late_target: _Optional[float] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("instance",)
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    def __init__(self, instance: _Optional[str] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InstanceReply(_message.Message):
    __slots__ = ("instance",)
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    instance: Instance
    def __init__(self, instance: _Optional[_Union[Instance, _Mapping]] = ...) -> None: ...

class ListReply(_message.Message):
    __slots__ = ("instances",)
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    instances: _containers.RepeatedCompositeFieldContainer[Instance]
    def __init__(self, instances: _Optional[_Iterable[_Union[Instance, _Mapping]]] = ...) -> None: ...

class Instance(_message.Message):
    __slots__ = ("id", "tenant", "type", "state", "reason", "detail", "frontend", "epoch", "listener", "workers", "vnic", "tolerance", "ephemeral", "activity", "host", "policy", "placement", "line", "ratio", "binding")
    ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    FRONTEND_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LISTENER_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    VNIC_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    EPHEMERAL_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    id: str
    tenant: str
    type: str
    state: InstanceState
    reason: str
    detail: str
    frontend: str
    epoch: int
    listener: _common_pb2.Endpoint
    workers: _containers.RepeatedCompositeFieldContainer[WorkerEndpoint]
    vnic: Vnic
    tolerance: str
    ephemeral: bool
    activity: Activity
    host: str
    policy: InstancePolicy
    placement: Placement
    line: Line
    ratio: Ratio
    binding: Binding
    def __init__(self, id: _Optional[str] = ..., tenant: _Optional[str] = ..., type: _Optional[str] = ..., state: _Optional[_Union[InstanceState, str]] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., frontend: _Optional[str] = ..., epoch: _Optional[int] = ..., listener: _Optional[_Union[_common_pb2.Endpoint, _Mapping]] = ..., workers: _Optional[_Iterable[_Union[WorkerEndpoint, _Mapping]]] = ..., vnic: _Optional[_Union[Vnic, _Mapping]] = ..., tolerance: _Optional[str] = ..., ephemeral: bool = ..., activity: _Optional[_Union[Activity, _Mapping]] = ..., host: _Optional[str] = ..., policy: _Optional[_Union[InstancePolicy, _Mapping]] = ..., placement: _Optional[_Union[Placement, _Mapping]] = ..., line: _Optional[_Union[Line, _Mapping]] = ..., ratio: _Optional[_Union[Ratio, _Mapping]] = ..., binding: _Optional[_Union[Binding, _Mapping]] = ...) -> None: ...

class Line(_message.Message):
    __slots__ = ("position", "length")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    position: int
    length: int
    def __init__(self, position: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class Ratio(_message.Message):
    __slots__ = ("decisions", "observed", "asleep")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    ASLEEP_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[RatioDecision]
    observed: str
    asleep: bool
    def __init__(self, decisions: _Optional[_Iterable[_Union[RatioDecision, _Mapping]]] = ..., observed: _Optional[str] = ..., asleep: bool = ...) -> None: ...

class RatioDecision(_message.Message):
    __slots__ = ("age_s", "target", "requested", "observed", "cost_per_h", "required_per_s", "arrived", "waiting", "cause", "why", "weighed", "failed")
    AGE_S_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    COST_PER_H_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_PER_S_FIELD_NUMBER: _ClassVar[int]
    ARRIVED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    WEIGHED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    age_s: float
    target: str
    requested: str
    observed: str
    cost_per_h: float
    required_per_s: float
    arrived: float
    waiting: float
    cause: str
    why: str
    weighed: _containers.RepeatedScalarFieldContainer[str]
    failed: str
    def __init__(self, age_s: _Optional[float] = ..., target: _Optional[str] = ..., requested: _Optional[str] = ..., observed: _Optional[str] = ..., cost_per_h: _Optional[float] = ..., required_per_s: _Optional[float] = ..., arrived: _Optional[float] = ..., waiting: _Optional[float] = ..., cause: _Optional[str] = ..., why: _Optional[str] = ..., weighed: _Optional[_Iterable[str]] = ..., failed: _Optional[str] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("why", "weighed")
    WHY_FIELD_NUMBER: _ClassVar[int]
    WEIGHED_FIELD_NUMBER: _ClassVar[int]
    why: str
    weighed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, why: _Optional[str] = ..., weighed: _Optional[_Iterable[str]] = ...) -> None: ...

class Activity(_message.Message):
    __slots__ = ("calls_per_s", "p50_ms", "p99_ms", "busy_cores", "waiting_calls", "frontend_cpu", "frontend_busy_cores")
    CALLS_PER_S_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P99_MS_FIELD_NUMBER: _ClassVar[int]
    BUSY_CORES_FIELD_NUMBER: _ClassVar[int]
    WAITING_CALLS_FIELD_NUMBER: _ClassVar[int]
    FRONTEND_CPU_FIELD_NUMBER: _ClassVar[int]
    FRONTEND_BUSY_CORES_FIELD_NUMBER: _ClassVar[int]
    calls_per_s: float
    p50_ms: float
    p99_ms: float
    busy_cores: float
    waiting_calls: int
    frontend_cpu: float
    frontend_busy_cores: float
    def __init__(self, calls_per_s: _Optional[float] = ..., p50_ms: _Optional[float] = ..., p99_ms: _Optional[float] = ..., busy_cores: _Optional[float] = ..., waiting_calls: _Optional[int] = ..., frontend_cpu: _Optional[float] = ..., frontend_busy_cores: _Optional[float] = ...) -> None: ...

class WorkerEndpoint(_message.Message):
    __slots__ = ("n", "endpoint", "kind", "device", "share_milli", "simulated", "isolation", "enforcement", "serving", "incarnation", "memory_bytes", "memory_enforcement")
    N_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    SHARE_MILLI_FIELD_NUMBER: _ClassVar[int]
    SIMULATED_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    n: int
    endpoint: _common_pb2.Endpoint
    kind: str
    device: str
    share_milli: int
    simulated: bool
    isolation: int
    enforcement: str
    serving: bool
    incarnation: int
    memory_bytes: int
    memory_enforcement: str
    def __init__(self, n: _Optional[int] = ..., endpoint: _Optional[_Union[_common_pb2.Endpoint, _Mapping]] = ..., kind: _Optional[str] = ..., device: _Optional[str] = ..., share_milli: _Optional[int] = ..., simulated: bool = ..., isolation: _Optional[int] = ..., enforcement: _Optional[str] = ..., serving: bool = ..., incarnation: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., memory_enforcement: _Optional[str] = ...) -> None: ...

class Vnic(_message.Message):
    __slots__ = ("driver", "address", "isolation", "peer", "why", "cap_bytes_per_s", "plan", "counters")
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    CAP_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    driver: str
    address: str
    isolation: str
    peer: str
    why: str
    cap_bytes_per_s: int
    plan: _net_pb2.SignedNetPlan
    counters: _net_pb2.NetCounters
    def __init__(self, driver: _Optional[str] = ..., address: _Optional[str] = ..., isolation: _Optional[str] = ..., peer: _Optional[str] = ..., why: _Optional[str] = ..., cap_bytes_per_s: _Optional[int] = ..., plan: _Optional[_Union[_net_pb2.SignedNetPlan, _Mapping]] = ..., counters: _Optional[_Union[_net_pb2.NetCounters, _Mapping]] = ...) -> None: ...

class WatchUp(_message.Message):
    __slots__ = ("hello", "load", "want")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    WANT_FIELD_NUMBER: _ClassVar[int]
    hello: _common_pb2.Hello
    load: FrontEndLoad
    want: Want
    def __init__(self, hello: _Optional[_Union[_common_pb2.Hello, _Mapping]] = ..., load: _Optional[_Union[FrontEndLoad, _Mapping]] = ..., want: _Optional[_Union[Want, _Mapping]] = ...) -> None: ...

class FrontEndLoad(_message.Message):
    __slots__ = ("instance", "waiting_calls", "answered_calls", "cpu_load", "cpu_cores")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    WAITING_CALLS_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_CALLS_FIELD_NUMBER: _ClassVar[int]
    CPU_LOAD_FIELD_NUMBER: _ClassVar[int]
    CPU_CORES_FIELD_NUMBER: _ClassVar[int]
    instance: str
    waiting_calls: int
    answered_calls: int
    cpu_load: float
    cpu_cores: int
    def __init__(self, instance: _Optional[str] = ..., waiting_calls: _Optional[int] = ..., answered_calls: _Optional[int] = ..., cpu_load: _Optional[float] = ..., cpu_cores: _Optional[int] = ...) -> None: ...

class Want(_message.Message):
    __slots__ = ("instance",)
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    def __init__(self, instance: _Optional[str] = ...) -> None: ...

class WatchDown(_message.Message):
    __slots__ = ("hello", "instance", "notice", "reopen")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    REOPEN_FIELD_NUMBER: _ClassVar[int]
    hello: _common_pb2.HelloReply
    instance: Instance
    notice: Notice
    reopen: Reopen
    def __init__(self, hello: _Optional[_Union[_common_pb2.HelloReply, _Mapping]] = ..., instance: _Optional[_Union[Instance, _Mapping]] = ..., notice: _Optional[_Union[Notice, _Mapping]] = ..., reopen: _Optional[_Union[Reopen, _Mapping]] = ...) -> None: ...

class Reopen(_message.Message):
    __slots__ = ("instance", "epoch", "listener", "net_plan")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LISTENER_FIELD_NUMBER: _ClassVar[int]
    NET_PLAN_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    listener: _common_pb2.Endpoint
    net_plan: _net_pb2.SignedNetPlan
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ..., listener: _Optional[_Union[_common_pb2.Endpoint, _Mapping]] = ..., net_plan: _Optional[_Union[_net_pb2.SignedNetPlan, _Mapping]] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("instance", "reason", "message")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    reason: str
    message: str
    def __init__(self, instance: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
