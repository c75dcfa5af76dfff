from eais.rpc.v1 import common_pb2 as _common_pb2
from eais.rpc.v1 import listener_pb2 as _listener_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ToWorkerProcess(_message.Message):
    __slots__ = ("adopt", "load", "unload", "leaf", "drain", "serve", "suspects", "measure", "time_batch", "check")
    ADOPT_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    UNLOAD_FIELD_NUMBER: _ClassVar[int]
    LEAF_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    SERVE_FIELD_NUMBER: _ClassVar[int]
    SUSPECTS_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    TIME_BATCH_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    adopt: Adopt
    load: Load
    unload: Unload
    leaf: Leaf
    drain: Drain
    serve: Serve
    suspects: Suspects
    measure: Measure
    time_batch: TimeBatch
    check: Check
    def __init__(self, adopt: _Optional[_Union[Adopt, _Mapping]] = ..., load: _Optional[_Union[Load, _Mapping]] = ..., unload: _Optional[_Union[Unload, _Mapping]] = ..., leaf: _Optional[_Union[Leaf, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., serve: _Optional[_Union[Serve, _Mapping]] = ..., suspects: _Optional[_Union[Suspects, _Mapping]] = ..., measure: _Optional[_Union[Measure, _Mapping]] = ..., time_batch: _Optional[_Union[TimeBatch, _Mapping]] = ..., check: _Optional[_Union[Check, _Mapping]] = ...) -> None: ...

class FromWorkerProcess(_message.Message):
    __slots__ = ("spare", "adopted", "loaded", "load_failed", "heartbeat", "stuck", "held", "runs", "measurable", "batch_timed", "checked", "device_lost")
    SPARE_FIELD_NUMBER: _ClassVar[int]
    ADOPTED_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    LOAD_FAILED_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    STUCK_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    MEASURABLE_FIELD_NUMBER: _ClassVar[int]
    BATCH_TIMED_FIELD_NUMBER: _ClassVar[int]
    CHECKED_FIELD_NUMBER: _ClassVar[int]
    DEVICE_LOST_FIELD_NUMBER: _ClassVar[int]
    spare: Spare
    adopted: Adopted
    loaded: Loaded
    load_failed: LoadFailed
    heartbeat: Heartbeat
    stuck: Stuck
    held: Held
    runs: Runs
    measurable: Measurable
    batch_timed: BatchTimed
    checked: Checked
    device_lost: _common_pb2.Error
    def __init__(self, spare: _Optional[_Union[Spare, _Mapping]] = ..., adopted: _Optional[_Union[Adopted, _Mapping]] = ..., loaded: _Optional[_Union[Loaded, _Mapping]] = ..., load_failed: _Optional[_Union[LoadFailed, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., stuck: _Optional[_Union[Stuck, _Mapping]] = ..., held: _Optional[_Union[Held, _Mapping]] = ..., runs: _Optional[_Union[Runs, _Mapping]] = ..., measurable: _Optional[_Union[Measurable, _Mapping]] = ..., batch_timed: _Optional[_Union[BatchTimed, _Mapping]] = ..., checked: _Optional[_Union[Checked, _Mapping]] = ..., device_lost: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class Measure(_message.Message):
    __slots__ = ("tenant", "spec", "folder", "device", "milli", "threads", "cores", "memory_bytes", "words", "runtime")
    class WordsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    MILLI_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    spec: _listener_pb2.SessionSpec
    folder: str
    device: str
    milli: int
    threads: int
    cores: _containers.RepeatedScalarFieldContainer[int]
    memory_bytes: int
    words: _containers.ScalarMap[str, str]
    runtime: Runtime
    def __init__(self, tenant: _Optional[str] = ..., spec: _Optional[_Union[_listener_pb2.SessionSpec, _Mapping]] = ..., folder: _Optional[str] = ..., device: _Optional[str] = ..., milli: _Optional[int] = ..., threads: _Optional[int] = ..., cores: _Optional[_Iterable[int]] = ..., memory_bytes: _Optional[int] = ..., words: _Optional[_Mapping[str, str]] = ..., runtime: _Optional[_Union[Runtime, _Mapping]] = ...) -> None: ...

class Measurable(_message.Message):
    __slots__ = ("error",)
    ERROR_FIELD_NUMBER: _ClassVar[int]
    error: _common_pb2.Error
    def __init__(self, error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class TimeBatch(_message.Message):
    __slots__ = ("number", "batch", "runs", "within_ms")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    number: int
    batch: int
    runs: int
    within_ms: int
    def __init__(self, number: _Optional[int] = ..., batch: _Optional[int] = ..., runs: _Optional[int] = ..., within_ms: _Optional[int] = ...) -> None: ...

class BatchTimed(_message.Message):
    __slots__ = ("number", "seconds", "error")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    number: int
    seconds: _containers.RepeatedScalarFieldContainer[float]
    error: _common_pb2.Error
    def __init__(self, number: _Optional[int] = ..., seconds: _Optional[_Iterable[float]] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class Leaf(_message.Message):
    __slots__ = ("key_pem", "leaf_pem", "ca_pem")
    KEY_PEM_FIELD_NUMBER: _ClassVar[int]
    LEAF_PEM_FIELD_NUMBER: _ClassVar[int]
    CA_PEM_FIELD_NUMBER: _ClassVar[int]
    key_pem: bytes
    leaf_pem: bytes
    ca_pem: bytes
    def __init__(self, key_pem: _Optional[bytes] = ..., leaf_pem: _Optional[bytes] = ..., ca_pem: _Optional[bytes] = ...) -> None: ...

class Adopt(_message.Message):
    __slots__ = ("pool", "instance", "tenant", "epoch", "n", "incarnation", "address", "port", "threads", "run_timeout_s", "leaf", "cores", "queue_limit_ms", "calls_limit", "bytes_limit", "transport", "ring", "slo_p99_us", "device", "milli", "memory_bytes", "drivers", "words", "tolerance", "runtimes", "process_memory_bytes", "turns", "watched")
    class WordsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    POOL_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    RUN_TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    LEAF_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    QUEUE_LIMIT_MS_FIELD_NUMBER: _ClassVar[int]
    CALLS_LIMIT_FIELD_NUMBER: _ClassVar[int]
    BYTES_LIMIT_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    RING_FIELD_NUMBER: _ClassVar[int]
    SLO_P99_US_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    MILLI_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DRIVERS_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    PROCESS_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    WATCHED_FIELD_NUMBER: _ClassVar[int]
    pool: str
    instance: str
    tenant: str
    epoch: int
    n: int
    incarnation: int
    address: str
    port: int
    threads: int
    run_timeout_s: int
    leaf: Leaf
    cores: _containers.RepeatedScalarFieldContainer[int]
    queue_limit_ms: int
    calls_limit: int
    bytes_limit: int
    transport: str
    ring: str
    slo_p99_us: int
    device: str
    milli: int
    memory_bytes: int
    drivers: _containers.RepeatedScalarFieldContainer[str]
    words: _containers.ScalarMap[str, str]
    tolerance: str
    runtimes: _containers.RepeatedCompositeFieldContainer[Runtime]
    process_memory_bytes: int
    turns: bool
    watched: bool
    def __init__(self, pool: _Optional[str] = ..., instance: _Optional[str] = ..., tenant: _Optional[str] = ..., epoch: _Optional[int] = ..., n: _Optional[int] = ..., incarnation: _Optional[int] = ..., address: _Optional[str] = ..., port: _Optional[int] = ..., threads: _Optional[int] = ..., run_timeout_s: _Optional[int] = ..., leaf: _Optional[_Union[Leaf, _Mapping]] = ..., cores: _Optional[_Iterable[int]] = ..., queue_limit_ms: _Optional[int] = ..., calls_limit: _Optional[int] = ..., bytes_limit: _Optional[int] = ..., transport: _Optional[str] = ..., ring: _Optional[str] = ..., slo_p99_us: _Optional[int] = ..., device: _Optional[str] = ..., milli: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., drivers: _Optional[_Iterable[str]] = ..., words: _Optional[_Mapping[str, str]] = ..., tolerance: _Optional[str] = ..., runtimes: _Optional[_Iterable[_Union[Runtime, _Mapping]]] = ..., process_memory_bytes: _Optional[int] = ..., turns: bool = ..., watched: bool = ...) -> None: ...

class Check(_message.Message):
    __slots__ = ("device", "milli", "memory_bytes", "drivers", "words")
    class WordsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    MILLI_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DRIVERS_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    device: str
    milli: int
    memory_bytes: int
    drivers: _containers.RepeatedScalarFieldContainer[str]
    words: _containers.ScalarMap[str, str]
    def __init__(self, device: _Optional[str] = ..., milli: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., drivers: _Optional[_Iterable[str]] = ..., words: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Runtime(_message.Message):
    __slots__ = ("driver", "name", "precision")
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    driver: str
    name: str
    precision: str
    def __init__(self, driver: _Optional[str] = ..., name: _Optional[str] = ..., precision: _Optional[str] = ...) -> None: ...

class Load(_message.Message):
    __slots__ = ("session", "spec", "folder", "reference_only")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_ONLY_FIELD_NUMBER: _ClassVar[int]
    session: str
    spec: _listener_pb2.SessionSpec
    folder: str
    reference_only: bool
    def __init__(self, session: _Optional[str] = ..., spec: _Optional[_Union[_listener_pb2.SessionSpec, _Mapping]] = ..., folder: _Optional[str] = ..., reference_only: bool = ...) -> None: ...

class Unload(_message.Message):
    __slots__ = ("session", "error")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    session: str
    error: _common_pb2.Error
    def __init__(self, session: _Optional[str] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class Suspects(_message.Message):
    __slots__ = ("suspects",)
    SUSPECTS_FIELD_NUMBER: _ClassVar[int]
    suspects: _containers.RepeatedCompositeFieldContainer[Suspect]
    def __init__(self, suspects: _Optional[_Iterable[_Union[Suspect, _Mapping]]] = ...) -> None: ...

class Suspect(_message.Message):
    __slots__ = ("session", "hold_ms")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    HOLD_MS_FIELD_NUMBER: _ClassVar[int]
    session: str
    hold_ms: int
    def __init__(self, session: _Optional[str] = ..., hold_ms: _Optional[int] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("grace_ms",)
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    grace_ms: int
    def __init__(self, grace_ms: _Optional[int] = ...) -> None: ...

class Serve(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Spare(_message.Message):
    __slots__ = ("isolation",)
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    isolation: int
    def __init__(self, isolation: _Optional[int] = ...) -> None: ...

class Adopted(_message.Message):
    __slots__ = ("port", "error", "metrics_port")
    PORT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    METRICS_PORT_FIELD_NUMBER: _ClassVar[int]
    port: int
    error: _common_pb2.Error
    metrics_port: int
    def __init__(self, port: _Optional[int] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ..., metrics_port: _Optional[int] = ...) -> None: ...

class Loaded(_message.Message):
    __slots__ = ("session", "signature")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    session: str
    signature: _listener_pb2.Signature
    def __init__(self, session: _Optional[str] = ..., signature: _Optional[_Union[_listener_pb2.Signature, _Mapping]] = ...) -> None: ...

class Runs(_message.Message):
    __slots__ = ("session", "runtime", "unused")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    UNUSED_FIELD_NUMBER: _ClassVar[int]
    session: str
    runtime: str
    unused: _containers.RepeatedCompositeFieldContainer[_listener_pb2.UnusedRuntime]
    def __init__(self, session: _Optional[str] = ..., runtime: _Optional[str] = ..., unused: _Optional[_Iterable[_Union[_listener_pb2.UnusedRuntime, _Mapping]]] = ...) -> None: ...

class Checked(_message.Message):
    __slots__ = ("error",)
    ERROR_FIELD_NUMBER: _ClassVar[int]
    error: _common_pb2.Error
    def __init__(self, error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class LoadFailed(_message.Message):
    __slots__ = ("session", "error")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    session: str
    error: _common_pb2.Error
    def __init__(self, session: _Optional[str] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("requests", "bytes_in", "bytes_out", "busy_ns", "in_flight", "turns", "latency_counts", "canary_age_ms")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    BUSY_NS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_COUNTS_FIELD_NUMBER: _ClassVar[int]
    CANARY_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    requests: int
    bytes_in: int
    bytes_out: int
    busy_ns: int
    in_flight: int
    turns: int
    latency_counts: _containers.RepeatedScalarFieldContainer[int]
    canary_age_ms: int
    def __init__(self, requests: _Optional[int] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., busy_ns: _Optional[int] = ..., in_flight: _Optional[int] = ..., turns: _Optional[int] = ..., latency_counts: _Optional[_Iterable[int]] = ..., canary_age_ms: _Optional[int] = ...) -> None: ...

class Stuck(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: str
    def __init__(self, session: _Optional[str] = ...) -> None: ...

class Held(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sessions: _Optional[_Iterable[str]] = ...) -> None: ...
