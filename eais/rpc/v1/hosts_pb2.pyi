from eais.rpc.v1 import common_pb2 as _common_pb2
from eais.rpc.v1 import listener_pb2 as _listener_pb2
from eais.rpc.v1 import net_pb2 as _net_pb2
from eais.rpc.v1 import pool_pb2 as _pool_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FetchRequest(_message.Message):
    __slots__ = ("ticket", "sha256", "offset")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    ticket: SignedTicket
    sha256: bytes
    offset: int
    def __init__(self, ticket: _Optional[_Union[SignedTicket, _Mapping]] = ..., sha256: _Optional[bytes] = ..., offset: _Optional[int] = ...) -> None: ...

class FetchReply(_message.Message):
    __slots__ = ("size", "data")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    size: int
    data: bytes
    def __init__(self, size: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class SignedTicket(_message.Message):
    __slots__ = ("ticket", "signature", "leaf_pem")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    LEAF_PEM_FIELD_NUMBER: _ClassVar[int]
    ticket: bytes
    signature: bytes
    leaf_pem: bytes
    def __init__(self, ticket: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., leaf_pem: _Optional[bytes] = ...) -> None: ...

class Ticket(_message.Message):
    __slots__ = ("pool", "tenant", "instance", "to", "sha256", "not_after_unix_s")
    POOL_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    pool: str
    tenant: str
    instance: str
    to: str
    sha256: _containers.RepeatedScalarFieldContainer[bytes]
    not_after_unix_s: int
    def __init__(self, pool: _Optional[str] = ..., tenant: _Optional[str] = ..., instance: _Optional[str] = ..., to: _Optional[str] = ..., sha256: _Optional[_Iterable[bytes]] = ..., not_after_unix_s: _Optional[int] = ..., **kwargs) -> None: ...

class ModelSource(_message.Message):
    __slots__ = ("listener", "ticket")
    LISTENER_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    listener: _common_pb2.Endpoint
    ticket: SignedTicket
    def __init__(self, listener: _Optional[_Union[_common_pb2.Endpoint, _Mapping]] = ..., ticket: _Optional[_Union[SignedTicket, _Mapping]] = ...) -> None: ...

class HostReport(_message.Message):
    __slots__ = ("hello", "join", "granted", "grant_failed", "released", "workers", "sessions", "usage", "moving", "grant_goes_on", "share_failed", "shares_gone", "net_offer", "measured", "batch_failed", "device_health", "device_loads")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    GRANT_FAILED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    MOVING_FIELD_NUMBER: _ClassVar[int]
    GRANT_GOES_ON_FIELD_NUMBER: _ClassVar[int]
    SHARE_FAILED_FIELD_NUMBER: _ClassVar[int]
    SHARES_GONE_FIELD_NUMBER: _ClassVar[int]
    NET_OFFER_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    BATCH_FAILED_FIELD_NUMBER: _ClassVar[int]
    DEVICE_HEALTH_FIELD_NUMBER: _ClassVar[int]
    DEVICE_LOADS_FIELD_NUMBER: _ClassVar[int]
    hello: _common_pb2.Hello
    join: Join
    granted: Granted
    grant_failed: GrantFailed
    released: Released
    workers: WorkersChanged
    sessions: SessionsChanged
    usage: Usage
    moving: Moving
    grant_goes_on: GrantGoesOn
    share_failed: ShareFailed
    shares_gone: SharesGone
    net_offer: _net_pb2.NetOffer
    measured: Measured
    batch_failed: BatchFailed
    device_health: DeviceHealth
    device_loads: DeviceLoads
    def __init__(self, hello: _Optional[_Union[_common_pb2.Hello, _Mapping]] = ..., join: _Optional[_Union[Join, _Mapping]] = ..., granted: _Optional[_Union[Granted, _Mapping]] = ..., grant_failed: _Optional[_Union[GrantFailed, _Mapping]] = ..., released: _Optional[_Union[Released, _Mapping]] = ..., workers: _Optional[_Union[WorkersChanged, _Mapping]] = ..., sessions: _Optional[_Union[SessionsChanged, _Mapping]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., moving: _Optional[_Union[Moving, _Mapping]] = ..., grant_goes_on: _Optional[_Union[GrantGoesOn, _Mapping]] = ..., share_failed: _Optional[_Union[ShareFailed, _Mapping]] = ..., shares_gone: _Optional[_Union[SharesGone, _Mapping]] = ..., net_offer: _Optional[_Union[_net_pb2.NetOffer, _Mapping]] = ..., measured: _Optional[_Union[Measured, _Mapping]] = ..., batch_failed: _Optional[_Union[BatchFailed, _Mapping]] = ..., device_health: _Optional[_Union[DeviceHealth, _Mapping]] = ..., device_loads: _Optional[_Union[DeviceLoads, _Mapping]] = ...) -> None: ...

class HostCommand(_message.Message):
    __slots__ = ("hello", "grant", "revoke", "run_batch", "give_up", "check_device", "usage_kept")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    REVOKE_FIELD_NUMBER: _ClassVar[int]
    RUN_BATCH_FIELD_NUMBER: _ClassVar[int]
    GIVE_UP_FIELD_NUMBER: _ClassVar[int]
    CHECK_DEVICE_FIELD_NUMBER: _ClassVar[int]
    USAGE_KEPT_FIELD_NUMBER: _ClassVar[int]
    hello: _common_pb2.HelloReply
    grant: Grant
    revoke: Revoke
    run_batch: RunBatch
    give_up: GiveUp
    check_device: CheckDevice
    usage_kept: UsageKept
    def __init__(self, hello: _Optional[_Union[_common_pb2.HelloReply, _Mapping]] = ..., grant: _Optional[_Union[Grant, _Mapping]] = ..., revoke: _Optional[_Union[Revoke, _Mapping]] = ..., run_batch: _Optional[_Union[RunBatch, _Mapping]] = ..., give_up: _Optional[_Union[GiveUp, _Mapping]] = ..., check_device: _Optional[_Union[CheckDevice, _Mapping]] = ..., usage_kept: _Optional[_Union[UsageKept, _Mapping]] = ...) -> None: ...

class UsageKept(_message.Message):
    __slots__ = ("instance", "epoch")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class RunBatch(_message.Message):
    __slots__ = ("study", "number", "tenant", "spec", "sources", "device", "milli", "runtime", "batch", "runs", "within_ms")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    MILLI_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    study: str
    number: int
    tenant: str
    spec: _listener_pb2.SessionSpec
    sources: _containers.RepeatedCompositeFieldContainer[ModelSource]
    device: str
    milli: int
    runtime: str
    batch: int
    runs: int
    within_ms: int
    def __init__(self, study: _Optional[str] = ..., number: _Optional[int] = ..., tenant: _Optional[str] = ..., spec: _Optional[_Union[_listener_pb2.SessionSpec, _Mapping]] = ..., sources: _Optional[_Iterable[_Union[ModelSource, _Mapping]]] = ..., device: _Optional[str] = ..., milli: _Optional[int] = ..., runtime: _Optional[str] = ..., batch: _Optional[int] = ..., runs: _Optional[int] = ..., within_ms: _Optional[int] = ...) -> None: ...

class GiveUp(_message.Message):
    __slots__ = ("study", "device")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    study: str
    device: str
    def __init__(self, study: _Optional[str] = ..., device: _Optional[str] = ...) -> None: ...

class Measured(_message.Message):
    __slots__ = ("study", "number", "seconds")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    study: str
    number: int
    seconds: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, study: _Optional[str] = ..., number: _Optional[int] = ..., seconds: _Optional[_Iterable[float]] = ...) -> None: ...

class BatchFailed(_message.Message):
    __slots__ = ("study", "number", "error")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    study: str
    number: int
    error: _common_pb2.Error
    def __init__(self, study: _Optional[str] = ..., number: _Optional[int] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("id", "kind", "model", "memory_bytes", "capacity_milli", "granularity_milli", "simulated", "enforcement", "share_limit_milli", "runtimes", "health", "health_reason", "attach_ms", "loads", "piece_enforcement", "unenforced")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_MILLI_FIELD_NUMBER: _ClassVar[int]
    GRANULARITY_MILLI_FIELD_NUMBER: _ClassVar[int]
    SIMULATED_FIELD_NUMBER: _ClassVar[int]
    ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    SHARE_LIMIT_MILLI_FIELD_NUMBER: _ClassVar[int]
    RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    HEALTH_REASON_FIELD_NUMBER: _ClassVar[int]
    ATTACH_MS_FIELD_NUMBER: _ClassVar[int]
    LOADS_FIELD_NUMBER: _ClassVar[int]
    PIECE_ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    UNENFORCED_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    model: str
    memory_bytes: int
    capacity_milli: int
    granularity_milli: int
    simulated: bool
    enforcement: str
    share_limit_milli: int
    runtimes: _containers.RepeatedScalarFieldContainer[str]
    health: str
    health_reason: str
    attach_ms: int
    loads: Loads
    piece_enforcement: str
    unenforced: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., model: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., capacity_milli: _Optional[int] = ..., granularity_milli: _Optional[int] = ..., simulated: bool = ..., enforcement: _Optional[str] = ..., share_limit_milli: _Optional[int] = ..., runtimes: _Optional[_Iterable[str]] = ..., health: _Optional[str] = ..., health_reason: _Optional[str] = ..., attach_ms: _Optional[int] = ..., loads: _Optional[_Union[Loads, _Mapping]] = ..., piece_enforcement: _Optional[str] = ..., unenforced: _Optional[str] = ...) -> None: ...

class Loads(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[ModelLoad]
    def __init__(self, models: _Optional[_Iterable[_Union[ModelLoad, _Mapping]]] = ...) -> None: ...

class ModelLoad(_message.Message):
    __slots__ = ("model", "load_ms", "ready_milli")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LOAD_MS_FIELD_NUMBER: _ClassVar[int]
    READY_MILLI_FIELD_NUMBER: _ClassVar[int]
    model: bytes
    load_ms: int
    ready_milli: int
    def __init__(self, model: _Optional[bytes] = ..., load_ms: _Optional[int] = ..., ready_milli: _Optional[int] = ...) -> None: ...

class DeviceLoads(_message.Message):
    __slots__ = ("device", "loads")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    LOADS_FIELD_NUMBER: _ClassVar[int]
    device: str
    loads: Loads
    def __init__(self, device: _Optional[str] = ..., loads: _Optional[_Union[Loads, _Mapping]] = ...) -> None: ...

class DeviceHealth(_message.Message):
    __slots__ = ("device", "health", "reason")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    device: str
    health: str
    reason: str
    def __init__(self, device: _Optional[str] = ..., health: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CheckDevice(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: str
    def __init__(self, device: _Optional[str] = ...) -> None: ...

class Join(_message.Message):
    __slots__ = ("host", "boot_id", "devices", "leases", "user_plane", "isolation", "isolation_reason", "vnic_driver", "vnic_address", "management_plane", "process", "ended", "net_offer")
    HOST_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    USER_PLANE_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_REASON_FIELD_NUMBER: _ClassVar[int]
    VNIC_DRIVER_FIELD_NUMBER: _ClassVar[int]
    VNIC_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    MANAGEMENT_PLANE_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    NET_OFFER_FIELD_NUMBER: _ClassVar[int]
    host: str
    boot_id: str
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    leases: _containers.RepeatedCompositeFieldContainer[Granted]
    user_plane: _common_pb2.Endpoint
    isolation: int
    isolation_reason: str
    vnic_driver: str
    vnic_address: str
    management_plane: _common_pb2.Endpoint
    process: str
    ended: _containers.RepeatedCompositeFieldContainer[Usage]
    net_offer: _net_pb2.NetOffer
    def __init__(self, host: _Optional[str] = ..., boot_id: _Optional[str] = ..., devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., leases: _Optional[_Iterable[_Union[Granted, _Mapping]]] = ..., user_plane: _Optional[_Union[_common_pb2.Endpoint, _Mapping]] = ..., isolation: _Optional[int] = ..., isolation_reason: _Optional[str] = ..., vnic_driver: _Optional[str] = ..., vnic_address: _Optional[str] = ..., management_plane: _Optional[_Union[_common_pb2.Endpoint, _Mapping]] = ..., process: _Optional[str] = ..., ended: _Optional[_Iterable[_Union[Usage, _Mapping]]] = ..., net_offer: _Optional[_Union[_net_pb2.NetOffer, _Mapping]] = ...) -> None: ...

class Moving(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ShareGrant(_message.Message):
    __slots__ = ("n", "device", "milli", "unit")
    N_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    MILLI_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    n: int
    device: str
    milli: int
    unit: int
    def __init__(self, n: _Optional[int] = ..., device: _Optional[str] = ..., milli: _Optional[int] = ..., unit: _Optional[int] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("instance", "tenant", "epoch", "shares", "address", "vnic_driver", "run_timeout_s", "tolerance", "specs", "sources", "policy", "net_plan")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    VNIC_DRIVER_FIELD_NUMBER: _ClassVar[int]
    RUN_TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    SPECS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    NET_PLAN_FIELD_NUMBER: _ClassVar[int]
    instance: str
    tenant: str
    epoch: int
    shares: _containers.RepeatedCompositeFieldContainer[ShareGrant]
    address: str
    vnic_driver: str
    run_timeout_s: int
    tolerance: str
    specs: _containers.RepeatedCompositeFieldContainer[_listener_pb2.SessionSpec]
    sources: _containers.RepeatedCompositeFieldContainer[ModelSource]
    policy: _pool_pb2.InstancePolicy
    net_plan: _net_pb2.SignedNetPlan
    def __init__(self, instance: _Optional[str] = ..., tenant: _Optional[str] = ..., epoch: _Optional[int] = ..., shares: _Optional[_Iterable[_Union[ShareGrant, _Mapping]]] = ..., address: _Optional[str] = ..., vnic_driver: _Optional[str] = ..., run_timeout_s: _Optional[int] = ..., tolerance: _Optional[str] = ..., specs: _Optional[_Iterable[_Union[_listener_pb2.SessionSpec, _Mapping]]] = ..., sources: _Optional[_Iterable[_Union[ModelSource, _Mapping]]] = ..., policy: _Optional[_Union[_pool_pb2.InstancePolicy, _Mapping]] = ..., net_plan: _Optional[_Union[_net_pb2.SignedNetPlan, _Mapping]] = ...) -> None: ...

class Revoke(_message.Message):
    __slots__ = ("instance", "epoch", "drain_grace_ms", "shares")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    DRAIN_GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    drain_grace_ms: int
    shares: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ..., drain_grace_ms: _Optional[int] = ..., shares: _Optional[_Iterable[int]] = ...) -> None: ...

class SharesGone(_message.Message):
    __slots__ = ("instance", "epoch", "shares")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    shares: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ..., shares: _Optional[_Iterable[int]] = ...) -> None: ...

class ShareFailed(_message.Message):
    __slots__ = ("instance", "epoch", "n", "error")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    n: int
    error: _common_pb2.Error
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ..., n: _Optional[int] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class Granted(_message.Message):
    __slots__ = ("instance", "epoch", "tenant", "workers", "address", "specs_missing", "user_plane")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SPECS_MISSING_FIELD_NUMBER: _ClassVar[int]
    USER_PLANE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    tenant: str
    workers: _containers.RepeatedCompositeFieldContainer[_pool_pb2.WorkerEndpoint]
    address: str
    specs_missing: int
    user_plane: _common_pb2.Endpoint
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ..., tenant: _Optional[str] = ..., workers: _Optional[_Iterable[_Union[_pool_pb2.WorkerEndpoint, _Mapping]]] = ..., address: _Optional[str] = ..., specs_missing: _Optional[int] = ..., user_plane: _Optional[_Union[_common_pb2.Endpoint, _Mapping]] = ...) -> None: ...

class GrantFailed(_message.Message):
    __slots__ = ("instance", "epoch", "error")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    error: _common_pb2.Error
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class GrantGoesOn(_message.Message):
    __slots__ = ("instance", "epoch")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class Released(_message.Message):
    __slots__ = ("instance", "epoch")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class WorkersChanged(_message.Message):
    __slots__ = ("instance", "epoch", "workers")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    workers: _containers.RepeatedCompositeFieldContainer[_pool_pb2.WorkerEndpoint]
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ..., workers: _Optional[_Iterable[_Union[_pool_pb2.WorkerEndpoint, _Mapping]]] = ...) -> None: ...

class SessionsChanged(_message.Message):
    __slots__ = ("instance", "epoch", "specs")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SPECS_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    specs: _containers.RepeatedCompositeFieldContainer[_listener_pb2.SessionSpec]
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ..., specs: _Optional[_Iterable[_Union[_listener_pb2.SessionSpec, _Mapping]]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("instance", "epoch", "requests", "bytes_in", "bytes_out", "busy_ns", "latency_counts", "models", "last", "vnic")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    BUSY_NS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_COUNTS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    VNIC_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    requests: int
    bytes_in: int
    bytes_out: int
    busy_ns: int
    latency_counts: _containers.RepeatedScalarFieldContainer[int]
    models: _containers.RepeatedCompositeFieldContainer[ModelUsage]
    last: bool
    vnic: _net_pb2.NetCounters
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ..., requests: _Optional[int] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., busy_ns: _Optional[int] = ..., latency_counts: _Optional[_Iterable[int]] = ..., models: _Optional[_Iterable[_Union[ModelUsage, _Mapping]]] = ..., last: bool = ..., vnic: _Optional[_Union[_net_pb2.NetCounters, _Mapping]] = ...) -> None: ...

class ModelUsage(_message.Message):
    __slots__ = ("model", "requests", "bytes_in", "bytes_out", "busy_ns")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    BUSY_NS_FIELD_NUMBER: _ClassVar[int]
    model: bytes
    requests: int
    bytes_in: int
    bytes_out: int
    busy_ns: int
    def __init__(self, model: _Optional[bytes] = ..., requests: _Optional[int] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., busy_ns: _Optional[int] = ...) -> None: ...

class SignWorkerRequest(_message.Message):
    __slots__ = ("instance", "epoch", "n", "csr_pem")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    CSR_PEM_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    n: int
    csr_pem: bytes
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ..., n: _Optional[int] = ..., csr_pem: _Optional[bytes] = ...) -> None: ...

class SignWorkerReply(_message.Message):
    __slots__ = ("leaf_pem", "ca_pem")
    LEAF_PEM_FIELD_NUMBER: _ClassVar[int]
    CA_PEM_FIELD_NUMBER: _ClassVar[int]
    leaf_pem: bytes
    ca_pem: bytes
    def __init__(self, leaf_pem: _Optional[bytes] = ..., ca_pem: _Optional[bytes] = ...) -> None: ...

class PoolStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeviceUse(_message.Message):
    __slots__ = ("host", "device", "free_milli", "reachable", "shares", "health", "health_reason")
    HOST_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    FREE_MILLI_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    HEALTH_REASON_FIELD_NUMBER: _ClassVar[int]
    host: str
    device: Device
    free_milli: int
    reachable: bool
    shares: _containers.RepeatedCompositeFieldContainer[ShareUse]
    health: str
    health_reason: str
    def __init__(self, host: _Optional[str] = ..., device: _Optional[_Union[Device, _Mapping]] = ..., free_milli: _Optional[int] = ..., reachable: bool = ..., shares: _Optional[_Iterable[_Union[ShareUse, _Mapping]]] = ..., health: _Optional[str] = ..., health_reason: _Optional[str] = ...) -> None: ...

class ShareUse(_message.Message):
    __slots__ = ("instance", "milli", "state", "tenant")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    MILLI_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    instance: str
    milli: int
    state: str
    tenant: str
    def __init__(self, instance: _Optional[str] = ..., milli: _Optional[int] = ..., state: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class PoolStatusReply(_message.Message):
    __slots__ = ("pool", "software", "devices", "instances", "hosts", "ca")
    POOL_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    CA_FIELD_NUMBER: _ClassVar[int]
    pool: str
    software: str
    devices: _containers.RepeatedCompositeFieldContainer[DeviceUse]
    instances: int
    hosts: _containers.RepeatedCompositeFieldContainer[HostUse]
    ca: CaState
    def __init__(self, pool: _Optional[str] = ..., software: _Optional[str] = ..., devices: _Optional[_Iterable[_Union[DeviceUse, _Mapping]]] = ..., instances: _Optional[int] = ..., hosts: _Optional[_Iterable[_Union[HostUse, _Mapping]]] = ..., ca: _Optional[_Union[CaState, _Mapping]] = ...) -> None: ...

class CreateTokenRequest(_message.Message):
    __slots__ = ("op_id", "purpose", "tenant", "name")
    OP_ID_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    op_id: str
    purpose: str
    tenant: str
    name: str
    def __init__(self, op_id: _Optional[str] = ..., purpose: _Optional[str] = ..., tenant: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class CreateTokenReply(_message.Message):
    __slots__ = ("token", "life_s", "enrolment")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LIFE_S_FIELD_NUMBER: _ClassVar[int]
    ENROLMENT_FIELD_NUMBER: _ClassVar[int]
    token: str
    life_s: int
    enrolment: _common_pb2.Endpoint
    def __init__(self, token: _Optional[str] = ..., life_s: _Optional[int] = ..., enrolment: _Optional[_Union[_common_pb2.Endpoint, _Mapping]] = ...) -> None: ...

class Quota(_message.Message):
    __slots__ = ("what", "limit")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    what: str
    limit: int
    def __init__(self, what: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class SetTenantRequest(_message.Message):
    __slots__ = ("op_id", "tenant", "create", "quotas", "defaults")
    OP_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    QUOTAS_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    op_id: str
    tenant: str
    create: bool
    quotas: _containers.RepeatedCompositeFieldContainer[Quota]
    defaults: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, op_id: _Optional[str] = ..., tenant: _Optional[str] = ..., create: bool = ..., quotas: _Optional[_Iterable[_Union[Quota, _Mapping]]] = ..., defaults: _Optional[_Iterable[str]] = ...) -> None: ...

class Tenant(_message.Message):
    __slots__ = ("name", "quotas", "used", "vnic_network", "vnic_cap_bytes_per_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUOTAS_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    VNIC_NETWORK_FIELD_NUMBER: _ClassVar[int]
    VNIC_CAP_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    quotas: _containers.RepeatedCompositeFieldContainer[Quota]
    used: _containers.RepeatedCompositeFieldContainer[Quota]
    vnic_network: str
    vnic_cap_bytes_per_s: int
    def __init__(self, name: _Optional[str] = ..., quotas: _Optional[_Iterable[_Union[Quota, _Mapping]]] = ..., used: _Optional[_Iterable[_Union[Quota, _Mapping]]] = ..., vnic_network: _Optional[str] = ..., vnic_cap_bytes_per_s: _Optional[int] = ...) -> None: ...

class TenantReply(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: Tenant
    def __init__(self, tenant: _Optional[_Union[Tenant, _Mapping]] = ...) -> None: ...

class ListTenantsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTenantsReply(_message.Message):
    __slots__ = ("tenants",)
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    tenants: _containers.RepeatedCompositeFieldContainer[Tenant]
    def __init__(self, tenants: _Optional[_Iterable[_Union[Tenant, _Mapping]]] = ...) -> None: ...

class CordonRequest(_message.Message):
    __slots__ = ("op_id", "host", "cordoned", "device")
    OP_ID_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    CORDONED_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    op_id: str
    host: str
    cordoned: bool
    device: str
    def __init__(self, op_id: _Optional[str] = ..., host: _Optional[str] = ..., cordoned: bool = ..., device: _Optional[str] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ("op_id", "host")
    OP_ID_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    op_id: str
    host: str
    def __init__(self, op_id: _Optional[str] = ..., host: _Optional[str] = ...) -> None: ...

class HostReply(_message.Message):
    __slots__ = ("host",)
    HOST_FIELD_NUMBER: _ClassVar[int]
    host: HostUse
    def __init__(self, host: _Optional[_Union[HostUse, _Mapping]] = ...) -> None: ...

class ForceDetachRequest(_message.Message):
    __slots__ = ("op_id", "instance")
    OP_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    op_id: str
    instance: str
    def __init__(self, op_id: _Optional[str] = ..., instance: _Optional[str] = ...) -> None: ...

class DefragRequest(_message.Message):
    __slots__ = ("op_id", "moves", "dry_run", "stop", "show")
    OP_ID_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    SHOW_FIELD_NUMBER: _ClassVar[int]
    op_id: str
    moves: int
    dry_run: bool
    stop: bool
    show: bool
    def __init__(self, op_id: _Optional[str] = ..., moves: _Optional[int] = ..., dry_run: bool = ..., stop: bool = ..., show: bool = ...) -> None: ...

class DefragReply(_message.Message):
    __slots__ = ("moves", "lost_before_milli", "lost_after_milli", "rooms", "over", "left_out")
    MOVES_FIELD_NUMBER: _ClassVar[int]
    LOST_BEFORE_MILLI_FIELD_NUMBER: _ClassVar[int]
    LOST_AFTER_MILLI_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    moves: _containers.RepeatedCompositeFieldContainer[DefragMove]
    lost_before_milli: float
    lost_after_milli: float
    rooms: _containers.RepeatedCompositeFieldContainer[RoomChange]
    over: bool
    left_out: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, moves: _Optional[_Iterable[_Union[DefragMove, _Mapping]]] = ..., lost_before_milli: _Optional[float] = ..., lost_after_milli: _Optional[float] = ..., rooms: _Optional[_Iterable[_Union[RoomChange, _Mapping]]] = ..., over: bool = ..., left_out: _Optional[_Iterable[str]] = ...) -> None: ...

class DefragMove(_message.Message):
    __slots__ = ("instance", "type", "origin", "to", "gain_milli", "state", "why")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    GAIN_MILLI_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    instance: str
    type: str
    origin: str
    to: str
    gain_milli: float
    state: str
    why: str
    def __init__(self, instance: _Optional[str] = ..., type: _Optional[str] = ..., origin: _Optional[str] = ..., to: _Optional[str] = ..., gain_milli: _Optional[float] = ..., state: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class RoomChange(_message.Message):
    __slots__ = ("kind", "before_milli", "after_milli")
    KIND_FIELD_NUMBER: _ClassVar[int]
    BEFORE_MILLI_FIELD_NUMBER: _ClassVar[int]
    AFTER_MILLI_FIELD_NUMBER: _ClassVar[int]
    kind: str
    before_milli: int
    after_milli: int
    def __init__(self, kind: _Optional[str] = ..., before_milli: _Optional[int] = ..., after_milli: _Optional[int] = ...) -> None: ...

class RollCaRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RollCaReply(_message.Message):
    __slots__ = ("ca", "begun")
    CA_FIELD_NUMBER: _ClassVar[int]
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    ca: CaState
    begun: bool
    def __init__(self, ca: _Optional[_Union[CaState, _Mapping]] = ..., begun: bool = ...) -> None: ...

class CaState(_message.Message):
    __slots__ = ("phase", "phase_left_s", "roll_left_s", "ca_left_s", "ca_ends_unix_s", "ca_sha256")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    PHASE_LEFT_S_FIELD_NUMBER: _ClassVar[int]
    ROLL_LEFT_S_FIELD_NUMBER: _ClassVar[int]
    CA_LEFT_S_FIELD_NUMBER: _ClassVar[int]
    CA_ENDS_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    CA_SHA256_FIELD_NUMBER: _ClassVar[int]
    phase: str
    phase_left_s: int
    roll_left_s: int
    ca_left_s: int
    ca_ends_unix_s: int
    ca_sha256: bytes
    def __init__(self, phase: _Optional[str] = ..., phase_left_s: _Optional[int] = ..., roll_left_s: _Optional[int] = ..., ca_left_s: _Optional[int] = ..., ca_ends_unix_s: _Optional[int] = ..., ca_sha256: _Optional[bytes] = ...) -> None: ...

class HostUse(_message.Message):
    __slots__ = ("host", "reachable", "isolation", "isolation_reason", "cordoned", "draining", "instances", "stuck", "vnic_driver", "user_plane", "management_plane", "net_drivers")
    HOST_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_REASON_FIELD_NUMBER: _ClassVar[int]
    CORDONED_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    STUCK_FIELD_NUMBER: _ClassVar[int]
    VNIC_DRIVER_FIELD_NUMBER: _ClassVar[int]
    USER_PLANE_FIELD_NUMBER: _ClassVar[int]
    MANAGEMENT_PLANE_FIELD_NUMBER: _ClassVar[int]
    NET_DRIVERS_FIELD_NUMBER: _ClassVar[int]
    host: str
    reachable: bool
    isolation: int
    isolation_reason: str
    cordoned: bool
    draining: bool
    instances: int
    stuck: _containers.RepeatedScalarFieldContainer[str]
    vnic_driver: str
    user_plane: _common_pb2.Endpoint
    management_plane: _common_pb2.Endpoint
    net_drivers: _containers.RepeatedCompositeFieldContainer[_net_pb2.NetDriver]
    def __init__(self, host: _Optional[str] = ..., reachable: bool = ..., isolation: _Optional[int] = ..., isolation_reason: _Optional[str] = ..., cordoned: bool = ..., draining: bool = ..., instances: _Optional[int] = ..., stuck: _Optional[_Iterable[str]] = ..., vnic_driver: _Optional[str] = ..., user_plane: _Optional[_Union[_common_pb2.Endpoint, _Mapping]] = ..., management_plane: _Optional[_Union[_common_pb2.Endpoint, _Mapping]] = ..., net_drivers: _Optional[_Iterable[_Union[_net_pb2.NetDriver, _Mapping]]] = ...) -> None: ...

class ListenerStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListenerStatusReply(_message.Message):
    __slots__ = ("host", "leases", "store_bytes", "store_limit_bytes", "spares", "sessions", "quarantined")
    HOST_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    STORE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORE_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPARES_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    host: str
    leases: _containers.RepeatedCompositeFieldContainer[Granted]
    store_bytes: int
    store_limit_bytes: int
    spares: int
    sessions: int
    quarantined: _containers.RepeatedCompositeFieldContainer[QuarantinedModel]
    def __init__(self, host: _Optional[str] = ..., leases: _Optional[_Iterable[_Union[Granted, _Mapping]]] = ..., store_bytes: _Optional[int] = ..., store_limit_bytes: _Optional[int] = ..., spares: _Optional[int] = ..., sessions: _Optional[int] = ..., quarantined: _Optional[_Iterable[_Union[QuarantinedModel, _Mapping]]] = ...) -> None: ...

class QuarantinedModel(_message.Message):
    __slots__ = ("tenant", "digest", "deaths", "stage", "signal", "ends_in_s")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    DEATHS_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    ENDS_IN_S_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    digest: bytes
    deaths: int
    stage: str
    signal: str
    ends_in_s: int
    def __init__(self, tenant: _Optional[str] = ..., digest: _Optional[bytes] = ..., deaths: _Optional[int] = ..., stage: _Optional[str] = ..., signal: _Optional[str] = ..., ends_in_s: _Optional[int] = ...) -> None: ...
