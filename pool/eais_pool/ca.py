"""One CA: a key, the certificate that it signed of itself, and the leaves that it signs."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from eais import tls
from eais.errors import IdentityError
from eais.identity import Identity
from eais_pool.signing_request import PublicKey

CA_LIFE = timedelta(days=3652)

_TRUST_DOMAIN = "spiffe://"


@dataclass(frozen=True, slots=True)
class Ca:
    """A CA that can sign."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate

    @classmethod
    def create(cls, pool: str, now: datetime) -> Ca:
        """A new one of `pool`, for ten years."""
        key = tls.new_key()
        return cls(key, _self_signed(key, pool, now))

    @property
    def pem(self) -> bytes:
        """The certificate, PEM."""
        return pem_of(self.certificate)

    @property
    def ends(self) -> datetime:
        """When it ends, and with it what it signed."""
        return self.certificate.not_valid_after_utc

    def sign(self, identity: Identity, key: PublicKey, now: datetime, life: timedelta) -> bytes:
        """The leaf, PEM, of `identity` for `key`: `life` from `now` on, never past `ends`.

        Raises:
            IdentityError: CERT_EXPIRED when this CA has ended.
        """
        if now >= self.ends:
            raise IdentityError(
                "CERT_EXPIRED", f"the CA of pool {identity.pool} ended at {self.ends:%F}"
            )
        usages = [x509.ObjectIdentifier(usage) for usage in sorted(identity.usages)]
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        leaf = (
            _builder(key, now, min(now + life, self.ends))
            .subject_name(x509.Name([]))
            .issuer_name(self.certificate.subject)
            # Critical because the subject is empty (RFC 5280, 4.2.1.6).
            .add_extension(x509.SubjectAlternativeName(_names(identity)), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=True)
            .add_extension(authority_key, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return pem_of(leaf)


def pem_of(certificate: x509.Certificate) -> bytes:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def _names(identity: Identity) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.uri)]
    if identity.dns_name:
        names.append(x509.DNSName(identity.dns_name))
    return names


def _self_signed(key: ec.EllipticCurvePrivateKey, pool: str, now: datetime) -> x509.Certificate:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "EAIS pool"),
            x509.NameAttribute(NameOID.COMMON_NAME, pool),
            # Two CAs of one pool have different names: verifiers look issuers up by name.
            x509.NameAttribute(NameOID.SERIAL_NUMBER, secrets.token_hex(8)),
        ]
    )
    domain = x509.UniformResourceIdentifier(_TRUST_DOMAIN + pool)
    return (
        _builder(key.public_key(), now, now + CA_LIFE)
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.SubjectAlternativeName([domain]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _builder(key: PublicKey, now: datetime, end: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .public_key(key)
        .serial_number(secrets.randbits(128) or 1)
        .not_valid_before(now.replace(microsecond=0) - tls.CLOCK_SKEW)
        .not_valid_after(end.replace(microsecond=0))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
