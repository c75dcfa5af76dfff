"""How the journal's file is opened."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from eais_pool.journal_file import open_journal, private_copy, remove_dead_copies
from eais_pool.testing.wire import in_process_manager

# https://sqlite.org/pragma.html#pragma_synchronous: with 2 (FULL) a commit in a write-ahead log
# returns when the disk has it; with 1 it may be gone after a power cut.
FULL = 2


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("synchronous", FULL), ("journal_mode", "wal"), ("locking_mode", "exclusive")],
)
def test_a_commit_is_on_the_disk_when_it_returns(
    tmp_path: Path, pragma: str, value: object
) -> None:
    engine = open_journal(tmp_path / "journal.db")
    with engine.connect() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
    engine.dispose()


COPIES = Path("/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir())

# Reads a copy of the journal for as long as it lives.
READER = """
import sys
from pathlib import Path
from eais_pool.journal_file import private_copy
with private_copy(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""


def copies_of(pid: int) -> list[Path]:
    return list(COPIES.glob(f"eais-journal-{pid}-*"))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    open_journal(path).connect().close()
    return path


@pytest.fixture
def left(journal: Path) -> Iterator[Path]:
    """The copy of a process that was killed while it read it."""
    command = [sys.executable, "-c", READER, str(journal)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline()
        remove_dead_copies()
        (copy,) = copies_of(reader.pid)
        reader.kill()
    assert copy.is_dir()
    yield copy
    shutil.rmtree(copy, ignore_errors=True)


def test_a_copy_is_removed_once_its_process_is_dead(journal: Path, left: Path) -> None:
    with private_copy(journal):
        (own,) = copies_of(os.getpid())
        remove_dead_copies()
        assert own.is_dir()
        assert not left.exists()
    assert not own.exists()


def test_a_manager_that_starts_removes_it(tmp_path: Path, left: Path) -> None:
    async def start() -> None:
        async with in_process_manager(tmp_path / "manager"):
            pass

    asyncio.run(start())
    assert not left.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_copy_of_another_user_stays(left: Path) -> None:
    os.chown(left, 65534, 65534)
    remove_dead_copies()
    assert left.is_dir()
