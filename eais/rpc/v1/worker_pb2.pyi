from eais.rpc.v1 import common_pb2 as _common_pb2
from eais.rpc.v1 import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ToWorker(_message.Message):
    __slots__ = ("hello", "runs", "pieces", "cancels", "hold", "release", "ring_wanted", "ring_begins")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    CANCELS_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    RING_WANTED_FIELD_NUMBER: _ClassVar[int]
    RING_BEGINS_FIELD_NUMBER: _ClassVar[int]
    hello: _common_pb2.Hello
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    pieces: _containers.RepeatedCompositeFieldContainer[Piece]
    cancels: _containers.RepeatedCompositeFieldContainer[Cancel]
    hold: _containers.RepeatedScalarFieldContainer[str]
    release: _containers.RepeatedScalarFieldContainer[str]
    ring_wanted: bool
    ring_begins: bool
    def __init__(self, hello: _Optional[_Union[_common_pb2.Hello, _Mapping]] = ..., runs: _Optional[_Iterable[_Union[Run, _Mapping]]] = ..., pieces: _Optional[_Iterable[_Union[Piece, _Mapping]]] = ..., cancels: _Optional[_Iterable[_Union[Cancel, _Mapping]]] = ..., hold: _Optional[_Iterable[str]] = ..., release: _Optional[_Iterable[str]] = ..., ring_wanted: bool = ..., ring_begins: bool = ...) -> None: ...

class ToClient(_message.Message):
    __slots__ = ("hello", "answers", "pieces", "draining", "ring_offer", "ring_begins")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    RING_OFFER_FIELD_NUMBER: _ClassVar[int]
    RING_BEGINS_FIELD_NUMBER: _ClassVar[int]
    hello: _common_pb2.HelloReply
    answers: _containers.RepeatedCompositeFieldContainer[Answer]
    pieces: _containers.RepeatedCompositeFieldContainer[Piece]
    draining: bool
    ring_offer: RingOffer
    ring_begins: bool
    def __init__(self, hello: _Optional[_Union[_common_pb2.HelloReply, _Mapping]] = ..., answers: _Optional[_Iterable[_Union[Answer, _Mapping]]] = ..., pieces: _Optional[_Iterable[_Union[Piece, _Mapping]]] = ..., draining: bool = ..., ring_offer: _Optional[_Union[RingOffer, _Mapping]] = ..., ring_begins: bool = ...) -> None: ...

class RingOffer(_message.Message):
    __slots__ = ("socket", "nonce")
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    socket: str
    nonce: bytes
    def __init__(self, socket: _Optional[str] = ..., nonce: _Optional[bytes] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("call_id", "instance", "epoch", "session", "inputs", "outputs", "timeout_us", "options", "traceparent", "tracestate")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_US_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    TRACESTATE_FIELD_NUMBER: _ClassVar[int]
    call_id: int
    instance: str
    epoch: int
    session: str
    inputs: _containers.RepeatedCompositeFieldContainer[_value_pb2.NamedValue]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    timeout_us: int
    options: RunOptions
    traceparent: str
    tracestate: str
    def __init__(self, call_id: _Optional[int] = ..., instance: _Optional[str] = ..., epoch: _Optional[int] = ..., session: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[_value_pb2.NamedValue, _Mapping]]] = ..., outputs: _Optional[_Iterable[str]] = ..., timeout_us: _Optional[int] = ..., options: _Optional[_Union[RunOptions, _Mapping]] = ..., traceparent: _Optional[str] = ..., tracestate: _Optional[str] = ...) -> None: ...

class RunOptions(_message.Message):
    __slots__ = ("config_entries", "tag")
    class ConfigEntriesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONFIG_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    config_entries: _containers.ScalarMap[str, str]
    tag: str
    def __init__(self, config_entries: _Optional[_Mapping[str, str]] = ..., tag: _Optional[str] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("call_id", "error", "outputs", "account")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    call_id: int
    error: _common_pb2.Error
    outputs: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    account: Account
    def __init__(self, call_id: _Optional[int] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ..., outputs: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ..., account: _Optional[_Union[Account, _Mapping]] = ...) -> None: ...

class Account(_message.Message):
    __slots__ = ("queue_ns", "compute_ns", "batch_size", "input_bytes", "output_bytes")
    QUEUE_NS_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_NS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    INPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    queue_ns: int
    compute_ns: int
    batch_size: int
    input_bytes: int
    output_bytes: int
    def __init__(self, queue_ns: _Optional[int] = ..., compute_ns: _Optional[int] = ..., batch_size: _Optional[int] = ..., input_bytes: _Optional[int] = ..., output_bytes: _Optional[int] = ...) -> None: ...

class Piece(_message.Message):
    __slots__ = ("call_id", "tensor", "offset", "data")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    call_id: int
    tensor: int
    offset: int
    data: bytes
    def __init__(self, call_id: _Optional[int] = ..., tensor: _Optional[int] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("call_id",)
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    call_id: int
    def __init__(self, call_id: _Optional[int] = ...) -> None: ...
