"""Memory and descriptors of a pool's listener and workers, seen from outside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.system.stack import eventually

# Allocators keep some of what they had, and the first model of a kind brings its code in.
SLACK_KIB = 24 << 10
BACK_WITHIN_S = 60.0


@dataclass(frozen=True)
class Measure:
    """One process. `descriptors` is None where only its owner may count them."""

    pid: int
    title: str
    private_kib: int
    descriptors: int | None


def children(pid: int) -> Iterator[int]:
    """All processes below `pid`, but of a process or thread that ends meanwhile."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in list(Path(f"/proc/{pid}/task").iterdir()):
            for child in _of_thread(task):
                yield child
                yield from children(child)


def _of_thread(task: Path) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(child) for child in (task / "children").read_text().split()]
    return []


def measured(supervisor: int) -> dict[str, Measure]:
    """The pool's listener and adopted workers, by title."""
    found = {}
    for pid in list(children(supervisor)):
        made = _measure(pid)
        if made and (made.title.startswith(("eais-listener", "eais-worker ei-"))):
            found[made.title] = made
    return found


def _measure(pid: int) -> Measure | None:
    process = Path(f"/proc/{pid}")
    try:
        title = (process / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
        private = re.search(r"RssAnon:\s+(\d+) kB", (process / "status").read_text())
        try:
            descriptors = len(list((process / "fd").iterdir()))
        except PermissionError:  # a worker can't be looked into, but by root
            descriptors = None
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return None
    return Measure(pid, title, int(private[1]), descriptors) if private else None


def check_back(supervisor: int, before: dict[str, Measure]) -> None:
    """Wait until each has what it had, within its slack; AssertionError when it doesn't come.

    A worker that was restarted is held against the one before it.
    """

    def back() -> bool | None:
        return not more_than(before, measured(supervisor)) or None

    try:
        eventually(back, "as before", BACK_WITHIN_S)
    except AssertionError:
        raise AssertionError(
            f"more than before: {more_than(before, measured(supervisor))}"
        ) from None


def more_than(before: dict[str, Measure], now: dict[str, Measure]) -> list[tuple[Measure, Measure]]:
    """Processes that have more descriptors, or memory beyond the slack: (before, now)."""
    return [
        (was, now[title])
        for title, was in before.items()
        if title in now and _grew(was, now[title])
    ]


def _grew(was: Measure, now: Measure) -> bool:
    if now.private_kib > was.private_kib + SLACK_KIB:
        return True
    counted = was.descriptors is not None and now.descriptors is not None
    return counted and (now.descriptors or 0) > (was.descriptors or 0)
