from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from eais import tls
from eais.errors import IdentityError
from eais.identity import Identity, identity_of_leaf
from eais_pool.authority import Authority
from eais_pool.brain.ca_roll import MAX_LEAF_LIFE
from eais_pool.ca import CA_LIFE

NOW = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
IDENTITIES = [
    Identity.frontend("pool", "acme", "box-1"),
    Identity.listener("pool", "gpu1"),
    Identity.worker("pool", "ei-7f3a", 2),
    Identity.operator("pool", "owner"),
    Identity.manager("pool"),
]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ca", "pool", NOW)


def issued(authority: Authority, identity: Identity) -> x509.Certificate:
    key = tls.new_key().public_key()
    return x509.load_pem_x509_certificate(authority.issue(identity, key, NOW, HOUR))


def reason_of(error: pytest.ExceptionInfo[IdentityError]) -> str:
    return error.value.reason


# What a leaf is


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.role)
def test_a_leaf_carries_its_identity_and_no_more(authority: Authority, identity: Identity) -> None:
    leaf = issued(authority, identity)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    basic = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    key_usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    dns = [x509.DNSName(identity.dns_name)] if identity.dns_name else []
    assert list(names.value) == [x509.UniformResourceIdentifier(identity.uri), *dns]
    assert len(leaf.subject) == 0
    assert names.critical
    assert {oid.dotted_string for oid in usage.value} == identity.usages
    assert usage.critical
    assert basic.critical
    assert not basic.value.ca
    assert key_usage.value.digital_signature
    assert not key_usage.value.key_cert_sign
    assert identity_of_leaf(leaf) == identity


def test_a_leaf_is_valid_from_a_clocks_skew_ago_for_its_life(authority: Authority) -> None:
    leaf = issued(authority, IDENTITIES[0])
    whole = NOW.replace(microsecond=0)
    assert leaf.not_valid_before_utc == whole - timedelta(minutes=5)
    assert leaf.not_valid_after_utc == whole + HOUR


def test_serials_are_random_and_long(authority: Authority) -> None:
    serials = {issued(authority, IDENTITIES[0]).serial_number for _ in range(16)}
    assert len(serials) == 16
    assert max(serials).bit_length() in range(112, 129)


def test_a_leaf_never_outlives_the_ca(authority: Authority) -> None:
    almost = NOW + CA_LIFE - timedelta(minutes=1)
    bundle = authority.bundle(IDENTITIES[0], almost)
    ca = x509.load_pem_x509_certificate(authority.ca_pem)
    assert bundle.not_after == ca.not_valid_after_utc
    with pytest.raises(IdentityError, match="CA of pool") as error:
        authority.bundle(IDENTITIES[0], NOW + CA_LIFE)
    assert reason_of(error) == "CERT_EXPIRED"


@pytest.mark.parametrize("life", [timedelta(0), -HOUR, MAX_LEAF_LIFE + timedelta(seconds=1)])
def test_a_leafs_life_is_bounded(authority: Authority, life: timedelta) -> None:
    with pytest.raises(ValueError, match="life"):
        authority.bundle(IDENTITIES[0], NOW, life)


def test_only_identities_of_the_pool_are_signed(authority: Authority) -> None:
    with pytest.raises(ValueError, match="isn't of pool"):
        authority.bundle(Identity.manager("other"), NOW)


def test_a_bundle_is_for_its_identity_and_of_this_ca(authority: Authority) -> None:
    bundle = authority.bundle(IDENTITIES[1], NOW)
    assert bundle.identity == IDENTITIES[1]
    assert bundle.ca_pem == authority.ca_pem
    assert tls.parse_bundle(bundle.pem) == bundle


# The CA itself


def test_the_ca_may_sign_leaves_and_nothing_more(authority: Authority) -> None:
    ca = x509.load_pem_x509_certificate(authority.ca_pem)
    basic = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = ca.extensions.get_extension_for_class(x509.KeyUsage)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    assert ca.not_valid_after_utc - ca.not_valid_before_utc >= CA_LIFE


def test_the_ca_is_private_and_comes_back(authority: Authority, tmp_path: Path) -> None:
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700
    (file,) = (tmp_path / "ca").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    again = Authority.load(tmp_path / "ca")
    assert (again.pool, again.ca_pem) == ("pool", authority.ca_pem)
    leaf = again.bundle(IDENTITIES[0], NOW)
    assert tls.make_bundle(leaf.key_pem, leaf.leaf_pem, authority.ca_pem) == leaf


def test_a_ca_is_never_overwritten(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        Authority.create(tmp_path / "ca", "pool", NOW)
    assert Authority.load(tmp_path / "ca").ca_pem == authority.ca_pem


def test_open_makes_the_ca_once(tmp_path: Path) -> None:
    first = Authority.open(tmp_path / "ca", "pool", NOW)
    again = Authority.open(tmp_path / "ca", "pool", NOW + HOUR)
    assert first.ca_pem == again.ca_pem
    with pytest.raises(IdentityError, match="of pool pool, not of other") as error:
        Authority.open(tmp_path / "ca", "other", NOW)
    assert reason_of(error) == "CERT_UNTRUSTED"


def test_a_creation_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    directory = tmp_path / "ca"
    directory.mkdir(0o700)
    (directory / ".authority.pem.0123456789abcdef.part").write_bytes(b"-----BEGIN PRIV")
    authority = Authority.open(directory, "pool", NOW)
    assert [entry.name for entry in directory.iterdir()] == ["authority.pem"]
    assert Authority.load(directory).ca_pem == authority.ca_pem


def test_a_pools_name_is_judged_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pool"):
        Authority.create(tmp_path / "ca", "../x", NOW)
    assert not (tmp_path / "ca").exists()


def test_a_ca_that_will_not_do(authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "ca" / "authority.pem"
    whole = file.read_bytes()
    other = Authority.create(tmp_path / "other", "pool", NOW)
    leaf = authority.bundle(IDENTITIES[0], NOW)
    key = tls.key_to_pem(tls.key_from_pem(whole))
    state = whole[whole.index(b"-----BEGIN EAIS") :]
    for data, reason in [
        (b"", "CERT_UNREADABLE"),
        (whole[:-40], "CERT_UNREADABLE"),
        (whole.removesuffix(state), "CERT_UNREADABLE"),
        (key + state, "CERT_MISSING"),
        (key + other.ca_pem + state, "CERT_KEY_MISMATCH"),
        (leaf.key_pem + leaf.leaf_pem + state, "CERT_IDENTITY"),
    ]:
        file.write_bytes(data)
        with pytest.raises(IdentityError) as error:
            Authority.load(tmp_path / "ca")
        assert reason_of(error) == reason
        assert "back-up" in error.value.hint
    file.chmod(0o644)
    with pytest.raises(IdentityError, match="chmod 600") as error:
        Authority.load(tmp_path / "ca")
    assert reason_of(error) == "KEY_MODE"
    with pytest.raises(IdentityError) as error:
        Authority.load(tmp_path / "none")
    assert reason_of(error) == "CERT_MISSING"


# Signing requests


def csr(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
    *wishes: x509.ExtensionType,
) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    for wish in wishes:
        builder = builder.add_extension(wish, critical=False)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["p256", "p384", "rsa2048"],
)
def test_a_request_gets_a_leaf_for_its_key(
    authority: Authority, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
) -> None:
    leaf = authority.issue(IDENTITIES[0], csr(key), NOW, HOUR)
    bundle = tls.make_bundle(tls.key_to_pem(key), leaf, authority.ca_pem)
    assert bundle.identity == IDENTITIES[0]


def test_our_own_request_is_accepted(authority: Authority) -> None:
    key = tls.new_key()
    leaf = authority.issue(IDENTITIES[2], tls.make_csr(key), NOW, HOUR)
    assert tls.make_bundle(tls.key_to_pem(key), leaf, authority.ca_pem).identity == IDENTITIES[2]


def with_broken_signature() -> bytes:
    """A request for one key, signed by nobody: its signature's last byte is changed."""
    der = bytearray(x509.load_pem_x509_csr(tls.make_csr(tls.new_key())).public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)


P256 = tls.new_key()


@pytest.mark.parametrize(
    ("request_pem", "why"),
    [
        (b"", "read"),
        (b"\0" * 100, "read"),
        (b"x" * 20_000, "16384 bytes"),
        (tls.make_csr(P256)[:-60], "read"),
        (with_broken_signature(), "signature"),
        (csr(rsa.generate_private_key(65537, 1024)), "its key"),  # noqa: S505  what is refused
        (csr(ec.generate_private_key(ec.SECP521R1())), "its key"),
        (csr(ec.generate_private_key(ec.SECP256K1())), "its key"),
        (csr(ed25519.Ed25519PrivateKey.generate()), "its key"),
        (csr(P256, x509.BasicConstraints(ca=True, path_length=None)), "authority"),
        (csr(P256, x509.SubjectAlternativeName([x509.DNSName("*.pool.internal")])), "names"),
        (
            csr(
                P256,
                x509.SubjectAlternativeName(
                    [x509.UniformResourceIdentifier("spiffe://pool/tenant/other/frontend/x")]
                ),
            ),
            "names",
        ),
    ],
    ids=[
        "empty",
        "zeros",
        "huge",
        "cut",
        "signature",
        "rsa1024",
        "p521",
        "k256",
        "ed25519",
        "ca",
        "wildcard",
        "tenant",
    ],
)
def test_a_request_that_is_refused(authority: Authority, request_pem: bytes, why: str) -> None:
    with pytest.raises(IdentityError, match=why) as error:
        authority.issue(IDENTITIES[0], request_pem, NOW, HOUR)
    assert reason_of(error) == "CSR_REFUSED"


# Other people's TLS


def pump(client: ssl.SSLObject, server: ssl.SSLObject) -> None:
    """Both ends' handshakes, to the end, in memory."""
    pending = [client, server]
    for _ in range(8):
        for end in list(pending):
            try:
                end.do_handshake()
                pending.remove(end)
            except ssl.SSLWantReadError:
                continue


def context_of(bundle: tls.Bundle, tmp_path: Path, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=bundle.ca_pem.decode())
    tls.save_bundle(tmp_path / "x" / "identity.pem", bundle)
    context.load_cert_chain(tmp_path / "x" / "identity.pem")
    return context


def test_openssl_in_its_strictest_mode_accepts_the_leaves(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = Authority.create(tmp_path / "ca", "pool", now)
    front, worker = (authority.bundle(identity, now) for identity in (IDENTITIES[0], IDENTITIES[2]))
    wires = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context_of(front, tmp_path, ssl.PROTOCOL_TLS_CLIENT).wrap_bio(
        wires[0], wires[1], server_hostname=worker.identity.dns_name
    )
    server = context_of(worker, tmp_path, ssl.PROTOCOL_TLS_SERVER).wrap_bio(
        wires[1], wires[0], server_side=True
    )
    pump(client, server)
    peer = server.getpeercert()
    assert peer is not None
    assert peer["subjectAltName"] == (("URI", front.identity.uri),)
