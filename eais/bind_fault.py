"""Why a port can't be had: what the kernel says when it is tried once more."""

from __future__ import annotations

import socket

from eais.errors import ConfigError


def cannot_bind(key: str, address: str, port: int) -> ConfigError:
    """PORT, with the kernel's reason if it still has one; `port` 0: none at all was to be had."""
    text = f"{key} = {port}: can't be bound at" if port else f"{key}: no port can be had at"
    return ConfigError("PORT", f"{text} {address}{_why(address, port)}")


def _why(address: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do it: a port whose last connections are still fading is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen()
        except OSError as error:
            return f": {error.strerror}" if error.strerror else f": {error}"
    return ""
