from eais.rpc.v1 import listener_pb2 as _listener_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MeasureRequest(_message.Message):
    __slots__ = ("op_id", "spec", "digest", "tolerance")
    OP_ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    op_id: str
    spec: _listener_pb2.SessionSpec
    digest: bytes
    tolerance: str
    def __init__(self, op_id: _Optional[str] = ..., spec: _Optional[_Union[_listener_pb2.SessionSpec, _Mapping]] = ..., digest: _Optional[bytes] = ..., tolerance: _Optional[str] = ...) -> None: ...

class MeasureReply(_message.Message):
    __slots__ = ("over", "why", "digest", "batches", "busy", "profiles", "unmeasured")
    OVER_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    UNMEASURED_FIELD_NUMBER: _ClassVar[int]
    over: bool
    why: str
    digest: bytes
    batches: int
    busy: _containers.RepeatedScalarFieldContainer[str]
    profiles: _containers.RepeatedCompositeFieldContainer[ModelProfile]
    unmeasured: _containers.RepeatedCompositeFieldContainer[Unmeasured]
    def __init__(self, over: bool = ..., why: _Optional[str] = ..., digest: _Optional[bytes] = ..., batches: _Optional[int] = ..., busy: _Optional[_Iterable[str]] = ..., profiles: _Optional[_Iterable[_Union[ModelProfile, _Mapping]]] = ..., unmeasured: _Optional[_Iterable[_Union[Unmeasured, _Mapping]]] = ...) -> None: ...

class ModelProfile(_message.Message):
    __slots__ = ("kind", "device_model", "simulated", "share_milli", "runtime", "precision", "measured_unix_s", "points", "failed")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MODEL_FIELD_NUMBER: _ClassVar[int]
    SIMULATED_FIELD_NUMBER: _ClassVar[int]
    SHARE_MILLI_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    MEASURED_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    kind: str
    device_model: str
    simulated: bool
    share_milli: int
    runtime: str
    precision: str
    measured_unix_s: float
    points: _containers.RepeatedCompositeFieldContainer[ProfilePoint]
    failed: _containers.RepeatedCompositeFieldContainer[ProfileFailure]
    def __init__(self, kind: _Optional[str] = ..., device_model: _Optional[str] = ..., simulated: bool = ..., share_milli: _Optional[int] = ..., runtime: _Optional[str] = ..., precision: _Optional[str] = ..., measured_unix_s: _Optional[float] = ..., points: _Optional[_Iterable[_Union[ProfilePoint, _Mapping]]] = ..., failed: _Optional[_Iterable[_Union[ProfileFailure, _Mapping]]] = ...) -> None: ...

class ProfilePoint(_message.Message):
    __slots__ = ("batch", "samples", "mean_s", "p50_s", "p99_s", "noise")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    MEAN_S_FIELD_NUMBER: _ClassVar[int]
    P50_S_FIELD_NUMBER: _ClassVar[int]
    P99_S_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    batch: int
    samples: int
    mean_s: float
    p50_s: float
    p99_s: float
    noise: float
    def __init__(self, batch: _Optional[int] = ..., samples: _Optional[int] = ..., mean_s: _Optional[float] = ..., p50_s: _Optional[float] = ..., p99_s: _Optional[float] = ..., noise: _Optional[float] = ...) -> None: ...

class ProfileFailure(_message.Message):
    __slots__ = ("batch", "reason")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    batch: int
    reason: str
    def __init__(self, batch: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Unmeasured(_message.Message):
    __slots__ = ("kind", "device_model", "why")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MODEL_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    kind: str
    device_model: str
    why: str
    def __init__(self, kind: _Optional[str] = ..., device_model: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...
