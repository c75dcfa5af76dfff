"""A child that ends with its parent, whatever way the parent dies."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent_pid: int, sig: signal.Signals) -> bool:
    """Ask the kernel to send `sig` to this process when the parent's thread ends.

    The signal is tied to the thread that started this process, so parents
    spawn from their main thread. Returns False if the parent is gone already
    (checked after the request, so that no death is missed): the caller exits.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(sig), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    return os.getppid() == parent_pid
