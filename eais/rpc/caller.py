"""Who calls, as a handler sees them, and what a transport knows of a call."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from eais.identity import Identity


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, from the certificate alone, and how long they'll wait (seconds).

    `leaf_end` is when that certificate ends, UTC: it was valid at the handshake, and a
    connection may outlive it.
    """

    identity: Identity
    timeout_s: float | None
    leaf_end: datetime

    @property
    def who(self) -> Hashable:
        """Whose calls are counted together."""
        return self.identity


@dataclass(frozen=True, slots=True)
class Stranger:
    """Who calls on the enrolment plane: the network address is all that is known of them.

    `address` has no port: another connection of the same machine has the same.
    """

    address: str
    timeout_s: float | None

    @property
    def who(self) -> Hashable:
        """Whose calls are counted together."""
        return self.address


class Contact(Protocol):
    """One call as the transport knows it that brought it."""

    def caller(self, pool: str) -> Caller:
        """Who calls, if they are of `pool`; raises IdentityError."""
        ...

    def stranger(self) -> Stranger:
        """From where they call; raises IdentityError without TLS."""
        ...
