"""The host driver: the back-end's own address, no privileges, apart by mTLS alone.

All instances of a host are reached at its one address; each worker's port is the kernel's
choice, and is kept with its lease.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from eais.errors import make_error
from eais_server.vnic.existing import CountersOf, ExistingAddresses, try_bind


class HostDriver(ExistingAddresses):
    """Gives every instance `address`, which is this host's.

    `create` raises ADDRESS for any other, and when it isn't this host's (any more).
    """

    name = "host"

    def __init__(
        self, address: str, counters_of: CountersOf, *, bind: Callable[[str], None] = try_bind
    ) -> None:
        super().__init__(counters_of, bind=bind)
        self.address = address

    def _check_address(self, address: str, taken: Collection[str]) -> None:
        if address != self.address:
            raise make_error("ADDRESS", f"{address[:64]!a}: instances here are at {self.address}")
        try:
            self._bind(address)
        except OSError as error:
            why = error.strerror or "unknown"
            raise make_error("ADDRESS", f"{address} can't be bound on this host: {why}") from None
