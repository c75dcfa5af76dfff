"""Messages on a board's sockets: unix SOCK_SEQPACKET, one message a packet, maybe a descriptor."""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

from google.protobuf.message import Message

MAX_MESSAGE_BYTES: Final = 64 << 10

_FD: Final = struct.Struct("i")
_MOST_FDS: Final = 4


class PacketBroken(Exception):
    """The far side sent what is no packet of this protocol."""


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets; OSError if there are none left."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, message: Message, fd: int | None = None) -> None:
    """Send a message.

    Raises:
        OSError: the far side is gone, or (of a non-blocking socket) doesn't read.
        ValueError: above `MAX_MESSAGE_BYTES`; nothing was sent.
    """
    data = message.SerializeToString()
    if len(data) > MAX_MESSAGE_BYTES:
        raise ValueError(f"a message of {len(data)} bytes, the limit is {MAX_MESSAGE_BYTES}")
    socket.send_fds(sock, [data], [] if fd is None else [fd])


def receive(sock: socket.socket) -> tuple[bytes, int | None]:
    """The next packet, and the descriptor that came with it; b"" when the far side is closed.

    Raises:
        PacketBroken: too long, or more descriptors than one; none is left open.
        OSError: nothing came in time.
    """
    room = socket.CMSG_SPACE(_MOST_FDS * _FD.size)
    data, ancillary, flags, _ = sock.recvmsg(MAX_MESSAGE_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    fds = []
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            whole = content[: len(content) - len(content) % _FD.size]
            fds += [fd for (fd,) in _FD.iter_unpack(whole)]
    if len(fds) > 1 or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        for fd in fds:
            os.close(fd)
        raise PacketBroken("a packet that is too long, or has several descriptors")
    return data, fds[0] if fds else None
