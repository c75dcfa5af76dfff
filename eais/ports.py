"""Ports of the settings: what may be said, which are tried, and why one can't be had."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Final

from eais.errors import ConfigError

PORT_LIMIT: Final = 1 << 16


def check_ports(**ports: int) -> None:
    """Check a process's ports by the keys that set them; 0: the kernel chooses.

    Raises:
        ConfigError: PORT, one is no port, or two are the same.
    """
    for key, port in ports.items():
        if not 0 <= port < PORT_LIMIT:
            text = f"{key} = {port}: must be 1 to {PORT_LIMIT - 1}, or 0: the kernel chooses"
            raise ConfigError("PORT", text)
    chosen = [port for port in ports.values() if port]
    for key, port in reversed(ports.items()):
        if port and chosen.count(port) > 1:
            text = f"{key} = {port}: {' and '.join(ports)} must differ"
            raise ConfigError("PORT", text)


def to_try(fixed: int, kept: int) -> Iterable[int]:
    """The ports to try: the one that is set, else the one had before, else any."""
    return (fixed,) if fixed else dict.fromkeys((kept, 0))


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
