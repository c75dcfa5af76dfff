"""Leaves over the wire: the next one of whoever calls, and of a host's workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from eais.errors import IdentityError
from eais.identity import Identity
from eais.rpc.server import Caller
from eais.rpc.v1 import common_pb2
from eais_pool.authority import Authority


@dataclass(frozen=True, slots=True)
class Issuer:
    """Signs for those who call.

    Attributes:
        life: of every leaf.
        wall: the time of day, UTC.
    """

    authority: Authority
    life: timedelta
    wall: Callable[[], datetime]

    async def renew(
        self, request: common_pb2.RenewRequest, caller: Caller
    ) -> common_pb2.RenewReply:
        """The caller's next leaf, of the same name. See `RenewRequest`.

        Raises:
            IdentityError: CERT_EXPIRED, CSR_REFUSED.
        """
        leaf = self.sign(caller, caller.identity, request.csr_pem)
        return common_pb2.RenewReply(leaf_pem=leaf, ca_pem=self.authority.ca_pem)

    def sign(self, caller: Caller, identity: Identity, csr_pem: bytes) -> bytes:
        """The leaf, PEM, of `identity`, which the caller has been found to have a right to.

        Raises:
            IdentityError: CERT_EXPIRED, the caller's own leaf has ended since the handshake:
                without this, a connection kept open would be as good as a leaf that never
                ends. CSR_REFUSED.
        """
        now = self.wall()
        if now >= caller.leaf_end:
            raise IdentityError(
                "CERT_EXPIRED",
                f"the certificate of {caller.identity.uri} has ended: it can't get another",
            )
        return self.authority.issue(identity, csr_pem, now, self.life)
