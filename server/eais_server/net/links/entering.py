"""Doing something in another network namespace: in a thread of its own, which ends with it."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from eais.errors import ConfigError, EaisError

#: The process's own, whichever one a thread of it has entered.
OWN: Final = Path("/proc/self/ns/net")

#: linux/sched.h
_CLONE_NEWNET: Final = 0x40000000
_HERE: Final = Path("/proc/thread-self/ns/net")
_libc = ctypes.CDLL(None, use_errno=True)
_T = TypeVar("_T")


def in_namespace(namespace: Path, call: Callable[[], _T]) -> _T:
    """What `call` returns or raises in the network namespace that the file `namespace` is of.

    Its sockets and the processes that it starts stay there. Where the caller is there already,
    it is called as it is, and needs no privilege.

    Raises:
        ConfigError: NETDEV, the namespace is gone, is none, or can't be entered.
    """
    try:
        fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(namespace, error.errno or 0) from None
    try:
        if os.path.samestat(os.fstat(fd), _HERE.stat()):
            return call()
        with ThreadPoolExecutor(1, "netns") as thread:
            return _submitted(thread, fd, namespace, call).result()
    finally:
        os.close(fd)


def _submitted(thread: Executor, fd: int, namespace: Path, call: Callable[[], _T]) -> Future[_T]:
    try:
        return thread.submit(_entered, fd, namespace, call)
    except RuntimeError:  # "can't start new thread"
        raise _refused(namespace, errno.EAGAIN) from None


def _entered(fd: int, namespace: Path, call: Callable[[], _T]) -> _T:
    if _libc.setns(fd, _CLONE_NEWNET):
        raise _refused(namespace, ctypes.get_errno())
    return call()


def _refused(namespace: Path, number: int) -> EaisError:
    hints = {
        errno.EPERM: "entering one needs CAP_SYS_ADMIN",
        errno.ENOENT: "it is gone: name one that is there",
        errno.EMFILE: "the agent has too many files open: LimitNOFILE of its unit",
        errno.EAGAIN: "there can be no more threads now: TasksMax of its unit, `ulimit -u`",
        errno.EINVAL: "name a file of one: /proc/PID/ns/net, or in /run/netns",
    }
    text = f"the network namespace {namespace} can't be entered: {os.strerror(number)}"
    return ConfigError("NETDEV", text, hint=hints.get(number, ""))
