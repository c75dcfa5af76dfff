"""The enrolment of one identity: what its next leaf is asked for with when the leaf has ended.

A machine that joined keeps one beside each identity, `frontend-enrolment.pem` beside
`frontend.pem`, for thirty days. It is good for `Renew` alone. The pool's own machine has none:
its manager keeps the identities there fresh.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from eais import tls
from eais.errors import IdentityError
from eais.rpc import client
from eais.rpc.v1 import common_pb2
from eais.rpc.verbs import Verb
from eais.tls import Bundle, LeafFile
from eais_client.context import enrolment_file
from eais_client.dialer import dial_as
from eais_client.instances import Address

RenewVerb = Verb[common_pb2.RenewRequest, common_pb2.RenewReply]
#: Sends the request to the plane of the identity, showing the enrolment that is given.
AskAs = Callable[[Bundle, common_pb2.RenewRequest], common_pb2.RenewReply]

TIMEOUT_S = 5.0
_NO_GRACE = timedelta(0)


class Enrolment:
    """The enrolment beside the identity at `leaf_path`, if there is one."""

    def __init__(self, leaf_path: Path, ask: AskAs) -> None:
        self._file = LeafFile(enrolment_file(leaf_path))
        self.ask = ask

    @property
    def there(self) -> bool:
        """Whether this machine has joined."""
        return self._file.path.exists()

    def current(self) -> Bundle:
        """The enrolment; `IdentityError` CERT_MISSING, CERT_UNREADABLE, KEY_MODE, ..."""
        return self._file.current()

    def of(self, leaf: Bundle, now: datetime) -> Bundle | None:
        """The enrolment of the identity that `leaf` is of, if it can be used now.

        One that is somebody else's is what a join left that was killed half-way.
        """
        try:
            found = self.current()
            tls.check_validity(found, now, _NO_GRACE)
        except IdentityError:
            return None
        return found if found.identity.enrolled == leaf.identity else None

    def save(self, enrolled: Bundle) -> None:
        """Put it in the place of what is there. Raises OSError."""
        tls.save_bundle(self._file.path, enrolled)

    def trust(self, enrolled: Bundle, ca_pem: bytes) -> None:
        """Have it trust what the leaf trusts from now on. Raises OSError.

        Else it would be no use after the pool's CA was replaced.
        """
        if enrolled.ca_pem != ca_pem and tls.is_issued_by(enrolled.leaf_pem, ca_pem):
            self.save(replace(enrolled, ca_pem=ca_pem))


def is_due(enrolled: Bundle, leaf: Bundle, now: datetime) -> bool:
    """Whether the enrolment is to be renewed: past half of its life, or of an older CA."""
    return now >= enrolled.renew_after or not tls.is_issued_by(
        enrolled.leaf_pem, tls.issuer_pem(leaf)
    )


def enrolment_of(leaf_path: Path, manager: Address, verb: RenewVerb) -> Enrolment:
    """The enrolment beside `leaf_path`, used by `verb` on the manager's plane."""

    def ask(enrolled: Bundle, request: common_pb2.RenewRequest) -> common_pb2.RenewReply:
        with dial_as(manager, enrolled) as channel:
            return client.call(
                channel, verb, request, timeout_s=TIMEOUT_S, unreachable="POOL_UNREACHABLE"
            )

    return Enrolment(leaf_path, ask)
