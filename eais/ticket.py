"""Tickets by which one listener gets models from another: signed here, and judged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from google.protobuf.message import DecodeError

from eais import manager_signed, tls
from eais.errors import IdentityError
from eais.manager_signed import ManagerSigned
from eais.rpc.v1 import hosts_pb2

_PURPOSE: Final = b"eais ticket 1\n"


def sign_ticket(ticket: hosts_pb2.Ticket, bundle: tls.Bundle) -> hosts_pb2.SignedTicket:
    """`ticket`, signed by the manager whose identity `bundle` is."""
    text = ticket.SerializeToString(deterministic=True)
    signed = manager_signed.sign(text, _PURPOSE, bundle)
    return hosts_pb2.SignedTicket(
        ticket=signed.text, signature=signed.signature, leaf_pem=signed.leaf_pem
    )


def read_ticket(
    signed: hosts_pb2.SignedTicket, pool: str, ca_pem: bytes, now: datetime
) -> hosts_pb2.Ticket:
    """What the manager of `pool` has signed, if it still holds at `now` (aware).

    `ca_pem`: the CA certificates in force. Clocks may differ by `tls.CLOCK_SKEW`.

    Raises:
        IdentityError: TICKET, which says what is wrong with it.
    """
    said = ManagerSigned(signed.ticket, signed.signature, signed.leaf_pem)
    manager_signed.check(said, _PURPOSE, pool, ca_pem, now, _refused)
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


def _refused(why: str) -> IdentityError:
    return IdentityError("TICKET", f"the ticket is refused: {why}")
