"""Every verb of every service, and who may call it: the one table.

A verb that is missing here can't be called: servers bind their handlers and
clients their stubs from this table, and servers refuse every identity whose
role isn't listed. Ownership (a tenant's own objects) is the handler's to check.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from google.protobuf.message import Message

from eais.identity import Role
from eais.rpc.v1 import (
    common_pb2,
    enrolment_pb2,
    hosts_pb2,
    ledger_pb2,
    listener_pb2,
    pool_pb2,
    profiles_pb2,
    whatif_pb2,
    worker_pb2,
)

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)


class Shape(Enum):
    """Which sides of a verb are streams."""

    UNARY = "unary"
    UPLOAD = "stream request, unary reply"
    WATCH = "unary request, stream reply"
    STREAM = "stream both ways"


class Plane(Enum):
    """The socket a service is served on; the planes never share one."""

    USER = "user"
    MANAGEMENT = "management"
    ENROLMENT = "enrolment"


@dataclass(frozen=True, slots=True)
class Verb(Generic[Req, Rep]):
    """One method: its path, messages, shape, and the roles that may call it.

    No roles: whoever reaches the socket, on the enrolment plane, where nobody has an identity.
    """

    service: str
    method: str
    request: type[Req]
    reply: type[Rep]
    plane: Plane
    roles: frozenset[Role]
    shape: Shape = Shape.UNARY
    package: str = "eais.rpc.v1"

    @property
    def path(self) -> str:
        """The gRPC path, "/eais.rpc.v1.Pool/Create"."""
        return f"/{self.full_service}/{self.method}"

    @property
    def full_service(self) -> str:
        """The service's full name, "eais.rpc.v1.Pool"."""
        return f"{self.package}.{self.service}"


_FRONTEND = frozenset({Role.FRONTEND})
_LISTENER = frozenset({Role.LISTENER})
_OPERATOR = frozenset({Role.OPERATOR})
_OPERATOR_OR_MANAGER = frozenset({Role.OPERATOR, Role.MANAGER})
_NOBODY: frozenset[Role] = frozenset()
# An enrolment is signed the leaf of its own role alone: the handler's to check.
_RENEWS_FRONTEND = frozenset({Role.FRONTEND, Role.ENROLMENT})
_RENEWS_LISTENER = frozenset({Role.LISTENER, Role.ENROLMENT})
_RENEWS_OPERATOR = frozenset({Role.OPERATOR, Role.ENROLMENT})
_Hello, _HelloReply = common_pb2.Hello, common_pb2.HelloReply
_Renew, _RenewReply = common_pb2.RenewRequest, common_pb2.RenewReply
_Instance, _InstanceReply = pool_pb2.InstanceRequest, pool_pb2.InstanceReply
_USER, _MANAGEMENT = Plane.USER, Plane.MANAGEMENT

POOL_GREET = Verb("Pool", "Greet", _Hello, _HelloReply, _USER, _FRONTEND)
POOL_CREATE = Verb("Pool", "Create", pool_pb2.CreateRequest, _InstanceReply, _USER, _FRONTEND)
POOL_ATTACH = Verb("Pool", "Attach", pool_pb2.AttachRequest, _InstanceReply, _USER, _FRONTEND)
POOL_START = Verb("Pool", "Start", _Instance, _InstanceReply, _USER, _FRONTEND)
POOL_STOP = Verb("Pool", "Stop", _Instance, _InstanceReply, _USER, _FRONTEND)
POOL_RESIZE = Verb("Pool", "Resize", pool_pb2.ResizeRequest, _InstanceReply, _USER, _FRONTEND)
POOL_DETACH = Verb("Pool", "Detach", _Instance, _InstanceReply, _USER, _FRONTEND)
POOL_DELETE = Verb("Pool", "Delete", _Instance, _InstanceReply, _USER, _FRONTEND)
POOL_DESCRIBE = Verb("Pool", "Describe", pool_pb2.DescribeRequest, _InstanceReply, _USER, _FRONTEND)
POOL_LIST = Verb("Pool", "List", pool_pb2.ListRequest, pool_pb2.ListReply, _USER, _FRONTEND)
POOL_WATCH = Verb(
    "Pool", "Watch", pool_pb2.WatchUp, pool_pb2.WatchDown, _USER, _FRONTEND, Shape.STREAM
)
POOL_RENEW = Verb("Pool", "Renew", _Renew, _RenewReply, _USER, _RENEWS_FRONTEND)

PROFILES_MEASURE = Verb(
    "Profiles",
    "Measure",
    profiles_pb2.MeasureRequest,
    profiles_pb2.MeasureReply,
    _USER,
    _FRONTEND,
)

LEDGER_USAGE = Verb(
    "Ledger", "Usage", ledger_pb2.UsageRequest, ledger_pb2.UsageReply, _USER, _FRONTEND
)
LEDGER_ADMIN_USAGE = Verb(
    "LedgerAdmin", "Usage", ledger_pb2.UsageRequest, ledger_pb2.UsageReply, _MANAGEMENT, _OPERATOR
)

WHAT_IF_REPLAY = Verb(
    "WhatIf", "Replay", whatif_pb2.ReplayRequest, whatif_pb2.ReplayReply, _USER, _FRONTEND
)
WHAT_IF_ADMIN_REPLAY = Verb(
    "WhatIfAdmin",
    "Replay",
    whatif_pb2.ReplayRequest,
    whatif_pb2.ReplayReply,
    _MANAGEMENT,
    _OPERATOR,
)

ENROLMENT_SIGN_CSR = Verb(
    "Enrolment",
    "SignCsr",
    enrolment_pb2.SignCsrRequest,
    enrolment_pb2.SignCsrReply,
    Plane.ENROLMENT,
    _NOBODY,
)

LISTENER_GREET = Verb("Listener", "Greet", _Hello, _HelloReply, _USER, _FRONTEND)
LISTENER_OPEN = Verb(
    "Listener", "Open", listener_pb2.OpenRequest, listener_pb2.OpenReply, _USER, _FRONTEND
)
LISTENER_PUSH = Verb(
    "Listener",
    "Push",
    listener_pb2.PushChunk,
    listener_pb2.PushReply,
    _USER,
    _FRONTEND,
    Shape.UPLOAD,
)
LISTENER_LOCATE = Verb(
    "Listener", "Locate", listener_pb2.LocateRequest, listener_pb2.LocateReply, _USER, _FRONTEND
)

WORKER_STREAM = Verb(
    "Worker", "Stream", worker_pb2.ToWorker, worker_pb2.ToClient, _USER, _FRONTEND, Shape.STREAM
)

HOSTS_GREET = Verb("Hosts", "Greet", _Hello, _HelloReply, _MANAGEMENT, _LISTENER)
HOSTS_LINK = Verb(
    "Hosts",
    "Link",
    hosts_pb2.HostReport,
    hosts_pb2.HostCommand,
    _MANAGEMENT,
    _LISTENER,
    Shape.STREAM,
)
HOSTS_SIGN_WORKER = Verb(
    "Hosts",
    "SignWorker",
    hosts_pb2.SignWorkerRequest,
    hosts_pb2.SignWorkerReply,
    _MANAGEMENT,
    _LISTENER,
)
HOSTS_RENEW = Verb("Hosts", "Renew", _Renew, _RenewReply, _MANAGEMENT, _RENEWS_LISTENER)

POOL_ADMIN_GREET = Verb("PoolAdmin", "Greet", _Hello, _HelloReply, _MANAGEMENT, _OPERATOR)
POOL_ADMIN_STATUS = Verb(
    "PoolAdmin",
    "Status",
    hosts_pb2.PoolStatusRequest,
    hosts_pb2.PoolStatusReply,
    _MANAGEMENT,
    _OPERATOR,
)
POOL_ADMIN_RENEW = Verb("PoolAdmin", "Renew", _Renew, _RenewReply, _MANAGEMENT, _RENEWS_OPERATOR)
POOL_ADMIN_ROLL_CA = Verb(
    "PoolAdmin",
    "RollCa",
    hosts_pb2.RollCaRequest,
    hosts_pb2.RollCaReply,
    _MANAGEMENT,
    _OPERATOR,
)

POOL_ADMIN_CREATE_TOKEN = Verb(
    "PoolAdmin",
    "CreateToken",
    hosts_pb2.CreateTokenRequest,
    hosts_pb2.CreateTokenReply,
    _MANAGEMENT,
    _OPERATOR,
)
POOL_ADMIN_SET_TENANT = Verb(
    "PoolAdmin",
    "SetTenant",
    hosts_pb2.SetTenantRequest,
    hosts_pb2.TenantReply,
    _MANAGEMENT,
    _OPERATOR,
)
POOL_ADMIN_LIST_TENANTS = Verb(
    "PoolAdmin",
    "ListTenants",
    hosts_pb2.ListTenantsRequest,
    hosts_pb2.ListTenantsReply,
    _MANAGEMENT,
    _OPERATOR,
)
POOL_ADMIN_LIST_INSTANCES = Verb(
    "PoolAdmin",
    "ListInstances",
    pool_pb2.ListRequest,
    pool_pb2.ListReply,
    _MANAGEMENT,
    _OPERATOR,
)
POOL_ADMIN_CORDON = Verb(
    "PoolAdmin", "Cordon", hosts_pb2.CordonRequest, hosts_pb2.HostReply, _MANAGEMENT, _OPERATOR
)
POOL_ADMIN_DRAIN = Verb(
    "PoolAdmin", "Drain", hosts_pb2.DrainRequest, hosts_pb2.HostReply, _MANAGEMENT, _OPERATOR
)
POOL_ADMIN_FORCE_DETACH = Verb(
    "PoolAdmin",
    "ForceDetach",
    hosts_pb2.ForceDetachRequest,
    _InstanceReply,
    _MANAGEMENT,
    _OPERATOR,
)
POOL_ADMIN_DEFRAG = Verb(
    "PoolAdmin", "Defrag", hosts_pb2.DefragRequest, hosts_pb2.DefragReply, _MANAGEMENT, _OPERATOR
)

MODELS_FETCH = Verb(
    "Models", "Fetch", hosts_pb2.FetchRequest, hosts_pb2.FetchReply, _MANAGEMENT, _LISTENER
)

LISTENER_ADMIN_GREET = Verb(
    "ListenerAdmin", "Greet", _Hello, _HelloReply, _MANAGEMENT, _OPERATOR_OR_MANAGER
)
LISTENER_ADMIN_STATUS = Verb(
    "ListenerAdmin",
    "Status",
    hosts_pb2.ListenerStatusRequest,
    hosts_pb2.ListenerStatusReply,
    _MANAGEMENT,
    _OPERATOR_OR_MANAGER,
)

VERBS: tuple[Verb[Message, Message], ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Verb)
)
