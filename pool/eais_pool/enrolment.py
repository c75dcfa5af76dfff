"""The enrolment plane: who has a token gets the identity that it is for.

Nobody has an identity here yet. A token is looked for first, so that who guesses costs nothing
more; then the signing requests are judged and signed; then the token is used up, durably; only
then is anything answered. A manager that is killed anywhere between leaves a token that is
unused, or one that is used and whose certificates nobody got.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from eais.errors import IdentityError
from eais.identity import Identity, Role
from eais.join_token import MAX_SECRET_TEXT
from eais.rpc import verbs
from eais.rpc.hello import check_version, hello_reply
from eais.rpc.server import Binding, Stranger, open_unary
from eais.rpc.v1 import enrolment_pb2
from eais_pool.authority import ENROLMENT_LIFE, Authority
from eais_pool.brain.events import JoinRequested
from eais_pool.brain.guesses import Guesses
from eais_pool.brain.host_records import Endpoint
from eais_pool.brain.membership import TokenRecord
from eais_pool.brain.tokens import find_token
from eais_pool.pump import Pump
from eais_pool.service import SOFTWARE
from eais_pool.signing_request import PublicKey, joining_key
from eais_pool.wire import endpoint_message

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Planes:
    """Where those who have joined reach the manager."""

    user: Endpoint
    management: Endpoint


@dataclass(frozen=True, slots=True)
class Signed:
    """What a token was good for: both certificates, PEM."""

    leaf_pem: bytes
    enrolment_pem: bytes


class EnrolmentService:
    """The service `Enrolment` of one pool."""

    def __init__(
        self,
        authority: Authority,
        pump: Pump,
        planes: Planes,
        *,
        leaf_life: timedelta,
        wall: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._authority = authority
        self._pump = pump
        self._planes = planes
        self._leaf_life = leaf_life
        self._wall = wall
        self._clock = clock
        self._guesses = Guesses()

    def bindings(self) -> list[Binding]:
        """What serves the service's verb."""
        return [open_unary(verbs.ENROLMENT_SIGN_CSR, self.sign_csr)]

    async def sign_csr(
        self, request: enrolment_pb2.SignCsrRequest, caller: Stranger
    ) -> enrolment_pb2.SignCsrReply:
        """See `Enrolment.SignCsr`."""
        check_version(request.hello)
        try:
            signed = await self._use(request)
        except IdentityError as error:
            if error.reason == "TOKEN":
                self._guessed(caller.address)
            log.warning("a machine at %s can't join: %s", caller.address, error)
            raise
        return self._reply(signed)

    def _guessed(self, address: str) -> None:
        """Count a wrong token; who has shown many is told to wait instead.

        Right ones never wait: else whoever guesses would keep those out who have one, behind the
        same address or, from many addresses, anywhere.
        """
        now = self._clock()
        self._guesses.check(address, now)
        self._guesses.wrong(address, now)

    async def _use(self, request: enrolment_pb2.SignCsrRequest) -> Signed:
        secret, purpose = secret_sha256(request.secret), request.purpose
        token = find_token(self._pump.state.members, secret, purpose, self._clock())
        keys = joining_key(request.csr_pem), joining_key(request.enrolment_csr_pem)
        identity = identity_of(self._authority.pool, token)
        signed = self._sign(identity, *keys)
        shown = fingerprint(keys[0]), fingerprint(keys[1])
        await self._pump.ask(JoinRequested(secret, purpose, shown))
        log.info("%s has joined", identity.uri)
        return signed

    def _sign(self, identity: Identity, key: PublicKey, enrolment_key: PublicKey) -> Signed:
        issue, now = self._authority.issue, self._wall()
        leaf = issue(identity, key, now, self._leaf_life)
        return Signed(leaf, issue(identity.enrolment, enrolment_key, now, ENROLMENT_LIFE))

    def _reply(self, signed: Signed) -> enrolment_pb2.SignCsrReply:
        manager = Identity.manager(self._authority.pool)
        return enrolment_pb2.SignCsrReply(
            hello=hello_reply(SOFTWARE),
            pool=manager.pool,
            leaf_pem=signed.leaf_pem,
            enrolment_pem=signed.enrolment_pem,
            ca_pem=self._authority.ca_pem,
            user_plane=endpoint_message(self._planes.user, manager),
            management_plane=endpoint_message(self._planes.management, manager),
        )


def secret_sha256(secret: str) -> str:
    """What a token is known by: the SHA-256, hex, of its secret's text; "" of what is none."""
    if not secret.isascii() or len(secret) > MAX_SECRET_TEXT:
        return ""
    return hashlib.sha256(secret.encode()).hexdigest()


def fingerprint(key: PublicKey) -> str:
    """The SHA-256 of a public key, hex."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def identity_of(pool: str, token: TokenRecord) -> Identity:
    """Who joins with that token."""
    return Identity(pool, Role(token.purpose), token.tenant or None, token.name)
