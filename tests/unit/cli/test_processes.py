"""The real processes of this machine."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

import pytest

from eais.errors import ConfigError
from eais_client.cli.processes import LocalProcesses, PidfdProcess, holds_flock
from eais_client.demo.leftovers import family, files_under, still_running

HOLDER = """
import fcntl, os, signal, sys
lock = open(sys.argv[1], "a+")
fcntl.flock(lock, fcntl.LOCK_EX)
lock.truncate(0); lock.write(str(os.getpid())); lock.flush()
print("held", flush=True)
signal.pause()
"""


def start_holder(folder: Path) -> PidfdProcess:
    command = [sys.executable, "-c", HOLDER, str(folder / "supervisor.lock")]
    process = LocalProcesses().spawn(command, folder / "out.log", os.environ)
    while "held" not in (folder / "out.log").read_text() and not process.wait(0.01):
        pass
    assert isinstance(process, PidfdProcess)
    return process


def test_a_supervisor_is_found_by_its_lock_and_ended(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    found = LocalProcesses().supervisor_of(tmp_path)
    assert found is not None
    assert found.pid == holder.pid
    found.terminate()
    assert found.wait(10)
    assert holder.wait(10)
    assert LocalProcesses().supervisor_of(tmp_path) is None


def test_finding_it_does_not_disturb_the_lock(tmp_path: Path) -> None:
    with (tmp_path / "supervisor.lock").open("w") as lock:
        lock.write(str(os.getpid()))
        lock.flush()
        assert LocalProcesses().supervisor_of(tmp_path) is None
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert LocalProcesses().supervisor_of(tmp_path) is not None


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "999999999"])
def test_a_lock_file_that_names_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "supervisor.lock").write_text(text)
    assert LocalProcesses().supervisor_of(tmp_path) is None


def test_no_state_dir_no_supervisor(tmp_path: Path) -> None:
    assert LocalProcesses().supervisor_of(tmp_path / "none") is None


def test_a_lock_on_another_file_is_not_this_one(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (tmp_path / "b").write_text("")
        assert holds_flock(os.getpid(), tmp_path / "a")
        assert not holds_flock(os.getpid(), tmp_path / "b")


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="STATE_DIR"):
        LocalProcesses().spawn(["true"], tmp_path / "file" / "log", os.environ)


def test_a_detached_process_is_in_a_session_of_its_own(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    assert os.getsid(holder.pid) == holder.pid
    holder.kill()
    assert holder.wait(10)
    holder.terminate()  # harmless afterwards


def test_family_is_the_process_and_its_descendants(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    held = family(os.getpid())
    assert {os.getpid(), holder.pid} <= {process.pid for process in held}
    alive = still_running(held)
    holder.kill()
    assert holder.wait(10)
    assert still_running(held) == alive - 1


def test_files_under(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("")
    assert files_under(tmp_path) == 3
    assert files_under(tmp_path / "gone") == 0
