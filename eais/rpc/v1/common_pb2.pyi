from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Hello(_message.Message):
    __slots__ = ("version", "software", "capabilities")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    version: int
    software: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[int] = ..., software: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ...) -> None: ...

class HelloReply(_message.Message):
    __slots__ = ("version", "software", "capabilities", "incarnation")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    version: int
    software: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    incarnation: int
    def __init__(self, version: _Optional[int] = ..., software: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., incarnation: _Optional[int] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("reason", "message", "metadata", "onnxruntime_class", "push_back_ms")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ONNXRUNTIME_CLASS_FIELD_NUMBER: _ClassVar[int]
    PUSH_BACK_MS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    metadata: _containers.ScalarMap[str, str]
    onnxruntime_class: str
    push_back_ms: int
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., onnxruntime_class: _Optional[str] = ..., push_back_ms: _Optional[int] = ...) -> None: ...

class Endpoint(_message.Message):
    __slots__ = ("address", "port", "server_name")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    SERVER_NAME_FIELD_NUMBER: _ClassVar[int]
    address: str
    port: int
    server_name: str
    def __init__(self, address: _Optional[str] = ..., port: _Optional[int] = ..., server_name: _Optional[str] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("csr_pem", "enrolment_csr_pem")
    CSR_PEM_FIELD_NUMBER: _ClassVar[int]
    ENROLMENT_CSR_PEM_FIELD_NUMBER: _ClassVar[int]
    csr_pem: bytes
    enrolment_csr_pem: bytes
    def __init__(self, csr_pem: _Optional[bytes] = ..., enrolment_csr_pem: _Optional[bytes] = ...) -> None: ...

class RenewReply(_message.Message):
    __slots__ = ("leaf_pem", "ca_pem", "enrolment_pem")
    LEAF_PEM_FIELD_NUMBER: _ClassVar[int]
    CA_PEM_FIELD_NUMBER: _ClassVar[int]
    ENROLMENT_PEM_FIELD_NUMBER: _ClassVar[int]
    leaf_pem: bytes
    ca_pem: bytes
    enrolment_pem: bytes
    def __init__(self, leaf_pem: _Optional[bytes] = ..., ca_pem: _Optional[bytes] = ..., enrolment_pem: _Optional[bytes] = ...) -> None: ...
