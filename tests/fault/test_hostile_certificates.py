"""Certificates that won't do: refused by every server, and found by our client before it dials.

A server can't say why it ended a handshake, so a client that isn't ours sees no more than a
connection that closed. What passes the handshake and still won't do is answered by reason.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from cryptography import x509

import eais
from eais import tls
from eais.errors import EaisError, IdentityError
from eais.identity import Identity
from eais.rpc import client, verbs
from eais.rpc.hello import hello
from eais.rpc.status import error_of_rpc
from eais.rpc.v1 import common_pb2, pool_pb2, worker_pb2
from eais_client.cli.main import main
from eais_client.cli.outside import Outside
from eais_client.context import Context, ContextStore
from eais_client.dialer import Dialer
from eais_client.manager_client import pool_peer
from eais_client.pool_client import PoolClient
from eais_client.testing.conformance import own_models
from eais_pool.authority import Authority
from tests.fault.heard import Heard
from tests.fault.shown import ANY, CLIENT, HOUR, SERVER, Wish, bundle_of, now, uri
from tests.system.raw import refusal
from tests.system.stack import Stack
from tests.system.test_authz_matrix import listener_management

HANDSHAKE = "HOST_UNREACHABLE"
EXIT_IDENTITY = 3
SERVERS = ("manager", "manager management", "listener", "listener management", "worker")
MODEL = own_models()["mul_1"]

Make = Callable[[Stack], Wish]


def own_uri(stack: Stack) -> x509.GeneralName:
    return uri(Identity.frontend(stack.pool, "default", "owner").uri)


def of_usages(*usages: x509.ObjectIdentifier, critical: bool = True) -> Make:
    return lambda stack: Wish([own_uri(stack)], usages or None, critical)


def of_names(make: Callable[[Stack], list[x509.GeneralName] | None]) -> Make:
    return lambda stack: Wish(make(stack))


WRONG_USAGES: dict[str, tuple[Make, str]] = {
    "server's": (of_usages(SERVER), HANDSHAKE),
    "any": (of_usages(ANY), HANDSHAKE),
    "both": (of_usages(CLIENT, SERVER), "CERT_USAGE"),
    "any and client's": (of_usages(ANY, CLIENT), "CERT_USAGE"),
    "not critical": (of_usages(CLIENT, critical=False), "CERT_USAGE"),
    "none": (of_usages(), "CERT_USAGE"),
}
WRONG_NAMES: dict[str, Make] = {
    "no names": of_names(lambda stack: None),
    "no URI": of_names(lambda stack: [x509.DNSName(f"manager.{stack.pool}.internal")]),
    "two URIs": of_names(
        lambda stack: [
            own_uri(stack),
            uri(Identity.frontend(stack.pool, "another", "owner").uri),
        ]
    ),
    "another pool": of_names(
        lambda stack: [uri(Identity.frontend("other-0001", "default", "owner").uri)]
    ),
    "a way up": of_names(lambda stack: [uri(f"spiffe://{stack.pool}/tenant/../frontend/owner")]),
    "another scheme": of_names(
        lambda stack: [uri(f"https://{stack.pool}/tenant/default/frontend/owner")]
    ),
    "no such role": of_names(lambda stack: [uri(f"spiffe://{stack.pool}/root")]),
}


def dial_and_greet(
    stack: Stack, at: pool_pb2.Instance, where: str, shown: tls.Bundle | None
) -> None:
    """Speak to one of the pool's servers with that certificate; raises EaisError."""
    if where == "worker":
        with stack.dial(at.workers[0].endpoint, shown) as line:
            first = worker_pb2.ToWorker(hello=hello("eais-test"))
            try:
                next(client.stream(line, verbs.WORKER_STREAM, [first]))
            except grpc.RpcError as error:
                raise error_of_rpc(error, HANDSHAKE) from None
        return
    endpoint, verb = {
        "manager": (stack.endpoint("user"), verbs.POOL_GREET),
        "manager management": (stack.endpoint("management"), verbs.POOL_ADMIN_GREET),
        "listener": (at.listener, verbs.LISTENER_GREET),
        "listener management": (listener_management(stack), verbs.LISTENER_ADMIN_GREET),
    }[where]
    with stack.dial(endpoint, shown) as line:
        client.call(line, verb, hello("eais-test"), timeout_s=30, unreachable=HANDSHAKE)


def refused_with(stack: Stack, at: pool_pb2.Instance, where: str, shown: tls.Bundle | None) -> str:
    return refusal(dial_and_greet, stack, at, where, shown).reason


@dataclass(frozen=True)
class Home:
    """A user's contexts, whose pool is at an address where every connection is noticed."""

    store: ContextStore
    context: Context
    trap: socket.socket
    heard: Heard

    @property
    def file(self) -> Path:
        """Where the front-end's identity is."""
        return self.store.frontend_file(self.context.name)

    def keep(self, pem: bytes) -> None:
        """Put an identity there as it is, unjudged."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.file.write_bytes(pem)
        self.file.chmod(0o600)

    def reason(self) -> str:
        """What our client finds, as a library and as a command; nobody was dialled for it."""
        with pytest.raises(IdentityError) as caught:
            eais.InferenceSession(MODEL)
        self.heard.say(f"{caught.value} {caught.value.hint}")
        assert self.told() == caught.value.reason
        with pytest.raises(BlockingIOError):
            self.trap.accept()
        return caught.value.reason

    def told(self) -> str:
        """The reason that `eais list` says in its one line."""
        out, err = io.StringIO(), io.StringIO()
        environ = {"EAIS_CONFIG_DIR": str(self.store.directory)}
        code = main(["list"], Outside(environ=environ, stdout=out, stderr=err))
        self.heard.say(err.getvalue())
        [line] = err.getvalue().splitlines()
        assert (code, out.getvalue()) == (EXIT_IDENTITY, "")
        word, reason, _text = line.split(": ", 2)
        assert word == "error"
        return reason


@pytest.fixture
def home(
    stack: Stack, tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Home]:
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.setblocking(False)
        address = f"127.0.0.1:{trap.getsockname()[1]}"
        made = Home(ContextStore(tmp_path), Context("home", stack.pool, address), trap, heard)
        made.store.set(made.context)
        monkeypatch.setenv("EAIS_CONFIG_DIR", str(tmp_path))
        monkeypatch.delenv("EAIS_CONTEXT", raising=False)
        yield made


@pytest.fixture
def stranger(stack: Stack, tmp_path: Path) -> Authority:
    """A CA that calls itself the pool's."""
    return Authority.create(tmp_path / "stranger", stack.pool, now())


@pytest.mark.hostile("cert-none")
@pytest.mark.parametrize("where", SERVERS)
def test_no_certificate(stack: Stack, instance: pool_pb2.Instance, home: Home, where: str) -> None:
    assert refused_with(stack, instance, where, None) == HANDSHAKE
    assert home.reason() == "CERT_MISSING"


@pytest.mark.hostile("cert-wrong-ca")
@pytest.mark.parametrize("where", SERVERS)
def test_a_certificate_of_another_ca(
    stack: Stack, instance: pool_pb2.Instance, home: Home, stranger: Authority, where: str
) -> None:
    shown = bundle_of(stack, Wish([own_uri(stack)]), stranger)
    assert refused_with(stack, instance, where, shown) == HANDSHAKE
    home.keep(shown.pem)
    assert home.reason() == "CERT_UNTRUSTED"


@pytest.mark.hostile("cert-expired")
@pytest.mark.parametrize("where", SERVERS)
def test_a_certificate_that_has_ended(
    stack: Stack, instance: pool_pb2.Instance, home: Home, where: str
) -> None:
    shown = bundle_of(stack, Wish([own_uri(stack)], begins=-2 * HOUR))
    assert refused_with(stack, instance, where, shown) == HANDSHAKE
    home.keep(shown.pem)
    assert home.reason() == "CERT_EXPIRED"


@pytest.mark.hostile("cert-not-yet-valid")
@pytest.mark.parametrize("where", SERVERS)
def test_a_certificate_whose_time_has_not_come(
    stack: Stack, instance: pool_pb2.Instance, home: Home, where: str
) -> None:
    shown = bundle_of(stack, Wish([own_uri(stack)], begins=2 * HOUR))
    assert refused_with(stack, instance, where, shown) == HANDSHAKE
    home.keep(shown.pem)
    assert home.reason() == "CERT_NOT_YET_VALID"


@pytest.mark.hostile("cert-wrong-usage")
@pytest.mark.parametrize("usage", WRONG_USAGES)
def test_a_certificate_for_another_use(
    stack: Stack, instance: pool_pb2.Instance, home: Home, usage: str
) -> None:
    make, reason = WRONG_USAGES[usage]
    shown = bundle_of(stack, make(stack))
    assert {refused_with(stack, instance, where, shown) for where in SERVERS} == {reason}
    home.keep(shown.pem)
    assert home.reason() == "CERT_USAGE"


@pytest.mark.hostile("cert-wrong-name")
@pytest.mark.parametrize("name", WRONG_NAMES)
def test_a_certificate_of_no_name_or_another(
    stack: Stack, instance: pool_pb2.Instance, home: Home, name: str
) -> None:
    shown = bundle_of(stack, WRONG_NAMES[name](stack))
    found = {refused_with(stack, instance, where, shown) for where in SERVERS}
    assert found == {"CERT_IDENTITY"}
    home.keep(shown.pem)
    assert home.reason() == "CERT_IDENTITY"


def of_two(stack: Stack) -> bytes:
    """One's key with another's certificate."""
    one, other = stack.frontend(), stack.frontend()
    return one.key_pem + other.leaf_pem + one.ca_pem


KEY_FILES: dict[str, tuple[Callable[[Stack], bytes], int, str]] = {
    "another's key": (of_two, 0o600, "CERT_KEY_MISMATCH"),
    "no PEM": (lambda stack: b"\x00\xff" * 500, 0o600, "CERT_UNREADABLE"),
    "empty": (lambda stack: b"", 0o600, "CERT_UNREADABLE"),
    "half": (lambda stack: stack.frontend().pem[:700], 0o600, "CERT_UNREADABLE"),
    "no certificate": (lambda stack: stack.frontend().key_pem, 0o600, "CERT_MISSING"),
    "everybody's to read": (lambda stack: stack.frontend().pem, 0o644, "KEY_MODE"),
    "the group's to write": (lambda stack: stack.frontend().pem, 0o620, "KEY_MODE"),
}


@pytest.mark.hostile("key-file")
@pytest.mark.parametrize("what", KEY_FILES)
def test_an_identity_file_that_will_not_do(stack: Stack, home: Home, what: str) -> None:
    make, mode, reason = KEY_FILES[what]
    home.keep(make(stack))
    home.file.chmod(mode)
    assert home.reason() == reason


@pytest.mark.hostile("key-file-in-use")
@pytest.mark.parametrize("cut", [0, 700])
def test_a_server_whose_file_is_half_written_shows_what_it_had(
    stack: Stack, instance: pool_pb2.Instance, cut: int
) -> None:
    shown = bundle_of(stack, Wish([own_uri(stack)]))
    programs = {"manager": "manager", "listener": "listener"}
    for program, where in programs.items():
        file = stack.state / program / "identity.pem"
        whole = file.read_bytes()
        file.write_bytes(whole[:cut])
        try:
            dial_and_greet(stack, instance, where, shown)
        finally:
            file.write_bytes(whole)
        dial_and_greet(stack, instance, where, shown)


@dataclass(frozen=True)
class Answers:
    """Who answers, and what the client shows and trusts."""

    endpoint: common_pb2.Endpoint
    bundle: tls.Bundle

    def context(self, stack: Stack) -> Context:
        return Context("home", stack.pool, f"{self.endpoint.address}:{self.endpoint.port}")


def mistaken(stack: Stack, at: pool_pb2.Instance, stranger: Authority) -> dict[str, Answers]:
    """Addresses that a user may have mistaken for the manager's, and the identity held."""
    own = stack.frontend()
    theirs = stranger.bundle(own.identity, now())
    return {
        "listener": Answers(at.listener, own),
        "worker": Answers(at.workers[0].endpoint, own),
        "manager of another CA": Answers(stack.endpoint("user"), theirs),
    }


@pytest.mark.hostile("server-name")
@pytest.mark.parametrize("who", ["listener", "worker", "manager of another CA"])
def test_a_server_that_is_another(
    stack: Stack, instance: pool_pb2.Instance, home: Home, stranger: Authority, who: str
) -> None:
    other = mistaken(stack, instance, stranger)[who]
    meant = common_pb2.Endpoint()
    meant.CopyFrom(other.endpoint)
    meant.server_name = stack.endpoint("user").server_name
    with stack.dial(meant, other.bundle) as line:
        error = refusal(
            client.call,
            line,
            verbs.POOL_GREET,
            hello("eais-test"),
            timeout_s=30,
            unreachable="POOL_UNREACHABLE",
        )
    assert (error.reason, error.retryable) == ("SERVER_UNTRUSTED", False)
    home.keep(other.bundle.pem)
    home.store.set(other.context(stack))
    assert home.reason() == "SERVER_UNTRUSTED"
    assert naps_of(home) == []


def naps_of(home: Home) -> list[float]:
    """How often and how long our client waits before it tries again."""
    naps: list[float] = []
    peer = pool_peer(Dialer(tls.LeafFile(home.file), home.context.pool), home.store.current({}))
    with PoolClient(peer, sleep=naps.append) as pool, pytest.raises(EaisError) as caught:
        pool.list()
    assert caught.value.reason == "SERVER_UNTRUSTED"
    return naps


def test_these_would_do_but_for_what_is_wrong_with_them(
    stack: Stack, instance: pool_pb2.Instance
) -> None:
    """The rows above are refused for what they say, not for how they were made."""
    shown = bundle_of(stack, Wish([own_uri(stack)]))
    for where in ("manager", "listener", "worker"):
        dial_and_greet(stack, instance, where, shown)
    assert tls.parse_bundle(shown.pem).identity.name == "owner"
