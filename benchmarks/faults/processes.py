"""The processes of one pool: only what descends from its own supervisor is ever signalled."""

from __future__ import annotations

import os
import select
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# In clock ticks since the boot.
_BEGAN = 19


@dataclass(frozen=True, slots=True)
class Process:
    """A process seen in /proc, and its title."""

    pid: int
    title: str

    def send(self, number: int) -> Sent:
        """Signal it; by a pidfd, so that no other process with its number is met."""
        pidfd = os.pidfd_open(self.pid)
        sent_s = time.monotonic()
        signal.pidfd_send_signal(pidfd, number)
        return Sent(sent_s, pidfd)

    def age_s(self) -> float:
        """How long ago it was started; 0 if it is gone."""
        try:
            ticks = int(_stat(self.pid)[_BEGAN])
        except OSError:
            return 0.0
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Sent:
    """A signal that was sent at `at_s` (monotonic seconds)."""

    at_s: float
    pidfd: int

    def exited_s(self, within_s: float) -> float | None:
        """When the process was seen to have ended; None: it lives on. Once."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        ended = poll.poll(within_s * 1000)
        return time.monotonic() if ended else None

    def close(self) -> None:
        """Forget the process."""
        os.close(self.pidfd)

    def go_on(self) -> None:
        """Wake a frozen process up, if it still is there."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGCONT)
        except ProcessLookupError:
            return


def descendants(root: int) -> Iterator[Process]:
    """All processes below `root`."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        if (parent := _parent(pid)) is not None:
            children[parent].append(pid)
    waiting = list(children[root])
    while waiting:
        pid = waiting.pop()
        waiting += children[pid]
        yield Process(pid, _title(pid))


def titled(root: int, title: str) -> Process | None:
    """The process below `root` whose title begins with `title`."""
    return next((found for found in descendants(root) if found.title.startswith(title)), None)


def _parent(pid: int) -> int | None:
    try:
        return int(_stat(pid)[1])
    except OSError:
        return None


def _stat(pid: int) -> list[str]:
    """What is said after the name, which may hold anything: state, then the parent, and more."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""
