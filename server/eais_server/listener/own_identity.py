"""The listener's own leaf and enrolment turn over.

A leaf is renewed with itself. A host that joined with a token has an enrolment beside it, for
thirty days, which is good for renewing alone: it is used when the leaf has ended, as after a
night without power, and is itself renewed with the leaf when it is due. The embedded pool's
own listener has none: its manager keeps it a leaf.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from eais import tls
from eais.backoff import RESTART
from eais.errors import EaisError, IdentityError
from eais.jitter import JITTER
from eais.rpc.v1 import common_pb2

log = logging.getLogger(__name__)

Ask = Callable[[common_pb2.RenewRequest], Awaitable[common_pb2.RenewReply]]
"""Asks the manager with the present leaf."""
AskAs = Callable[[tls.Bundle, common_pb2.RenewRequest], Awaitable[common_pb2.RenewReply]]
"""Asks the manager with the enrolment that is given."""
Write = Callable[[tls.OwnLeaf, tls.Bundle], Awaitable[None]]
"""Puts a bundle into a file, durably if the disk can be written."""

_NO_GRACE = timedelta(0)


class OwnIdentity:
    """The identity in one file, and the enrolment in another, if there is one.

    Args:
        now: the time of day, aware.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        leaf: tls.OwnLeaf,
        enrolment: tls.OwnLeaf,
        ask: Ask,
        ask_as: AskAs,
        write: Write,
        *,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._leaf = leaf
        self._enrolment = enrolment
        self._ask = ask
        self._ask_as = ask_as
        self._write = write
        self._now = now
        self._clock = clock
        self._failures = 0
        self._not_before = 0.0

    async def renew(self) -> None:
        """Renew what is due; whoever calls does so again soon if this raises.

        Raises:
            IdentityError: CERT_EXPIRED, leaf and enrolment have ended; or what the pool signed
                won't do.
            EaisError: the pool can't be reached, or refuses.
        """
        leaf, now = self._leaf.current(), self._now()
        ended = now >= leaf.not_after
        enrolled = self._usable(leaf, now)
        if now >= leaf.renew_after and not (ended and enrolled):
            self._check_joined(leaf, ended=ended)
            leaf = await self._by_leaf(leaf, enrolled)
            ended, enrolled = False, self._usable(leaf, now)
        if enrolled and (ended or is_due(enrolled, leaf, now)):
            await self._by_enrolment(enrolled, leaf)

    def _usable(self, leaf: tls.Bundle, now: datetime) -> tls.Bundle | None:
        """The enrolment, if it is this listener's and hasn't ended."""
        try:
            found = self._enrolment.current()
            tls.check_validity(found, now, _NO_GRACE)
        except IdentityError:
            return None
        return found if found.identity.enrolled == leaf.identity else None

    def _check_joined(self, leaf: tls.Bundle, *, ended: bool) -> None:
        if ended and self._enrolment.path.exists():
            text = f"the certificate of {leaf.identity.uri} has ended, and its enrolment is no use"
            hint = "join again: `eais listener up --join-again`, with a new token"
            raise IdentityError("CERT_EXPIRED", text, hint=hint)

    async def _by_leaf(self, leaf: tls.Bundle, enrolled: tls.Bundle | None) -> tls.Bundle:
        key = tls.new_key()
        reply = await self._ask(common_pb2.RenewRequest(csr_pem=tls.make_csr(key)))
        fresh = _signed(key, reply.leaf_pem, reply.ca_pem, leaf)
        await self._keep(self._leaf, fresh)
        if enrolled is not None:
            await self._trust(enrolled, fresh.ca_pem)
        return fresh

    async def _by_enrolment(self, enrolled: tls.Bundle, leaf: tls.Bundle) -> None:
        """Both, unless it failed a moment ago: each attempt is a connection of its own."""
        if self._clock() < self._not_before:
            return
        try:
            await self._exchange(enrolled, leaf)
        except EaisError:
            self._failures += 1
            self._not_before = self._clock() + RESTART.delay_s(self._failures, JITTER)
            raise
        self._failures = 0

    async def _exchange(self, enrolled: tls.Bundle, leaf: tls.Bundle) -> None:
        key, next_key = tls.new_key(), tls.new_key()
        request = common_pb2.RenewRequest(csr_pem=tls.make_csr(key))
        if is_due(enrolled, leaf, self._now()):
            request.enrolment_csr_pem = tls.make_csr(next_key)
        reply = await self._ask_as(enrolled, request)
        fresh = _signed(key, reply.leaf_pem, reply.ca_pem, leaf)
        if reply.enrolment_pem:
            made = _signed(next_key, reply.enrolment_pem, reply.ca_pem, enrolled)
            await self._keep(self._enrolment, made)
        else:
            await self._trust(enrolled, reply.ca_pem)
        await self._keep(self._leaf, fresh)

    async def _trust(self, enrolled: tls.Bundle, ca_pem: bytes) -> None:
        """Have the enrolment trust what the leaf does: else a replaced CA would end it."""
        if enrolled.ca_pem != ca_pem and tls.is_issued_by(enrolled.leaf_pem, ca_pem):
            await self._write(self._enrolment, replace(enrolled, ca_pem=ca_pem))

    async def _keep(self, file: tls.OwnLeaf, bundle: tls.Bundle) -> None:
        await self._write(file, bundle)
        log.info("%s: until %s", bundle.identity.uri, bundle.not_after)


def is_due(enrolled: tls.Bundle, leaf: tls.Bundle, now: datetime) -> bool:
    """Whether the enrolment is to be renewed: past half of its life, or of an older CA."""
    if now >= enrolled.renew_after:
        return True
    return not tls.is_issued_by(enrolled.leaf_pem, tls.issuer_pem(leaf))


def _signed(
    key: PrivateKeyTypes, certificate_pem: bytes, ca_pem: bytes, before: tls.Bundle
) -> tls.Bundle:
    source = "what the pool signed"
    made = tls.make_bundle(tls.key_to_pem(key), certificate_pem, ca_pem, source)
    if made.identity != before.identity:
        raise IdentityError("CERT_IDENTITY", f"{source} is that of {made.identity.uri}")
    return made
