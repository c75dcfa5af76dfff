"""The loopback driver: addresses of 127.64.0.0/10, no privileges, apart by mTLS alone."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Final

from eais.errors import make_error
from eais_server.vnic.driver import VnicCounters, VnicPlan, VnicState

RANGE: Final = ipaddress.ip_network("127.64.0.0/10")

CountersOf = Callable[[str], VnicCounters]


def try_bind(address: str) -> None:
    """Bind a TCP socket to `address` for a moment. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))


class LoopbackDriver:
    """On Linux all of 127.0.0.0/8 is there already, so a vNIC is only an address reserved.

    Args:
        counters_of: the bytes of an instance, as its workers report them; the kernel counts
            none for a loopback address.
        bind: tries to bind an address; OSError if it can't be.
    """

    name = "loopback"
    isolation = "mTLS only"

    def __init__(self, counters_of: CountersOf, *, bind: Callable[[str], None] = try_bind) -> None:
        self._counters_of = counters_of
        self._bind = bind
        self._addresses: dict[str, str] = {}

    def create(self, plan: VnicPlan) -> VnicState:
        """As `VnicDriver`; LOOPBACK_RANGE for an address outside `RANGE` or not bindable."""
        if self._addresses.get(plan.instance, plan.address) != plan.address:
            raise make_error("WRONG_STATE", f"{plan.instance} has another address already")
        if plan.instance not in self._addresses:
            self._check_address(plan.address)
            self._addresses[plan.instance] = plan.address
        return VnicState(self.name, plan.instance, plan.address, self.isolation)

    def connect(self, instance: str, peer: str) -> None:
        """As `VnicDriver`; whoever is on this machine reaches the address, and mTLS decides."""
        self._require(instance)

    def limit(self, instance: str, bytes_per_s: int | None) -> None:
        """As `VnicDriver`; every cap is refused."""
        self._require(instance)
        if bytes_per_s is None:
            return
        if bytes_per_s < 1:
            raise make_error("ARGUMENT", "a bandwidth cap must be 1 byte a second or more")
        raise make_error("UNIMPLEMENTED", "the loopback driver can't enforce a bandwidth cap")

    def counters(self, instance: str) -> VnicCounters:
        """As `VnicDriver`."""
        self._require(instance)
        return self._counters_of(instance)

    def destroy(self, instance: str) -> None:
        """As `VnicDriver`; nothing of it is anywhere but in this process."""
        self._addresses.pop(instance, None)

    def _require(self, instance: str) -> None:
        if instance not in self._addresses:
            raise make_error("NOT_FOUND", f"{instance} has no vNIC here")

    def _check_address(self, address: str) -> None:
        if address in self._addresses.values():
            raise make_error("WRONG_STATE", f"{address} is another instance's")
        if not _in_range(address):
            raise make_error("LOOPBACK_RANGE", f"{address[:64]!a} is not in {RANGE}")
        try:
            self._bind(address)
        except OSError as error:
            why = error.strerror or "unknown"
            raise make_error("LOOPBACK_RANGE", f"{address} can't be bound: {why}") from None


def _in_range(address: str) -> bool:
    try:
        return ipaddress.IPv4Address(address) in RANGE
    except ValueError:
        return False
