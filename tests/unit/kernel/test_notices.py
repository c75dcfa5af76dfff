"""What programs say, as their supervisor hears it."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eais.notices import Notices
from eais.notify import Notifier

WAIT_MS = 30_000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One whose path is longer than a socket's may be."""
    made = tmp_path / ("x" * 120)
    made.mkdir()
    return made


@pytest.fixture
def notices(directory: Path) -> Iterator[Notices]:
    made = Notices(directory)
    yield made
    made.close()
    assert not list(directory.iterdir())


def wait(notices: Notices) -> None:
    poll = select.poll()
    poll.register(notices.fileno(), select.POLLIN)
    assert poll.poll(WAIT_MS)


def test_nothing_said_is_nothing_heard(notices: Notices) -> None:
    assert list(notices.heard()) == []


def test_who_speaks_is_told_by_the_kernel(notices: Notices) -> None:
    Notifier(notices.address).ready()
    code = "from eais.notify import Notifier\nimport sys\nNotifier(sys.argv[1]).alive()"
    other = subprocess.Popen([sys.executable, "-c", code, notices.address])
    assert other.wait(30) == 0
    assert list(notices.heard()) == [
        (os.getpid(), frozenset({"READY=1"})),
        (other.pid, frozenset({"WATCHDOG=1"})),
    ]


def test_lines_are_told_apart_and_bad_bytes_do_no_harm(notices: Notices) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        for words in (b"STATUS=\xff\nWATCHDOG=1", b"", b"READY=" + b"1" * 10_000):
            line.sendto(words, notices.address)
    wait(notices)
    heard = [lines for _pid, lines in notices.heard()]
    assert heard[0] == {"STATUS=�", "WATCHDOG=1"}
    assert not (heard[1] | heard[2]) & {"READY=1", "WATCHDOG=1", "STOPPING=1"}


def test_what_an_earlier_one_left_is_in_nobodys_way(directory: Path) -> None:
    (directory / "notify").touch()
    made = Notices(directory)
    Notifier(made.address).ready()
    assert len(list(made.heard())) == 1
    made.close()


def test_a_socket_whose_name_was_taken_away_is_made_again(
    notices: Notices, directory: Path
) -> None:
    (directory / "notify").unlink()
    assert notices.lost
    notices.bind_again()
    Notifier(notices.address).alive()
    assert list(notices.heard()) == [(os.getpid(), frozenset({"WATCHDOG=1"}))]
