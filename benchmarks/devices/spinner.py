"""A process that computes in batches, each within a turn, as a worker's run threads do.

    python -m benchmarks.devices.spinner CORE BATCH_US COUNT_FD PAGE OWN REQUEST GRANT

It is told on standard input, a line each: `run`, `pause`. At its end it prints, as JSON, when its
turns began and when those before them had ended: monotonic nanoseconds. The number of its batches
stands in the memory COUNT_FD.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import threading
import time

from eais_server.turns.page import Descriptors
from eais_server.turns.turn import Turn

COUNT_BYTES = 8
# To take what is free doesn't take as long.
WAITED_NS = 20_000


class Spinner:
    """Runs batches while it is told to."""

    def __init__(self, turn: Turn, batch_ns: int, count: memoryview) -> None:
        self._turn = turn
        self._batch_ns = batch_ns
        self._count = count
        self._runs = threading.Event()
        self._ends = False
        self._ended = time.monotonic_ns()
        self.began: list[int] = []
        self.ended: list[int] = []

    def listen(self) -> None:
        """Do as standard input says; its end is this process's."""
        for line in sys.stdin:
            if line.strip() == "run":
                self._runs.set()
            else:
                self._runs.clear()
        self._ends = True
        self._runs.set()

    def work(self) -> None:
        """Until the end."""
        while True:
            if not self._runs.is_set():
                self._turn.rest()
                self._runs.wait()
            if self._ends:
                return
            self._batch()

    def _batch(self) -> None:
        asked = time.monotonic_ns()
        with self._turn:
            began = time.monotonic_ns()
            if began - asked > WAITED_NS:
                self.ended.append(self._ended)
                self.began.append(began)
            until = time.thread_time_ns() + self._batch_ns
            while time.thread_time_ns() < until:
                pass
            self._ended = time.monotonic_ns()
        self._count[0] += 1


def main(argv: list[str]) -> None:
    """Spin as `argv` says."""
    core, batch_us, count, *descriptors = map(int, argv)
    os.sched_setaffinity(0, {core})
    counted = memoryview(mmap.mmap(count, COUNT_BYTES)).cast("Q")
    spinner = Spinner(Turn(Descriptors(*descriptors)), batch_us * 1000, counted)
    # Who waits for a turn that never comes must not keep the process.
    listener = threading.Thread(target=spinner.listen, daemon=True)
    threading.Thread(target=spinner.work, daemon=True).start()
    print("ready", flush=True)
    listener.start()
    listener.join()
    print(json.dumps({"began": spinner.began, "ended": spinner.ended}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
