"""What wakes an end that sleeps: an eventfd that both ends hold."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from eais.transport.ring.layout import RingBroken

_KIND: Final = "anon_inode:[eventfd]"


def make_bell() -> int:
    """The descriptor of a new bell.

    Raises:
        OSError: there is none left, or this kernel can't read one without waiting (before 5.8).
    """
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        Bell(fd).clear()
    except BaseException:
        os.close(fd)
        raise
    return fd


class Bell:
    """One of the two bells of a ring; takes the descriptor as its own.

    Both ends share the open file, and so whether it waits: none of them relies on it to clear it.
    To ring it without waiting, whatever the other end does, there is no way: one that fills the
    bell, and changes it between the look at it and the write, has this end wait for as long as it
    likes. See docs/adr/0021-the-ring.md.
    """

    __slots__ = ("_buffer", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._buffer = [bytearray(8)]

    def ring(self) -> None:
        """Wake the other end.

        Raises:
            RingBroken: it has made the bell wait for it.
        """
        if not fcntl.fcntl(self.fd, fcntl.F_GETFL) & os.O_NONBLOCK:
            raise RingBroken("the other end has changed the bell")
        try:
            os.eventfd_write(self.fd, 1)
        except BlockingIOError:
            return  # it has been rung for ages

    def clear(self) -> None:
        """Forget that it was rung; doesn't wait, whatever the other end did."""
        try:
            os.preadv(self.fd, self._buffer, -1, os.RWF_NOWAIT)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Let go of the descriptor."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def require_bell(fd: int) -> None:
    """Raise `RingBroken` unless `fd`, which came from elsewhere, is an eventfd."""
    try:
        kind = str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError as error:
        text = f"what was handed over can't be looked at: {errno.errorcode.get(error.errno or 0)}"
        raise RingBroken(text) from None
    if kind != _KIND:
        raise RingBroken("a ring's bell must be an eventfd")
