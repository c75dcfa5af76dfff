"""Tickets by which one listener gets models from another: signed here, and judged.

The pool's manager signs a `Ticket` with the key of its own leaf and sends the leaf along, so that
whoever trusts the pool's CA, or both of them while it is rolled, can tell.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import DecodeError

from eais import tls
from eais.errors import IdentityError
from eais.identity import Identity, identity_of_leaf
from eais.rpc.v1 import hosts_pb2

_SIGNED = b"eais ticket 1\n"
_MAX_LEAF_BYTES = 16 << 10


def sign_ticket(ticket: hosts_pb2.Ticket, bundle: tls.Bundle) -> hosts_pb2.SignedTicket:
    """`ticket`, signed by the manager whose identity `bundle` is."""
    key = tls.key_from_pem(bundle.key_pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("leaves have ECDSA keys")
    text = ticket.SerializeToString(deterministic=True)
    signature = key.sign(_SIGNED + text, ec.ECDSA(hashes.SHA256()))
    return hosts_pb2.SignedTicket(ticket=text, signature=signature, leaf_pem=bundle.leaf_pem)


def read_ticket(
    signed: hosts_pb2.SignedTicket, pool: str, ca_pem: bytes, now: datetime
) -> hosts_pb2.Ticket:
    """What the manager of `pool` has signed, if it still holds at `now` (aware).

    `ca_pem`: the CA certificates in force. Clocks may differ by `tls.CLOCK_SKEW`.

    Raises:
        IdentityError: TICKET, which says what is wrong with it.
    """
    _check_leaf(signed, pool, ca_pem, now)
    try:
        ticket = hosts_pb2.Ticket.FromString(signed.ticket)
        ends = datetime.fromtimestamp(ticket.not_after_unix_s, UTC)
    except (DecodeError, ValueError, OverflowError, OSError):
        raise _refused("it can't be read") from None
    if ticket.pool != pool:
        raise _refused("it is another pool's")
    if now > ends + tls.CLOCK_SKEW:
        raise _refused(f"it ended at {ends:%F %T} UTC")
    return ticket


def _check_leaf(signed: hosts_pb2.SignedTicket, pool: str, ca_pem: bytes, now: datetime) -> None:
    if len(signed.leaf_pem) > _MAX_LEAF_BYTES:
        raise _refused("its certificate can't be read")
    try:
        leaf, *more = tls.load_certificates(signed.leaf_pem, "the ticket")
        identity = identity_of_leaf(leaf)
        trusted = tls.is_issued_by(signed.leaf_pem, ca_pem)
    except IdentityError as error:
        raise _refused(error.message) from None
    if more or not trusted or identity != Identity.manager(pool):
        raise _refused("it isn't signed by this pool's manager")
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if not begins - tls.CLOCK_SKEW <= now <= ends + tls.CLOCK_SKEW:
        raise _refused("the certificate of its signer isn't valid now")
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise _refused("its key is of another kind")
    try:
        key.verify(signed.signature, _SIGNED + signed.ticket, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise _refused("its signature is wrong") from None


def _refused(why: str) -> IdentityError:
    return IdentityError("TICKET", f"the ticket is refused: {why}")
