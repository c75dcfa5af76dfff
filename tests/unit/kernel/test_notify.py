"""What a process says of itself, heard by a socket as systemd has it."""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from eais.notify import Notifier

WAIT_S = 30.0


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.settimeout(WAIT_S)
        yield made


def test_what_is_said_at_a_path(systemd: socket.socket, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    systemd.bind(path)
    notifier = Notifier(path)
    notifier.ready()
    notifier.alive()
    notifier.stopping()
    assert [systemd.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_an_address_may_be_abstract(systemd: socket.socket) -> None:
    name = f"eais-test-{uuid.uuid4()}"
    systemd.bind(f"\0{name}")
    Notifier(f"@{name}").ready()
    assert systemd.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "2000000"}, 0.0),
        ({"NOTIFY_SOCKET": "/a"}, 0.0),
        ({"NOTIFY_SOCKET": "/a", "WATCHDOG_USEC": "2000000"}, 2.0),
        ({"NOTIFY_SOCKET": "/a", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "7"}, 2.0),
        ({"NOTIFY_SOCKET": "/a", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "8"}, 0.0),
        ({"NOTIFY_SOCKET": "/a", "WATCHDOG_USEC": "often"}, 0.0),
    ],
)
def test_variables_may_be_missing_or_meant_for_another(
    environ: Mapping[str, str], watchdog_s: float
) -> None:
    assert Notifier.from_environ(environ, 7).watchdog_s == watchdog_s


def test_nobody_to_tell_is_no_failure(
    tmp_path: Path, systemd: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier().ready()
    path = str(tmp_path / "notify")
    notifier = Notifier(path)
    with caplog.at_level(logging.WARNING):
        notifier.alive()
        notifier.alive()
    assert caplog.messages == ["WATCHDOG=1 isn't heard: No such file or directory"]
    systemd.bind(path)
    notifier.alive()
    assert systemd.recv(100) == b"WATCHDOG=1"


def test_who_does_not_read_holds_nobody_up(
    tmp_path: Path, systemd: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    systemd.bind(str(tmp_path / "notify"))
    notifier = Notifier(str(tmp_path / "notify"))
    with caplog.at_level(logging.WARNING):
        while not caplog.messages:
            notifier.alive()
    assert caplog.messages == ["WATCHDOG=1 isn't heard: Resource temporarily unavailable"]


def test_what_does_not_move_says_nothing(tmp_path: Path, systemd: socket.socket) -> None:
    systemd.bind(str(tmp_path / "notify"))
    notifier = Notifier(str(tmp_path / "notify"), watchdog_s=0.004)
    allowed = 3

    async def moves() -> None:
        nonlocal allowed
        allowed -= 1
        if allowed < 0:
            moved.set()
            await asyncio.get_running_loop().create_future()

    async def watch() -> None:
        watching = asyncio.create_task(notifier.watch(moves))
        await asyncio.wait_for(moved.wait(), WAIT_S)
        watching.cancel()

    moved = asyncio.Event()
    asyncio.run(watch())
    notifier.stopping()
    assert [systemd.recv(100) for _ in range(4)] == [*[b"WATCHDOG=1"] * 3, b"STOPPING=1"]


def test_without_a_watchdog_there_is_nothing_to_watch() -> None:
    async def moves() -> None:
        raise AssertionError("nobody asked")

    asyncio.run(Notifier("/nowhere").watch(moves))
