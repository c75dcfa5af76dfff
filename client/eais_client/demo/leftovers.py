"""What a pool left behind: processes that still run, files that are still there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eais_client.cli.processes import PROC, PidfdProcess, Process


def family(pid: int) -> list[Process]:
    """The process `pid` and all that descend from it now, held by pidfd."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    return list(_held(pid, children))


def still_running(processes: list[Process]) -> int:
    """How many of them have not ended."""
    return sum(not process.wait(0) for process in processes)


def files_under(folder: Path) -> int:
    """How many files and folders are at `folder`, itself included; 0 if it is gone."""
    return 1 + sum(1 for _ in folder.rglob("*")) if folder.exists() else 0


def _held(pid: int, children: dict[int, list[int]]) -> Iterator[Process]:
    try:
        yield PidfdProcess(pid)
    except ProcessLookupError:
        return
    for child in children.get(pid, []):
        yield from _held(child, children)


def _parents() -> Iterator[tuple[int, int]]:
    """(pid, parent's pid) of every process that can be seen."""
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text()
            except OSError:
                continue  # it has ended meanwhile
            # The name in parentheses may hold anything; state and parent follow the last ")".
            yield int(folder.name), int(text.rpartition(")")[2].split()[1])
