from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eais_server.listener.quarantine_file import QuarantineFile
from eais_server.supervision.quarantine import Model, Record

START = datetime(2026, 5, 1, tzinfo=UTC)
HOW = {"signal": "SIGFPE"}
ONE = Record(Model("acme", "ab" * 32), 2, 0, "load", HOW, ends_at=1500.0)
TWO = Record(Model("other", "cd" * 32), 0, 1, "run", HOW | {"cause": "hang"}, ends_at=1900.0)


def file_at(root: Path, clock_s: float, today: datetime) -> QuarantineFile:
    """The file, with the listener's clock and the time of day as they are then."""
    return QuarantineFile(root / "quarantine.json", 1000.0, lambda: clock_s, lambda: today)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    file_at(tmp_path, 1000.0, START).save([ONE, TWO])
    return tmp_path


def test_nothing_was_kept_at_first(tmp_path: Path) -> None:
    assert file_at(tmp_path, 0.0, START).load() == []


def test_what_was_kept_is_known_again(saved: Path) -> None:
    assert file_at(saved, 1000.0, START).load() == [ONE, TWO]


def test_ends_are_the_same_times_of_day_after_a_reboot(saved: Path) -> None:
    one, two = file_at(saved, 7.0, START + timedelta(seconds=100)).load()
    assert (one.ends_at, two.ends_at) == (7.0 + 400.0, 7.0 + 800.0)


def test_what_is_over_is_forgotten(saved: Path) -> None:
    later = START + timedelta(seconds=600)
    assert [record.model for record in file_at(saved, 7.0, later).load()] == [TWO.model]


def test_a_clock_that_was_set_back_makes_nothing_last_longer_than_it_may(saved: Path) -> None:
    one, _ = file_at(saved, 7.0, START - timedelta(days=30)).load()
    assert one.ends_at == 7.0 + 1000.0


def test_the_last_state_stands(saved: Path) -> None:
    file = file_at(saved, 1000.0, START)
    file.save([TWO])
    assert file.load() == [TWO]
    file.save([])
    assert file.load() == []


def test_a_flip_of_any_byte_is_noticed_and_the_file_put_aside(saved: Path) -> None:
    path = saved / "quarantine.json"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert file_at(saved, 1000.0, START).load() == []
        assert not path.exists()
    assert (saved / "quarantine.json.damaged").exists()


@pytest.mark.parametrize("size", [0, 1, 64, 65, 100])
def test_a_torn_file_is_noticed(saved: Path, size: int) -> None:
    path = saved / "quarantine.json"
    path.write_bytes(path.read_bytes()[:size])
    assert file_at(saved, 1000.0, START).load() == []


def test_others_may_not_read_it(saved: Path) -> None:
    assert (saved / "quarantine.json").stat().st_mode & 0o077 == 0
