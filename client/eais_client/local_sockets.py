"""Where this host's TCP connections go, in the network namespace of this process."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

TABLES: Final = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
"""Those of IPv4 sockets, and of IPv6 ones, which gRPC takes for IPv4 as well (proc_net_tcp.txt)."""

# TCP_ESTABLISHED and TCP_SYN_SENT (include/net/tcp_states.h).
_LIVE: Final = frozenset({"01", "02"})
# Of an IPv4 address in an IPv6 one (RFC 4291, section 2.5.5.2), as the kernel prints it by words.
_MAPPED: Final = "".join(f"{word:08X}" for word in struct.unpack("=3I", bytes(10) + b"\xff\xff"))
_IPV4_DIGITS: Final = 8


def peers(tables: Iterable[Path] = TABLES) -> frozenset[str]:
    """The IPv4 addresses to which connections are open, or are being opened.

    None where the kernel has no such tables, as there are no vNICs, either.
    """
    found: set[str] = set()
    for table in tables:
        with suppress(FileNotFoundError):
            found.update(_peers(table.read_text("ascii").splitlines()[1:]))
    return frozenset(found)


def _peers(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        _, _, remote, state, *_ = line.split()
        digits = remote.partition(":")[0].removeprefix(_MAPPED)
        if state in _LIVE and len(digits) == _IPV4_DIGITS:
            yield socket.inet_ntoa(struct.pack("=I", int(digits, 16)))
