"""What a pool's manager signs for hosts, and how they judge it.

The manager signs with the key of its own leaf and sends the leaf along, so that whoever trusts the
pool's CA, or both of them while it is rolled, can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from eais import tls
from eais.errors import EaisError, IdentityError
from eais.identity import Identity, identity_of_leaf

_MAX_LEAF_BYTES: Final = 16 << 10

Refused = Callable[[str], EaisError]
"""The error of what isn't right with it."""


@dataclass(frozen=True, slots=True)
class ManagerSigned:
    """Text with its signature.

    Attributes:
        text: as it was signed.
        signature: ECDSA with SHA-256 over a purpose's words and `text`.
        leaf_pem: of the manager.
    """

    text: bytes
    signature: bytes
    leaf_pem: bytes


def sign(text: bytes, purpose: bytes, bundle: tls.Bundle) -> ManagerSigned:
    """`text`, signed by the manager whose identity `bundle` is.

    `purpose`: what is signed for one is nothing for another.
    """
    key = tls.key_from_pem(bundle.key_pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("leaves have ECDSA keys")
    return ManagerSigned(text, key.sign(purpose + text, ec.ECDSA(hashes.SHA256())), bundle.leaf_pem)


def check(
    signed: ManagerSigned,
    purpose: bytes,
    pool: str,
    ca_pem: bytes,
    now: datetime,
    refused: Refused,
) -> None:
    """Raise what `refused` makes unless the manager of `pool` has signed it, and is one at `now`.

    `ca_pem`: the CA certificates in force. `now`: aware; clocks may differ by `tls.CLOCK_SKEW`.
    """
    if len(signed.leaf_pem) > _MAX_LEAF_BYTES:
        raise refused("its certificate can't be read")
    try:
        leaf, *more = tls.load_certificates(signed.leaf_pem, "the signer's certificate")
        identity = identity_of_leaf(leaf)
        trusted = tls.is_issued_by(signed.leaf_pem, ca_pem)
    except IdentityError as error:
        raise refused(error.message) from None
    if more or not trusted or identity != Identity.manager(pool):
        raise refused("it isn't signed by this pool's manager")
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if not begins - tls.CLOCK_SKEW <= now <= ends + tls.CLOCK_SKEW:
        said = f"the certificate of its signer is valid from {begins:%F %T} to {ends:%F %T} UTC"
        raise refused(f"{said}, and by this host's clock it is {now.astimezone(UTC):%F %T}")
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise refused("its key is of another kind")
    try:
        key.verify(signed.signature, purpose + signed.text, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise refused("its signature is wrong") from None
