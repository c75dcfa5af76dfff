from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from eais import tls
from eais.errors import REASONS, IdentityError
from eais.identity import Identity, Role, Usage, identity_of_leaf, peer_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)

ROWS = [
    (
        Identity.frontend("pool", "acme", "box-1"),
        "spiffe://pool/tenant/acme/frontend/box-1",
        None,
        {Usage.CLIENT},
    ),
    (Identity.operator("pool", "owner"), "spiffe://pool/operator/owner", None, {Usage.CLIENT}),
    (
        Identity.worker("pool", "ei-7f3a", 2),
        "spiffe://pool/worker/ei-7f3a/2",
        "2.ei-7f3a.pool.internal",
        {Usage.SERVER},
    ),
    (
        Identity.listener("pool", "gpu1.rack2"),
        "spiffe://pool/listener/gpu1.rack2",
        "gpu1.rack2.listener.pool.internal",
        {Usage.SERVER, Usage.CLIENT},
    ),
    (
        Identity.manager("pool"),
        "spiffe://pool/manager",
        "manager.pool.internal",
        {Usage.SERVER, Usage.CLIENT},
    ),
    (
        Identity.frontend("pool", "acme", "box-1").enrolment,
        "spiffe://pool/enrolment/tenant/acme/frontend/box-1",
        None,
        {Usage.CLIENT},
    ),
    (
        Identity.listener("pool", "gpu1.rack2").enrolment,
        "spiffe://pool/enrolment/listener/gpu1.rack2",
        None,
        {Usage.CLIENT},
    ),
    (
        Identity.operator("pool", "owner").enrolment,
        "spiffe://pool/enrolment/operator/owner",
        None,
        {Usage.CLIENT},
    ),
]


@pytest.mark.parametrize(("identity", "uri", "dns", "usages"), ROWS)
def test_each_role_has_its_names_and_usages(
    identity: Identity, uri: str, dns: str | None, usages: set[Usage]
) -> None:
    assert identity.uri == uri
    assert identity.dns_name == dns
    assert identity.usages == usages
    assert Identity.parse(uri) == identity


def test_the_table_covers_every_role() -> None:
    assert {row[0].role for row in ROWS} == set(Role)


BAD = [
    "",
    "spiffe://",
    "spiffe://pool",
    "spiffe://pool/",
    "spiffe:///manager",
    "SPIFFE://pool/manager",
    "https://pool/manager",
    "spiffe://pool/manager/",
    "spiffe://pool/manager/x",
    "spiffe://pool//manager",
    "spiffe://pool/Manager",
    "spiffe://Pool/manager",
    "spiffe://pool/manager\n",
    "spiffe://pool/manager?x",
    "spiffe://pool/manager#x",
    "spiffe://user@pool/manager",
    "spiffe://pool:1/manager",
    "spiffe://pool/frontend/x",
    "spiffe://pool/tenant/t/frontend",
    "spiffe://pool/tenant/t/frontend/",
    "spiffe://pool/tenant//frontend/x",
    "spiffe://pool/tenant/t/frontend/x/y",
    "spiffe://pool/tenant/t/operator/x",
    "spiffe://pool/tenant/../frontend/x",
    "spiffe://pool/tenant/t/frontend/..",
    "spiffe://pool/tenant/t/frontend/x%2fy",
    "spiffe://pool/tenant/t/frontend/é",
    "spiffe://pool/tenant/t/frontend/-rf",
    "spiffe://pool/tenant/t/frontend/x\0",
    "spiffe://pool/listener",
    "spiffe://pool/listener/",
    "spiffe://pool/worker/ei-1",
    "spiffe://pool/worker/x/1",
    "spiffe://pool/worker/ei-1.listener/1",
    "spiffe://pool/worker/ei-1/-1",
    "spiffe://pool/worker/ei-1/01",
    "spiffe://pool/worker/ei-1/x",
    "spiffe://pool/worker/ei-1/1\n",
    "spiffe://pool/operator/" + "x" * 65,
    "spiffe://" + "x" * 65 + "/manager",
    "spiffe://pool/manager" + "/" * 1_000_000,
]


@pytest.mark.parametrize("uri", BAD, ids=lambda uri: repr(uri[:40]))
def test_what_is_not_exactly_a_name_is_refused_in_few_words(uri: str) -> None:
    with pytest.raises(ValueError, match=r"^.{10,300}$"):
        Identity.parse(uri)


def test_the_message_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"tenant 'A'.*a-z"):
        Identity.frontend("pool", "A", "x")
    with pytest.raises(ValueError, match="a worker has no tenant"):
        Identity("pool", Role.WORKER, "t", "ei-1/1")
    with pytest.raises(ValueError, match="a frontend has a tenant"):
        Identity("pool", Role.FRONTEND, None, "x")
    with pytest.raises(ValueError, match="manager has no name"):
        Identity("pool", Role.MANAGER, None, "x")


names = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,63}", fullmatch=True)
instances = st.from_regex(r"ei-[a-z0-9]{1,12}", fullmatch=True)
identities = st.one_of(
    st.builds(Identity.frontend, names, names, names),
    st.builds(Identity.listener, names, names),
    st.builds(Identity.worker, names, instances, st.integers(0, 999_999_999)),
    st.builds(Identity.operator, names, names),
    st.builds(Identity.manager, names),
)


@given(identities)
def test_every_identity_is_its_uri(identity: Identity) -> None:
    assert Identity.parse(identity.uri) == identity


@given(identities, identities)
def test_two_identities_of_a_pool_never_share_a_dns_name(one: Identity, other: Identity) -> None:
    moved = Identity(one.pool, other.role, other.tenant, other.name)
    if one.dns_name is not None and one != moved:
        assert one.dns_name != moved.dns_name


@given(st.text(max_size=80))
def test_text_is_an_identity_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert Identity.parse("spiffe://" + text).uri == "spiffe://" + text


def leaf(
    uris: list[str],
    usages: list[str] | None,
    *,
    critical: bool = True,
    dns: str | None = None,
) -> x509.Certificate:
    """A certificate with just these names and usages, signed by its own key."""
    key = tls.new_key()
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    if dns:
        names.append(x509.DNSName(dns))
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(hours=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    if usages is not None:
        oids = [x509.ObjectIdentifier(usage) for usage in usages]
        builder = builder.add_extension(x509.ExtendedKeyUsage(oids), critical=critical)
    return builder.sign(key, hashes.SHA256())


FRONTEND = "spiffe://pool/tenant/acme/frontend/box-1"
CLIENT = "1.3.6.1.5.5.7.3.2"
SERVER = "1.3.6.1.5.5.7.3.1"
ANY = "2.5.29.37.0"


def test_a_leaf_says_who_it_is() -> None:
    assert identity_of_leaf(leaf([FRONTEND], [CLIENT])) == Identity.parse(FRONTEND)


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        (leaf([], [CLIENT]), "CERT_IDENTITY"),
        (leaf([], [CLIENT], dns="manager.pool.internal"), "CERT_IDENTITY"),
        (leaf([FRONTEND, FRONTEND], [CLIENT]), "CERT_IDENTITY"),
        (leaf([FRONTEND, "https://x"], [CLIENT]), "CERT_IDENTITY"),
        (leaf(["https://pool/manager"], [CLIENT]), "CERT_IDENTITY"),
        (leaf([FRONTEND], None), "CERT_USAGE"),
        (leaf([FRONTEND], [CLIENT], critical=False), "CERT_USAGE"),
        (leaf([FRONTEND], [SERVER]), "CERT_USAGE"),
        (leaf([FRONTEND], [SERVER, CLIENT]), "CERT_USAGE"),
        (leaf([FRONTEND], [CLIENT, ANY]), "CERT_USAGE"),
        (leaf(["spiffe://pool/worker/ei-1/0"], [SERVER, CLIENT]), "CERT_USAGE"),
        (leaf(["spiffe://pool/manager"], [SERVER]), "CERT_USAGE"),
    ],
)
def test_a_leaf_that_will_not_do(certificate: x509.Certificate, reason: str) -> None:
    with pytest.raises(IdentityError) as caught:
        identity_of_leaf(certificate)
    assert caught.value.reason == reason
    assert reason in REASONS


def context(pem: bytes | None = None, **more: bytes) -> dict[str, list[bytes]]:
    """What gRPC tells of a connection."""
    told = {"transport_security_type": b"ssl", "ssl_session_reused": b"false", **more}
    if pem is not None:
        told["x509_pem_cert"] = pem
    return {key: [value] for key, value in told.items()}


GOOD_PEM = leaf([FRONTEND], [CLIENT]).public_bytes(Encoding.PEM)


def test_a_peer_is_who_its_certificate_says_and_no_field() -> None:
    told = context(GOOD_PEM, peer_spiffe_id=b"spiffe://pool/manager", x509_common_name=b"manager")
    assert peer_of(told, "pool").identity == Identity.parse(FRONTEND)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({}, "UNAUTHENTICATED"),
        ({"transport_security_type": [b"insecure"]}, "UNAUTHENTICATED"),
        (context(GOOD_PEM, transport_security_type=b"local"), "UNAUTHENTICATED"),
        (context(GOOD_PEM, ssl_session_reused=b"true"), "UNAUTHENTICATED"),
        (context(), "CERT_MISSING"),
        (context(b"garbage"), "CERT_UNREADABLE"),
        (context(leaf([], [CLIENT]).public_bytes(Encoding.PEM)), "CERT_IDENTITY"),
        (context(leaf([FRONTEND], None).public_bytes(Encoding.PEM)), "CERT_USAGE"),
        (
            context(leaf(["spiffe://other/manager"], [SERVER, CLIENT]).public_bytes(Encoding.PEM)),
            "CERT_IDENTITY",
        ),
    ],
)
def test_a_peer_that_will_not_do(told: dict[str, list[bytes]], reason: str) -> None:
    with pytest.raises(IdentityError) as caught:
        peer_of(told, "pool")
    assert caught.value.reason == reason
