"""Why a port or an address can't be had: what the kernel says when it is tried once more."""

from __future__ import annotations

import errno
import socket

from eais.errors import ConfigError


def cannot_bind(key: str, address: str, port: int) -> ConfigError:
    """PORT, with the kernel's reason if it still has one; `port` 0: none at all was to be had.

    ADDRESS if it isn't the port's fault: the address isn't this machine's.
    """
    fault = _fault(address, port)
    if fault is not None and fault.errno == errno.EADDRNOTAVAIL:
        return not_ours(address)
    why = f": {fault.strerror or fault}" if fault else ""
    text = f"{key} = {port}: can't be bound at" if port else f"{key}: no port can be had at"
    return ConfigError("PORT", f"{text} {address}{why}")


def not_ours(address: str) -> ConfigError:
    """ADDRESS: nothing can be bound to `address` here."""
    return ConfigError(
        "ADDRESS", f"{address} isn't an address of this machine", hint="`ip address` lists those"
    )


def _fault(address: str, port: int) -> OSError | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do it: a port whose last connections are still fading is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen()
        except OSError as error:
            return error
    return None
