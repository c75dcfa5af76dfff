from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NetSide(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NET_SIDE_UNSPECIFIED: _ClassVar[NetSide]
    NET_SIDE_FRONTEND: _ClassVar[NetSide]
    NET_SIDE_BACKEND: _ClassVar[NetSide]
NET_SIDE_UNSPECIFIED: NetSide
NET_SIDE_FRONTEND: NetSide
NET_SIDE_BACKEND: NetSide

class NetRequest(_message.Message):
    __slots__ = ("offer", "create", "connect", "limit", "counters", "destroy", "status")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    CONNECT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    DESTROY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    offer: NetOfferRequest
    create: SignedNetPlan
    connect: NetConnect
    limit: NetLimit
    counters: NetCountersRequest
    destroy: NetDestroy
    status: NetStatusRequest
    def __init__(self, offer: _Optional[_Union[NetOfferRequest, _Mapping]] = ..., create: _Optional[_Union[SignedNetPlan, _Mapping]] = ..., connect: _Optional[_Union[NetConnect, _Mapping]] = ..., limit: _Optional[_Union[NetLimit, _Mapping]] = ..., counters: _Optional[_Union[NetCountersRequest, _Mapping]] = ..., destroy: _Optional[_Union[NetDestroy, _Mapping]] = ..., status: _Optional[_Union[NetStatusRequest, _Mapping]] = ...) -> None: ...

class NetReply(_message.Message):
    __slots__ = ("fault", "offer", "vnic", "counters", "done", "status")
    FAULT_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    VNIC_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    fault: NetFault
    offer: NetOffer
    vnic: NetVnic
    counters: NetTraffic
    done: NetDone
    status: NetStatus
    def __init__(self, fault: _Optional[_Union[NetFault, _Mapping]] = ..., offer: _Optional[_Union[NetOffer, _Mapping]] = ..., vnic: _Optional[_Union[NetVnic, _Mapping]] = ..., counters: _Optional[_Union[NetTraffic, _Mapping]] = ..., done: _Optional[_Union[NetDone, _Mapping]] = ..., status: _Optional[_Union[NetStatus, _Mapping]] = ...) -> None: ...

class NetFault(_message.Message):
    __slots__ = ("reason", "message", "hint")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    hint: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...

class NetDone(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NetOfferRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NetOffer(_message.Message):
    __slots__ = ("agent", "drivers", "underlay", "wireguard_public_key", "namespace", "mtu")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    DRIVERS_FIELD_NUMBER: _ClassVar[int]
    UNDERLAY_FIELD_NUMBER: _ClassVar[int]
    WIREGUARD_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    MTU_FIELD_NUMBER: _ClassVar[int]
    agent: str
    drivers: _containers.RepeatedCompositeFieldContainer[NetDriver]
    underlay: str
    wireguard_public_key: bytes
    namespace: int
    mtu: int
    def __init__(self, agent: _Optional[str] = ..., drivers: _Optional[_Iterable[_Union[NetDriver, _Mapping]]] = ..., underlay: _Optional[str] = ..., wireguard_public_key: _Optional[bytes] = ..., namespace: _Optional[int] = ..., mtu: _Optional[int] = ...) -> None: ...

class NetDriver(_message.Message):
    __slots__ = ("name", "missing", "how")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    HOW_FIELD_NUMBER: _ClassVar[int]
    name: str
    missing: str
    how: str
    def __init__(self, name: _Optional[str] = ..., missing: _Optional[str] = ..., how: _Optional[str] = ...) -> None: ...

class SignedNetPlan(_message.Message):
    __slots__ = ("plan", "signature", "leaf_pem")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    LEAF_PEM_FIELD_NUMBER: _ClassVar[int]
    plan: bytes
    signature: bytes
    leaf_pem: bytes
    def __init__(self, plan: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., leaf_pem: _Optional[bytes] = ...) -> None: ...

class NetPlan(_message.Message):
    __slots__ = ("pool", "agent", "instance", "tenant", "host", "side", "generation", "driver", "address", "peer", "mtu", "cap_bytes_per_s", "peer_agent", "peer_underlay", "number", "port", "peer_port", "peer_public_key", "peer_namespace", "owner")
    POOL_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    MTU_FIELD_NUMBER: _ClassVar[int]
    CAP_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    PEER_AGENT_FIELD_NUMBER: _ClassVar[int]
    PEER_UNDERLAY_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    PEER_PORT_FIELD_NUMBER: _ClassVar[int]
    PEER_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    PEER_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    pool: str
    agent: str
    instance: str
    tenant: str
    host: str
    side: NetSide
    generation: int
    driver: str
    address: str
    peer: str
    mtu: int
    cap_bytes_per_s: int
    peer_agent: str
    peer_underlay: str
    number: int
    port: int
    peer_port: int
    peer_public_key: bytes
    peer_namespace: int
    owner: str
    def __init__(self, pool: _Optional[str] = ..., agent: _Optional[str] = ..., instance: _Optional[str] = ..., tenant: _Optional[str] = ..., host: _Optional[str] = ..., side: _Optional[_Union[NetSide, str]] = ..., generation: _Optional[int] = ..., driver: _Optional[str] = ..., address: _Optional[str] = ..., peer: _Optional[str] = ..., mtu: _Optional[int] = ..., cap_bytes_per_s: _Optional[int] = ..., peer_agent: _Optional[str] = ..., peer_underlay: _Optional[str] = ..., number: _Optional[int] = ..., port: _Optional[int] = ..., peer_port: _Optional[int] = ..., peer_public_key: _Optional[bytes] = ..., peer_namespace: _Optional[int] = ..., owner: _Optional[str] = ...) -> None: ...

class NetKey(_message.Message):
    __slots__ = ("pool", "instance", "host", "side")
    POOL_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    pool: str
    instance: str
    host: str
    side: NetSide
    def __init__(self, pool: _Optional[str] = ..., instance: _Optional[str] = ..., host: _Optional[str] = ..., side: _Optional[_Union[NetSide, str]] = ...) -> None: ...

class NetConnect(_message.Message):
    __slots__ = ("key", "ports")
    KEY_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    key: NetKey
    ports: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, key: _Optional[_Union[NetKey, _Mapping]] = ..., ports: _Optional[_Iterable[int]] = ...) -> None: ...

class NetLimit(_message.Message):
    __slots__ = ("key", "cap_bytes_per_s")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CAP_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    key: NetKey
    cap_bytes_per_s: int
    def __init__(self, key: _Optional[_Union[NetKey, _Mapping]] = ..., cap_bytes_per_s: _Optional[int] = ...) -> None: ...

class NetCountersRequest(_message.Message):
    __slots__ = ("key", "after")
    KEY_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    key: NetKey
    after: str
    def __init__(self, key: _Optional[_Union[NetKey, _Mapping]] = ..., after: _Optional[str] = ...) -> None: ...

class NetTraffic(_message.Message):
    __slots__ = ("ends", "more")
    ENDS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    ends: _containers.RepeatedCompositeFieldContainer[NetEndTraffic]
    more: bool
    def __init__(self, ends: _Optional[_Iterable[_Union[NetEndTraffic, _Mapping]]] = ..., more: bool = ...) -> None: ...

class NetEndTraffic(_message.Message):
    __slots__ = ("instance", "counters")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    instance: str
    counters: NetCounters
    def __init__(self, instance: _Optional[str] = ..., counters: _Optional[_Union[NetCounters, _Mapping]] = ...) -> None: ...

class NetCounters(_message.Message):
    __slots__ = ("bytes_in", "bytes_out", "packets_in", "packets_out", "dropped_in", "dropped_out")
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    PACKETS_IN_FIELD_NUMBER: _ClassVar[int]
    PACKETS_OUT_FIELD_NUMBER: _ClassVar[int]
    DROPPED_IN_FIELD_NUMBER: _ClassVar[int]
    DROPPED_OUT_FIELD_NUMBER: _ClassVar[int]
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    dropped_in: int
    dropped_out: int
    def __init__(self, bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., packets_in: _Optional[int] = ..., packets_out: _Optional[int] = ..., dropped_in: _Optional[int] = ..., dropped_out: _Optional[int] = ...) -> None: ...

class NetDestroy(_message.Message):
    __slots__ = ("key", "generation")
    KEY_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    key: NetKey
    generation: int
    def __init__(self, key: _Optional[_Union[NetKey, _Mapping]] = ..., generation: _Optional[int] = ...) -> None: ...

class NetStatusRequest(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: NetKey
    def __init__(self, after: _Optional[_Union[NetKey, _Mapping]] = ...) -> None: ...

class NetStatus(_message.Message):
    __slots__ = ("offer", "vnics", "pools", "more")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    VNICS_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    offer: NetOffer
    vnics: _containers.RepeatedCompositeFieldContainer[NetVnic]
    pools: _containers.RepeatedScalarFieldContainer[str]
    more: bool
    def __init__(self, offer: _Optional[_Union[NetOffer, _Mapping]] = ..., vnics: _Optional[_Iterable[_Union[NetVnic, _Mapping]]] = ..., pools: _Optional[_Iterable[str]] = ..., more: bool = ...) -> None: ...

class NetVnic(_message.Message):
    __slots__ = ("key", "driver", "interface", "address", "peer", "mtu", "cap_bytes_per_s", "uid", "generation", "ports", "owner", "peer_underlay", "carried")
    KEY_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    MTU_FIELD_NUMBER: _ClassVar[int]
    CAP_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    PEER_UNDERLAY_FIELD_NUMBER: _ClassVar[int]
    CARRIED_FIELD_NUMBER: _ClassVar[int]
    key: NetKey
    driver: str
    interface: str
    address: str
    peer: str
    mtu: int
    cap_bytes_per_s: int
    uid: int
    generation: int
    ports: _containers.RepeatedScalarFieldContainer[int]
    owner: str
    peer_underlay: str
    carried: NetCounters
    def __init__(self, key: _Optional[_Union[NetKey, _Mapping]] = ..., driver: _Optional[str] = ..., interface: _Optional[str] = ..., address: _Optional[str] = ..., peer: _Optional[str] = ..., mtu: _Optional[int] = ..., cap_bytes_per_s: _Optional[int] = ..., uid: _Optional[int] = ..., generation: _Optional[int] = ..., ports: _Optional[_Iterable[int]] = ..., owner: _Optional[str] = ..., peer_underlay: _Optional[str] = ..., carried: _Optional[_Union[NetCounters, _Mapping]] = ...) -> None: ...
