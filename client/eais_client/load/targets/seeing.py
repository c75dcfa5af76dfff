"""Which processes of this machine are a target's own, for its CPU and memory.

Asked once a second by the process that makes no load: looking through /proc takes a moment.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from eais.errors import UsageError
from eais_client.load.target import ServerSide, TargetKind, TargetSpec

PROC: Final = Path("/proc")
_LISTENS: Final = "0A"
"""A socket's state in /proc/net/tcp (proc_pid_net(5)), TCP_LISTEN."""


def server_side(spec: TargetSpec, proc: Path = PROC) -> ServerSide:
    """What can be seen of `spec`'s processes from here; they may change.

    Raises `UsageError` ARGUMENT if the setting `pids` isn't numbers.
    """
    if told := spec.settings.get("pids"):
        return _told(told, proc)
    match spec.kind:
        case TargetKind.INSTANCE:
            found = titled(f"eais-worker {spec.place}", proc)
            return ServerSide(found, "" if found else "no worker of it is this user's here")
        case TargetKind.ONNXRUNTIME:
            return ServerSide(why_not="it runs in the processes that make the load")
        case TargetKind.SERVER:
            return _listening(spec.place, proc)
        case TargetKind.PYTHON:
            return ServerSide(why_not="say which by --set pids=PID,...")


def titled(title: str, proc: Path = PROC) -> tuple[int, ...]:
    """This user's processes whose command line begins with `title`."""
    wanted = title.encode()
    return tuple(int(path.name) for path in _own(proc) if _says(path, wanted))


def _told(text: str, proc: Path) -> ServerSide:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise UsageError("ARGUMENT", f"pids={text}: not numbers of processes such as 17,18")
    there = tuple(int(part) for part in parts if (proc / part).exists())
    return ServerSide(there, "" if there else f"no process {text} runs")


def _own(proc: Path) -> Iterator[Path]:
    """This user's processes."""
    for entry in os.scandir(proc):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                yield Path(entry.path)
        except OSError:  # it has ended
            continue


def _says(process: Path, title: bytes) -> bool:
    try:
        line = (process / "cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return False
    return line.startswith(title) and line[len(title) :][:1] in (b"", b" ")


def _listening(place: str, proc: Path) -> ServerSide:
    """Who listens on a port of this machine."""
    found = urlsplit(place)
    if not _is_here(found.hostname or ""):
        return ServerSide(why_not=f"{found.hostname} is another machine")
    inodes = _inodes(found.port or 0, proc)
    pids = tuple(int(path.name) for path in _own(proc) if _holds(path, inodes))
    return ServerSide(
        pids, "" if pids else "nobody listens on its port, or it isn't this user's process"
    )


def _is_here(host: str) -> bool:
    """Whether one of its addresses is this machine's: only those can be bound."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    return any(_is_own(family, address) for family, _, _, _, address in found)


def _is_own(family: int, address: object) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(address)  # type: ignore[arg-type]  # getaddrinfo's own, of this family
    except OSError:
        return False
    return True


def _inodes(port: int, proc: Path) -> set[str]:
    """Of the sockets that listen on a port."""
    found = set[str]()
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def _holds(process: Path, sockets: set[str]) -> bool:
    try:
        return any(_link(each) in sockets for each in (process / "fd").iterdir())
    except OSError:  # it has ended, or isn't to be looked at
        return False


def _link(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # it was closed meanwhile
        return ""
