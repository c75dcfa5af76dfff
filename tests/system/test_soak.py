"""The soak itself, for a moment: it counts what it must, ends by itself, and leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eais_client.cli.processes import Process
from eais_client.demo.leftovers import family, still_running
from tests.system.stack import eventually

ROOT = Path(__file__).resolve().parents[2]
SOAK = [sys.executable, "-m", "benchmarks.soak", "--json"]


@pytest.fixture
def temp(tmp_path: Path) -> Iterator[Path]:
    """A temporary folder that must be as empty afterwards."""
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def environ(temp: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(temp)}


@pytest.mark.slow
def test_everything_at_once_for_a_moment(temp: Path) -> None:
    done = subprocess.run(
        [*SOAK, "--minutes", "0.4"],
        cwd=ROOT,
        env=environ(temp),
        capture_output=True,
        text=True,
        timeout=300,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert (found["lost"], found["wrong"], found["failed"]) == (0, 0, {}), done.stderr
    assert found["more"] == {}, done.stderr
    assert found["calls"] > 100
    assert min(found["attaches"], found["sessions"], found["uploads"]) > 0
    assert found["kills"]["eais-worker"] > 0
    assert {"answered", "refused"} <= set(found["ways"])
    roles = {"supervisor", "manager", "listener", "worker", "client", "caller"}
    assert set(found["memory"]) == roles
    # Allocators warm up for longer than this takes: memory is judged in longer soaks.
    grown = [line for line in done.stderr.splitlines() if "more than before" in line]
    assert grown == []
    assert done.returncode == (0 if found["flat"] else 1)


@pytest.mark.slow
def test_ctrl_c_leaves_nothing(temp: Path) -> None:
    running = subprocess.Popen(
        [*SOAK, "--minutes", "10"],
        cwd=ROOT,
        env=environ(temp),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    held: list[Process] = []

    def under_way() -> bool | None:
        held[:] = family(running.pid)
        return any("soak.caller" in title for title in titles(held)) or None

    try:
        eventually(under_way, "all is started", 60)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=120)
        eventually(lambda: (still_running(held) == 0) or None, "nothing runs")
    finally:
        for process in reversed(held):
            process.kill()
        running.kill()
        running.wait(20)
    assert running.returncode == 130, said
    assert "Traceback" not in said


def titles(processes: list[Process]) -> Iterator[str]:
    for process in processes:
        try:
            yield Path(f"/proc/{process.pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
