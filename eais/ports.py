"""Ports of the settings: what may be said, and which are tried."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from eais.errors import ConfigError

PORT_LIMIT: Final = 1 << 16
ENROLMENT_PORT: Final = 7443
"""Where machines join a pool, unless another port is set."""


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
