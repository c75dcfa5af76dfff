from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReplayRequest(_message.Message):
    __slots__ = ("since_s", "until_s", "instance", "policies")
    SINCE_S_FIELD_NUMBER: _ClassVar[int]
    UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    since_s: float
    until_s: float
    instance: str
    policies: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, since_s: _Optional[float] = ..., until_s: _Optional[float] = ..., instance: _Optional[str] = ..., policies: _Optional[_Iterable[str]] = ...) -> None: ...

class ReplayReply(_message.Message):
    __slots__ = ("lines",)
    LINES_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[ReplayLine]
    def __init__(self, lines: _Optional[_Iterable[_Union[ReplayLine, _Mapping]]] = ...) -> None: ...

class ReplayLine(_message.Message):
    __slots__ = ("policy", "instance", "cost", "calls", "late", "switches", "seconds")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    SWITCHES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    policy: str
    instance: str
    cost: float
    calls: float
    late: float
    switches: int
    seconds: int
    def __init__(self, policy: _Optional[str] = ..., instance: _Optional[str] = ..., cost: _Optional[float] = ..., calls: _Optional[float] = ..., late: _Optional[float] = ..., switches: _Optional[int] = ..., seconds: _Optional[int] = ...) -> None: ...
