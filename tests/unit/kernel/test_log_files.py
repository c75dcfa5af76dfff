"""Logs stay within their bound, whoever holds them open."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from eais.log_files import LOOK_EVERY_S, BoundedLogs, append_only, bound_log, older_log

LINE = b"0123456789abcde\n"
LIMIT = 1024


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "manager.log"


def test_a_short_log_or_none_is_left_alone(log: Path) -> None:
    assert not bound_log(log, LIMIT)
    log.write_bytes(LINE * 63)
    assert not bound_log(log, LIMIT)
    assert log.read_bytes() == LINE * 63
    assert not older_log(log).exists()


def test_who_holds_it_open_writes_on_in_the_emptied_log(log: Path) -> None:
    with log.open("ab", buffering=0) as program:
        program.write(LINE * 64)
        assert bound_log(log, LIMIT)
        program.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert older_log(log).read_bytes() == LINE * 64
    assert older_log(log).stat().st_mode & 0o077 == 0


def test_of_a_log_far_too_long_the_last_whole_lines_are_kept(log: Path) -> None:
    log.write_bytes(b"old\n" + LINE * 1000)
    older_log(log).write_bytes(b"older")
    assert bound_log(log, LIMIT + 5)
    assert older_log(log).read_bytes() == LINE * 64
    log.write_bytes(b"x" * 5000)  # one line: what there is of it
    assert bound_log(log, LIMIT)
    assert older_log(log).read_bytes() == b"x" * LIMIT


def test_what_a_program_writes_without_pause_takes_two_files_of_the_bound(log: Path) -> None:
    logs = BoundedLogs([log], print, LIMIT)
    with log.open("ab", buffering=0) as program:
        for turn in range(200):
            program.write(b"%015d\n" % turn * 10)
            logs.look(turn * LOOK_EVERY_S)
            assert sum(file.stat().st_size for file in log.parent.iterdir()) <= 2 * (LIMIT + 160)
    lines = (older_log(log).read_bytes() + log.read_bytes()).splitlines()
    assert lines == sorted(lines)
    assert lines[-1] == b"%015d" % 199


def test_it_is_looked_at_now_and_then(log: Path) -> None:
    logs = BoundedLogs([log], print, LIMIT)
    logs.look(100.0)
    log.write_bytes(LINE * 64)
    logs.look(100.0 + LOOK_EVERY_S / 2)
    assert log.stat().st_size
    logs.look(logs.look_at)
    assert not log.stat().st_size


def test_what_cannot_be_bounded_is_said_once_and_keeps_what_it_has(log: Path) -> None:
    told: list[str] = []
    logs = BoundedLogs([log], told.append, LIMIT)
    log.write_bytes(LINE * 64)
    older_log(log).mkdir()
    for _ in range(3):
        logs.look(logs.look_at)
    assert len(told) == 1
    assert told[0].startswith("manager.log can't be kept short: ")
    assert log.read_bytes() == LINE * 64
    older_log(log).rmdir()
    logs.look(logs.look_at)
    assert not log.stat().st_size


@pytest.mark.parametrize("which", ["manager.log", "manager.log.1"])
def test_a_link_is_not_followed(log: Path, tmp_path: Path, which: str) -> None:
    other = tmp_path / "other"
    other.write_bytes(LINE * 64)
    log.write_bytes(LINE * 64)
    (tmp_path / which).unlink(missing_ok=True)
    (tmp_path / which).symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        bound_log(log, 4)
    assert other.read_bytes() == LINE * 64


def test_a_descriptor_of_the_log_that_did_not_append_does(log: Path, tmp_path: Path) -> None:
    with log.open("wb", buffering=0) as ours, (tmp_path / "other").open("wb") as other:
        append_only(log, (ours.fileno(), other.fileno()))
        ours.write(LINE * 64)
        assert bound_log(log, LIMIT)
        ours.write(b"after\n")
        assert log.read_bytes() == b"after\n"
        assert not fcntl.fcntl(other.fileno(), fcntl.F_GETFL) & os.O_APPEND
