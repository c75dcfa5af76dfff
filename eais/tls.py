"""One identity's key and leaf, on disk.

A `Bundle` is a private key, its leaf and the pool's CA certificates: all that one end of a
connection needs. On disk it is one file, so that no crash can part a key from its leaf.

The far end can't say why it refused a leaf (the client sees "Socket closed"), so everything that
can be judged here is: `load_bundle` when the file is read, `check_validity` before a connection.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from eais import files
from eais.errors import IdentityError
from eais.identity import Identity, identity_of_leaf

_log = logging.getLogger(__name__)

CLOCK_SKEW = timedelta(minutes=5)
"""How far two clocks of a pool may differ: leaves begin this much before they are issued."""

_RENEW_FROM, _RENEW_SPREAD = 0.50, 0.16
_PEM_BLOCK = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n[A-Za-z0-9+/=\r\n]+-----END \1-----\r?\n?"
)
_RENEW_HINT = "get a new one from the pool"


UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises of bytes that are no certificate or key, some of it when asked late."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A key, its leaf, and the CA certificates it trusts, which have been found to fit.

    Attributes:
        key_pem: the private key, PKCS #8, unencrypted; never in `repr`.
        leaf_pem: one certificate.
        ca_pem: one or more certificates (two while the pool changes its CA).
        identity: whose it is, as the leaf says.
        not_before, not_after: the leaf's validity, UTC.
        renew_after: when to renew, between 50 and 66 % of the leaf's life: other for each
            leaf, the same at each reading of it.
    """

    key_pem: bytes = field(repr=False)
    leaf_pem: bytes = field(repr=False)
    ca_pem: bytes = field(repr=False)
    identity: Identity
    not_before: datetime
    not_after: datetime
    renew_after: datetime

    @property
    def pem(self) -> bytes:
        """What `parse_bundle` reads: key, leaf, CA."""
        return self.key_pem + self.leaf_pem + self.ca_pem


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh ECDSA P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: PrivateKeyTypes) -> bytes:
    """`key` as unencrypted PKCS #8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def key_from_pem(pem: bytes, source: str = "the key") -> PrivateKeyTypes:
    """The private key in `pem`.

    Raises:
        IdentityError: CERT_UNREADABLE.
    """
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except UNREADABLE as error:
        raise IdentityError(
            "CERT_UNREADABLE", f"{source}: the private key can't be read"
        ) from error


def make_csr(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A signing request in PEM that proves possession of `key` and asks for no name at all."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def make_bundle(
    key_pem: bytes, leaf_pem: bytes, ca_pem: bytes, source: str = "the identity"
) -> Bundle:
    """The bundle of parts that fit each other; `source` begins the message when they don't.

    Raises:
        IdentityError: CERT_UNREADABLE, CERT_MISSING (no leaf or no CA), CERT_KEY_MISMATCH,
            CERT_UNTRUSTED (the leaf is of none of these CAs), CERT_IDENTITY, CERT_USAGE.
    """
    key = key_from_pem(key_pem, source)
    leaf, *more = load_certificates(leaf_pem, source)
    authorities = load_certificates(ca_pem, source)
    if more:
        raise IdentityError("CERT_UNREADABLE", f"{source}: more than one leaf")
    if leaf.public_key() != key.public_key():
        raise IdentityError(
            "CERT_KEY_MISMATCH", f"{source}: the key isn't the certificate's", hint=_RENEW_HINT
        )
    if not any(_issued(authority, leaf) for authority in authorities):
        raise IdentityError(
            "CERT_UNTRUSTED", f"{source}: the certificate isn't of this pool's CA", hint=_RENEW_HINT
        )
    check_self_signed(authorities, source)
    return _bundle(key_pem, leaf_pem, ca_pem, leaf)


def check_self_signed(authorities: Iterable[x509.Certificate], source: str) -> None:
    """Whether CA certificates are whole: nobody who trusts one looks at its signature again.

    Raises:
        IdentityError: CERT_UNREADABLE.
    """
    if not all(_issued(authority, authority) for authority in authorities):
        raise IdentityError(
            "CERT_UNREADABLE", f"{source}: a CA's certificate is damaged", hint=_RENEW_HINT
        )


def _bundle(key_pem: bytes, leaf_pem: bytes, ca_pem: bytes, leaf: x509.Certificate) -> Bundle:
    return Bundle(
        key_pem=key_pem,
        leaf_pem=leaf_pem,
        ca_pem=ca_pem,
        identity=identity_of_leaf(leaf),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        renew_after=_renew_after(leaf),
    )


def _renew_after(leaf: x509.Certificate) -> datetime:
    issued = leaf.not_valid_before_utc + CLOCK_SKEW
    # The serial is random, so that a host's leaves don't all renew at once.
    spread = _RENEW_SPREAD * (leaf.serial_number % 4096) / 4096
    return issued + (leaf.not_valid_after_utc - issued) * (_RENEW_FROM + spread)


def is_issued_by(leaf_pem: bytes, ca_pem: bytes) -> bool:
    """Whether the first certificate in `leaf_pem` was signed by one of those in `ca_pem`.

    Raises:
        IdentityError: CERT_MISSING, CERT_UNREADABLE.
    """
    leaf = load_certificates(leaf_pem)[0]
    return any(_issued(authority, leaf) for authority in load_certificates(ca_pem))


def issuer_pem(bundle: Bundle) -> bytes:
    """The certificate, PEM, of the one of its CAs that signed the leaf."""
    (leaf,) = load_certificates(bundle.leaf_pem)
    authorities = load_certificates(bundle.ca_pem)
    issuer = next(authority for authority in authorities if _issued(authority, leaf))
    return issuer.public_bytes(serialization.Encoding.PEM)


def certificate_sha256(pem: bytes) -> bytes:
    """SHA-256 of the DER of the first certificate in `pem`."""
    return load_certificates(pem)[0].fingerprint(hashes.SHA256())


def _issued(authority: x509.Certificate, leaf: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def load_certificates(pem: bytes, source: str = "the certificate") -> list[x509.Certificate]:
    """The certificates in `pem`, one or more.

    Raises:
        IdentityError: CERT_MISSING when there is none, CERT_UNREADABLE.
    """
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise IdentityError("CERT_MISSING", f"{source}: a certificate is missing", hint=_RENEW_HINT)
    try:
        found = x509.load_pem_x509_certificates(pem)
        for certificate in found:
            _read_whole(certificate)
        return found
    except UNREADABLE as error:
        raise IdentityError(
            "CERT_UNREADABLE", f"{source}: a certificate can't be read", hint=_RENEW_HINT
        ) from error


def _read_whole(certificate: x509.Certificate) -> None:
    """Have all be parsed that is looked at later, so that what can't be is found here."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    # How many bits of the signature don't count: cryptography never looks, others do.
    if der[-len(certificate.signature) - 1] != 0:
        raise ValueError("the signature isn't whole bytes")
    certificate.public_key()
    _ = (certificate.subject, certificate.issuer, certificate.signature_hash_algorithm)
    _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    _ = list(certificate.extensions)


def parse_bundle(pem: bytes, source: str = "the identity") -> Bundle:
    """The bundle that `Bundle.pem` wrote: a key, its leaf, then CA certificates.

    Raises:
        IdentityError: as `make_bundle`; CERT_UNREADABLE also for anything else in there.
    """
    key, *certificates = split_pem(pem, source)
    return make_bundle(key, b"".join(certificates[:1]), b"".join(certificates[1:]), source)


def split_pem(pem: bytes, source: str) -> list[bytes]:
    """The PEM blocks of `pem`: one private key, then certificates alone.

    Raises:
        IdentityError: CERT_UNREADABLE.
    """
    found = list(_PEM_BLOCK.finditer(pem))
    kinds = [block[1] for block in found]
    whole = sum(len(block[0]) for block in found) == len(pem)
    if kinds[:1] != [b"PRIVATE KEY"] or set(kinds[1:]) - {b"CERTIFICATE"} or not whole:
        raise IdentityError(
            "CERT_UNREADABLE", f"{source}: not a private key followed by certificates"
        )
    return [block[0] for block in found]


def read_key_file(path: Path) -> bytes:
    """The bytes of a file with a private key in it.

    Raises:
        IdentityError: CERT_MISSING; KEY_MODE when others may reach it; CERT_UNREADABLE.
    """
    try:
        return files.read_private(path)
    except FileNotFoundError as error:
        raise IdentityError("CERT_MISSING", f"there is no identity at {path}") from error
    except files.UnsafePath as error:
        raise IdentityError(
            "KEY_MODE", str(error), hint="a key must be its owner's alone"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise IdentityError("CERT_UNREADABLE", f"{path}: {reason}") from error


def load_bundle(path: Path) -> Bundle:
    """The bundle at `path`, which `save_bundle` wrote.

    Raises:
        IdentityError: as `read_key_file` and `parse_bundle`; the messages name the file.
    """
    return parse_bundle(read_key_file(path), str(path))


def save_bundle(path: Path, bundle: Bundle) -> None:
    """Put `bundle` at `path`, 0600 in a directory of 0700, as one and durably.

    Raises:
        OSError: what was there is still there, whole.
    """
    files.private_dir(path.parent)
    files.replace_file(path, bundle.pem)


def check_validity(bundle: Bundle, now: datetime, grace: timedelta = CLOCK_SKEW) -> None:
    """Judge the leaf's validity by this machine's clock (`now`, aware), give or take CLOCK_SKEW.

    `grace`: how long after its end, by this clock, it may still be shown.

    Raises:
        IdentityError: CERT_EXPIRED or CERT_NOT_YET_VALID.
    """
    whose = f"the certificate of {bundle.identity.uri}"
    if now > bundle.not_after + grace:
        raise IdentityError(
            "CERT_EXPIRED", f"{whose} ended at {bundle.not_after:%F %T} UTC", hint=_RENEW_HINT
        )
    if now < bundle.not_before - CLOCK_SKEW:
        raise IdentityError(
            "CERT_NOT_YET_VALID",
            f"{whose} begins at {bundle.not_before:%F %T} UTC",
            hint="set this machine's clock",
        )


class LeafFile:
    """One identity's file, read again when it has changed.

    Give `current` to `eais.credentials.server_credentials`: it costs a stat when nothing changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: tuple[tuple[int, ...], Bundle] | None = None

    def current(self) -> Bundle:
        """The bundle in the file now.

        Raises:
            IdentityError: as `load_bundle`.
        """
        stamp = self._stamp()
        held = self._held
        if held is None or held[0] != stamp:
            held = (stamp, load_bundle(self.path))
            self._held = held
        return held[1]

    def _stamp(self) -> tuple[int, ...]:
        try:
            info = self.path.stat()
        except OSError:
            return ()  # and load_bundle says why
        return (info.st_ino, info.st_size, info.st_mtime_ns, info.st_mode, info.st_uid)


class OwnLeaf:
    """The identity that a server renews: that in its file, or a newer one that isn't there yet.

    A disk that can't be written is no reason to let an identity end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = LeafFile(path)
        self._unwritten: Bundle | None = None

    def current(self) -> Bundle:
        """The one that ends last; for `server_credentials`.

        Raises:
            IdentityError: as `LeafFile.current`.
        """
        unwritten = self._unwritten
        if unwritten is None:
            return self._file.current()
        try:
            written = self._file.current()
        except IdentityError:
            return unwritten
        return written if written.not_after >= unwritten.not_after else unwritten

    def replace(self, bundle: Bundle) -> None:
        """Show `bundle` from the next handshake on; durably, if the disk can be written."""
        try:
            save_bundle(self.path, bundle)
        except OSError as error:
            _log.error("the new identity can't be written, it is used all the same: %s", error)
            self._unwritten = bundle
        else:
            self._unwritten = None
