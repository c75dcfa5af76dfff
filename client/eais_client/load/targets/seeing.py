"""Which processes of this machine are a target's own, for its CPU and memory.

Asked once a second by the process that makes no load: looking through /proc takes a moment.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from eais_client.load.target import ServerSide, TargetKind, TargetSpec

PROC: Final = Path("/proc")


def server_side(spec: TargetSpec) -> ServerSide:
    """What can be seen of `spec`'s processes from here; they may change."""
    if told := spec.settings.get("pids"):
        return ServerSide(tuple(int(pid) for pid in told.split(",") if pid.isdecimal()))
    match spec.kind:
        case TargetKind.INSTANCE:
            found = titled(f"eais-worker {spec.place}")
            return ServerSide(
                found, "" if found else "its workers aren't processes of this user here"
            )
        case TargetKind.ONNXRUNTIME:
            return ServerSide(why_not="it runs in the processes that make the load")
        case _:
            return ServerSide(why_not="say which by --set pids=PID,...")


def titled(title: str, proc: Path = PROC) -> tuple[int, ...]:
    """This user's processes whose command line begins with `title`."""
    wanted, found = title.encode(), list[int]()
    for entry in os.scandir(proc):
        if entry.name.isdigit() and _is_ours(entry) and _says(Path(entry.path), wanted):
            found.append(int(entry.name))
    return tuple(found)


def _is_ours(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.stat().st_uid == os.getuid()
    except OSError:  # it has ended
        return False


def _says(process: Path, title: bytes) -> bool:
    try:
        line = (process / "cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return False
    return line.startswith(title) and line[len(title) :][:1] in (b"", b" ")
