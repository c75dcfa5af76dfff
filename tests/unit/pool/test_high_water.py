from __future__ import annotations

import logging
from pathlib import Path

import pytest

from eais_pool.high_water import HighWater, Unreadable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.head"


def noted(path: Path, *numbers: int) -> None:
    note = HighWater(path)
    for number in numbers:
        note.note(number)
    note.close()


def test_nothing_was_noted_yet(path: Path) -> None:
    assert HighWater(path).read() is None


def test_the_last_number_is_read_back(path: Path) -> None:
    for number in (0, 1, 2, 41, 42, 10**18):
        noted(path, number)
        assert HighWater(path).read() == number
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_line_leaves_the_other(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    noted(path, 6, 7)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with caplog.at_level(logging.ERROR):
        assert HighWater(path).read() == 6
    assert "damaged" in caplog.text


def test_lines_are_written_in_turn_whatever_the_numbers_are(path: Path) -> None:
    noted(path, 2, 4, 6)  # an event may have two facts
    again = HighWater(path)
    assert again.read() == 6
    again.note(8)
    again.close()
    data = path.read_bytes()
    lines = data[: len(data) // 2], data[len(data) // 2 :]
    assert sorted(int(line.split()[0]) for line in lines) == [6, 8]


@pytest.mark.parametrize("data", [b"", b"7", b"0" * 60, bytes(60), b"x" * 1000])
def test_what_is_no_note_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(Unreadable, match=r"journal\.head"):
        HighWater(path).read()


def test_a_disk_that_fails_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    note = HighWater(tmp_path / "nowhere" / "journal.head")
    note.note(1)
    note.note(2)
    assert caplog.text.count("can't be written") == 1
