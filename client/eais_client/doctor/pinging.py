"""Whether pings come back: what tells a way that is cut from a process that keeps silent."""

from __future__ import annotations

import errno
import os
import socket
import struct
from contextlib import suppress
from typing import Final

_TRIES: Final = 3
_ANSWER_S: Final = 0.7
#: The header of ICMP (RFC 792), and IPv4's before it.
_HEADER: Final = struct.Struct("!BBHHH")
_HEADERS: Final = 20 + _HEADER.size
_ECHO, _ECHO_REPLY = 8, 0
#: linux/in.h: what is sent isn't fragmented, whatever is known of the way.
_MTU_DISCOVER: Final = 10
_PROBE: Final = 3


def answered(address: str, size: int) -> bool | None:
    """Whether one of three pings of `size` bytes, IP's header among them, is answered.

    It may take two seconds. None: this user may not ping (net.ipv4.ping_group_range).
    """
    try:
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    except OSError:
        return None
    with line:
        line.settimeout(_ANSWER_S)
        line.setsockopt(socket.IPPROTO_IP, _MTU_DISCOVER, _PROBE)
        try:
            line.connect((address, 0))
            return any(_once(line, size, number) for number in range(1, _TRIES + 1))
        except OSError as error:
            # The firewall's or the route's no: nothing of it left.
            return None if error.errno == errno.EMSGSIZE else False


def _once(line: socket.socket, size: int, number: int) -> bool:
    """Checksum and identifier are the kernel's to fill in (ping_v4_sendmsg, net/ipv4/ping.c)."""
    text = os.urandom(max(size - _HEADERS, 0))
    line.send(_HEADER.pack(_ECHO, 0, 0, 0, number) + text)
    with suppress(TimeoutError):
        while True:
            reply = line.recv(1 << 16)
            kind, _, _, _, of = _HEADER.unpack_from(reply)
            if (kind, of) == (_ECHO_REPLY, number) and reply[_HEADER.size :] == text:
                return True
    return False
