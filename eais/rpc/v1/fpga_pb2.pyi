from eais.rpc.v1 import common_pb2 as _common_pb2
from eais.rpc.v1 import listener_pb2 as _listener_pb2
from eais.rpc.v1 import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Fault(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAULT_UNSPECIFIED: _ClassVar[Fault]
    HANG: _ClassVar[Fault]
    GARBAGE: _ClassVar[Fault]
    DMA: _ClassVar[Fault]
    VANISH: _ClassVar[Fault]
FAULT_UNSPECIFIED: Fault
HANG: Fault
GARBAGE: Fault
DMA: Fault
VANISH: Fault

class ImageHeader(_message.Message):
    __slots__ = ("name", "computes", "format", "payload_sha256", "payload_bytes", "shell_from", "shell_to", "needs", "load_ms", "service")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COMPUTES_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_SHA256_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHELL_FROM_FIELD_NUMBER: _ClassVar[int]
    SHELL_TO_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    LOAD_MS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    name: str
    computes: bytes
    format: str
    payload_sha256: bytes
    payload_bytes: int
    shell_from: ShellVersion
    shell_to: ShellVersion
    needs: RegionSize
    load_ms: int
    service: ServiceTime
    def __init__(self, name: _Optional[str] = ..., computes: _Optional[bytes] = ..., format: _Optional[str] = ..., payload_sha256: _Optional[bytes] = ..., payload_bytes: _Optional[int] = ..., shell_from: _Optional[_Union[ShellVersion, _Mapping]] = ..., shell_to: _Optional[_Union[ShellVersion, _Mapping]] = ..., needs: _Optional[_Union[RegionSize, _Mapping]] = ..., load_ms: _Optional[int] = ..., service: _Optional[_Union[ServiceTime, _Mapping]] = ...) -> None: ...

class ShellVersion(_message.Message):
    __slots__ = ("major", "minor")
    MAJOR_FIELD_NUMBER: _ClassVar[int]
    MINOR_FIELD_NUMBER: _ClassVar[int]
    major: int
    minor: int
    def __init__(self, major: _Optional[int] = ..., minor: _Optional[int] = ...) -> None: ...

class RegionSize(_message.Message):
    __slots__ = ("luts", "dsps", "bram_kib")
    LUTS_FIELD_NUMBER: _ClassVar[int]
    DSPS_FIELD_NUMBER: _ClassVar[int]
    BRAM_KIB_FIELD_NUMBER: _ClassVar[int]
    luts: int
    dsps: int
    bram_kib: int
    def __init__(self, luts: _Optional[int] = ..., dsps: _Optional[int] = ..., bram_kib: _Optional[int] = ...) -> None: ...

class ServiceTime(_message.Message):
    __slots__ = ("fixed_us", "us_per_row")
    FIXED_US_FIELD_NUMBER: _ClassVar[int]
    US_PER_ROW_FIELD_NUMBER: _ClassVar[int]
    fixed_us: int
    us_per_row: int
    def __init__(self, fixed_us: _Optional[int] = ..., us_per_row: _Optional[int] = ...) -> None: ...

class ManagementRequest(_message.Message):
    __slots__ = ("load", "read_state", "reset", "open_user", "close_user", "inject")
    LOAD_FIELD_NUMBER: _ClassVar[int]
    READ_STATE_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    OPEN_USER_FIELD_NUMBER: _ClassVar[int]
    CLOSE_USER_FIELD_NUMBER: _ClassVar[int]
    INJECT_FIELD_NUMBER: _ClassVar[int]
    load: LoadImage
    read_state: ReadState
    reset: ResetRegion
    open_user: OpenUser
    close_user: CloseUser
    inject: Inject
    def __init__(self, load: _Optional[_Union[LoadImage, _Mapping]] = ..., read_state: _Optional[_Union[ReadState, _Mapping]] = ..., reset: _Optional[_Union[ResetRegion, _Mapping]] = ..., open_user: _Optional[_Union[OpenUser, _Mapping]] = ..., close_user: _Optional[_Union[CloseUser, _Mapping]] = ..., inject: _Optional[_Union[Inject, _Mapping]] = ...) -> None: ...

class LoadImage(_message.Message):
    __slots__ = ("region",)
    REGION_FIELD_NUMBER: _ClassVar[int]
    region: int
    def __init__(self, region: _Optional[int] = ...) -> None: ...

class ReadState(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResetRegion(_message.Message):
    __slots__ = ("region",)
    REGION_FIELD_NUMBER: _ClassVar[int]
    region: int
    def __init__(self, region: _Optional[int] = ...) -> None: ...

class OpenUser(_message.Message):
    __slots__ = ("region", "share")
    REGION_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    region: int
    share: str
    def __init__(self, region: _Optional[int] = ..., share: _Optional[str] = ...) -> None: ...

class CloseUser(_message.Message):
    __slots__ = ("region",)
    REGION_FIELD_NUMBER: _ClassVar[int]
    region: int
    def __init__(self, region: _Optional[int] = ...) -> None: ...

class Inject(_message.Message):
    __slots__ = ("region", "fault")
    REGION_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    region: int
    fault: Fault
    def __init__(self, region: _Optional[int] = ..., fault: _Optional[_Union[Fault, str]] = ...) -> None: ...

class ManagementReply(_message.Message):
    __slots__ = ("error", "region", "board")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    BOARD_FIELD_NUMBER: _ClassVar[int]
    error: _common_pb2.Error
    region: RegionState
    board: BoardState
    def __init__(self, error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ..., region: _Optional[_Union[RegionState, _Mapping]] = ..., board: _Optional[_Union[BoardState, _Mapping]] = ...) -> None: ...

class BoardState(_message.Message):
    __slots__ = ("shell", "simulated", "memory_bytes", "memory_used_bytes", "region_size", "regions", "busy_us")
    SHELL_FIELD_NUMBER: _ClassVar[int]
    SIMULATED_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    REGION_SIZE_FIELD_NUMBER: _ClassVar[int]
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    BUSY_US_FIELD_NUMBER: _ClassVar[int]
    shell: ShellVersion
    simulated: bool
    memory_bytes: int
    memory_used_bytes: int
    region_size: RegionSize
    regions: _containers.RepeatedCompositeFieldContainer[RegionState]
    busy_us: int
    def __init__(self, shell: _Optional[_Union[ShellVersion, _Mapping]] = ..., simulated: bool = ..., memory_bytes: _Optional[int] = ..., memory_used_bytes: _Optional[int] = ..., region_size: _Optional[_Union[RegionSize, _Mapping]] = ..., regions: _Optional[_Iterable[_Union[RegionState, _Mapping]]] = ..., busy_us: _Optional[int] = ...) -> None: ...

class RegionState(_message.Message):
    __slots__ = ("state", "image", "computes", "ready_in_ms", "fault", "share", "registers")
    STATE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    COMPUTES_FIELD_NUMBER: _ClassVar[int]
    READY_IN_MS_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    REGISTERS_FIELD_NUMBER: _ClassVar[int]
    state: str
    image: bytes
    computes: bytes
    ready_in_ms: int
    fault: str
    share: str
    registers: Registers
    def __init__(self, state: _Optional[str] = ..., image: _Optional[bytes] = ..., computes: _Optional[bytes] = ..., ready_in_ms: _Optional[int] = ..., fault: _Optional[str] = ..., share: _Optional[str] = ..., registers: _Optional[_Union[Registers, _Mapping]] = ...) -> None: ...

class Registers(_message.Message):
    __slots__ = ("runs", "failed", "busy_us", "bytes_in", "bytes_out")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    BUSY_US_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    runs: int
    failed: int
    busy_us: int
    bytes_in: int
    bytes_out: int
    def __init__(self, runs: _Optional[int] = ..., failed: _Optional[int] = ..., busy_us: _Optional[int] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ...) -> None: ...

class UserRequest(_message.Message):
    __slots__ = ("describe", "allocate", "free", "write", "read", "start", "wait", "status")
    DESCRIBE_FIELD_NUMBER: _ClassVar[int]
    ALLOCATE_FIELD_NUMBER: _ClassVar[int]
    FREE_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    describe: Describe
    allocate: Allocate
    free: Free
    write: Write
    read: Read
    start: Start
    wait: Wait
    status: Status
    def __init__(self, describe: _Optional[_Union[Describe, _Mapping]] = ..., allocate: _Optional[_Union[Allocate, _Mapping]] = ..., free: _Optional[_Union[Free, _Mapping]] = ..., write: _Optional[_Union[Write, _Mapping]] = ..., read: _Optional[_Union[Read, _Mapping]] = ..., start: _Optional[_Union[Start, _Mapping]] = ..., wait: _Optional[_Union[Wait, _Mapping]] = ..., status: _Optional[_Union[Status, _Mapping]] = ...) -> None: ...

class Describe(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Allocate(_message.Message):
    __slots__ = ("bytes",)
    BYTES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    def __init__(self, bytes: _Optional[int] = ...) -> None: ...

class Free(_message.Message):
    __slots__ = ("buffer",)
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    buffer: int
    def __init__(self, buffer: _Optional[int] = ...) -> None: ...

class Write(_message.Message):
    __slots__ = ("buffer", "offset", "bytes")
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    buffer: int
    offset: int
    bytes: int
    def __init__(self, buffer: _Optional[int] = ..., offset: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class Read(_message.Message):
    __slots__ = ("buffer", "offset", "bytes")
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    buffer: int
    offset: int
    bytes: int
    def __init__(self, buffer: _Optional[int] = ..., offset: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class Start(_message.Message):
    __slots__ = ("image", "input", "values_bytes", "input_bytes", "output", "outputs")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    VALUES_BYTES_FIELD_NUMBER: _ClassVar[int]
    INPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    input: int
    values_bytes: int
    input_bytes: int
    output: int
    outputs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, image: _Optional[bytes] = ..., input: _Optional[int] = ..., values_bytes: _Optional[int] = ..., input_bytes: _Optional[int] = ..., output: _Optional[int] = ..., outputs: _Optional[_Iterable[str]] = ...) -> None: ...

class Wait(_message.Message):
    __slots__ = ("run", "timeout_ms")
    RUN_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    run: int
    timeout_ms: int
    def __init__(self, run: _Optional[int] = ..., timeout_ms: _Optional[int] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Values(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[_value_pb2.NamedValue]
    def __init__(self, values: _Optional[_Iterable[_Union[_value_pb2.NamedValue, _Mapping]]] = ...) -> None: ...

class UserReply(_message.Message):
    __slots__ = ("error", "signature", "number", "done", "status")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    error: _common_pb2.Error
    signature: _listener_pb2.Signature
    number: int
    done: Done
    status: RegionState
    def __init__(self, error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ..., signature: _Optional[_Union[_listener_pb2.Signature, _Mapping]] = ..., number: _Optional[int] = ..., done: _Optional[_Union[Done, _Mapping]] = ..., status: _Optional[_Union[RegionState, _Mapping]] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("running", "values_bytes", "output_bytes", "crc32")
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    VALUES_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    CRC32_FIELD_NUMBER: _ClassVar[int]
    running: bool
    values_bytes: int
    output_bytes: int
    crc32: int
    def __init__(self, running: bool = ..., values_bytes: _Optional[int] = ..., output_bytes: _Optional[int] = ..., crc32: _Optional[int] = ...) -> None: ...
