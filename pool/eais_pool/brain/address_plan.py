"""Which addresses the pool's instances get. (Brain)"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from eais.errors import RemoteError

RESERVED = 16
"""Addresses at the start of the range that belong to the pool's own servers."""


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """A range of addresses, as "127.64.16.0/20"; instances get those after the first 16."""

    network: str

    def host(self, offset: int) -> str:
        """The address `offset` above the range's base."""
        return str(ipaddress.IPv4Network(self.network)[offset])

    def first_free(self, within: Callable[[int, int], str]) -> str:
        """The lowest address for an instance that nobody holds.

        Args:
            within: says the lowest free one of a range, both ends included, or "".

        Raises:
            RemoteError: ADDRESSES_EXHAUSTED.
        """
        network = ipaddress.IPv4Network(self.network)
        last = int(network.broadcast_address) - 1
        found = within(int(network.network_address) + RESERVED, last)
        if not found:
            text = f"all addresses of {self.network} are bound to instances"
            raise RemoteError("ADDRESSES_EXHAUSTED", text)
        return found
