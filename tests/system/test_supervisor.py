"""The embedded pool's supervisor outlives what goes wrong with its programs and its disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.stack import eventually


class Pool:
    """A supervisor with a manager alone."""

    def __init__(self, root: Path) -> None:
        self.state, self.owner = root / "state", root / "owner"
        self.state.mkdir(mode=0o700)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, said: Path) -> None:
        """Start it, with its words going to `said`."""
        command = [sys.executable, "-m", "eais_pool.supervisor", "--no-listener"]
        command += ["--state-dir", str(self.state), "--owner-dir", str(self.owner)]
        with said.open("ab") as stderr:
            self.process = subprocess.Popen(command, stderr=stderr)

    def manager(self) -> int | None:
        """The manager's pid, once it serves."""
        assert self.process is not None
        assert self.process.poll() is None
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children and (self.state / "ready.json").exists() else None


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    made = Pool(tmp_path)
    yield made
    assert made.process is not None
    made.process.terminate()
    assert made.process.wait(10) == 0


def test_what_cannot_be_started_is_tried_again(pool: Pool, tmp_path: Path) -> None:
    log, said = pool.state / "manager.log", tmp_path / "said"
    log.mkdir()
    pool.start(said)
    words = "manager can't be started: [Errno 21] Is a directory"
    assert eventually(lambda: words in said.read_text() or None, "it is said")
    log.rmdir()
    assert eventually(pool.manager, "it serves")


def test_a_full_disk_ends_no_pool(pool: Pool) -> None:
    pool.start(Path("/dev/full"))
    first = eventually(pool.manager, "it serves")
    (pool.state / "ready.json").unlink()
    os.kill(first, signal.SIGKILL)
    assert eventually(pool.manager, "it serves again") != first
