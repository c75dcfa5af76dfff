"""Which addresses the pool's instances get. (Brain)"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

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

    def first_free(self, taken: Collection[str]) -> str:
        """The lowest address for an instance that isn't `taken`.

        Raises:
            RemoteError: ADDRESSES_EXHAUSTED.
        """
        hosts = islice(ipaddress.IPv4Network(self.network).hosts(), RESERVED - 1, None)
        for address in map(str, hosts):
            if address not in taken:
                return address
        raise RemoteError(
            "ADDRESSES_EXHAUSTED", f"all addresses of {self.network} are bound to instances"
        )
