"""The pool's certificate authority: who is who in a pool is what it signs.

Names come from an `Identity` that the caller has established (a grant, a token, the machine's
owner), never from the signing request. Time is an argument.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from eais import files, tls
from eais.errors import IdentityError
from eais.identity import Identity

LEAF_LIFE = timedelta(hours=1)
MAX_LEAF_LIFE = timedelta(hours=24)
CA_LIFE = timedelta(days=3652)

_FILE = "authority.pem"
_TRUST_DOMAIN = "spiffe://"
_MAX_CSR_BYTES = 16 * 1024
_CURVES = (ec.SECP256R1, ec.SECP384R1)
_RSA_BITS = range(2048, 8193)

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class Authority:
    """A pool's CA key and certificate, in one file that only its owner may read."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate
        self.pool = _pool_of(certificate)

    @classmethod
    def create(cls, directory: Path, pool: str, now: datetime) -> Authority:
        """Make the CA of a new pool in `directory`, durably; the only writer is one process.

        Raises:
            FileExistsError: there is one already; it is untouched.
            ValueError: `pool` can't be a pool's name.
            OSError: none was made.
        """
        Identity.manager(pool)  # the name is judged before anything is written
        files.private_dir(directory)
        files.remove_leftovers(directory)
        key = tls.new_key()
        authority = cls(key, _self_signed(key, pool, now))
        files.create_file(directory / _FILE, tls.key_to_pem(key) + authority.ca_pem)
        return authority

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """The CA that `create` made in `directory`.

        Raises:
            IdentityError: CERT_MISSING, CERT_UNREADABLE, CERT_KEY_MISMATCH or KEY_MODE.
        """
        path = directory / _FILE
        source = str(path)
        key_pem, *rest = tls.split_pem(tls.read_key_file(path), source)
        key = tls.key_from_pem(key_pem, source)
        certificate = tls.load_certificates(b"".join(rest), source)[0]
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise IdentityError("CERT_UNREADABLE", f"{source}: not a key that a pool's CA has")
        if certificate.public_key() != key.public_key():
            raise IdentityError("CERT_KEY_MISMATCH", f"{source}: the key isn't the CA's")
        return cls(key, certificate)

    @classmethod
    def open(cls, directory: Path, pool: str, now: datetime) -> Authority:
        """The CA in `directory`, made if there is none yet.

        Raises:
            IdentityError: as `load`; CERT_UNTRUSTED when it is the CA of another pool.
            FileExistsError, ValueError, OSError: as `create`.
        """
        there = (directory / _FILE).exists()
        authority = cls.load(directory) if there else cls.create(directory, pool, now)
        if authority.pool != pool:
            raise IdentityError(
                "CERT_UNTRUSTED", f"the CA there is that of pool {authority.pool}, not of {pool}"
            )
        return authority

    @property
    def ca_pem(self) -> bytes:
        """The CA's certificate, PEM: what everyone in the pool trusts."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self, identity: Identity, request: PublicKey | bytes, now: datetime, life: timedelta
    ) -> bytes:
        """The leaf, PEM, of `identity` for a public key or a signing request (PEM).

        It is valid from `tls.CLOCK_SKEW` before `now` until `life` after it, or until the CA
        ends; whole seconds.

        Raises:
            IdentityError: CSR_REFUSED when the request's signature, key or wishes won't do;
                CERT_EXPIRED when the CA has ended.
            ValueError: the identity is another pool's, or `life` isn't within (0, 24 h].
        """
        if identity.pool != self.pool:
            raise ValueError(f"{identity.uri} isn't of pool {self.pool}")
        if not timedelta(0) < life <= MAX_LEAF_LIFE:
            raise ValueError(f"a leaf's life is more than 0 and at most {MAX_LEAF_LIFE}")
        end = self._certificate.not_valid_after_utc
        if now >= end:
            raise IdentityError("CERT_EXPIRED", f"the CA of pool {self.pool} ended at {end:%F}")
        key = _requested_key(request) if isinstance(request, bytes) else _accepted_key(request)
        return self._sign(identity, key, now, min(now + life, end))

    def bundle(self, identity: Identity, now: datetime, life: timedelta = LEAF_LIFE) -> tls.Bundle:
        """A new key with its leaf, for an identity that lives on this machine.

        Raises:
            IdentityError, ValueError: as `issue`.
        """
        key = tls.new_key()
        leaf_pem = self.issue(identity, key.public_key(), now, life)
        return tls.make_bundle(tls.key_to_pem(key), leaf_pem, self.ca_pem)

    def _sign(self, identity: Identity, key: PublicKey, now: datetime, end: datetime) -> bytes:
        usages = [x509.ObjectIdentifier(usage) for usage in sorted(identity.usages)]
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        leaf = (
            _builder(key, now, end)
            .subject_name(x509.Name([]))
            .issuer_name(self._certificate.subject)
            # Critical because the subject is empty (RFC 5280, 4.2.1.6).
            .add_extension(x509.SubjectAlternativeName(_names(identity)), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=True)
            .add_extension(authority_key, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return leaf.public_bytes(serialization.Encoding.PEM)


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


def _pool_of(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        return Identity.manager(uri.removeprefix(_TRUST_DOMAIN)).pool
    except (x509.ExtensionNotFound, ValueError) as error:
        raise IdentityError("CERT_IDENTITY", "the CA's certificate names no pool") from error


def _requested_key(csr_pem: bytes) -> PublicKey:
    """The key of a signing request that asks for nothing but a signature on it."""
    if len(csr_pem) > _MAX_CSR_BYTES:
        raise _refused(f"more than {_MAX_CSR_BYTES} bytes")
    try:
        csr = x509.load_pem_x509_csr(csr_pem)
        wishes = list(csr.extensions)
        key = _accepted_key(csr.public_key())
        signed = csr.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature, x509.DuplicateExtension) as error:
        raise _refused("it can't be read") from error
    if not signed:
        raise _refused("its signature isn't of its key")
    _refuse_wishes(wishes)
    return key


def _refuse_wishes(wishes: list[x509.Extension[x509.ExtensionType]]) -> None:
    for wish in wishes:
        if isinstance(wish.value, x509.SubjectAlternativeName):
            raise _refused("it asks for names: the pool gives them")
        if isinstance(wish.value, x509.BasicConstraints) and wish.value.ca:
            raise _refused("it asks to be an authority")


def _accepted_key(key: object) -> PublicKey:
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS:
        return key
    raise _refused("its key is none of ECDSA P-256 and P-384, and RSA of 2048 bits and more")


def _refused(why: str) -> IdentityError:
    return IdentityError("CSR_REFUSED", f"the signing request is refused: {why}")
