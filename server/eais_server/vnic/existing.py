"""What the drivers have in common whose addresses this host has already: no privileges needed."""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import ClassVar

from eais.errors import make_error
from eais.net.traffic import Traffic
from eais_server.vnic.driver import VnicPlan, VnicState

CountersOf = Callable[[str], Traffic]


def try_bind(address: str) -> None:
    """Bind a TCP socket to `address` for a moment. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))


class ExistingAddresses:
    """A vNIC is an address that is there already, so there is nothing to make or take away.

    Args:
        counters_of: the bytes of an instance, as its workers report them; the kernel counts
            none for an address that it isn't asked to.
        bind: tries to bind an address; OSError if it can't be.
    """

    name: ClassVar[str]
    isolation = "mTLS only"
    is_private = False

    def __init__(self, counters_of: CountersOf, *, bind: Callable[[str], None] = try_bind) -> None:
        self._counters_of = counters_of
        self._bind = bind
        self._addresses: dict[str, str] = {}

    def create(self, plan: VnicPlan) -> VnicState:
        """As `VnicDriver`."""
        if self._addresses.get(plan.instance, plan.address) != plan.address:
            raise make_error("WRONG_STATE", f"{plan.instance} has another address already")
        if plan.instance not in self._addresses:
            self._check_address(plan.address, self._addresses.values())
            self._addresses[plan.instance] = plan.address
        return VnicState(self.name, plan.instance, plan.address, self.isolation)

    @abstractmethod
    def _check_address(self, address: str, taken: Collection[str]) -> None:
        """Raise EaisError if a new instance can't have `address`; `taken`: those of others."""

    def connect(self, instance: str, ports: Collection[int]) -> None:
        """As `VnicDriver`; whoever can reach the address does, and mTLS decides."""
        self._require(instance)

    def limit(self, instance: str, bytes_per_s: int | None) -> None:
        """As `VnicDriver`; every cap is refused."""
        self._require(instance)
        if bytes_per_s is None:
            return
        if bytes_per_s < 1:
            raise make_error("ARGUMENT", "a bandwidth cap must be 1 byte a second or more")
        raise make_error("UNIMPLEMENTED", f"the {self.name} driver can't enforce a bandwidth cap")

    def counters(self) -> Mapping[str, Traffic]:
        """As `VnicDriver`."""
        return {instance: self._counters_of(instance) for instance in self._addresses}

    def destroy(self, instance: str) -> None:
        """As `VnicDriver`; nothing of it is anywhere but in this process."""
        self._addresses.pop(instance, None)

    def _require(self, instance: str) -> None:
        if instance not in self._addresses:
            raise make_error("NOT_FOUND", f"{instance} has no vNIC here")
