"""What the kernel lets this process and its descendants gain: nothing more."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522
_CAP_DAC_READ_SEARCH: Final = 1 << 2


class ParentGone(Exception):
    """The process that started this one is dead: there is nobody to work for."""


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_libc = ctypes.CDLL(None, use_errno=True)


def forbid_new_privileges() -> None:
    """No exec of a set-uid or file-capability program gains anything from here on."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def forbid_dumps() -> None:
    """No core dump, and no other process of this uid may attach to or read this one."""
    _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent(parent_pid: int) -> None:
    """Be killed when the thread that started this process ends.

    Raises:
        ParentGone: `parent_pid` isn't the parent (any more).
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # A parent that died before the line above sends no signal; then this process was adopted.
    if os.getppid() != parent_pid:
        raise ParentGone(f"parent {parent_pid} is gone")


def drop_capabilities() -> None:
    """Give up every capability but CAP_DAC_READ_SEARCH, which is kept only if held.

    Under root it is needed to import libraries from another user's home; what can be read is
    for Landlock to say. Without the others a root worker can't raise its own limits again.
    """
    header = _CapHeader(_CAPABILITY_VERSION_3, 0)
    data = (_CapData * 2)()
    _check(_libc.capget(ctypes.byref(header), data))
    kept = data[0].permitted & _CAP_DAC_READ_SEARCH
    data[0] = _CapData(kept, kept, 0)
    data[1] = _CapData(0, 0, 0)
    _check(_libc.capset(ctypes.byref(header), data))


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero))


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
