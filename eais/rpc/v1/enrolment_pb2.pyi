from eais.rpc.v1 import common_pb2 as _common_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SignCsrRequest(_message.Message):
    __slots__ = ("hello", "secret", "purpose", "csr_pem", "enrolment_csr_pem")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CSR_PEM_FIELD_NUMBER: _ClassVar[int]
    ENROLMENT_CSR_PEM_FIELD_NUMBER: _ClassVar[int]
    hello: _common_pb2.Hello
    secret: str
    purpose: str
    csr_pem: bytes
    enrolment_csr_pem: bytes
    def __init__(self, hello: _Optional[_Union[_common_pb2.Hello, _Mapping]] = ..., secret: _Optional[str] = ..., purpose: _Optional[str] = ..., csr_pem: _Optional[bytes] = ..., enrolment_csr_pem: _Optional[bytes] = ...) -> None: ...

class SignCsrReply(_message.Message):
    __slots__ = ("hello", "pool", "leaf_pem", "enrolment_pem", "ca_pem", "user_plane", "management_plane")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    LEAF_PEM_FIELD_NUMBER: _ClassVar[int]
    ENROLMENT_PEM_FIELD_NUMBER: _ClassVar[int]
    CA_PEM_FIELD_NUMBER: _ClassVar[int]
    USER_PLANE_FIELD_NUMBER: _ClassVar[int]
    MANAGEMENT_PLANE_FIELD_NUMBER: _ClassVar[int]
    hello: _common_pb2.HelloReply
    pool: str
    leaf_pem: bytes
    enrolment_pem: bytes
    ca_pem: bytes
    user_plane: _common_pb2.Endpoint
    management_plane: _common_pb2.Endpoint
    def __init__(self, hello: _Optional[_Union[_common_pb2.HelloReply, _Mapping]] = ..., pool: _Optional[str] = ..., leaf_pem: _Optional[bytes] = ..., enrolment_pem: _Optional[bytes] = ..., ca_pem: _Optional[bytes] = ..., user_plane: _Optional[_Union[_common_pb2.Endpoint, _Mapping]] = ..., management_plane: _Optional[_Union[_common_pb2.Endpoint, _Mapping]] = ...) -> None: ...
