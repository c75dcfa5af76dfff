"""How the journal's file is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from eais_pool.journal_file import open_journal

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
