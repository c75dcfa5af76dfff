"""The benchmark's view of processes."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.faults.processes import Process

SAYS_WHEN = "import time; print(time.clock_gettime(time.CLOCK_BOOTTIME), flush=True); input()"


def test_a_process_is_as_old_as_it_says() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    with subprocess.Popen(
        [sys.executable, "-I", "-c", SAYS_WHEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        runs_since = float(child.stdout.readline())
        looked_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        age_s = Process(child.pid, "").age_s()
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        child.communicate(b"\n")
    tick_s = 0.02
    assert looked_at - runs_since - tick_s <= age_s <= now - before + tick_s


def test_a_process_that_is_gone_has_no_age() -> None:
    with subprocess.Popen([sys.executable, "-I", "-c", ""]) as child:
        pass
    assert Process(child.pid, "").age_s() == 0.0
