"""Leaves over the wire: the next one of whoever calls, and of a host's workers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from eais.errors import IdentityError
from eais.identity import Identity, Role
from eais.rpc.server import Caller
from eais.rpc.v1 import common_pb2
from eais_pool.authority import ENROLMENT_LIFE, Authority

Renewer = Callable[[common_pb2.RenewRequest, Caller], Awaitable[common_pb2.RenewReply]]


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

    def renewer(self, role: Role) -> Renewer:
        """What serves the Renew of the plane that `role` may use. See `RenewRequest`.

        It raises IdentityError: PERMISSION_DENIED, an enrolment of another role calls, or a
        leaf asks for an enrolment; CERT_EXPIRED; CSR_REFUSED.
        """

        async def renew(request: common_pb2.RenewRequest, caller: Caller) -> common_pb2.RenewReply:
            identity = caller.identity.enrolled
            if identity.role is not role:
                raise _denied(f"an enrolment of a {identity.role} is no {role}'s")
            leaf = self.sign(caller, identity, request.csr_pem)
            enrolment = self._next_enrolment(caller, request.enrolment_csr_pem)
            return common_pb2.RenewReply(
                leaf_pem=leaf, ca_pem=self.authority.ca_pem, enrolment_pem=enrolment
            )

        return renew

    def _next_enrolment(self, caller: Caller, csr_pem: bytes) -> bytes:
        if not csr_pem:
            return b""
        # A leaf that was stolen is of use for an hour, and must not become one of thirty days.
        if caller.identity.role is not Role.ENROLMENT:
            raise _denied("an enrolment is renewed by an enrolment alone")
        return self.sign(caller, caller.identity, csr_pem, ENROLMENT_LIFE)

    def sign(
        self, caller: Caller, identity: Identity, csr_pem: bytes, life: timedelta | None = None
    ) -> bytes:
        """The leaf, PEM, of `identity`, which the caller has been found to have a right to.

        `life` is that of every leaf if it isn't given.

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
        return self.authority.issue(identity, csr_pem, now, life or self.life)


def _denied(why: str) -> IdentityError:
    return IdentityError("PERMISSION_DENIED", why)
