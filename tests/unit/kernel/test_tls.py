from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc.experimental import session_cache  # type: ignore[attr-defined]  # not in the stubs

from eais import tls
from eais.channel import client_options
from eais.credentials import client_credentials, server_credentials
from eais.errors import IdentityError
from eais.identity import Identity, peer_of
from eais_pool.authority import Authority

NOW = datetime.now(UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
FRONTEND = Identity.frontend("pool", "acme", "box-1")
WORKER = Identity.worker("pool", "ei-1", 0)
LISTENER = Identity.listener("pool", "gpu1")
MANAGER = Identity.manager("pool")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("pool") / "ca", "pool", NOW - DAY)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another CA that gives itself the same pool's name."""
    return Authority.create(tmp_path_factory.mktemp("other") / "ca", "pool", NOW - DAY)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(IdentityError) as error:
        call()
    return error.value.reason


# Bundles and their file


def test_a_bundle_comes_back_from_its_file(authority: Authority, tmp_path: Path) -> None:
    bundle = authority.bundle(FRONTEND, NOW)
    path = tmp_path / "identity" / "identity.pem"
    tls.save_bundle(path, bundle)
    assert tls.load_bundle(path) == bundle
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_bundles_repr_holds_no_key(authority: Authority) -> None:
    bundle = authority.bundle(FRONTEND, NOW)
    assert "PRIVATE" not in repr(bundle)
    assert FRONTEND.name in repr(bundle)


def test_renewal_is_due_between_50_and_66_percent_of_the_life(authority: Authority) -> None:
    spread = set()
    for _ in range(20):
        bundle = authority.bundle(FRONTEND, NOW)
        assert tls.parse_bundle(bundle.pem).renew_after == bundle.renew_after
        share = (bundle.renew_after - NOW) / HOUR
        assert 0.49 < share < 0.67
        spread.add(share)
    assert len(spread) > 10


def test_two_cas_are_trusted_while_a_pool_changes_its_own(
    authority: Authority, stranger: Authority
) -> None:
    bundle = authority.bundle(FRONTEND, NOW)
    both = stranger.ca_pem + authority.ca_pem
    assert tls.make_bundle(bundle.key_pem, bundle.leaf_pem, both).ca_pem == both


def test_a_bundle_that_will_not_do(authority: Authority, stranger: Authority) -> None:
    one, other = authority.bundle(FRONTEND, NOW), authority.bundle(FRONTEND, NOW)
    key, leaf, ca = one.key_pem, one.leaf_pem, one.ca_pem
    garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    no_key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    for pem, reason in [
        (b"", "CERT_UNREADABLE"),
        (b"\xff" * 1000, "CERT_UNREADABLE"),
        (one.pem[:-30], "CERT_UNREADABLE"),
        (one.pem + b"x", "CERT_UNREADABLE"),
        (leaf + key + ca, "CERT_UNREADABLE"),
        (key + key + leaf + ca, "CERT_UNREADABLE"),
        (key + garbage + ca, "CERT_UNREADABLE"),
        (no_key + leaf + ca, "CERT_UNREADABLE"),
        (key, "CERT_MISSING"),
        (key + leaf, "CERT_MISSING"),
        (key + other.leaf_pem + ca, "CERT_KEY_MISMATCH"),
        (key + leaf + stranger.ca_pem, "CERT_UNTRUSTED"),
        (key + leaf + other.leaf_pem, "CERT_UNTRUSTED"),
    ]:
        assert refusal(partial(tls.parse_bundle, pem)) == reason


def test_a_key_file_that_will_not_do(authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"
    path.parent.chmod(0o700)
    assert refusal(lambda: tls.load_bundle(path)) == "CERT_MISSING"
    tls.save_bundle(path, authority.bundle(FRONTEND, NOW))
    path.chmod(0o644)
    assert refusal(lambda: tls.load_bundle(path)) == "KEY_MODE"
    path.chmod(0o600)
    path.write_bytes(b"-" * (1 << 20) + b"-")
    assert refusal(lambda: tls.load_bundle(path)) == "CERT_UNREADABLE"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(IdentityError, match=r"identity\.pem"):
        tls.load_bundle(path)


def test_validity_is_judged_give_or_take_five_minutes(authority: Authority) -> None:
    bundle = authority.bundle(FRONTEND, NOW)
    for now in (bundle.not_before - 4 * MINUTE, NOW, bundle.not_after + 4 * MINUTE):
        tls.check_validity(bundle, now)
    late, early = bundle.not_after + 6 * MINUTE, bundle.not_before - 6 * MINUTE
    assert refusal(lambda: tls.check_validity(bundle, late)) == "CERT_EXPIRED"
    assert refusal(lambda: tls.check_validity(bundle, early)) == "CERT_NOT_YET_VALID"


def test_a_leaf_file_is_read_again_only_when_it_changed(
    authority: Authority, tmp_path: Path
) -> None:
    old, new = authority.bundle(FRONTEND, NOW), authority.bundle(FRONTEND, NOW)
    path = tmp_path / "a" / "identity.pem"
    tls.save_bundle(path, old)
    file = tls.LeafFile(path)
    held = file.current()
    assert file.current() is held
    tls.save_bundle(path, new)
    assert file.current() == new
    path.unlink()
    assert refusal(file.current) == "CERT_MISSING"


# Real handshakes

Answer = tuple[str, str]


def who(context: grpc.ServicerContext | grpc.aio.ServicerContext[Any, Any]) -> bytes:
    try:
        return peer_of(context.auth_context(), "pool").identity.uri.encode()
    except IdentityError as error:
        return error.reason.encode()


async def who_async(_: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    return who(context)


def handlers(answer: Callable[[bytes, Any], Any]) -> grpc.GenericRpcHandler[Any, Any]:
    method = grpc.unary_unary_rpc_method_handler(answer)
    return grpc.method_handlers_generic_handler("eais.test", {"Who": method})


def unary(channel: grpc.Channel) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary("/eais.test/Who", bytes, bytes)


def ask(
    port: int, bundle: tls.Bundle, expected: str, *options: tuple[str, object]
) -> tuple[str, str]:
    """(uri or reason, "") as the server sees us, or ("", why) when the channel won't open."""
    channel_options = [*client_options(expected), *options]
    credentials = client_credentials(bundle)
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, channel_options) as channel:
        try:
            return (unary(channel)(b"", timeout=20).decode(), "")
        except grpc.RpcError as error:
            return ("", f"{error.code().name}: {error.details()}")


@contextmanager
def sync_server(credentials: grpc.ServerCredentials) -> Iterator[int]:
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers((handlers(lambda _, context: who(context)),))
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait()


Script = Callable[[Callable[..., Awaitable[Answer]]], Awaitable[None]]


async def on_aio_server(credentials: grpc.ServerCredentials, script: Script) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(who_async),))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        await script(lambda *args: asyncio.to_thread(ask, port, *args))
    finally:
        await server.stop(None)


def name_of(identity: Identity) -> str:
    assert identity.dns_name is not None
    return identity.dns_name


def test_a_worker_knows_its_front_end(authority: Authority) -> None:
    worker, front = authority.bundle(WORKER, NOW), authority.bundle(FRONTEND, NOW)

    async def script(ask: Callable[..., Awaitable[Answer]]) -> None:
        assert await ask(front, name_of(WORKER)) == (FRONTEND.uri, "")

    asyncio.run(on_aio_server(server_credentials(lambda: worker), script))


def test_clients_that_a_server_refuses(authority: Authority, stranger: Authority) -> None:
    manager = authority.bundle(MANAGER, NOW)
    good = authority.bundle(LISTENER, NOW)
    foreign = stranger.bundle(FRONTEND, NOW)
    refused = {
        "usage": authority.bundle(WORKER, NOW),
        "expired": authority.bundle(FRONTEND, NOW - 2 * HOUR),
        "early": authority.bundle(FRONTEND, NOW + 2 * HOUR),
        # A stranger's leaf, by a client that trusts our server all the same.
        "ca": tls.make_bundle(foreign.key_pem, foreign.leaf_pem, authority.ca_pem + foreign.ca_pem),
    }

    async def script(ask: Callable[..., Awaitable[Answer]]) -> None:
        for why, bundle in refused.items():
            answer, details = await ask(bundle, name_of(MANAGER))
            assert answer == "", why
            assert details.startswith("UNAVAILABLE"), why
            assert "refused" not in details, why  # a handshake, not a dead port
        assert await ask(good, name_of(MANAGER)) == (LISTENER.uri, "")

    asyncio.run(on_aio_server(server_credentials(lambda: manager), script))


def test_a_client_without_a_leaf_is_refused(authority: Authority) -> None:
    manager = authority.bundle(MANAGER, NOW)
    bare = grpc.ssl_channel_credentials(authority.ca_pem)
    with sync_server(server_credentials(lambda: manager)) as port:
        options = client_options(name_of(MANAGER))
        with grpc.secure_channel(f"127.0.0.1:{port}", bare, options) as channel:
            with pytest.raises(grpc.RpcError) as error:
                unary(channel)(b"", timeout=20)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE


# gRPC's words of now, and those of 1.62.
NAME = "Hostname Verification|is not in peer certificate"


@pytest.mark.parametrize(
    ("identity", "issued", "expected", "why"),
    [
        (WORKER, NOW, "1.ei-1.pool.internal", NAME),
        (WORKER, NOW, "127.0.0.1", NAME),
        (FRONTEND, NOW, "manager.pool.internal", "CERTIFICATE_VERIFY_FAILED"),
        (MANAGER, NOW - 2 * HOUR, "manager.pool.internal", "CERTIFICATE_VERIFY_FAILED"),
        (MANAGER, NOW + 2 * HOUR, "manager.pool.internal", "CERTIFICATE_VERIFY_FAILED"),
    ],
    ids=["name", "address", "usage", "expired", "early"],
)
def test_servers_that_a_client_refuses(
    authority: Authority, identity: Identity, issued: datetime, expected: str, why: str
) -> None:
    server = authority.bundle(identity, issued)
    with sync_server(server_credentials(lambda: server)) as port:
        answer, details = ask(port, authority.bundle(FRONTEND, NOW), expected)
    assert answer == ""
    assert re.search(why, details)


def test_a_server_of_another_ca_is_refused(authority: Authority, stranger: Authority) -> None:
    server = stranger.bundle(MANAGER, NOW)
    with sync_server(server_credentials(lambda: server)) as port:
        _, details = ask(port, authority.bundle(FRONTEND, NOW), name_of(MANAGER))
    assert "CERTIFICATE_VERIFY_FAILED" in details


def test_a_resumed_session_is_nobody(authority: Authority) -> None:
    manager, front = authority.bundle(MANAGER, NOW), authority.bundle(FRONTEND, NOW)
    cache = session_cache.ssl_session_cache_lru(1)
    with sync_server(server_credentials(lambda: manager)) as port:
        answers = [
            ask(port, front, name_of(MANAGER), ("grpc.ssl_session_cache", cache))[0]
            for _ in range(2)
        ]
    assert answers == [FRONTEND.uri, "UNAUTHENTICATED"]


def test_a_renewed_leaf_serves_new_handshakes_and_a_bad_file_none(
    authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    """Each of the two servers changes from the stranger's CA to ours, as its file does."""
    path = tmp_path / "a" / "identity.pem"
    ours, theirs = authority.bundle(FRONTEND, NOW), stranger.bundle(FRONTEND, NOW)
    told: list[IdentityError] = []

    def fresh() -> grpc.ServerCredentials:
        tls.save_bundle(path, stranger.bundle(MANAGER, NOW))
        return server_credentials(tls.LeafFile(path).current, told.append)

    async def script(ask: Callable[..., Awaitable[Answer]]) -> None:
        name = name_of(MANAGER)
        assert (await ask(theirs, name))[0] == FRONTEND.uri
        path.write_bytes(b"half a fi")
        assert (await ask(theirs, name))[0] == FRONTEND.uri
        assert (await ask(theirs, name))[0] == FRONTEND.uri
        assert [error.reason for error in told] == ["CERT_UNREADABLE"]
        tls.save_bundle(path, authority.bundle(MANAGER, NOW))
        assert (await ask(ours, name))[0] == FRONTEND.uri
        assert (await ask(theirs, name))[0] == ""
        told.clear()

    asyncio.run(on_aio_server(fresh(), script))
    with sync_server(fresh()) as port:
        asyncio.run(_run(script, port))


async def _run(script: Script, port: int) -> None:
    await script(lambda *args: asyncio.to_thread(ask, port, *args))


def test_a_server_does_not_start_without_an_identity(tmp_path: Path) -> None:
    file = tls.LeafFile(tmp_path / "none.pem")
    assert refusal(lambda: server_credentials(file.current)) == "CERT_MISSING"
