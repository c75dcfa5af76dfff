"""The seccomp filter of level 2: what Landlock doesn't cover, and what a worker never needs.

The filter is a list of what is refused, set before the runtime is loaded, so that any build of
it may make the calls that it needs. Arguments are compared on the 32 bits that the kernel
reads, since it ignores what a caller puts in the upper half of an `int`.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from typing import Final

from seccompy import Action, ArgCmp, CmpOp, Filter, arch, bpf

LAST_REVIEWED_SYSCALL: Final = 471
"""Numbers above it don't exist for a worker: they were not weighed when this was written.

So are x86-64's x32 calls (0x40000000 and up), which pass for the native architecture and would
be a second `connect`. Numbers from 424 on are the same on every architecture.
"""

_MSG_FASTOPEN: Final = 0x20000000
_IPPROTO_ANY_OR_TCP: Final = (0, socket.IPPROTO_TCP)
_SOCK_FLAGS: Final = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_CLONE_THREAD: Final = 0x00010000
# NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_CLONE_NAMESPACES: Final = 0x7E020000
# TIOCSTI and TIOCLINUX type into a terminal; FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR and
# FS_IOC_ENABLE_VERITY change a file that was only opened to be read.
_REFUSED_IOCTLS: Final = (0x5412, 0x541C, 0x40086602, 0x401C5820, 0x40806685)
_PRCTL_UNDO: Final = (1, 4, 0x59616D61)  # PDEATHSIG, DUMPABLE, PTRACER

REFUSED: Final[Mapping[str, tuple[str, ...]]] = {
    "reach the network or another process's socket": ("connect",),
    "do any of this by another door": ("io_uring_setup", "io_uring_enter", "io_uring_register"),
    "start a program or a process": ("execve", "execveat", "fork", "vfork"),
    "look into another process": (
        *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise"),
        *("process_mrelease", "pidfd_getfd", "pidfd_send_signal", "kcmp"),
    ),
    "slow another process down (the uid is shared below level 4)": (
        *("setpriority", "ioprio_set", "sched_setscheduler", "sched_setparam", "sched_setattr"),
        *("migrate_pages", "move_pages"),
    ),
    "change a file's attributes, which Landlock lets anyone do": (
        *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
        *("utime", "utimes", "futimesat", "utimensat", "file_setattr"),
        *("setxattr", "lsetxattr", "fsetxattr", "setxattrat"),
        *("removexattr", "lremovexattr", "fremovexattr", "removexattrat"),
    ),
    "watch files, or open them without their path": (
        *("inotify_init", "inotify_init1", "inotify_add_watch", "fanotify_init", "fanotify_mark"),
        *("name_to_handle_at", "open_by_handle_at"),
    ),
    "meet another process of the uid": (
        *("shmget", "shmat", "shmctl", "msgget", "msgsnd", "msgrcv", "msgctl"),
        *("semget", "semop", "semtimedop", "semctl", "mq_open", "mq_unlink"),
        *("add_key", "request_key", "keyctl"),
    ),
    "change the mounts or namespaces": (
        *("mount", "umount2", "pivot_root", "chroot", "unshare", "setns"),
        *("open_tree", "open_tree_attr", "move_mount", "mount_setattr"),
        *("fsopen", "fsconfig", "fsmount", "fspick"),
    ),
    "use the parts of the kernel that break most often": (
        *("bpf", "userfaultfd", "perf_event_open", "personality"),
        *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module"),
    ),
}

X86_64_ONLY: Final = frozenset(
    ("fork", "vfork", "chmod", "chown", "lchown", "utime", "utimes", "futimesat", "inotify_init")
)
"""Refused names that newer architectures never had."""


class WorkerFilter(Filter):
    """A seccompy filter that also refuses every call number it doesn't know.

    seccompy compares the architecture and then single numbers: on x86-64 that lets x32 through.
    """

    __slots__ = ()

    @property
    def program(self) -> bytes:
        """The compiled BPF program, packed sock_filter records of 8 bytes."""
        unknown = bpf.Jump(bpf.BPF_JGT, LAST_REVIEWED_SYSCALL, None, "known")
        refuse = bpf.Ret(int(Action.ERRNO) | errno.ENOSYS)
        return bpf.assemble([bpf.Load(0), unknown, refuse], {"known": 3}) + super().program


def worker_filter() -> WorkerFilter:
    """The filter of level 2 for this architecture, not loaded."""
    found = WorkerFilter()
    # First, since sendmsg is the hot path and rules are compared in order.
    _refuse_fast_open(found)
    for name in (name for names in REFUSED.values() for name in names):
        if name not in X86_64_ONLY or arch() == "x86_64":
            found.errno(name, errno.EPERM)
    _allow_only_inet_streams(found)
    _allow_only_threads(found)
    _refuse_control_of_others(found)
    return found


def _low32(index: int, value: int, mask: int = 0xFFFFFFFF) -> ArgCmp:
    return ArgCmp(index, CmpOp.MASKED_EQ, value, mask)


def _allow_only_inet_streams(found: Filter) -> None:
    stream = _low32(1, socket.SOCK_STREAM, 0xFFFFFFFF & ~_SOCK_FLAGS)
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol in _IPPROTO_ANY_OR_TCP:
            found.allow("socket", args=[_low32(0, family), stream, _low32(2, protocol)])
    found.errno("socket", errno.EACCES)
    # An event loop's own pair. Of datagrams, one would send to any path.
    found.allow("socketpair", args=[_low32(0, socket.AF_UNIX), stream])
    found.errno("socketpair", errno.EACCES)


def _refuse_fast_open(found: Filter) -> None:
    # TCP fast open connects without connect(2), and Landlock doesn't see it.
    for name, flags in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
        found.errno(name, errno.EPERM, args=[_low32(flags, _MSG_FASTOPEN, _MSG_FASTOPEN)])


def _allow_only_threads(found: Filter) -> None:
    # clone3's flags lie in memory, where a filter can't look; the C library falls back to clone.
    found.errno("clone3", errno.ENOSYS)
    mask = _CLONE_THREAD | _CLONE_NAMESPACES
    found.allow("clone", args=[_low32(0, _CLONE_THREAD, mask)])
    found.errno("clone", errno.EPERM)


def _refuse_control_of_others(found: Filter) -> None:
    found.allow("prlimit64", args=[_low32(0, 0)])
    found.errno("prlimit64", errno.EPERM)
    for request in _REFUSED_IOCTLS:
        found.errno("ioctl", errno.EPERM, args=[_low32(1, request)])
    for option in _PRCTL_UNDO:
        found.errno("prctl", errno.EPERM, args=[_low32(0, option)])
