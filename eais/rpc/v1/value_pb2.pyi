from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ElementType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ELEMENT_TYPE_UNSPECIFIED: _ClassVar[ElementType]
    FLOAT: _ClassVar[ElementType]
    UINT8: _ClassVar[ElementType]
    INT8: _ClassVar[ElementType]
    UINT16: _ClassVar[ElementType]
    INT16: _ClassVar[ElementType]
    INT32: _ClassVar[ElementType]
    INT64: _ClassVar[ElementType]
    STRING: _ClassVar[ElementType]
    BOOL: _ClassVar[ElementType]
    FLOAT16: _ClassVar[ElementType]
    DOUBLE: _ClassVar[ElementType]
    UINT32: _ClassVar[ElementType]
    UINT64: _ClassVar[ElementType]
    COMPLEX64: _ClassVar[ElementType]
    COMPLEX128: _ClassVar[ElementType]
    BFLOAT16: _ClassVar[ElementType]
    FLOAT8E4M3FN: _ClassVar[ElementType]
    FLOAT8E4M3FNUZ: _ClassVar[ElementType]
    FLOAT8E5M2: _ClassVar[ElementType]
    FLOAT8E5M2FNUZ: _ClassVar[ElementType]
    UINT4: _ClassVar[ElementType]
    INT4: _ClassVar[ElementType]
    FLOAT4E2M1: _ClassVar[ElementType]
ELEMENT_TYPE_UNSPECIFIED: ElementType
FLOAT: ElementType
UINT8: ElementType
INT8: ElementType
UINT16: ElementType
INT16: ElementType
INT32: ElementType
INT64: ElementType
STRING: ElementType
BOOL: ElementType
FLOAT16: ElementType
DOUBLE: ElementType
UINT32: ElementType
UINT64: ElementType
COMPLEX64: ElementType
COMPLEX128: ElementType
BFLOAT16: ElementType
FLOAT8E4M3FN: ElementType
FLOAT8E4M3FNUZ: ElementType
FLOAT8E5M2: ElementType
FLOAT8E5M2FNUZ: ElementType
UINT4: ElementType
INT4: ElementType
FLOAT4E2M1: ElementType

class Tensor(_message.Message):
    __slots__ = ("type", "dims", "raw", "deferred_bytes", "strings")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DIMS_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    DEFERRED_BYTES_FIELD_NUMBER: _ClassVar[int]
    STRINGS_FIELD_NUMBER: _ClassVar[int]
    type: ElementType
    dims: _containers.RepeatedScalarFieldContainer[int]
    raw: bytes
    deferred_bytes: int
    strings: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, type: _Optional[_Union[ElementType, str]] = ..., dims: _Optional[_Iterable[int]] = ..., raw: _Optional[bytes] = ..., deferred_bytes: _Optional[int] = ..., strings: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Sequence(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[Value]
    def __init__(self, values: _Optional[_Iterable[_Union[Value, _Mapping]]] = ...) -> None: ...

class Map(_message.Message):
    __slots__ = ("keys", "values")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    keys: Tensor
    values: Tensor
    def __init__(self, keys: _Optional[_Union[Tensor, _Mapping]] = ..., values: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class Absent(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Value(_message.Message):
    __slots__ = ("tensor", "sequence", "map", "absent")
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    ABSENT_FIELD_NUMBER: _ClassVar[int]
    tensor: Tensor
    sequence: Sequence
    map: Map
    absent: Absent
    def __init__(self, tensor: _Optional[_Union[Tensor, _Mapping]] = ..., sequence: _Optional[_Union[Sequence, _Mapping]] = ..., map: _Optional[_Union[Map, _Mapping]] = ..., absent: _Optional[_Union[Absent, _Mapping]] = ...) -> None: ...

class NamedValue(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: Value
    def __init__(self, name: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...

class Dimension(_message.Message):
    __slots__ = ("size", "symbol")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    size: int
    symbol: str
    def __init__(self, size: _Optional[int] = ..., symbol: _Optional[str] = ...) -> None: ...

class ValueInfo(_message.Message):
    __slots__ = ("name", "type", "dims")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DIMS_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    dims: _containers.RepeatedCompositeFieldContainer[Dimension]
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., dims: _Optional[_Iterable[_Union[Dimension, _Mapping]]] = ...) -> None: ...
