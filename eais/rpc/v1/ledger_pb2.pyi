from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UsageRequest(_message.Message):
    __slots__ = ("since_s", "until_s", "by")
    SINCE_S_FIELD_NUMBER: _ClassVar[int]
    UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    since_s: float
    until_s: float
    by: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, since_s: _Optional[float] = ..., until_s: _Optional[float] = ..., by: _Optional[_Iterable[str]] = ...) -> None: ...

class UsageReply(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[UsageLine]
    def __init__(self, lines: _Optional[_Iterable[_Union[UsageLine, _Mapping]]] = ...) -> None: ...

class UsageLine(_message.Message):
    __slots__ = ("tenant", "instance", "kind", "model", "device_s", "cost", "requests", "bytes_in", "bytes_out", "busy_ns", "vnic_bytes_in", "vnic_bytes_out", "vnic_packets_in", "vnic_packets_out")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DEVICE_S_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    BUSY_NS_FIELD_NUMBER: _ClassVar[int]
    VNIC_BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    VNIC_BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    VNIC_PACKETS_IN_FIELD_NUMBER: _ClassVar[int]
    VNIC_PACKETS_OUT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    instance: str
    kind: str
    model: str
    device_s: float
    cost: float
    requests: int
    bytes_in: int
    bytes_out: int
    busy_ns: int
    vnic_bytes_in: int
    vnic_bytes_out: int
    vnic_packets_in: int
    vnic_packets_out: int
    def __init__(self, tenant: _Optional[str] = ..., instance: _Optional[str] = ..., kind: _Optional[str] = ..., model: _Optional[str] = ..., device_s: _Optional[float] = ..., cost: _Optional[float] = ..., requests: _Optional[int] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., busy_ns: _Optional[int] = ..., vnic_bytes_in: _Optional[int] = ..., vnic_bytes_out: _Optional[int] = ..., vnic_packets_in: _Optional[int] = ..., vnic_packets_out: _Optional[int] = ...) -> None: ...
