from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from eais.rpc.v1.supervision_pb2 import Drain, ToWorkerProcess
from eais_server.control import ControlSocket, to_frame
from eais_server.process import Exit, Spawner
from eais_server.testing import FakeSpawner

KILLED = Exit(None, signal.SIGKILL)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeSpawner]:
    made = FakeSpawner(tmp_path)
    yield made
    made.close()


def test_the_test_is_the_worker(fake: FakeSpawner) -> None:
    spawner: Spawner = fake
    process = spawner.spawn(1, lambda _how: None)
    drain = ToWorkerProcess(drain=Drain())
    process.control.sendall(to_frame(drain))
    assert ControlSocket(fake.started[1].far_end).receive() == drain


def test_killing_ends_it(fake: FakeSpawner) -> None:
    ends: list[Exit] = []
    process = fake.spawn(1, ends.append)
    fake.kill(process, signal.SIGTERM)
    assert ends == []
    fake.kill(process, signal.SIGKILL)
    fake.kill(process, signal.SIGKILL)
    assert ends == [KILLED]
    assert fake.started[1].signals == [signal.SIGTERM, signal.SIGKILL]
    assert process.control.recv(1) == b""
    assert not process.directory.exists()


def test_it_is_stopped_from_a_stop_until_it_goes_on(fake: FakeSpawner) -> None:
    process = fake.spawn(1, lambda _how: None)
    seen = []
    for signum in (signal.SIGTERM, signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT):
        fake.kill(process, signum)
        seen.append(fake.is_stopped(process))
    assert seen == [False, True, True, False]


def test_a_kill_can_be_held_back(fake: FakeSpawner) -> None:
    ends: list[Exit] = []
    fake.block("kill")
    fake.kill(fake.spawn(1, ends.append), signal.SIGKILL)
    assert ends == []
    fake.release("kill")
    assert ends == [KILLED]


def test_it_ends_as_the_test_says_and_fails_when_told(fake: FakeSpawner) -> None:
    ends: list[Exit] = []
    fake.fail_next("spawn", OSError("no"))
    with pytest.raises(OSError, match="no"):
        fake.spawn(1, ends.append)
    fake.spawn(1, ends.append)
    fake.end(1, Exit(3))
    fake.end(1, Exit(4))
    assert ends == [Exit(3)]
