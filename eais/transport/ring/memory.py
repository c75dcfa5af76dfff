"""The memory of a ring: a memfd that nobody can cut short, extend or unseal."""

from __future__ import annotations

import fcntl
import mmap
import os
import platform
from typing import Final

from eais.transport.ring.layout import HEADER_BYTES, MOST_AREA_BYTES, RingBroken, area_of

AREA_BYTES: Final = 4 << 20
"""Of each direction: a few large pieces, so that one is written while another is read."""

KEEPS_ORDER: Final = platform.machine() in ("x86_64", "AMD64")
"""Whether this processor shows others its stores in their order; see `layout`."""

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
# F_SEAL_EXEC, which a host may put on all memfds.
_NO_EXEC: Final = 0x20


def make_memory(area: int = AREA_BYTES) -> int:
    """A new memory, sealed; its descriptor. OSError when there is none left."""
    fd = os.memfd_create("eais-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, HEADER_BYTES + area)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def map_memory(fd: int) -> mmap.mmap:
    """The memory behind a descriptor, whoever made it.

    Raises:
        RingBroken: it isn't sealed, so that looking at it might kill this process, or no ring
            has its size.
        OSError: it can't be mapped.
    """
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        raise RingBroken("a ring's memory must be a memfd") from None
    if seals & _SEALS != _SEALS or seals & ~(_SEALS | _NO_EXEC):
        raise RingBroken("a ring's memory must be sealed against any change of its size")
    size = os.fstat(fd).st_size
    if size > HEADER_BYTES + MOST_AREA_BYTES:
        raise RingBroken(f"no ring has {size} bytes")
    area_of(size)
    return mmap.mmap(fd, size)
