"""The embedded pool's supervisor outlives what goes wrong with its programs and its disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eais import restarts
from eais.log_files import LOG_BYTES, older_log
from tests.system.stack import WAIT_S, eventually


class Pool:
    """A supervisor with a manager alone."""

    def __init__(self, root: Path) -> None:
        self.state, self.owner = root / "state", root / "owner"
        self.state.mkdir(mode=0o700)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, said: Path, config: str = "", mode: str = "ab") -> None:
        """Start it, with its words going to `said`, opened so."""
        file = self.state.parent / "pool.toml"
        file.write_text(config)
        command = [sys.executable, "-m", "eais_pool.supervisor", "--no-listener"]
        command += ["--state-dir", str(self.state), "--owner-dir", str(self.owner)]
        command += ["--config", str(file)]
        with said.open(mode) as stderr:
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


def test_a_manager_that_stands_still_is_ended_and_started_again(pool: Pool, tmp_path: Path) -> None:
    said = tmp_path / "said"
    pool.start(said, "[supervisor]\nwatchdog_s = 2.0\n")
    first = eventually(pool.manager, "it serves")
    (pool.state / "ready.json").unlink()
    os.kill(first, signal.SIGSTOP)
    # Stopped before it said so, it has all the time that a start may take.
    within_s = restarts.Patience().start_s + WAIT_S
    assert eventually(pool.manager, "it serves again", within_s) != first
    assert "manager is killed: it doesn't say that it moves" in said.read_text()


def test_a_socket_that_was_taken_away_is_made_again(pool: Pool, tmp_path: Path) -> None:
    said, name = tmp_path / "said", pool.state / "notify"
    pool.start(said, "[supervisor]\nwatchdog_s = 2.0\n")
    first = eventually(pool.manager, "it serves")
    name.unlink()
    assert eventually(lambda: name.exists() or None, "it is made again")
    assert "is killed" not in said.read_text()
    (pool.state / "ready.json").unlink()
    os.kill(first, signal.SIGSTOP)
    assert eventually(pool.manager, "it serves again") != first


def test_logs_that_have_grown_too_long_are_emptied_while_they_are_written_to(pool: Pool) -> None:
    """Also its own, though it wasn't opened as one to append to."""
    logs = [pool.state / "manager.log", pool.state / "supervisor.log"]
    pool.start(logs[1], mode="wb")
    first = eventually(pool.manager, "it serves")
    for log in logs:
        with log.open("ab") as file:
            file.write(b"a line\n" * (LOG_BYTES // 7 + 1))
    emptied = [older_log(log) for log in logs]
    assert eventually(lambda: all(map(Path.exists, emptied)) or None, "they are emptied")
    (pool.state / "ready.json").unlink()
    os.kill(first, signal.SIGKILL)
    assert eventually(pool.manager, "it serves again") != first
    assert b"manager ended with -9" in logs[1].read_bytes()
    for log, older in zip(logs, emptied, strict=True):
        assert LOG_BYTES - 7 < older.stat().st_size < 2 * LOG_BYTES
        content = log.read_bytes()
        assert b"\0" not in content
        assert b"a line" not in content


def test_what_its_settings_cannot_be_is_said(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    pool.start(tmp_path / "said", "[supervisor]\nwatchdog_s = 0.1\n")
    assert pool.process is not None
    assert pool.process.wait(20) == 2
    assert "watchdog_s = 0.1: must be 2 to 3600, or 0: never" in (tmp_path / "said").read_text()
