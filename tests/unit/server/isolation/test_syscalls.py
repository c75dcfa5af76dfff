from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence

import pytest
from seccompy import Action, arch, audit_arch, syscall_nr
from seccompy.syscalls import AARCH64_SYSCALLS, X86_64_SYSCALLS

from eais_server.isolation.syscalls import (
    LAST_REVIEWED_SYSCALL,
    REFUSED,
    X86_64_ONLY,
    worker_filter,
)

ALLOW = int(Action.ALLOW)
NATIVE = audit_arch()
X32 = 0x40000000
CLONE_THREAD_AS_GLIBC = 0x3D0F00
STREAM = socket.SOCK_STREAM


def verdict(name: str | int, *args: int, audit: int = NATIVE) -> str:
    """What the filter answers: "allow", "kill", or the name of an errno."""
    number = syscall_nr(name)
    data = struct.pack("<IIQ6Q", number, audit, 0, *args, *[0] * (6 - len(args)))
    answer = interpret(worker_filter().program, data)
    if answer & 0xFFFF0000 == int(Action.ERRNO):
        return errno.errorcode[answer & 0xFFFF]
    return {ALLOW: "allow", int(Action.KILL_PROCESS): "kill"}[answer]


def interpret(program: bytes, data: bytes) -> int:
    """Run a classic BPF program, as linux/filter.h defines it."""
    rows = list(struct.iter_unpack("<HBBI", program))
    at, accumulator = 0, 0
    while True:
        code, if_true, if_false, k = rows[at]
        at += 1
        if code == 0x06:
            return int(k)
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, k)[0]
        elif code == 0x54:
            accumulator &= k
        elif code == 0x05:
            at += k
        else:
            at += if_true if holds(code, accumulator, k) else if_false


def holds(code: int, a: int, k: int) -> bool:
    return {0x15: a == k, 0x25: a > k, 0x35: a >= k, 0x45: bool(a & k)}[code]


def names() -> Sequence[str]:
    everywhere = [name for group in REFUSED.values() for name in group]
    return [name for name in everywhere if arch() == "x86_64" or name not in X86_64_ONLY]


@pytest.mark.parametrize("name", names())
def test_refused_whatever_the_arguments(name: str) -> None:
    assert verdict(name) == "EPERM"
    assert verdict(name, *[0xFFFFFFFFFFFFFFFF] * 6) == "EPERM"


@pytest.mark.parametrize(
    "name", ["read", "write", "openat", "mmap", "futex", "accept4", "bind", "listen", "exit_group"]
)
def test_a_worker_still_works(name: str) -> None:
    assert verdict(name) == "allow"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("flags", [0, socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC])
@pytest.mark.parametrize("protocol", [0, socket.IPPROTO_TCP])
def test_tcp_sockets_are_allowed(family: int, flags: int, protocol: int) -> None:
    assert verdict("socket", family, STREAM | flags, protocol) == "allow"


@pytest.mark.parametrize(
    ("family", "kind", "protocol"),
    [
        (socket.AF_UNIX, STREAM, 0),
        (socket.AF_INET, socket.SOCK_DGRAM, 0),
        (socket.AF_INET, socket.SOCK_RAW, 0),
        (socket.AF_INET, STREAM, 262),  # MPTCP
        (socket.AF_INET, STREAM, 132),  # SCTP
        (socket.AF_NETLINK, socket.SOCK_RAW, 0),
        (40, STREAM, 0),  # vsock
        (43, STREAM, 0),  # SMC
    ],
)
def test_other_sockets_are_refused(family: int, kind: int, protocol: int) -> None:
    assert verdict("socket", family, kind, protocol) == "EACCES"


def test_the_upper_half_of_an_argument_changes_nothing() -> None:
    high = 1 << 32
    assert verdict("socket", socket.AF_INET | high, socket.SOCK_DGRAM | high, high) == "EACCES"
    assert verdict("sendto", 0, 0, 0, 0x20000000 | high) == "EPERM"
    assert verdict("prctl", 4 | high, 1) == "EPERM"
    assert verdict("ioctl", 2, 0x5412 | high) == "EPERM"


def test_a_pair_is_of_streams() -> None:
    assert verdict("socketpair", socket.AF_UNIX, STREAM | socket.SOCK_CLOEXEC) == "allow"
    assert verdict("socketpair", socket.AF_UNIX, socket.SOCK_DGRAM) == "EACCES"


@pytest.mark.parametrize(("name", "flags_at"), [("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)])
def test_tcp_fast_open_is_refused_and_plain_sending_is_not(name: str, flags_at: int) -> None:
    plain = [0] * flags_at + [int(socket.MSG_NOSIGNAL)]
    fast_open = [0] * flags_at + [int(socket.MSG_NOSIGNAL) | 0x20000000]
    assert verdict(name, *plain) == "allow"
    assert verdict(name, *fast_open) == "EPERM"


def test_threads_start_and_processes_do_not() -> None:
    assert verdict("clone", CLONE_THREAD_AS_GLIBC) == "allow"
    assert verdict("clone", 17) == "EPERM"  # SIGCHLD alone: fork
    assert verdict("clone", 0x4111) == "EPERM"  # CLONE_VM and CLONE_VFORK: posix_spawn
    assert verdict("clone3") == "ENOSYS"


@pytest.mark.parametrize("bit", [17, *range(25, 31)])
def test_a_thread_gets_no_namespace(bit: int) -> None:
    assert verdict("clone", CLONE_THREAD_AS_GLIBC | 1 << bit) == "EPERM"


def test_limits_of_other_processes_stay() -> None:
    assert verdict("prlimit64", 0) == "allow"
    assert verdict("prlimit64", 4711) == "EPERM"


@pytest.mark.parametrize("request_", [0x5412, 0x541C, 0x40086602, 0x401C5820, 0x40806685])
def test_no_terminal_is_typed_into_and_no_file_altered(request_: int) -> None:
    assert verdict("ioctl", 2, request_) == "EPERM"
    assert verdict("ioctl", 2, 0x5421) == "allow"  # FIONBIO


def test_confinement_can_not_be_undone_by_prctl() -> None:
    assert [verdict("prctl", option) for option in (1, 4, 0x59616D61)] == ["EPERM"] * 3
    assert verdict("prctl", 15) == "allow"  # PR_SET_NAME


@pytest.mark.skipif(arch() != "x86_64", reason="x32 is a second ABI of x86-64")
@pytest.mark.parametrize("name", ["connect", "socket", "getpid", "execve"])
def test_x32_calls_do_not_exist(name: str) -> None:
    assert verdict(syscall_nr(name) | X32) == "ENOSYS"


@pytest.mark.parametrize("number", [LAST_REVIEWED_SYSCALL + 1, 512, 547, 0x3FFFFFFF, 0xFFFFFFFF])
def test_unknown_calls_do_not_exist(number: int) -> None:
    assert verdict(number) == "ENOSYS"


@pytest.mark.parametrize("audit", [0x40000003, 0x40000028, 0])
def test_a_foreign_abi_ends_the_process(audit: int) -> None:
    assert verdict("getpid", audit=audit) == "kill"


def test_only_legacy_names_are_missing_on_the_other_architecture() -> None:
    refused = {name for group in REFUSED.values() for name in group}
    assert refused - X86_64_SYSCALLS.keys() == set()
    assert refused - AARCH64_SYSCALLS.keys() == X86_64_ONLY
