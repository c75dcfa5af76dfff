"""Every method × every identity, from the descriptors.

A method that isn't listed in `ROWS` fails `test_every_method_is_listed`. Who may
call is written here a second time on purpose: a change in the verb table must be
made here too.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from eais import tls
from eais.errors import EaisError, UsageError
from eais.identity import Identity
from eais.rpc import client, verbs
from eais.rpc import v1 as rpc_v1
from eais.rpc.hello import hello
from eais.rpc.status import error_of_rpc
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
from eais_pool.authority import Authority
from tests.system.stack import Stack, op

ABSENT = "ei-0000000000000000"
OK = "OK"


@dataclass(frozen=True)
class Scene:
    """Two tenants, one instance in use, one merely created; both the first tenant's."""

    stack: Stack
    used: pool_pb2.Instance
    made: pool_pb2.Instance
    other_ca: Authority

    def identities(self) -> dict[str, tls.Bundle | None]:
        pool, bundle = self.stack.pool, self.stack.bundle
        return {
            "own tenant": self.stack.frontend(),
            "other tenant": self.stack.frontend("other", "f2"),
            "listener": bundle(Identity.listener(pool, "local")),
            "other listener": bundle(Identity.listener(pool, "h2")),
            "worker": bundle(Identity.worker(pool, self.used.id, 1)),
            "operator": bundle(Identity.operator(pool, "op1")),
            "manager": bundle(Identity.manager(pool)),
            "enrolled front-end": bundle(Identity.frontend(pool, "default", "owner").enrolment),
            "enrolled listener": bundle(Identity.listener(pool, "local").enrolment),
            "enrolled operator": bundle(Identity.operator(pool, "op1").enrolment),
            "none": None,
            "other CA": bundle(Identity.frontend(pool, "default", "owner"), self.other_ca),
        }

    def endpoint(self, where: str) -> common_pb2.Endpoint:
        match where:
            case "manager user":
                return self.stack.endpoint("user")
            case "manager management":
                return self.stack.endpoint("management")
            case "manager enrolment":
                return self.stack.endpoint("enrolment")
            case "listener user":
                return self.used.listener
            case "listener management":
                return listener_management(self.stack)
            case _:
                return self.used.workers[0].endpoint


def listener_management(stack: Stack) -> common_pb2.Endpoint:
    _seal, text = (stack.state / "listener" / "place.json").read_text().split("\n", 1)
    place = json.loads(text)
    return common_pb2.Endpoint(
        address=place["address"],
        port=place["management_port"],
        server_name=Identity.listener(stack.pool, "local").dns_name or "",
    )


@dataclass(frozen=True)
class Row:
    """Where a method is served, who may call it, and what they call it with.

    `allowed` gives for each identity that passes the door the answers that are
    right; every other identity is refused at the door.
    """

    where: str
    request: Callable[[Scene, str], Any]
    allowed: dict[str, set[str]]


def of_instance(scene: Scene, ident: str) -> pool_pb2.InstanceRequest:
    return pool_pb2.InstanceRequest(op_id=op(), instance=ident)


def greeting(scene: Scene, ident: str) -> common_pb2.Hello:
    return hello("eais-test")


FRONTENDS = {"own tenant": {OK}, "other tenant": {OK}}
OWNED = {"own tenant": {OK, "WRONG_STATE"}, "other tenant": {"NOT_FOUND"}}
LISTENERS = {"listener": {OK}, "other listener": {OK}}
OPERATORS = {"operator": {OK}}
ADMINS = {"operator": {OK}, "manager": {OK}}
MAY_RENEW = {
    "user": {**FRONTENDS, "enrolled front-end": {OK}},
    "hosts": {**LISTENERS, "enrolled listener": {OK}},
    "admin": {**OPERATORS, "enrolled operator": {OK}},
}
P, L, W = "/eais.rpc.v1.Pool/", "/eais.rpc.v1.Listener/", "/eais.rpc.v1.Worker/"
H, PA, LA = "/eais.rpc.v1.Hosts/", "/eais.rpc.v1.PoolAdmin/", "/eais.rpc.v1.ListenerAdmin/"
E, M = "/eais.rpc.v1.Enrolment/", "/eais.rpc.v1.Models/"
X = "/eais.rpc.v1.Profiles/"


def create(scene: Scene, ident: str) -> pool_pb2.CreateRequest:
    return pool_pb2.CreateRequest(op_id=op(), type="nothing")


def attach(scene: Scene, ident: str) -> pool_pb2.AttachRequest:
    return pool_pb2.AttachRequest(op_id=op(), instance=ident, no_start=True)


def resize(scene: Scene, ident: str) -> pool_pb2.ResizeRequest:
    return pool_pb2.ResizeRequest(op_id=op(), instance=ident, type="cpu.1")


def describe(scene: Scene, ident: str) -> pool_pb2.DescribeRequest:
    return pool_pb2.DescribeRequest(instance=ident)


def watch(scene: Scene, ident: str) -> list[pool_pb2.WatchUp]:
    return [pool_pb2.WatchUp(hello=hello("eais-test"))]


def open_session(scene: Scene, ident: str) -> listener_pb2.OpenRequest:
    file = listener_pb2.ModelFile(sha256=bytes(32), size=10)
    spec = listener_pb2.SessionSpec(files=[file])
    return listener_pb2.OpenRequest(instance=ident, epoch=scene.used.epoch, spec=spec)


def push(scene: Scene, ident: str) -> list[listener_pb2.PushChunk]:
    chunk = listener_pb2.PushChunk(
        instance=ident, epoch=scene.used.epoch, sha256=bytes(32), size=4, data=b"1234"
    )
    return [chunk]


def locate(scene: Scene, ident: str) -> listener_pb2.LocateRequest:
    return listener_pb2.LocateRequest(instance=ident, epoch=scene.used.epoch)


def data(scene: Scene, ident: str) -> list[worker_pb2.ToWorker]:
    return [worker_pb2.ToWorker(hello=hello("eais-test"))]


def link(scene: Scene, ident: str) -> list[hosts_pb2.HostReport]:
    return [hosts_pb2.HostReport(hello=hello("eais-test"))]


def sign(scene: Scene, ident: str) -> hosts_pb2.SignWorkerRequest:
    csr = tls.make_csr(tls.new_key())
    return hosts_pb2.SignWorkerRequest(instance=ident, epoch=scene.used.epoch, n=1, csr_pem=csr)


def renew(scene: Scene, ident: str) -> common_pb2.RenewRequest:
    return common_pb2.RenewRequest(csr_pem=tls.make_csr(tls.new_key()))


def renew_both(scene: Scene, ident: str) -> common_pb2.RenewRequest:
    """As who has joined asks: the next enrolment as well."""
    request = renew(scene, ident)
    request.enrolment_csr_pem = tls.make_csr(tls.new_key())
    return request


def sign_csr(scene: Scene, ident: str) -> enrolment_pb2.SignCsrRequest:
    return enrolment_pb2.SignCsrRequest(
        hello=hello("eais-test"), secret="A" * 27, purpose="frontend", csr_pem=b"x"
    )


def token(scene: Scene, ident: str) -> hosts_pb2.CreateTokenRequest:
    return hosts_pb2.CreateTokenRequest(op_id=op(), purpose="operator", name="op2")


def tenant(scene: Scene, ident: str) -> hosts_pb2.SetTenantRequest:
    return hosts_pb2.SetTenantRequest(op_id=op(), tenant="default")


def fetch(scene: Scene, ident: str) -> hosts_pb2.FetchRequest:
    return hosts_pb2.FetchRequest(sha256=bytes(32))


def usage(scene: Scene, ident: str) -> ledger_pb2.UsageRequest:
    return ledger_pb2.UsageRequest(since_s=60, by=["instance"])


def replay(scene: Scene, ident: str) -> whatif_pb2.ReplayRequest:
    return whatif_pb2.ReplayRequest(since_s=60, instance=ident, policies=["auto"])


def measure(scene: Scene, ident: str) -> profiles_pb2.MeasureRequest:
    return profiles_pb2.MeasureRequest(op_id=op(), spec=listener_pb2.SessionSpec())


NO_HOST = {"operator": {"NOT_FOUND"}}
ROWS = {
    P + "Greet": Row("manager user", greeting, FRONTENDS),
    P + "Create": Row(
        "manager user", create, {who: {"TYPE_UNKNOWN"} for who in ("own tenant", "other tenant")}
    ),
    P + "Attach": Row("manager user", attach, OWNED),
    P + "Start": Row("manager user", of_instance, OWNED),
    P + "Stop": Row("manager user", of_instance, OWNED),
    P + "Resize": Row("manager user", resize, OWNED),
    P + "Detach": Row("manager user", of_instance, OWNED),
    P + "Delete": Row("manager user", of_instance, OWNED),
    P + "Describe": Row("manager user", describe, OWNED),
    P + "List": Row("manager user", lambda s, i: pool_pb2.ListRequest(), FRONTENDS),
    P + "Watch": Row("manager user", watch, FRONTENDS),
    P + "Renew": Row("manager user", renew, MAY_RENEW["user"]),
    X + "Measure": Row(
        "manager user", measure, {who: {"ARGUMENT"} for who in ("own tenant", "other tenant")}
    ),
    "/eais.rpc.v1.Ledger/Usage": Row("manager user", usage, FRONTENDS),
    "/eais.rpc.v1.LedgerAdmin/Usage": Row("manager management", usage, OPERATORS),
    "/eais.rpc.v1.WhatIf/Replay": Row(
        "manager user", replay, {who: {"NOT_FOUND"} for who in ("own tenant", "other tenant")}
    ),
    "/eais.rpc.v1.WhatIfAdmin/Replay": Row("manager management", replay, NO_HOST),
    L + "Greet": Row("listener user", greeting, FRONTENDS),
    L + "Open": Row("listener user", open_session, OWNED),
    L + "Push": Row(
        "listener user", push, {"own tenant": {"DIGEST_MISMATCH"}, "other tenant": {"NOT_FOUND"}}
    ),
    L + "Locate": Row("listener user", locate, OWNED),
    W + "Stream": Row("worker", data, OWNED),
    H + "Greet": Row("manager management", greeting, LISTENERS),
    H + "Link": Row("manager management", link, {"other listener": {OK}, "listener": {OK}}),
    H + "SignWorker": Row(
        "manager management", sign, {"listener": {OK}, "other listener": {"NOT_FOUND"}}
    ),
    H + "Renew": Row("manager management", renew, MAY_RENEW["hosts"]),
    PA + "Greet": Row("manager management", greeting, OPERATORS),
    PA + "Status": Row("manager management", lambda s, i: hosts_pb2.PoolStatusRequest(), OPERATORS),
    PA + "Renew": Row("manager management", renew, MAY_RENEW["admin"]),
    PA + "RollCa": Row("manager management", lambda s, i: hosts_pb2.RollCaRequest(), OPERATORS),
    PA + "CreateToken": Row("manager management", token, OPERATORS),
    PA + "SetTenant": Row("manager management", tenant, OPERATORS),
    PA + "ListTenants": Row(
        "manager management", lambda s, i: hosts_pb2.ListTenantsRequest(), OPERATORS
    ),
    PA + "ListInstances": Row("manager management", lambda s, i: pool_pb2.ListRequest(), OPERATORS),
    PA + "Cordon": Row(
        "manager management", lambda s, i: hosts_pb2.CordonRequest(op_id=op(), host="h9"), NO_HOST
    ),
    PA + "Drain": Row(
        "manager management", lambda s, i: hosts_pb2.DrainRequest(op_id=op(), host="h9"), NO_HOST
    ),
    PA + "ForceDetach": Row(
        "manager management",
        lambda s, i: hosts_pb2.ForceDetachRequest(op_id=op(), instance=ABSENT),
        NO_HOST,
    ),
    PA + "Defrag": Row(
        "manager management", lambda s, i: hosts_pb2.DefragRequest(dry_run=True), OPERATORS
    ),
    M + "Fetch": Row(
        "listener management", fetch, {who: {"TICKET"} for who in ("listener", "other listener")}
    ),
    LA + "Greet": Row("listener management", greeting, ADMINS),
    LA + "Status": Row(
        "listener management", lambda s, i: hosts_pb2.ListenerStatusRequest(), ADMINS
    ),
}
# Who is refused by the handshake itself sees a dead server; others get a word.
AT_THE_DOOR = {"worker", "none", "other CA"}
WHO = [
    "own tenant",
    "other tenant",
    "listener",
    "other listener",
    "worker",
    "operator",
    "manager",
    "enrolled front-end",
    "enrolled listener",
    "enrolled operator",
    "none",
    "other CA",
]
# Nobody has an identity there, and none is asked for. Twelve who guess are one address.
ROWS[E + "SignCsr"] = Row("manager enrolment", sign_csr, {who: {"TOKEN", "BUSY"} for who in WHO})
# One that names an instance: which of the two it is tried on.
ON_USED = {L + "Open", L + "Push", L + "Locate", P + "Describe", H + "SignWorker"}
# A worker serves one instance: its address is the name, so it isn't among these.
NAMES_AN_INSTANCE = sorted(
    path
    for path, row in ROWS.items()
    if {"NOT_FOUND"} in row.allowed.values() and row.where != "worker" and row.allowed != NO_HOST
)


def methods() -> Iterator[str]:
    for module in pkgutil.iter_modules(rpc_v1.__path__, "eais.rpc.v1."):
        file = importlib.import_module(module.name).DESCRIPTOR
        for service in file.services_by_name.values():
            for method in service.methods:
                yield f"/{service.full_name}/{method.name}"


def test_every_method_is_listed() -> None:
    assert sorted(ROWS) == sorted(methods()) == sorted(verb.path for verb in verbs.VERBS)


def test_at_most_twelve_verbs_a_service() -> None:
    services = [verb.full_service for verb in verbs.VERBS]
    assert max(services.count(service) for service in services) <= 12


@pytest.fixture(scope="module")
def scene(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    other_dir: Path = tmp_path_factory.mktemp("other") / "ca"
    other = Authority.create(other_dir, stack.pool, datetime.datetime.now(datetime.UTC))
    used = stack.ask(verbs.POOL_ATTACH, pool_pb2.AttachRequest(op_id=op(), type="cpu.1")).instance
    yield Scene(stack, used, used, other)
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=used.id))


def outcome(
    scene: Scene,
    path: str,
    who: str,
    ident: str,
    ask: Callable[[Scene, str], Any] | None = None,
) -> tuple[str, str]:
    """The reason (or OK) and the text of one call; `ask` instead of the row's request."""
    row, bundle = ROWS[path], scene.identities()[who]
    verb: Any = next(verb for verb in verbs.VERBS if verb.path == path)
    request = (ask or row.request)(scene, ident)
    with scene.stack.dial(scene.endpoint(row.where), bundle) as made:
        try:
            if verb.shape is verbs.Shape.UNARY:
                client.call(made, verb, request, timeout_s=10, unreachable="UNREACHABLE")
            elif verb.shape is verbs.Shape.UPLOAD:
                client.upload(made, verb, request, timeout_s=10, unreachable="UNREACHABLE")
            else:
                first_reply(made, verb, request)
        except EaisError as error:
            return error.reason, error.message
    return OK, ""


def first_reply(made: grpc.Channel, verb: Any, requests: list[Any]) -> None:
    replies = client.stream(made, verb, requests)
    try:
        next(replies)
    except grpc.RpcError as error:
        raise error_of_rpc(error, "UNREACHABLE") from None
    finally:
        replies.cancel()


def an_instance(scene: Scene, path: str) -> tuple[str, Callable[[], None]]:
    """One that the first tenant owns, made for this call where the call may change it."""
    if path in ON_USED or not path.startswith(P):
        return scene.used.id, lambda: None
    made = scene.stack.ask(verbs.POOL_CREATE, pool_pb2.CreateRequest(op_id=op(), type="cpu"))
    ident = made.instance.id

    def undo() -> None:
        for verb in (verbs.POOL_DETACH, verbs.POOL_DELETE):
            with contextlib.suppress(UsageError):
                scene.stack.ask(verb, pool_pb2.InstanceRequest(op_id=op(), instance=ident))

    return ident, undo


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("path", sorted(ROWS))
def test_matrix(scene: Scene, path: str, who: str) -> None:
    ident, undo = an_instance(scene, path)
    try:
        reason, text = outcome(scene, path, who, ident)
    finally:
        undo()
    right = ROWS[path].allowed.get(who)
    if right is not None:
        assert reason in right, text
    elif who in AT_THE_DOOR:
        assert reason == "UNREACHABLE", text
    else:
        assert reason == "PERMISSION_DENIED", text


@pytest.mark.parametrize("service", [P, H, PA])
@pytest.mark.parametrize("who", WHO)
def test_who_gets_an_enrolment(scene: Scene, service: str, who: str) -> None:
    """An enrolment gets its successor where it gets a leaf; a leaf gets none anywhere."""
    row = ROWS[service + "Renew"]
    reason, text = outcome(scene, service + "Renew", who, "", renew_both)
    if who.startswith("enrolled") and who in row.allowed:
        assert reason == OK, text
    else:
        assert reason == ("UNREACHABLE" if who in AT_THE_DOOR else "PERMISSION_DENIED"), text


@pytest.mark.parametrize("path", NAMES_AN_INSTANCE)
def test_not_yours_equals_not_there(scene: Scene, path: str) -> None:
    who = "other listener" if path.startswith(H) else "other tenant"
    foreign = outcome(scene, path, who, scene.used.id)
    absent = outcome(scene, path, who, ABSENT)
    assert foreign[0] == absent[0] == "NOT_FOUND"
    assert foreign[1].replace(scene.used.id, "X") == absent[1].replace(ABSENT, "X")
