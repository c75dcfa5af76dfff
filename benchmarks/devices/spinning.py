"""Spinners on one core, and the keeper that gives them their turns."""

from __future__ import annotations

import bisect
import json
import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.devices.spinner import COUNT_BYTES
from eais_server.turns.brain import actions as do
from eais_server.turns.keeper import Keeper
from eais_server.turns.meter import CpuMeter
from eais_server.turns.page import Seat
from eais_server.turns.table import Table, Worker


@dataclass
class Child:
    """A spinner."""

    number: int
    weight: int
    process: subprocess.Popen[str]
    seat: Seat
    count: memoryview
    cpu: CpuMeter

    def say(self, what: str) -> None:
        """Tell it `run` or `pause`."""
        assert self.process.stdin
        print(what, file=self.process.stdin, flush=True)


@dataclass
class Core:
    """One core, as a device.

    Attributes:
        told: what the keeper did against somebody's will.
    """

    core: int
    keeper: Keeper
    told: list[do.Action]
    children: list[Child] = field(default_factory=list)

    def spawn(self, weight: int, batch_us: int) -> Child:
        """A spinner that has no share yet."""
        seat, count = Seat(), os.memfd_create("count", 0)
        os.ftruncate(count, COUNT_BYTES)
        fds = [count, *seat.descriptors]
        argv = [self.core, batch_us, *fds]
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.devices.spinner", *map(str, argv)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=fds,
        )
        seat.handed_down()
        counted = memoryview(mmap.mmap(count, COUNT_BYTES)).cast("Q")
        os.close(count)
        child = Child(len(self.children), weight, process, seat, counted, CpuMeter(process.pid))
        self.children.append(child)
        assert process.stdout
        process.stdout.readline()
        return child

    def join(self, child: Child) -> None:
        """Give it its share."""
        pidfd = os.pidfd_open(child.process.pid)
        self.keeper.join(Worker(child.number, "core", child.weight, child.seat, pidfd, child.cpu))

    def shared(self, *asked: tuple[int, int]) -> list[Child]:
        """Spinners of such weights and batches, us, that have their shares and run."""
        children = [self.spawn(weight, batch_us) for weight, batch_us in asked]
        for child in children:
            self.join(child)
            child.say("run")
        return children

    def leave(self, child: Child) -> dict[str, Any]:
        """End it; when its turns began, and when those before them had ended."""
        assert child.process.stdin
        self.children.remove(child) if child in self.children else None
        printed, _ = child.process.communicate()
        self.keeper.leave(child.number)
        found: dict[str, Any] = json.loads(printed)
        return found

    def end(self) -> None:
        """End all that are left."""
        for child in self.children:
            child.process.kill()
            child.process.communicate()


@contextmanager
def one_core() -> Iterator[Core]:
    """The last core that this process may use; the keeper has the others, if there are any."""
    told: list[do.Action] = []
    allowed = os.sched_getaffinity(0)
    keeper = Keeper(Table(told.append), allowed - {max(allowed)})
    keeper.start()
    core = Core(max(allowed), keeper, told)
    try:
        yield core
    finally:
        core.end()
        keeper.close()


def shares(children: Sequence[Child], seconds: float) -> list[float]:
    """What each has of the CPU time of all, in percent, over some time."""
    before = [child.cpu() for child in children]
    time.sleep(seconds)
    used = [child.cpu() - was for child, was in zip(children, before, strict=True)]
    return [100 * part / sum(used) for part in used]


def handovers_us(found: Sequence[dict[str, list[int]]]) -> list[float]:
    """From the end of a turn to the beginning of the next, whosever they are."""
    ends = sorted(end for each in found for end in each["ended"])
    begins = sorted(began for each in found for began in each["began"])
    return [(began - ends[bisect.bisect_left(ends, began) - 1]) / 1000 for began in begins]
