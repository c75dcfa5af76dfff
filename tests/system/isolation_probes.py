"""A child process that tries to get out: run by test_isolation_escape.py, never imported.

    python -I isolation_probes.py '{"confined": true, "key": "/...", ...}' FLAGS...

The flags are those that the spawner gives to a worker. Confines itself first, by the worker's
own rule (or not at all, the control), says so on a line of the control socket, waits for a
line, tries every probe on its oldest thread and then on a later one, and answers with two JSON
objects: probe -> "done" or the name of the errno.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eais_server.isolation import confine
from eais_server.worker.arguments import parse_arguments

libc = ctypes.CDLL(None, use_errno=True)
MSG_FASTOPEN = 0x20000000
IPPROTO_MPTCP = 262
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
IO_URING_SETUP = 425
IPC_CREAT, IPC_RMID = 0o1000, 0


@dataclass(frozen=True, slots=True)
class Targets:
    """What is out there, put there by the test."""

    confined: bool
    parent: int
    sibling: int
    root: str
    own: str
    key: str
    other: str
    tcp4: int
    tcp6: int
    udp: int
    unix_stream: str
    unix_datagram: str
    abstract: str


Probe = Callable[[Targets], object]
Address = tuple[Any, ...] | str


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(1)


def write(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"")


def make_and_remove(make: Callable[[str], object], path: str) -> None:
    make(path)
    if os.path.isdir(path):
        os.rmdir(path)
    else:
        os.unlink(path)


def connect(family: int, address: Address, kind: int = socket.SOCK_STREAM, proto: int = 0) -> None:
    with socket.socket(family, kind, proto) as sock:
        sock.connect(address)


def send_to(family: int, kind: int, address: Address, flags: int = 0) -> None:
    with socket.socket(family, kind) as sock:
        sock.sendto(b"x", flags, address)


def send_by_pair(path: str) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        left.sendto(b"x", path)


def fast_open_by_sendmsg(address: Address) -> None:
    with socket.socket() as sock:
        sock.sendmsg([b"x"], [], MSG_FASTOPEN, address)


def call(function: Callable[..., int], *args: object) -> int:
    result = function(*args)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def io_uring() -> None:
    params = (ctypes.c_char * 120)()
    os.close(call(libc.syscall, IO_URING_SETUP, 1, params))


def trace(pid: int) -> None:
    zero = ctypes.c_void_p(0)
    call(libc.ptrace, PTRACE_SEIZE, pid, zero, zero)
    call(libc.ptrace, PTRACE_INTERRUPT, pid, zero, zero)
    os.waitpid(pid, 0x40000000)
    call(libc.ptrace, PTRACE_DETACH, pid, zero, zero)


def read_memory(pid: int) -> None:
    here = ctypes.create_string_buffer(8)
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(here), 8)
    start = int(Path(f"/proc/{pid}/maps").read_text().split("-", 1)[0], 16)
    there = (ctypes.c_size_t * 2)(start, 8)
    call(libc.process_vm_readv, pid, vector, 1, there, 1, 0)


def signal_by_pidfd(pid: int) -> None:
    fd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(fd, signal.SIGURG)
    finally:
        os.close(fd)


def fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def spawn() -> None:
    child = os.posix_spawn("/bin/true", ["true"], {})
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise PermissionError(errno.EACCES, "the program did not start")


def share_memory() -> None:
    segment = call(libc.shmget, 0x65616973, 4096, IPC_CREAT | 0o600)
    call(libc.shmctl, segment, IPC_RMID, None)


def limit_parent(t: Targets) -> None:
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    resource.prlimit(t.parent, resource.RLIMIT_CORE, limits)


def link_key(t: Targets) -> None:
    make_and_remove(lambda path: os.link(t.key, path), f"{t.own}/linked")


def open_from_own_folder(t: Targets) -> None:
    folder = os.open(t.own, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.close(os.open(os.path.relpath(t.key, t.own), os.O_RDONLY, dir_fd=folder))
    finally:
        os.close(folder)


READS: dict[str, Probe] = {
    "read /etc/shadow": lambda t: read("/etc/shadow"),
    "read /etc/passwd": lambda t: read("/etc/passwd"),
    "read the pool's key": lambda t: read(t.key),
    "read the key by a relative path": lambda t: read(os.path.relpath(t.key)),
    "read the key by its folder's descriptor": open_from_own_folder,
    "read the key by a link in the own folder": lambda t: read(f"{t.own}/symlink"),
    "read the key by /proc/self/root": lambda t: read(f"/proc/self/root{t.key}"),
    "read another worker's file": lambda t: read(t.other),
    "list another worker's folder": lambda t: os.listdir(os.path.dirname(t.other)),
    "list the state folder": lambda t: os.listdir(t.root),
    "list /": lambda t: os.listdir("/"),
    "list /proc": lambda t: os.listdir("/proc"),
    "read parent's environ": lambda t: read(f"/proc/{t.parent}/environ"),
    "read parent's cmdline": lambda t: read(f"/proc/{t.parent}/cmdline"),
    "open parent's mem": lambda t: open(f"/proc/{t.parent}/mem", "rb").close(),
    "list parent's fd": lambda t: os.listdir(f"/proc/{t.parent}/fd"),
    "list sibling's fd": lambda t: os.listdir(f"/proc/{t.sibling}/fd"),
}

WRITES: dict[str, Probe] = {
    "write the own file": lambda t: write(f"{t.own}/model"),
    "truncate the own file": lambda t: os.truncate(f"{t.own}/model", 1),
    "make a file in the own folder": lambda t: make_and_remove(write, f"{t.own}/made"),
    "make a folder in the own folder": lambda t: make_and_remove(os.mkdir, f"{t.own}/made"),
    "make a symlink": lambda t: make_and_remove(lambda p: os.symlink("x", p), f"{t.own}/made"),
    "make a fifo": lambda t: make_and_remove(os.mkfifo, f"{t.own}/made"),
    "link the key into the own folder": link_key,
    "rename the own file": lambda t: os.rename(f"{t.own}/model", f"{t.own}/model"),
    "write the pool's key": lambda t: write(t.key),
    "make a file in the state folder": lambda t: make_and_remove(write, f"{t.root}/made"),
    "make a file in /tmp": lambda t: make_and_remove(write, f"/tmp/{os.path.basename(t.root)}"),
    "open the key to everybody": lambda t: os.chmod(t.key, 0o600),
    "change the key's times": lambda t: os.utime(t.key),
    "change the key's owner": lambda t: os.chown(t.key, -1, -1),
}

NETWORK: dict[str, Probe] = {
    "connect by TCP v4": lambda t: connect(socket.AF_INET, ("127.0.0.1", t.tcp4)),
    "connect by TCP v6": lambda t: connect(socket.AF_INET6, ("::1", t.tcp6)),
    "connect by MPTCP": lambda t: connect(
        socket.AF_INET, ("127.0.0.1", t.tcp4), proto=IPPROTO_MPTCP
    ),
    "connect by UDP": lambda t: connect(socket.AF_INET, ("127.0.0.1", t.udp), socket.SOCK_DGRAM),
    "send by UDP": lambda t: send_to(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", t.udp)),
    "TCP fast open by sendto": lambda t: send_to(
        socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", t.tcp4), MSG_FASTOPEN
    ),
    "TCP fast open by sendmsg": lambda t: fast_open_by_sendmsg(("127.0.0.1", t.tcp4)),
    "connect to a unix path": lambda t: connect(socket.AF_UNIX, t.unix_stream),
    "connect to an abstract unix name": lambda t: connect(socket.AF_UNIX, "\0" + t.abstract),
    "send to a unix path": lambda t: send_to(socket.AF_UNIX, socket.SOCK_DGRAM, t.unix_datagram),
    "send to a unix path by a pair": lambda t: send_by_pair(t.unix_datagram),
    "open a netlink socket": lambda t: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "set up io_uring": lambda t: io_uring(),
}

PROCESSES: dict[str, Probe] = {
    "signal the parent": lambda t: os.kill(t.parent, signal.SIGURG),
    "signal the parent by pidfd": lambda t: signal_by_pidfd(t.parent),
    "signal a sibling": lambda t: os.kill(t.sibling, signal.SIGURG),
    "signal a sibling by pidfd": lambda t: signal_by_pidfd(t.sibling),
    "ask whether the parent lives": lambda t: os.kill(t.parent, 0),
    "trace the parent": lambda t: trace(t.parent),
    "trace a sibling": lambda t: trace(t.sibling),
    "read the parent's memory": lambda t: read_memory(t.parent),
    "limit the parent": limit_parent,
    "slow the parent down": lambda t: os.setpriority(os.PRIO_PROCESS, t.parent, 0),
    "fork": lambda t: fork(),
    "run a program": lambda t: spawn(),
    "survive the parent": lambda t: call(libc.prctl, PR_SET_PDEATHSIG, 0),
    "be dumpable": lambda t: call(libc.prctl, PR_SET_DUMPABLE, 1),
    "meet others by shared memory": lambda t: share_memory(),
}

PROBES: dict[str, Probe] = {**READS, **WRITES, **NETWORK, **PROCESSES}


def outcome(probe: Probe, targets: Targets) -> str:
    try:
        probe(targets)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "OSError")
    return "done"


def try_all(targets: Targets) -> dict[str, str]:
    return {name: outcome(probe, targets) for name, probe in PROBES.items()}


def try_all_on_a_later_thread(targets: Targets) -> dict[str, str]:
    found: list[dict[str, str]] = []
    thread = threading.Thread(target=lambda: found.append(try_all(targets)))
    thread.start()
    thread.join()
    return found[0]


def main() -> None:
    given = parse_arguments(sys.argv[2:])
    told = json.loads(sys.argv[1])
    targets = Targets(parent=given.parent_pid, own=str(given.directory), **told)
    level = confine(given.confinement) if targets.confined else 0
    with socket.socket(fileno=given.control_fd).makefile("rw") as control:
        print(level, file=control, flush=True)
        control.readline()
        print(json.dumps(try_all(targets)), file=control, flush=True)
        print(json.dumps(try_all_on_a_later_thread(targets)), file=control, flush=True)


main()
