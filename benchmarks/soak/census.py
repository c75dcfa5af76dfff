"""What a pool and its callers hold: memory, descriptors, threads, files; from /proc alone."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.processes import descendants

SHM = Path("/dev/shm")
ROLES = {"eais-manager": "manager", "eais-listener": "listener"}
_STATUS = re.compile(r"^(VmRSS|Threads|State):\s+(\w+)", re.MULTILINE)
_UNIQUE = re.compile(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Use:
    """One process. None: only its owner, or root, may look.

    Attributes:
        rss_kib, uss_kib: memory, and what of it is shared with nobody.
        descriptors: by what they are: "socket", "memfd", "pipe", "anon", "file".
    """

    pid: int
    rss_kib: int
    threads: int
    uss_kib: int | None = None
    descriptors: Counter[str] | None = None


@dataclass(frozen=True, slots=True)
class Census:
    """A moment.

    Attributes:
        roles: the process of each role; of several the first.
        processes: how many there are below the supervisor.
        zombies: dead and not waited for, below the supervisor and of ours.
        shm: files in /dev/shm; temp: files in our own temporary folder.
        files, state_bytes: of the pool's state, without logs and the model store.
        store_bytes, log_bytes: of those.
    """

    roles: dict[str, Use]
    processes: int = 0
    zombies: int = 0
    shm: int = 0
    temp: int = 0
    files: int = 0
    state_bytes: int = 0
    store_bytes: int = 0
    log_bytes: int = 0
    titles: Counter[str] = field(default_factory=Counter)


def take(roles: dict[str, int], supervisor: int, state: Path, temp: Path) -> Census:
    """Count now; `roles` are process ids by role, the pool's own roles are found below."""
    found = list(descendants(supervisor))
    own = list(descendants(os.getpid()))
    pids = {**_by_role([(p.pid, p.title) for p in found]), "supervisor": supervisor, **roles}
    uses = {role: use for role, pid in pids.items() if (use := use_of(pid))}
    counted = _files(state)
    return Census(
        roles=uses,
        processes=len(found),
        zombies=sum(is_zombie(pid) for pid in {p.pid for p in (*found, *own)}),
        shm=len(list(SHM.iterdir())) if SHM.is_dir() else 0,
        temp=sum(1 for _ in _below(temp)),
        files=counted["files"],
        state_bytes=counted["state"],
        store_bytes=counted["store"],
        log_bytes=counted["logs"],
        titles=Counter(p.title.split(" ")[0] for p in found),
    )


def _by_role(processes: list[tuple[int, str]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for pid, title in processes:
        role = ROLES.get(title.partition(" ")[0])
        if role is not None:
            # Parents come first: a child has its parent's title until it is another program.
            found.setdefault(role, pid)
    return found


def use_of(pid: int) -> Use | None:
    """What a process holds; None if it is gone, or a zombie."""
    process = Path(f"/proc/{pid}")
    try:
        status = dict(_STATUS.findall((process / "status").read_text()))
    except OSError:
        return None
    if "VmRSS" not in status:
        return None
    return Use(
        pid=pid,
        rss_kib=int(status["VmRSS"]),
        threads=int(status["Threads"]),
        uss_kib=_unique_kib(process),
        descriptors=descriptors_of(pid),
    )


def is_zombie(pid: int) -> bool:
    """Whether the process has ended and nobody has waited for it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return dict(_STATUS.findall(status)).get("State") == "Z"


def descriptors_of(pid: int) -> Counter[str] | None:
    """Open descriptors by kind; None where they can't be seen."""
    try:
        return Counter(_links(Path(f"/proc/{pid}/fd")))
    except OSError:
        return None


def _links(folder: Path) -> Iterator[str]:
    for link in folder.iterdir():
        try:
            leads = str(link.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
        if leads.startswith("/memfd:"):
            yield "memfd"
        else:
            kind, colon, _ = leads.partition(":")
            yield {"anon_inode": "anon"}.get(kind, kind) if colon and "/" not in kind else "file"


def _unique_kib(process: Path) -> int | None:
    try:
        text = (process / "smaps_rollup").read_text()
    except OSError:
        return None
    return sum(int(kib) for kib in _UNIQUE.findall(text))


def _files(state: Path) -> Counter[str]:
    counted: Counter[str] = Counter()
    store = state / "listener" / "store"
    for path in _below(state):
        try:
            info = path.lstat()
        except FileNotFoundError:
            continue
        if path.suffix == ".log":
            counted["logs"] += info.st_size
        elif path.is_relative_to(store):
            counted["store"] += info.st_size
        else:
            counted["files"] += 1
            counted["state"] += info.st_size
    return counted


def _below(folder: Path) -> Iterator[Path]:
    """All that is in `folder` and below, but for folders that go meanwhile."""
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *files))
