"""Memory that a board and a process of its host share: memfds that nobody can resize."""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import Final

from eais.errors import make_error

_SIZE_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_ALL_SEALS: Final = _SIZE_SEALS | fcntl.F_SEAL_WRITE


class SharedMemory:
    """The host's side of a DMA buffer, mapped; OSError when it can't be.

    Attributes:
        fd: for the worker; close it once it was handed over.
    """

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, size)
        self._view = memoryview(self._map)

    @classmethod
    def make(cls, size: int) -> SharedMemory:
        """New memory, zeros; the board's side."""
        fd = os.memfd_create("eais-dma", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, size)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SIZE_SEALS)
            return cls(fd, size)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def take(cls, fd: int, size: int) -> SharedMemory:
        """Map what the board made; the worker's side, which owns `fd` from then on.

        Raises:
            DeviceLost: DEVICE_LOST if it isn't such memory.
        """
        if not _is_sealed(fd, _SIZE_SEALS) or os.fstat(fd).st_size != size:
            os.close(fd)
            raise make_error("DEVICE_LOST", "the board gave no buffer of that size")
        made = cls(fd, size)
        made.close_fd()
        return made

    @property
    def view(self) -> memoryview:
        """All of it."""
        return self._view

    def close_fd(self) -> None:
        """The mapping is enough from now on."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def close(self) -> None:
        """Let go of it."""
        self.close_fd()
        self._view.release()
        self._map.close()


def image_memfd(data: bytes) -> int:
    """A descriptor that has `data` in it, which nobody can change any more."""
    fd = os.memfd_create("eais-image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(data)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _ALL_SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_memfd(fd: int, most: int) -> bytes:
    """What is in a descriptor that came as `image_memfd` makes it.

    Raises:
        UsageError: IMAGE_INVALID if it could still change, or is larger than `most` bytes.
    """
    if not _is_sealed(fd, _ALL_SEALS) or os.fstat(fd).st_size > most:
        raise make_error("IMAGE_INVALID", "an image comes in a sealed memfd of its size")
    return os.pread(fd, most, 0)


def _is_sealed(fd: int, seals: int) -> bool:
    try:
        return fcntl.fcntl(fd, fcntl.F_GET_SEALS) & seals == seals
    except OSError:
        return False
