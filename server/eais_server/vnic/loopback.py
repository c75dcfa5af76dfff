"""The loopback driver: addresses of 127.64.0.0/10, no privileges, apart by mTLS alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final

from eais.errors import make_error
from eais_server.vnic.existing import ExistingAddresses

RANGE: Final = ipaddress.ip_network("127.64.0.0/10")


class LoopbackDriver(ExistingAddresses):
    """On Linux all of 127.0.0.0/8 is there already: an address of its own for each instance.

    `create` raises LOOPBACK_RANGE for an address outside `RANGE` or not bindable.
    """

    name = "loopback"

    def _check_address(self, address: str, taken: Collection[str]) -> None:
        if address in taken:
            raise make_error("WRONG_STATE", f"{address} is another instance's")
        if not in_range(address):
            raise make_error("LOOPBACK_RANGE", f"{address[:64]!a} is not in {RANGE}")
        try:
            self._bind(address)
        except OSError as error:
            why = error.strerror or "unknown"
            raise make_error("LOOPBACK_RANGE", f"{address} can't be bound: {why}") from None


def in_range(address: str) -> bool:
    """Whether an address is one that instances on loopback are given."""
    try:
        return ipaddress.IPv4Address(address) in RANGE
    except ValueError:
        return False
