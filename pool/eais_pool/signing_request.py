"""The key that a signing request is for: all that is taken from one."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from eais.errors import IdentityError

_MAX_BYTES: Final = 16 * 1024
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
_RSA_BITS: Final = range(2048, 8193)
_NAMES: Final = "it asks for names: the pool gives them"

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def requested_key(csr_pem: bytes) -> PublicKey:
    """The key of a signing request that asks for nothing but a signature on it.

    Raises:
        IdentityError: CSR_REFUSED when its signature, key or wishes won't do.
    """
    return _judged(csr_pem)[1]


def joining_key(csr_pem: bytes) -> PublicKey:
    """The key of a signing request of who joins, which names nobody, not even as its subject.

    Raises:
        IdentityError: CSR_REFUSED, as `requested_key`.
    """
    csr, key = _judged(csr_pem)
    if len(csr.subject):
        raise _refused(_NAMES)
    return key


def _judged(csr_pem: bytes) -> tuple[x509.CertificateSigningRequest, PublicKey]:
    if len(csr_pem) > _MAX_BYTES:
        raise _refused(f"more than {_MAX_BYTES} bytes")
    try:
        csr = x509.load_pem_x509_csr(csr_pem)
        wishes = list(csr.extensions)
        key = accepted_key(csr.public_key())
        signed, _ = csr.is_signature_valid, csr.subject
    except (ValueError, UnsupportedAlgorithm, InvalidSignature, x509.DuplicateExtension) as error:
        raise _refused("it can't be read") from error
    if not signed:
        raise _refused("its signature isn't of its key")
    _refuse_wishes(wishes)
    return csr, key


def accepted_key(key: object) -> PublicKey:
    """`key`, if it is of a kind and size that the pool signs.

    Raises:
        IdentityError: CSR_REFUSED.
    """
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS:
        return key
    raise _refused("its key is none of ECDSA P-256 and P-384, and RSA of 2048 bits and more")


def _refuse_wishes(wishes: list[x509.Extension[x509.ExtensionType]]) -> None:
    for wish in wishes:
        if isinstance(wish.value, x509.SubjectAlternativeName):
            raise _refused(_NAMES)
        if isinstance(wish.value, x509.BasicConstraints) and wish.value.ca:
            raise _refused("it asks to be an authority")


def _refused(why: str) -> IdentityError:
    return IdentityError("CSR_REFUSED", f"the signing request is refused: {why}")
