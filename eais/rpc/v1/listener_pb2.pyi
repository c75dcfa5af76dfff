from eais.rpc.v1 import common_pb2 as _common_pb2
from eais.rpc.v1 import pool_pb2 as _pool_pb2
from eais.rpc.v1 import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModelFile(_message.Message):
    __slots__ = ("location", "sha256", "size")
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    location: str
    sha256: bytes
    size: int
    def __init__(self, location: _Optional[str] = ..., sha256: _Optional[bytes] = ..., size: _Optional[int] = ...) -> None: ...

class SessionSpec(_message.Message):
    __slots__ = ("files", "options", "providers", "from_path")
    FILES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    FROM_PATH_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[ModelFile]
    options: SessionOptions
    providers: _containers.RepeatedScalarFieldContainer[str]
    from_path: bool
    def __init__(self, files: _Optional[_Iterable[_Union[ModelFile, _Mapping]]] = ..., options: _Optional[_Union[SessionOptions, _Mapping]] = ..., providers: _Optional[_Iterable[str]] = ..., from_path: bool = ...) -> None: ...

class SessionOptions(_message.Message):
    __slots__ = ("graph_optimization_level", "execution_mode", "config_entries", "free_dimension_overrides_by_name", "free_dimension_overrides_by_denotation", "disable_mem_pattern", "disable_cpu_mem_arena", "use_deterministic_compute", "batching")
    class ConfigEntriesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class FreeDimensionOverridesByNameEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class FreeDimensionOverridesByDenotationEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    GRAPH_OPTIMIZATION_LEVEL_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_MODE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    FREE_DIMENSION_OVERRIDES_BY_NAME_FIELD_NUMBER: _ClassVar[int]
    FREE_DIMENSION_OVERRIDES_BY_DENOTATION_FIELD_NUMBER: _ClassVar[int]
    DISABLE_MEM_PATTERN_FIELD_NUMBER: _ClassVar[int]
    DISABLE_CPU_MEM_ARENA_FIELD_NUMBER: _ClassVar[int]
    USE_DETERMINISTIC_COMPUTE_FIELD_NUMBER: _ClassVar[int]
    BATCHING_FIELD_NUMBER: _ClassVar[int]
    graph_optimization_level: int
    execution_mode: int
    config_entries: _containers.ScalarMap[str, str]
    free_dimension_overrides_by_name: _containers.ScalarMap[str, int]
    free_dimension_overrides_by_denotation: _containers.ScalarMap[str, int]
    disable_mem_pattern: bool
    disable_cpu_mem_arena: bool
    use_deterministic_compute: bool
    batching: str
    def __init__(self, graph_optimization_level: _Optional[int] = ..., execution_mode: _Optional[int] = ..., config_entries: _Optional[_Mapping[str, str]] = ..., free_dimension_overrides_by_name: _Optional[_Mapping[str, int]] = ..., free_dimension_overrides_by_denotation: _Optional[_Mapping[str, int]] = ..., disable_mem_pattern: bool = ..., disable_cpu_mem_arena: bool = ..., use_deterministic_compute: bool = ..., batching: _Optional[str] = ...) -> None: ...

class OpenRequest(_message.Message):
    __slots__ = ("instance", "epoch", "spec")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    spec: SessionSpec
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ..., spec: _Optional[_Union[SessionSpec, _Mapping]] = ...) -> None: ...

class OpenReply(_message.Message):
    __slots__ = ("missing", "session")
    MISSING_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    missing: _containers.RepeatedCompositeFieldContainer[MissingFile]
    session: OpenedSession
    def __init__(self, missing: _Optional[_Iterable[_Union[MissingFile, _Mapping]]] = ..., session: _Optional[_Union[OpenedSession, _Mapping]] = ...) -> None: ...

class MissingFile(_message.Message):
    __slots__ = ("sha256", "size", "offset")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    sha256: bytes
    size: int
    offset: int
    def __init__(self, sha256: _Optional[bytes] = ..., size: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class OpenedSession(_message.Message):
    __slots__ = ("id", "signature", "workers", "not_on")
    ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    NOT_ON_FIELD_NUMBER: _ClassVar[int]
    id: str
    signature: Signature
    workers: _containers.RepeatedCompositeFieldContainer[_pool_pb2.WorkerEndpoint]
    not_on: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, id: _Optional[str] = ..., signature: _Optional[_Union[Signature, _Mapping]] = ..., workers: _Optional[_Iterable[_Union[_pool_pb2.WorkerEndpoint, _Mapping]]] = ..., not_on: _Optional[_Iterable[int]] = ...) -> None: ...

class Signature(_message.Message):
    __slots__ = ("inputs", "outputs", "overridable_initializers", "metadata", "providers")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    OVERRIDABLE_INITIALIZERS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedCompositeFieldContainer[_value_pb2.ValueInfo]
    outputs: _containers.RepeatedCompositeFieldContainer[_value_pb2.ValueInfo]
    overridable_initializers: _containers.RepeatedCompositeFieldContainer[_value_pb2.ValueInfo]
    metadata: ModelMetadata
    providers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, inputs: _Optional[_Iterable[_Union[_value_pb2.ValueInfo, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[_value_pb2.ValueInfo, _Mapping]]] = ..., overridable_initializers: _Optional[_Iterable[_Union[_value_pb2.ValueInfo, _Mapping]]] = ..., metadata: _Optional[_Union[ModelMetadata, _Mapping]] = ..., providers: _Optional[_Iterable[str]] = ...) -> None: ...

class ModelMetadata(_message.Message):
    __slots__ = ("producer_name", "graph_name", "domain", "description", "graph_description", "version", "custom_metadata")
    class CustomMetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PRODUCER_NAME_FIELD_NUMBER: _ClassVar[int]
    GRAPH_NAME_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_METADATA_FIELD_NUMBER: _ClassVar[int]
    producer_name: str
    graph_name: str
    domain: str
    description: str
    graph_description: str
    version: int
    custom_metadata: _containers.ScalarMap[str, str]
    def __init__(self, producer_name: _Optional[str] = ..., graph_name: _Optional[str] = ..., domain: _Optional[str] = ..., description: _Optional[str] = ..., graph_description: _Optional[str] = ..., version: _Optional[int] = ..., custom_metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class PushChunk(_message.Message):
    __slots__ = ("instance", "epoch", "sha256", "size", "offset", "data")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    sha256: bytes
    size: int
    offset: int
    data: bytes
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ..., sha256: _Optional[bytes] = ..., size: _Optional[int] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class PushReply(_message.Message):
    __slots__ = ("size",)
    SIZE_FIELD_NUMBER: _ClassVar[int]
    size: int
    def __init__(self, size: _Optional[int] = ...) -> None: ...

class LocateRequest(_message.Message):
    __slots__ = ("instance", "epoch", "sessions")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    instance: str
    epoch: int
    sessions: bool
    def __init__(self, instance: _Optional[str] = ..., epoch: _Optional[int] = ..., sessions: bool = ...) -> None: ...

class LocateReply(_message.Message):
    __slots__ = ("workers", "sessions")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[_pool_pb2.WorkerEndpoint]
    sessions: _containers.RepeatedCompositeFieldContainer[SessionState]
    def __init__(self, workers: _Optional[_Iterable[_Union[_pool_pb2.WorkerEndpoint, _Mapping]]] = ..., sessions: _Optional[_Iterable[_Union[SessionState, _Mapping]]] = ...) -> None: ...

class SessionState(_message.Message):
    __slots__ = ("id", "model_sha256", "workers")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_SHA256_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    id: str
    model_sha256: bytes
    workers: _containers.RepeatedCompositeFieldContainer[SessionAt]
    def __init__(self, id: _Optional[str] = ..., model_sha256: _Optional[bytes] = ..., workers: _Optional[_Iterable[_Union[SessionAt, _Mapping]]] = ...) -> None: ...

class SessionAt(_message.Message):
    __slots__ = ("n", "runtime", "unused", "error")
    N_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    UNUSED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    n: int
    runtime: str
    unused: _containers.RepeatedCompositeFieldContainer[UnusedRuntime]
    error: _common_pb2.Error
    def __init__(self, n: _Optional[int] = ..., runtime: _Optional[str] = ..., unused: _Optional[_Iterable[_Union[UnusedRuntime, _Mapping]]] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class UnusedRuntime(_message.Message):
    __slots__ = ("runtime", "why")
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    runtime: str
    why: str
    def __init__(self, runtime: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...
