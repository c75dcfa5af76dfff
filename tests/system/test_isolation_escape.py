"""Escape attempts, made in real child processes, from the oldest thread and from a later one."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from eais_server.isolation import probe_level
from eais_server.process import ExecSpawner, Exit

PROBES = Path(__file__).with_name("isolation_probes.py")
REFUSALS = {"EACCES", "EPERM"}

# What a host, or the container around the tests, may refuse to anybody.
HOST_MAY_REFUSE = {
    "read /etc/shadow",
    "open parent's mem",
    "trace the parent",
    "trace a sibling",
    "read the parent's memory",
    "limit the parent",
    "connect by TCP v6",
    "connect by MPTCP",
    "TCP fast open by sendto",
    "TCP fast open by sendmsg",
    "set up io_uring",
}

needs_level_2 = pytest.mark.skipif(
    probe_level().level < 2, reason=f"this host is level 1: {probe_level().reason}"
)


@dataclass(frozen=True, slots=True)
class Outside:
    """The world that a worker must not reach: files, sockets and a sibling process."""

    root: Path
    sibling: subprocess.Popen[bytes]
    listeners: dict[str, socket.socket]

    def told(self, confined: bool) -> str:
        ports = {name: self.listeners[name].getsockname()[1] for name in ("tcp4", "tcp6", "udp")}
        given: dict[str, Any] = {
            "confined": confined,
            "sibling": self.sibling.pid,
            "root": str(self.root),
            "key": str(self.root / "ca.key"),
            "other": str(self.root / "workers" / "2" / "model"),
            "unix_stream": str(self.root / "stream.sock"),
            "unix_datagram": str(self.root / "datagram.sock"),
            "abstract": f"eais-test-{os.getpid()}",
        }
        return json.dumps(given | ports)

    def spawner(self, confined: bool) -> ExecSpawner:
        """The one that starts workers, but for the program that it runs."""
        return ExecSpawner(
            self.root / "workers",
            level=2 if confined else 1,
            secret_root=self.root,
            environ=os.environ,
            program=(sys.executable, "-I", str(PROBES), self.told(confined)),
        )

    def nobody_came(self) -> bool:
        return not any(heard(listener) for listener in self.listeners.values())


def heard(listener: socket.socket) -> bool:
    try:
        if listener.type == socket.SOCK_DGRAM:
            listener.recv(1)
        else:
            listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def listening(stack: ExitStack, family: int, kind: int, address: Any) -> socket.socket:
    sock = stack.enter_context(socket.socket(family, kind))
    sock.bind(address)
    if kind == socket.SOCK_STREAM:
        sock.listen(64)
    sock.setblocking(False)
    return sock


def listen_everywhere(stack: ExitStack, root: Path) -> dict[str, socket.socket]:
    stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
    v6 = (socket.AF_INET6, "::1") if has_ipv6() else (socket.AF_INET, "127.0.0.1")
    wanted: dict[str, tuple[int, int, Any]] = {
        "tcp4": (socket.AF_INET, stream, ("127.0.0.1", 0)),
        "tcp6": (v6[0], stream, (v6[1], 0)),
        "udp": (socket.AF_INET, datagram, ("127.0.0.1", 0)),
        "unix": (socket.AF_UNIX, stream, str(root / "stream.sock")),
        "unix datagram": (socket.AF_UNIX, datagram, str(root / "datagram.sock")),
        "abstract": (socket.AF_UNIX, stream, f"\0eais-test-{os.getpid()}"),
    }
    return {name: listening(stack, *where) for name, where in wanted.items()}


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def furnish(root: Path) -> None:
    """A pool's state folder with a key, and another worker's model."""
    (root / "ca.key").write_text("secret")
    other = root / "workers" / "2"
    for folder in (other.parent, other):
        folder.mkdir(mode=0o700)
    (other / "model").write_text("not yours")


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    with ExitStack() as stack:
        furnish(tmp_path)
        sibling = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        )
        stack.callback(sibling.kill)
        yield Outside(tmp_path, sibling, listen_everywhere(stack, tmp_path))


def escape_attempts(outside: Outside, *, confined: bool) -> list[dict[str, str]]:
    """What the oldest and a later thread of a process could do that was started as workers are."""
    return asyncio.run(_attempts(outside, confined))


async def _attempts(outside: Outside, confined: bool) -> list[dict[str, str]]:
    exited = asyncio.get_running_loop().create_future()
    process = outside.spawner(confined).spawn(1, exited.set_result)
    reader, writer = await asyncio.open_unix_connection(sock=process.control)
    assert await reader.readline() == (b"2\n" if confined else b"0\n")
    (process.directory / "model").write_text("mine")
    (process.directory / "symlink").symlink_to("../../ca.key")
    writer.write(b"go\n")
    found = [json.loads(await reader.readline()) for _ in range(2)]
    assert await exited == Exit(0)
    writer.close()
    return found


@needs_level_2
def test_nothing_gets_out_of_level_2(outside: Outside) -> None:
    oldest, later = escape_attempts(outside, confined=True)
    assert {name: how for name, how in oldest.items() if how not in REFUSALS} == {}
    assert {name: how for name, how in later.items() if how not in REFUSALS} == {}
    assert outside.nobody_came()
    assert outside.sibling.poll() is None


def test_the_same_attempts_succeed_unconfined(outside: Outside) -> None:
    oldest, later = escape_attempts(outside, confined=False)
    for found in (oldest, later):
        refused = {name: how for name, how in found.items() if how != "done"}
        assert refused.keys() <= HOST_MAY_REFUSE, refused
    assert not outside.nobody_came()
