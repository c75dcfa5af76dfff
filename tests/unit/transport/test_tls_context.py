"""TLS contexts of the data plane: whole handshakes in memory, good and bad."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from eais import tls
from eais.errors import IdentityError
from eais.identity import Identity
from eais.transport.tls_context import client_context, server_context, verified_leaf
from eais_pool.authority import Authority

NOW = datetime.now(UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
FRONTEND = Identity.frontend("pool", "acme", "box-1")
WORKER = Identity.worker("pool", "ei-1", 0)
NAME = "0.ei-1.pool.internal"
Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("pool") / "ca", "pool", NOW - DAY)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another CA that gives itself the same pool's name."""
    return Authority.create(tmp_path_factory.mktemp("other") / "ca", "pool", NOW - DAY)


class Ends:
    """A connection in memory between two contexts."""

    def __init__(
        self,
        server: ssl.SSLContext,
        client: ssl.SSLContext,
        name: str | None = NAME,
        session: ssl.SSLSession | None = None,
    ) -> None:
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(up, down, server_side=True)
        self.client = client.wrap_bio(down, up, server_hostname=name, session=session)

    def shake(self) -> None:
        """Finish both ends' handshakes, or raise what either raises."""
        waiting: list[ssl.SSLObject] = [self.client, self.server]
        for _ in range(10):
            for end in list(waiting):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                waiting.remove(end)
        assert not waiting


def ends(authority: Authority) -> Contexts:
    return (
        server_context(authority.bundle(WORKER, NOW)),
        client_context(authority.bundle(FRONTEND, NOW)),
    )


def test_both_ends_know_each_other_and_speak_http2(authority: Authority) -> None:
    worker, front = authority.bundle(WORKER, NOW), authority.bundle(FRONTEND, NOW)
    pair = Ends(server_context(worker), client_context(front))
    pair.shake()
    for end, peer in ((pair.server, front), (pair.client, worker)):
        assert ssl.DER_cert_to_PEM_cert(verified_leaf(end)).encode() == peer.leaf_pem
        assert end.selected_alpn_protocol() == "h2"
        assert end.version() == "TLSv1.3"


def test_no_descriptor_and_no_file_is_left(authority: Authority) -> None:
    bundle = authority.bundle(WORKER, NOW)
    before = sorted(os.listdir("/proc/self/fd"))
    server_context(bundle)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_two_cas_are_trusted_while_a_pool_changes_its_own(
    authority: Authority, stranger: Authority
) -> None:
    worker, front = stranger.bundle(WORKER, NOW), authority.bundle(FRONTEND, NOW)
    both = authority.ca_pem + stranger.ca_pem
    worker = tls.make_bundle(worker.key_pem, worker.leaf_pem, both)
    front = tls.make_bundle(front.key_pem, front.leaf_pem, both)
    Ends(server_context(worker), client_context(front)).shake()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_there_to_be_resumed(authority: Authority, version: ssl.TLSVersion) -> None:
    server, client = ends(authority)
    client.maximum_version = version
    client.options &= ~ssl.OP_NO_TICKET
    first = Ends(server, client)
    first.shake()
    first.server.write(b"x")
    assert first.client.read(1) == b"x"
    again = Ends(server, client, session=first.client.session)
    again.shake()
    if again.server.session_reused:
        with pytest.raises(IdentityError, match="UNAUTHENTICATED"):
            verified_leaf(again.server)
    else:
        assert not again.client.session_reused


def test_older_versions_are_not_spoken(authority: Authority) -> None:
    server, client = ends(authority)
    client.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        Ends(server, client).shake()


def test_a_client_without_a_leaf_is_refused(authority: Authority) -> None:
    server, _ = ends(authority)
    bare = ssl.create_default_context(cadata=authority.ca_pem.decode())
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        Ends(server, bare).shake()


BUNDLES: dict[str, Callable[[Authority, Identity, Identity], tls.Bundle]] = {
    "usage": lambda ca, _, other: ca.bundle(other, NOW),
    "expired": lambda ca, right, _: ca.bundle(right, NOW - 2 * HOUR),
    "early": lambda ca, right, _: ca.bundle(right, NOW + 2 * HOUR),
}


@pytest.mark.parametrize("why", BUNDLES)
def test_leaves_that_either_end_refuses(authority: Authority, why: str) -> None:
    server, client = ends(authority)
    bad_client = client_context(BUNDLES[why](authority, FRONTEND, WORKER))
    bad_server = server_context(BUNDLES[why](authority, WORKER, FRONTEND))
    for pair in (Ends(server, bad_client), Ends(bad_server, client)):
        with pytest.raises(ssl.SSLCertVerificationError):
            pair.shake()


def test_a_stranger_is_refused_by_either_end(authority: Authority, stranger: Authority) -> None:
    server, client = ends(authority)
    foreign = stranger.bundle(FRONTEND, NOW)
    both = authority.ca_pem + stranger.ca_pem
    trusting = client_context(tls.make_bundle(foreign.key_pem, foreign.leaf_pem, both))
    foreign = stranger.bundle(WORKER, NOW)
    trusting_server = server_context(tls.make_bundle(foreign.key_pem, foreign.leaf_pem, both))
    for pair in (Ends(server, trusting), Ends(trusting_server, client)):
        with pytest.raises(ssl.SSLCertVerificationError):
            pair.shake()


@pytest.mark.parametrize("name", ["1.ei-1.pool.internal", "127.0.0.1", "ei-1.pool.internal"])
def test_a_server_of_another_name_is_refused(authority: Authority, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"mismatch|not valid for"):
        Ends(*ends(authority), name=name).shake()


def test_a_bundle_that_openssl_can_not_use(authority: Authority) -> None:
    good = authority.bundle(WORKER, NOW)
    broken = tls.Bundle(
        good.key_pem,
        good.leaf_pem[:-40],
        good.ca_pem,
        good.identity,
        good.not_before,
        good.not_after,
        good.renew_after,
    )
    with pytest.raises(IdentityError, match="CERT_UNREADABLE"):
        server_context(broken)
