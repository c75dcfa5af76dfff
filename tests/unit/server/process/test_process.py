from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from eais.errors import ConfigError, EaisError
from eais_server.isolation import ALLOWED_ENVIRONMENT
from eais_server.process import (
    WORKER_PROGRAM,
    ExecSpawner,
    Exit,
    WorkerProcess,
    clean_up,
    worker_environment,
)
from eais_server.turns.page import Descriptors

# A worker that says what it was started with, then does as it is told.
CHILD = """
import json, os, socket, sys
flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
control = socket.socket(fileno=int(flags["--control-fd"]))
listed = os.listdir("/proc/self/fd")
fds = [int(name) for name in listed if os.path.exists("/proc/self/fd/" + name)]
control.sendall(json.dumps({
    "flags": flags, "cwd": os.getcwd(), "environ": dict(os.environ), "fds": fds,
    "parent": os.getppid(), "session": os.getsid(0) == os.getpid(),
    "stdin": os.readlink("/proc/self/fd/0"),
}).encode())
order = control.recv(100).decode()
if order.startswith("print"):
    print(order, flush=True)
    print(order, file=sys.stderr, flush=True)
if order == "litter":
    os.makedirs("a/b")
    open("a/b/c", "w").close()
    os.symlink("/", "a/root")
    os.chmod("a/b", 0)
if order.isdigit():
    os._exit(int(order))
if order == "abort":
    os.abort()
control.recv(1)
"""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def spawner(
    tmp_path: Path, log: int, *program: str, limit: int | None = None, lines: int = 0
) -> ExecSpawner:
    return ExecSpawner(
        tmp_path / "workers",
        level=2,
        secret_root=tmp_path,
        environ={"LANG": "en_US.UTF-8", "HOME": "/root", "SECRET": "1"},
        data_limit_bytes=limit,
        log_fd=log,
        lines=lines,
        program=program or (sys.executable, "-I", "-c", CHILD),
    )


def run(act: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(act(), 30)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def descriptors() -> int:
    gc.collect()  # what earlier tests left to the collector is closed now, not in between
    return len(list(Path("/proc/self/fd").iterdir()))


class Watched:
    """A worker that was spawned, and its end."""

    def __init__(self, spawner: ExecSpawner, k: int = 1) -> None:
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.process: WorkerProcess = spawner.spawn(k, self.ended.set_result)

    async def told(self) -> dict[str, Any]:
        """What it was started with."""
        data = await asyncio.to_thread(self.process.control.recv, 1 << 16)
        found: dict[str, Any] = json.loads(data)
        return found

    async def ordered(self, order: str) -> Exit:
        await self.told()
        self.process.control.sendall(order.encode())
        self.process.control.shutdown(socket.SHUT_WR)
        try:
            return await self.ended
        finally:
            self.process.control.close()
            self.process.page.close()
            self.process.seat.close()


def test_a_worker_starts_with_what_it_needs_and_no_more(tmp_path: Path, log: int) -> None:
    async def act() -> None:
        watched = Watched(spawner(tmp_path, log, limit=123))
        told = await watched.told()
        directory = tmp_path / "workers" / "1"
        inherited = [int(told["flags"].pop(f"--{name}-fd")) for name in ("control", "page", "ring")]
        # Of the two pages and two bells for its turns, the last one is in the dict.
        assert int(told["flags"].pop("--turn-fd")) in told["fds"]
        seats = len(Descriptors._fields)
        assert told["flags"] == {
            "--parent-pid": str(os.getpid()),
            "--dir": str(directory),
            "--level": "2",
            "--secret-root": str(tmp_path),
            "--data-limit": "123",
        }
        assert told["cwd"] == str(directory)
        assert watched.process.directory == directory
        assert list(directory.iterdir()) == []
        assert directory.stat().st_mode & 0o777 == 0o700
        assert {0, 1, 2, *inherited} < set(told["fds"])
        assert len(told["fds"]) == 3 + len(inherited) + seats
        assert (told["parent"], told["session"]) == (os.getpid(), True)
        assert told["stdin"] == "/dev/null"
        assert told["environ"]["LC_ALL"] == "en_US.UTF-8"
        assert told["environ"].keys() <= ALLOWED_ENVIRONMENT
        watched.process.control.close()
        assert await watched.ended == Exit(0)

    run(act)


def test_its_lines_are_its_own(tmp_path: Path, log: int) -> None:
    """The far ends stay here; nobody else has the near ones, so their end is seen."""

    async def act() -> None:
        made = spawner(tmp_path, log, lines=1)
        before = descriptors()
        watched = Watched(made)
        [line] = watched.process.lines
        told = await watched.told()
        assert told["flags"]["--line-fd"] == str(line.descriptor)
        assert line.descriptor in told["fds"]
        watched.process.control.close()
        await watched.ended
        assert line.far.recv(1) == b""
        line.far.close()
        watched.process.page.close()
        watched.process.seat.close()
        assert descriptors() == before

    run(act)


@pytest.mark.parametrize(
    ("order", "how"), [("0", Exit(0)), ("3", Exit(3)), ("abort", Exit(None, signal.SIGABRT))]
)
def test_its_exit_is_seen_and_nothing_is_left(
    tmp_path: Path, log: int, order: str, how: Exit
) -> None:
    pids = []

    async def act() -> None:
        made = spawner(tmp_path, log)
        before = descriptors()
        watched = Watched(made)
        pids.append(watched.process.pid)
        assert await watched.ordered(order) == how
        assert descriptors() == before
        assert list((tmp_path / "workers").iterdir()) == []

    run(act)
    with pytest.raises(ChildProcessError):  # no zombie
        os.waitpid(pids[0], os.WNOHANG)


def test_a_kill_is_seen_and_a_second_one_harmless(tmp_path: Path, log: int) -> None:
    async def act() -> None:
        made = spawner(tmp_path, log)
        one, two = Watched(made, 1), Watched(made, 2)
        await one.told()
        made.kill(one.process, signal.SIGKILL)
        made.kill(one.process, signal.SIGKILL)
        assert await one.ended == Exit(None, signal.SIGKILL)
        made.kill(one.process, signal.SIGKILL)
        assert await two.ordered("0") == Exit(0)
        one.process.control.close()

    run(act)


def test_a_worker_that_was_killed_from_outside_is_seen_too(tmp_path: Path, log: int) -> None:
    async def act() -> None:
        watched = Watched(spawner(tmp_path, log))
        await watched.told()
        os.kill(watched.process.pid, signal.SIGTERM)
        assert await watched.ended == Exit(None, signal.SIGTERM)
        watched.process.control.close()

    run(act)


def test_a_worker_that_somebody_stopped_is_told_from_one_that_does_nothing(
    tmp_path: Path, log: int
) -> None:
    """Whatever it calls itself; for others there is no worker any more, once it is reaped."""
    renamed = 'open("/proc/self/comm", "w").write("x) T 1 (")\n' + CHILD

    async def until(made: ExecSpawner, process: WorkerProcess, *, stopped: bool) -> None:
        while made.is_stopped(process) is not stopped:  # noqa: ASYNC110  (there is no event)
            await asyncio.sleep(0)

    async def act() -> None:
        made = spawner(tmp_path, log, sys.executable, "-I", "-c", renamed)
        watched = Watched(made)
        await watched.told()
        assert not made.is_stopped(watched.process)
        os.kill(watched.process.pid, signal.SIGSTOP)
        await until(made, watched.process, stopped=True)
        os.kill(watched.process.pid, signal.SIGCONT)
        await until(made, watched.process, stopped=False)
        os.kill(watched.process.pid, signal.SIGSTOP)
        await until(made, watched.process, stopped=True)
        made.kill(watched.process, signal.SIGKILL)
        assert await watched.ended == Exit(None, signal.SIGKILL)
        assert not made.is_stopped(watched.process)
        watched.process.control.close()
        watched.process.page.close()

    run(act)


def test_what_it_prints_goes_to_the_log(tmp_path: Path, log: int) -> None:
    async def act() -> None:
        await Watched(spawner(tmp_path, log)).ordered("print this")

    run(act)
    assert (tmp_path / "log").read_text() == "print this\n" * 2


def test_whatever_it_left_in_its_directory_goes(tmp_path: Path, log: int) -> None:
    async def act() -> None:
        await Watched(spawner(tmp_path, log)).ordered("litter")

    run(act)
    assert list((tmp_path / "workers").iterdir()) == []


def test_what_cannot_be_started_leaves_nothing(tmp_path: Path, log: int) -> None:
    async def act() -> None:
        made = spawner(tmp_path, log, str(tmp_path / "absent"))
        before = descriptors()
        with pytest.raises(EaisError) as caught:
            Watched(made)
        assert caught.value.reason == "PROCESS_FAILED"
        assert str(tmp_path) not in str(caught.value)
        assert descriptors() == before
        assert list((tmp_path / "workers").iterdir()) == []

    run(act)


def test_a_number_is_used_once(tmp_path: Path, log: int) -> None:
    async def act() -> None:
        made = spawner(tmp_path, log)
        first = Watched(made)
        with pytest.raises(EaisError):
            Watched(made)
        assert first.process.directory.is_dir()
        await first.ordered("0")

    run(act)


def test_only_the_main_thread_spawns(tmp_path: Path, log: int) -> None:
    caught: list[BaseException] = []

    def attempt() -> None:
        try:
            spawner(tmp_path, log).spawn(1, lambda _how: None)
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


def test_the_program_is_the_worker_in_isolated_mode() -> None:
    assert list(WORKER_PROGRAM) == [sys.executable, "-I", "-m", "eais_server.worker"]


@pytest.mark.parametrize(
    ("environ", "locale"),
    [
        ({}, "C.UTF-8"),
        ({"LANG": "C"}, "C.UTF-8"),
        ({"LANG": "de_DE.utf8"}, "de_DE.utf8"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "POSIX"}, "C.UTF-8"),
        ({"LC_ALL": "en_US.UTF-8", "PYTHONPATH": "/x", "TZ": "UTC"}, "en_US.UTF-8"),
    ],
)
def test_the_locale_is_the_listeners_if_it_is_utf_8(environ: dict[str, str], locale: str) -> None:
    made = worker_environment(environ)
    assert (made["LANG"], made["LC_ALL"]) == (locale, locale)
    assert made.keys() <= ALLOWED_ENVIRONMENT
    assert made["OPENBLAS_NUM_THREADS"] == "1", "or numpy starts a thread for each core"


def test_what_a_crash_left_is_cleaned_up(tmp_path: Path) -> None:
    assert clean_up(tmp_path / "workers") == 0
    for k in "12":
        (tmp_path / "workers" / k / "s1").mkdir(parents=True)
        (tmp_path / "workers" / k / "s1" / "model.onnx").write_bytes(b"m")
    assert clean_up(tmp_path / "workers") == 2
    assert list((tmp_path / "workers").iterdir()) == []


def test_a_directory_that_cannot_be_used_is_a_state_dir_error(tmp_path: Path, log: int) -> None:
    (tmp_path / "workers").write_bytes(b"")
    with pytest.raises(ConfigError) as caught:
        spawner(tmp_path, log)
    assert caught.value.reason == "STATE_DIR"
