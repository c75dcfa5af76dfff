"""Joining over the wire: a manager's third socket, and the function that joins through it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio as aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from eais import joining, tls
from eais.channel import client_options
from eais.errors import EaisError
from eais.identity import Identity, Role
from eais.join_token import JoinToken
from eais.joining import Joined
from eais.rpc import verbs
from eais.rpc.client import acall
from eais.rpc.hello import hello
from eais.rpc.v1 import common_pb2, enrolment_pb2, hosts_pb2, pool_pb2
from eais.rpc.verbs import Verb
from eais_pool.authority import ENROLMENT_LIFE, Authority
from eais_pool.brain.tokens import TOKEN_LIFE_S
from eais_pool.config import ManagerConfig
from eais_pool.testing import RunningManager, in_process_manager
from eais_pool.world import World, boot_clock

TIMEOUT_S = 20.0
Test = Callable[[RunningManager], Awaitable[None]]


def on_manager(directory: Path, test: Test, world: World | None = None) -> None:
    async def run() -> None:
        async with asyncio.timeout(90), in_process_manager(directory, world=world) as running:
            await test(running)

    asyncio.run(run())


async def ask(channel: aio.Channel, verb: Verb[Any, Any], request: Any) -> Any:
    return await acall(channel, verb, request, timeout_s=TIMEOUT_S, unreachable="POOL_UNREACHABLE")


async def as_operator(running: RunningManager, verb: Verb[Any, Any], request: Any) -> Any:
    operator = running.bundle(Identity.operator(running.pool, "op"))
    async with running.channel("management", operator) as channel:
        return await ask(channel, verb, request)


async def new_token(
    running: RunningManager,
    purpose: str = "frontend",
    tenant: str = "default",
    name: str = "box",
    op_id: str = "",
) -> hosts_pb2.CreateTokenReply:
    request = hosts_pb2.CreateTokenRequest(
        op_id=op_id or str(uuid.uuid4()),
        purpose=purpose,
        tenant=tenant if purpose == "frontend" else "",
        name=name,
    )
    reply: hosts_pb2.CreateTokenReply = await as_operator(
        running, verbs.POOL_ADMIN_CREATE_TOKEN, request
    )
    return reply


async def join(made: hosts_pb2.CreateTokenReply, purpose: Role = Role.FRONTEND) -> Joined:
    where = f"{made.enrolment.address}:{made.enrolment.port}"
    return await asyncio.to_thread(joining.join, where, made.token, purpose)


async def refused(call: Awaitable[Any]) -> EaisError:
    with pytest.raises(EaisError) as caught:
        await call
    return caught.value


@contextlib.asynccontextmanager
async def stranger(running: RunningManager) -> AsyncIterator[aio.Channel]:
    """A channel to the enrolment plane that shows no certificate, as a client that isn't ours."""
    place = running.manager.place
    address = running.manager.planes[verbs.Plane.ENROLMENT].address
    options = client_options(Identity.manager(place.pool).dns_name or "")
    trust = grpc.ssl_channel_credentials(running.authority.ca_pem)
    async with aio.secure_channel(f"{address}:{place.enrolment_port}", trust, options) as channel:
        yield channel


def signing(token: str, purpose: str = "frontend", **changes: Any) -> enrolment_pb2.SignCsrRequest:
    asked: dict[str, Any] = {
        "hello": hello("eais-test"),
        "secret": JoinToken.parse(token).secret_text,
        "purpose": purpose,
        "csr_pem": tls.make_csr(tls.new_key()),
        "enrolment_csr_pem": tls.make_csr(tls.new_key()),
        **changes,
    }
    return enrolment_pb2.SignCsrRequest(**asked)


async def sign(running: RunningManager, request: enrolment_pb2.SignCsrRequest) -> Any:
    async with stranger(running) as channel:
        return await ask(channel, verbs.ENROLMENT_SIGN_CSR, request)


# What joining yields


@pytest.mark.parametrize("purpose", [Role.FRONTEND, Role.LISTENER, Role.OPERATOR], ids=str)
def test_a_token_becomes_a_leaf_and_an_enrolment(tmp_path: Path, purpose: Role) -> None:
    plane, greet = {
        Role.FRONTEND: ("user", verbs.POOL_GREET),
        Role.LISTENER: ("management", verbs.HOSTS_GREET),
        Role.OPERATOR: ("management", verbs.POOL_ADMIN_GREET),
    }[purpose]
    renew = {
        Role.FRONTEND: verbs.POOL_RENEW,
        Role.LISTENER: verbs.HOSTS_RENEW,
        Role.OPERATOR: verbs.POOL_ADMIN_RENEW,
    }

    async def test(running: RunningManager) -> None:
        made = await new_token(running, purpose.value)
        joined = await join(made, purpose)
        tenant = "default" if purpose is Role.FRONTEND else None
        whose = Identity(running.pool, purpose, tenant, "box")
        assert (joined.pool, joined.leaf.identity) == (running.pool, whose)
        assert joined.enrolment.identity == whose.enrolment
        left = joined.enrolment.not_after - datetime.now(UTC)
        assert timedelta(days=29) < left <= ENROLMENT_LIFE
        assert joined.leaf.not_after - datetime.now(UTC) <= timedelta(hours=1)
        planes = {"user": joined.user_plane, "management": joined.management_plane}
        assert planes[plane].port == getattr(running.manager.place, f"{plane}_port")
        async with running.channel(plane, joined.leaf) as channel:
            await ask(channel, greet, hello("eais-test"))
        keys = tls.new_key(), tls.new_key()
        request = common_pb2.RenewRequest(
            csr_pem=tls.make_csr(keys[0]), enrolment_csr_pem=tls.make_csr(keys[1])
        )
        async with running.channel(plane, joined.enrolment) as channel:
            # Its own role's Renew, and nothing else: not even another role's.
            reply = await ask(channel, renew[purpose], request)
            assert (await refused(ask(channel, greet, hello("x")))).reason == "PERMISSION_DENIED"
            for other in renew.keys() - {purpose}:
                reason = (await refused(ask(channel, renew[other], request))).reason
                assert reason in {"PERMISSION_DENIED", "UNIMPLEMENTED"}
        next_leaf = tls.make_bundle(tls.key_to_pem(keys[0]), reply.leaf_pem, reply.ca_pem)
        following = tls.make_bundle(tls.key_to_pem(keys[1]), reply.enrolment_pem, reply.ca_pem)
        assert (next_leaf.identity, following.identity) == (whose, whose.enrolment)

    on_manager(tmp_path, test)


def test_a_leaf_does_not_become_an_enrolment(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        request = common_pb2.RenewRequest(
            csr_pem=tls.make_csr(tls.new_key()), enrolment_csr_pem=tls.make_csr(tls.new_key())
        )
        async with running.channel("user", running.frontend()) as channel:
            error = await refused(ask(channel, verbs.POOL_RENEW, request))
        assert error.reason == "PERMISSION_DENIED"

    on_manager(tmp_path, test)


def test_an_enrolment_that_has_ended_renews_nothing_on_a_connection_that_goes_on(
    tmp_path: Path,
) -> None:
    ahead = timedelta(0)
    world = World(boot_id="b", wall=lambda: datetime.now(UTC) + ahead)

    async def test(running: RunningManager) -> None:
        nonlocal ahead
        joined = await join(await new_token(running))
        request = common_pb2.RenewRequest(csr_pem=tls.make_csr(tls.new_key()))
        async with running.channel("user", joined.enrolment) as channel:
            await ask(channel, verbs.POOL_RENEW, request)
            ahead = ENROLMENT_LIFE + timedelta(hours=1)
            error = await refused(ask(channel, verbs.POOL_RENEW, request))
        assert error.reason == "CERT_EXPIRED"

    on_manager(tmp_path, test, world)


# What doesn't join


def test_a_token_that_was_stolen_after_its_use_is_worth_nothing(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        made = await new_token(running)
        await join(made)
        again = await refused(join(made))
        wrong = JoinToken(JoinToken.parse(made.token).ca_sha256, bytes(20)).text
        never = await refused(sign(running, signing(wrong)))
        other = await new_token(running, "operator")
        purpose = await refused(join(other, Role.FRONTEND))
        said = {(each.reason, each.message, each.hint) for each in (again, never, purpose)}
        assert len(said) == 1
        assert again.reason == "TOKEN"

    on_manager(tmp_path, test)


def test_of_two_at_once_one_joins(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        made = await new_token(running)
        outcomes = await asyncio.gather(
            *(sign(running, signing(made.token)) for _ in range(6)), return_exceptions=True
        )
        reasons = sorted(getattr(each, "reason", "joined") for each in outcomes)
        assert reasons == ["TOKEN"] * 5 + ["joined"]

    on_manager(tmp_path, test)


def test_a_token_ends_after_its_ten_minutes(tmp_path: Path) -> None:
    ahead = 0.0
    world = World(boot_id="b", clock=lambda: boot_clock() + ahead)

    async def test(running: RunningManager) -> None:
        nonlocal ahead
        made = await new_token(running)
        assert made.life_s == TOKEN_LIFE_S
        ahead = TOKEN_LIFE_S
        assert (await refused(join(made))).reason == "TOKEN"

    on_manager(tmp_path, test, world)


def csr_of(
    key: CertificateIssuerPrivateKeyTypes | None = None,
    *names: x509.GeneralName,
    ca: bool = False,
    subject: str = "",
) -> bytes:
    attributes = [x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)] if subject else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    return builder.sign(key or tls.new_key(), hashes.SHA256()).public_bytes(Encoding.PEM)


def altered(csr_pem: bytes) -> bytes:
    der = bytearray(x509.load_pem_x509_csr(csr_pem).public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)


FOREIGN = x509.UniformResourceIdentifier("spiffe://pool/tenant/other/frontend/box")
REFUSED = {
    "authority": csr_of(ca=True),
    "wildcard": csr_of(None, x509.DNSName("*.pool.internal")),
    "foreign tenant": csr_of(None, FOREIGN),
    "manager": csr_of(None, x509.DNSName("manager.pool.internal")),
    "subject": csr_of(subject="*.pool.internal"),
    "weak": csr_of(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - what is refused
    "curve": csr_of(ec.generate_private_key(ec.SECP521R1())),
    "signature": altered(csr_of()),
    "empty": b"",
    "garbage": b"\x00\xff" * 50,
    "huge": b"x" * 100_000,
}


def test_signing_requests_that_ask_for_more_are_refused_and_use_no_token_up(
    tmp_path: Path,
) -> None:
    async def test(running: RunningManager) -> None:
        made = await new_token(running)
        async with stranger(running) as channel:
            for what, csr in REFUSED.items():
                for field in ("csr_pem", "enrolment_csr_pem"):
                    wrong: dict[str, Any] = {field: csr}
                    request = signing(made.token, **wrong)
                    error = await refused(ask(channel, verbs.ENROLMENT_SIGN_CSR, request))
                    assert (what, error.reason) == (what, "CSR_REFUSED")
        await join(made)

    on_manager(tmp_path, test)


def test_a_replayed_signing_request_is_refused(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        first, second = [await new_token(running) for _ in range(2)]
        request = signing(first.token)
        await sign(running, request)
        replays: list[dict[str, Any]] = [
            {"csr_pem": request.csr_pem},
            {"enrolment_csr_pem": request.enrolment_csr_pem},
            {"csr_pem": request.enrolment_csr_pem},
            {"csr_pem": csr_of(KEY), "enrolment_csr_pem": csr_of(KEY)},
        ]
        for csrs in replays:
            error = await refused(sign(running, signing(second.token, **csrs)))
            assert error.reason == "CSR_REFUSED"
        await join(second)

    on_manager(tmp_path, test)


KEY = tls.new_key()


def test_the_enrolment_plane_serves_nothing_else_and_the_others_no_stranger(
    tmp_path: Path,
) -> None:
    async def test(running: RunningManager) -> None:
        async with stranger(running) as channel:
            for verb in verbs.VERBS:
                if verb.shape is not verbs.Shape.UNARY or verb is verbs.ENROLMENT_SIGN_CSR:
                    continue
                error = await refused(ask(channel, verb, verb.request()))
                assert (verb.path, error.reason) == (verb.path, "UNIMPLEMENTED")
            bad = signing(JoinToken(bytes(32), bytes(20)).text, hello=common_pb2.Hello(version=9))
            error = await refused(ask(channel, verbs.ENROLMENT_SIGN_CSR, bad))
            assert error.reason == "VERSION_UNSUPPORTED"
        for plane in ("user", "management"):
            async with running.channel(plane, running.frontend()) as channel:
                error = await refused(ask(channel, verbs.ENROLMENT_SIGN_CSR, bad))
                assert error.reason == "UNIMPLEMENTED"

    on_manager(tmp_path, test)


def test_guesses_are_slowed_and_who_has_a_token_is_not(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        guess = signing(JoinToken(bytes(32), bytes(20)).text)
        reasons = []
        async with stranger(running) as channel:
            for _ in range(60):
                error = await refused(ask(channel, verbs.ENROLMENT_SIGN_CSR, guess))
                reasons.append(error.reason)
                if error.reason == "BUSY":
                    assert int(error.metadata["push_back_ms"]) > 0
                    assert error.retryable
        assert set(reasons) == {"TOKEN", "BUSY"}
        assert reasons.count("TOKEN") <= 15
        # Neither the management plane is slower for it, nor who joins from the same address.
        await join(await new_token(running))

    on_manager(tmp_path, test)


# Idempotence and life of tokens


def test_the_same_question_has_the_same_token_also_after_a_restart(tmp_path: Path) -> None:
    op_id, said = str(uuid.uuid4()), []

    async def once(running: RunningManager) -> None:
        said.append((await new_token(running, name="", op_id=op_id)).token)

    async def twice(running: RunningManager) -> None:
        await once(running)
        error = await refused(new_token(running, name="another", op_id=op_id))
        assert error.reason == "IDEMPOTENCY_MISMATCH"
        made = await new_token(running, name="", op_id=op_id)
        joined = await join(made)
        assert re.fullmatch("frontend-[0-9a-f]{16}", joined.leaf.identity.name)
        assert (await refused(join(made))).reason == "TOKEN"

    on_manager(tmp_path, once)
    journal = (tmp_path / "pool" / "manager" / "journal.sqlite").read_bytes()
    secret = said[0].rpartition(".")[2]
    assert secret.encode() not in journal
    assert JoinToken.parse(said[0]).secret not in journal
    on_manager(tmp_path, twice)
    assert said[0] == said[1]


def test_during_a_roll_tokens_name_the_ca_that_the_door_shows(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        before = await new_token(running)
        await as_operator(running, verbs.POOL_ADMIN_ROLL_CA, hosts_pb2.RollCaRequest())
        after = await new_token(running)
        # Announced: the old one still signs, and the tokens made before are as good as new ones.
        for made in (before, after):
            joined = await join(made)
            assert len(tls.load_certificates(joined.leaf.ca_pem)) == 2

    on_manager(tmp_path, test)


# Tenants and instances, as operators ask for them


def test_tenants_over_the_wire(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        quotas = [hosts_pb2.Quota(what="gpu", limit=500), hosts_pb2.Quota(what="cpu")]
        request = hosts_pb2.SetTenantRequest(
            op_id=str(uuid.uuid4()), tenant="acme", create=True, quotas=quotas
        )
        reply = await as_operator(running, verbs.POOL_ADMIN_SET_TENANT, request)
        assert {quota.what: quota.limit for quota in reply.tenant.quotas} == {"gpu": 500}
        assert await as_operator(running, verbs.POOL_ADMIN_SET_TENANT, request) == reply
        listed = await as_operator(
            running, verbs.POOL_ADMIN_LIST_TENANTS, hosts_pb2.ListTenantsRequest()
        )
        assert [tenant.name for tenant in listed.tenants] == ["acme", "default"]
        joined = await join(await new_token(running, tenant="acme"))
        async with running.channel("user", joined.leaf) as channel:
            made = pool_pb2.CreateRequest(op_id=str(uuid.uuid4()), type="cpu.1")
            instance = (await ask(channel, verbs.POOL_CREATE, made)).instance
        assert instance.tenant == "acme"
        everybodys = await as_operator(
            running, verbs.POOL_ADMIN_LIST_INSTANCES, pool_pb2.ListRequest()
        )
        assert list(everybodys.instances) == [instance]
        # A front-end isn't let in where that is asked.
        async with running.channel("management", joined.leaf) as channel:
            error = await refused(ask(channel, verbs.POOL_ADMIN_LIST_INSTANCES, made))
        assert error.reason == "PERMISSION_DENIED"

    on_manager(tmp_path, test)


# What the joining machine finds out by itself: the secret isn't sent


@contextlib.contextmanager
def tls_server(bundle: tls.Bundle, chain: bytes, at: Path) -> Iterator[tuple[int, list[bytes]]]:
    """A TLS server with that chain, and what was sent to it."""
    at.write_bytes(bundle.key_pem + chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(at)
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = listening.accept()
                    with contextlib.suppress(OSError), line:
                        line.settimeout(TIMEOUT_S)
                        with context.wrap_socket(line, server_side=True) as shaken:
                            heard.append(shaken.recv(1024))

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1], heard
        listening.shutdown(socket.SHUT_RDWR)


def authority(directory: Path, pool: str = "pool") -> Authority:
    return Authority.create(directory, pool, datetime.now(UTC))


def refusal(port: int, token: str) -> EaisError:
    with pytest.raises(EaisError) as caught:
        joining.join(f"127.0.0.1:{port}", token, Role.FRONTEND, timeout_s=TIMEOUT_S)
    return caught.value


def test_a_secret_is_not_told_to_who_is_not_the_tokens_pool(tmp_path: Path) -> None:
    ours, other = authority(tmp_path / "ours"), authority(tmp_path / "other")
    token = JoinToken(tls.certificate_sha256(ours.ca_pem), bytes(20)).text
    manager, now = Identity.manager("pool"), datetime.now(UTC)
    theirs = other.bundle(manager, now)
    chains = {
        "another CA": theirs.leaf_pem + other.ca_pem,
        "no CA": theirs.leaf_pem,
        "our CA's certificate, which anybody has": theirs.leaf_pem + ours.ca_pem,
    }
    for what, chain in chains.items():
        with tls_server(theirs, chain, tmp_path / "server.pem") as (port, heard):
            error = refusal(port, token)
        assert (what, error.reason) == (what, "SERVER_UNTRUSTED")
        assert not any(heard)
        assert "127.0.0.1" in error.message


def test_a_server_of_another_name_is_not_told_the_secret(tmp_path: Path) -> None:
    ours = authority(tmp_path / "ours")
    token = JoinToken(tls.certificate_sha256(ours.ca_pem), bytes(20)).text
    listener = ours.bundle(Identity.listener("pool", "evil"), datetime.now(UTC))
    with tls_server(listener, listener.leaf_pem + ours.ca_pem, tmp_path / "s.pem") as (port, heard):
        assert refusal(port, token).reason in {"SERVER_UNTRUSTED", "POOL_UNREACHABLE"}
    assert not any(heard)


@pytest.mark.parametrize(
    ("off", "reason"),
    [(timedelta(hours=-5), "CERT_EXPIRED"), (timedelta(hours=5), "CERT_NOT_YET_VALID")],
)
def test_a_clock_that_is_off_is_named(tmp_path: Path, off: timedelta, reason: str) -> None:
    now = datetime.now(UTC)
    ours = Authority.create(tmp_path / "ours", "pool", now + off)
    token = JoinToken(tls.certificate_sha256(ours.ca_pem), bytes(20)).text
    bundle = ours.bundle(Identity.manager("pool"), now + off)
    with tls_server(bundle, bundle.leaf_pem + ours.ca_pem, tmp_path / "s.pem") as (port, _):
        error = refusal(port, token)
    assert error.reason == reason
    assert "clock" in error.hint


def test_nobody_there_and_no_tls_are_told_apart(tmp_path: Path) -> None:
    token = JoinToken(bytes(32), bytes(20)).text
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def answer_plainly() -> None:
            line, _ = listening.accept()
            with line:
                line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                line.recv(4096)

        answering = threading.Thread(target=answer_plainly)
        answering.start()
        error = refusal(port, token)
        answering.join(TIMEOUT_S)
    assert (error.reason, "TLS" in error.message) == ("SERVER_UNTRUSTED", True)
    error = refusal(port, token)
    assert (error.reason, error.retryable) == ("POOL_UNREACHABLE", True)
    assert "refused" in error.message


def test_who_hangs_up_is_asked_again_and_not_mistrusted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            line, _ = listening.accept()
            with line:
                line.recv(4096)

        answering = threading.Thread(target=hang_up)
        answering.start()
        error = refusal(listening.getsockname()[1], JoinToken(bytes(32), bytes(20)).text)
        answering.join(TIMEOUT_S)
    assert (error.reason, error.retryable) == ("POOL_UNREACHABLE", True)
    assert "closed" in error.message


def test_the_user_plane_is_no_place_to_join(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        made = await new_token(running)
        made.enrolment.port = running.manager.place.user_port
        assert (await refused(join(made))).reason == "SERVER_UNTRUSTED"

    on_manager(tmp_path, test)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("pool.example", "pool.example", 7443),
        (" 10.0.0.5:99\n", "10.0.0.5", 99),
        ("[::1]", "::1", 7443),
        ("[::1]:8", "::1", 8),
    ],
)
def test_addresses_to_join_at(text: str, host: str, port: int) -> None:
    assert joining.parse_address(text) == (host, port)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "CONFIG"),
        (":7443", "CONFIG"),
        ("a:b", "CONFIG"),
        ("a:", "CONFIG"),
        ("a:٣", "CONFIG"),
        ("pool..example", "CONFIG"),
        ("x" * 64 + ".example:7443", "CONFIG"),
        ("a\0b", "CONFIG"),
        ("a:0", "PORT"),
        ("a:65536", "PORT"),
        ("a:" + "9" * 400, "PORT"),
    ],
)
def test_what_is_no_address(text: str, reason: str) -> None:
    with pytest.raises(EaisError) as caught:
        joining.parse_address(text)
    assert caught.value.reason == reason


def test_nobody_joins_as_a_worker() -> None:
    with pytest.raises(ValueError, match="worker"):
        joining.join("127.0.0.1:1", JoinToken(bytes(32), bytes(20)).text, Role.WORKER)


# Where the planes are


def test_a_pool_at_an_address_has_all_planes_there_on_ports_that_it_keeps(tmp_path: Path) -> None:
    config = replace(ManagerConfig.for_test(), bind="127.0.0.77", enrolment_port=0)
    places = []

    async def start() -> None:
        async with in_process_manager(tmp_path, config) as running:
            places.append(dict(running.manager.planes))
            joined = await join(await new_token(running))
            assert (joined.user_plane.address, joined.management_plane.address) == (
                "127.0.0.77",
                "127.0.0.77",
            )

    asyncio.run(start())
    asyncio.run(start())
    assert places[0] == places[1]
    assert {endpoint.address for endpoint in places[0].values()} == {"127.0.0.77"}


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "::1", "host-1", "224.0.0.1", "10.1.2.3:5"])
def test_where_nobody_can_come_a_pool_is_not_bound(bind: str) -> None:
    with pytest.raises(ValueError, match="bind = "):
        ManagerConfig(bind=bind)
