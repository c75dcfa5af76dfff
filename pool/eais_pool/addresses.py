"""The pool's own range of loopback addresses, held by a bound socket.

Each pool of a machine has a /20 of 127.64.0.0/10. Its base address belongs to
the claim, the next to the manager; instances get those from the sixteenth on.
"""

from __future__ import annotations

import errno
import ipaddress
import random
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from eais.errors import ConfigError
from eais_pool.brain.address_plan import AddressPlan

CLAIM_PORT = 7443
MANAGER_OFFSET = 1
_ALL = ipaddress.IPv4Network("127.64.0.0/10")
_PREFIX = 20


@dataclass(frozen=True, slots=True)
class Claim:
    """A range that is ours while the socket is open."""

    plan: AddressPlan
    held_by: socket.socket

    def close(self) -> None:
        """Give the range up."""
        self.held_by.close()


def networks() -> list[str]:
    """All ranges that a pool can have, in random order: pools seldom try the same one."""
    found = [str(network) for network in _ALL.subnets(new_prefix=_PREFIX)]
    random.Random(secrets.randbits(64)).shuffle(found)
    return found


def claim(kept: str | None, candidates: Iterable[str] | None = None) -> Claim:
    """Claim the range that was kept, or for a new pool the first free one.

    Raises:
        ConfigError: LOOPBACK_RANGE, when another process has it, or has them all.
    """
    if kept is not None:
        held = _bind(kept)
        if held is None:
            raise ConfigError(
                "LOOPBACK_RANGE",
                f"the pool's addresses {kept} are held by another process",
                hint=f"see who has port {CLAIM_PORT} of {AddressPlan(kept).host(0)}",
            )
        return Claim(AddressPlan(kept), held)
    for network in networks() if candidates is None else candidates:
        held = _bind(network)
        if held is not None:
            return Claim(AddressPlan(network), held)
    raise ConfigError(
        "LOOPBACK_RANGE",
        f"no /{_PREFIX} of {_ALL} is free",
        hint=f"something on this machine has port {CLAIM_PORT} of all addresses",
    )


def _bind(network: str) -> socket.socket | None:
    """A socket bound to the range's base; None if someone has it."""
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        held.bind((AddressPlan(network).host(0), CLAIM_PORT))
    except OSError as error:
        held.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise ConfigError("LOOPBACK_RANGE", f"{network}: {error.strerror}") from None
    return held
