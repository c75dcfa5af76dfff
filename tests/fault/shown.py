"""Certificates that no pool would give, to be shown to its servers and to our own client."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from eais import tls
from eais.identity import Identity
from eais_pool.authority import Authority
from tests.system.stack import Stack

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
HOUR = datetime.timedelta(hours=1)


def now() -> datetime.datetime:
    """The wall clock."""
    return datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True)
class Wish:
    """What a leaf is to say. `names`: its subject alternative names; None: it has none.

    `begins` is relative to now; it lives an hour.
    """

    names: Sequence[x509.GeneralName] | None
    usages: Sequence[x509.ObjectIdentifier] | None = (CLIENT,)
    usage_critical: bool = True
    begins: datetime.timedelta = datetime.timedelta(0)


def uri(text: str) -> x509.GeneralName:
    """A URI among a leaf's names."""
    return x509.UniformResourceIdentifier(text)


def bundle_of(stack: Stack, wish: Wish, authority: Authority | None = None) -> tls.Bundle:
    """A key and a leaf as wished for, signed by the pool's CA or by `authority`.

    The bundle's own attributes say that it is the owner's, valid now: it was never judged.
    """
    key = tls.new_key()
    begins = now() + wish.begins
    signer = (authority or stack.authority)._cas.signer
    leaf = _unsigned(wish, begins).issuer_name(signer.certificate.subject)
    signed = leaf.public_key(key.public_key()).sign(signer.key, hashes.SHA256())
    return tls.Bundle(
        key_pem=tls.key_to_pem(key),
        leaf_pem=signed.public_bytes(serialization.Encoding.PEM),
        ca_pem=stack.authority.ca_pem,
        identity=Identity.frontend(stack.pool, "default", "owner"),
        not_before=begins,
        not_after=begins + HOUR,
        renew_after=begins + HOUR / 2,
    )


def _unsigned(wish: Wish, begins: datetime.datetime) -> x509.CertificateBuilder:
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + HOUR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if wish.names is not None:
        leaf = leaf.add_extension(x509.SubjectAlternativeName(wish.names), critical=True)
    if wish.usages is not None:
        leaf = leaf.add_extension(x509.ExtendedKeyUsage(wish.usages), critical=wish.usage_critical)
    return leaf
