"""What supervised programs say of themselves: the far end of `eais.notify`."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

NAME: Final = "notify"
_MOST_BYTES: Final = 4096
_CREDENTIALS: Final = struct.Struct("iII")
# Asked for at a time, so that one program that says much can't keep the others from being seen.
_AT_ONCE: Final = 64


class Notices:
    """A datagram socket in a directory of the user's own.

    Attributes:
        address: for `NOTIFY_SOCKET`. It goes by this process's descriptor of the directory, since
            the directory's own path may be longer than a socket's may be (107 bytes).

    Raises:
        OSError: it can't be made.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.address = f"/proc/{os.getpid()}/fd/{self._directory}/{NAME}"
        Path(self.address).unlink(missing_ok=True)
        self._socket = self._bound()

    def _bound(self) -> socket.socket:
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        made = socket.socket(socket.AF_UNIX, kind)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            made.bind(self.address)
        except OSError:
            made.close()
            raise
        return made

    @property
    def lost(self) -> bool:
        """Whether somebody took the socket's name away, so that nobody can be heard."""
        return not Path(self.address).exists()

    def bind_again(self) -> None:
        """Put a new socket in the place of one that is `lost`. OSError when that can't be."""
        made = self._bound()
        self._socket.close()
        self._socket = made

    def fileno(self) -> int:
        """The socket, readable when somebody spoke."""
        return self._socket.fileno()

    def heard(self) -> Iterator[tuple[int, frozenset[str]]]:
        """What was said meanwhile: who said it, by pid as the kernel saw it, and its lines."""
        space = socket.CMSG_SPACE(_CREDENTIALS.size)
        for _ in range(_AT_ONCE):
            try:
                data, extra, _flags, _sender = self._socket.recvmsg(_MOST_BYTES, space)
            except BlockingIOError:
                return
            lines = frozenset(data.decode(errors="replace").split("\n"))
            for level, kind, value in extra:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    yield _CREDENTIALS.unpack(value)[0], lines

    def close(self) -> None:
        """Take the socket away."""
        Path(self.address).unlink(missing_ok=True)
        self._socket.close()
        os.close(self._directory)
