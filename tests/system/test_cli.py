"""The command line as processes, on a real pool."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eais_client.cli.processes import LocalProcesses
from eais_client.demo.leftovers import family, still_running
from tests.system.stack import eventually
from tests.system.terminal import PROGRAM, Terminal

HEAVY = ("grpc", "numpy", "google.protobuf", "cryptography", "rich", "onnxruntime", "asyncio")
PROBE = """
import sys
from eais_client.cli.main import main
from eais_client.cli.outside import Outside
main(sys.argv[1:], Outside())
print(*sys.modules, sep="\\n", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A user whose pool is up."""
    made = Terminal(tmp_path_factory.mktemp("home"))
    up = made.run("pool", "up", "--cpu-cores", "4")
    assert up.returncode == 0, up.stderr
    yield made
    down = made.run("pool", "down")
    assert down.returncode == 0, down.stderr


@pytest.fixture
def stranger(tmp_path: Path) -> Terminal:
    """A user who has no pool."""
    return Terminal(tmp_path)


def nothing_runs(terminal: Terminal, name: str = "local") -> bool:
    return LocalProcesses().supervisor_of(terminal.pools / name) is None


def test_up_is_harmless_when_the_pool_is_up(user: Terminal) -> None:
    before = user.data("pool", "status")
    again = user.data("pool", "up")
    assert again.pop("started") is False
    assert again == before
    assert [host["reachable"] for host in again["hosts"]] == [True]


def test_from_attach_to_detach(user: Terminal) -> None:
    attached = user.data("attach", "--type", "cpu.2")
    assert (attached["state"], attached["type"], attached["epoch"]) == ("IN_USE", "cpu.2", 1)
    name = str(attached["id"])
    none: dict[str, object] = {"sessions": [], "sessions_unknown": None}
    assert user.data("describe", name) == attached | none
    assert str(attached.pop("why")).startswith("gradient for cpu.2: host local had room")
    assert attached.pop("binding") is None
    assert user.data("list") == {"instances": [attached]}
    [device] = user.data("devices")["devices"]
    assert (device["used_milli"], device["free_milli"]) == (2000, 2000)
    assert user.data("stop", name)["state"] == "BOUND"
    assert user.data("start", name)["epoch"] == 2
    assert user.data("detach", name)["state"] == "DELETED"
    assert user.data("list") == {"instances": []}


def test_tables_for_people(user: Terminal) -> None:
    made = user.run("create", "cpu.1")
    name = made.stdout.split()[0]
    assert made.stdout == f"{name}  BINDABLE  cpu.1\n"
    assert user.run("list").stdout.splitlines()[1].split() == [name, "cpu.1", "BINDABLE", "-", "-"]
    assert user.run("delete", name).stdout == f"{name}  DELETED  cpu.1\n"


def test_the_shell_completes_instances(user: Terminal) -> None:
    name = str(user.data("create", "cpu.1")["id"])
    asked = {
        "_EAIS_COMPLETE": "complete_bash",
        "COMP_WORDS": "eais describe ei-",
        "COMP_CWORD": "2",
    }
    assert Terminal(user.home, asked).run().stdout.split() == [name]
    user.run("delete", name)


@pytest.mark.parametrize(
    ("argv", "code", "reason"),
    [
        (("describe", "ei-0123456789abcdef"), 2, "NOT_FOUND"),
        (("attach", "--type", "cpu.999"), 2, "ARGUMENT"),
        (("attach", "--type", "toaster"), 2, "TYPE_UNKNOWN"),
        (("attach",), 2, "NOT_FOUND"),
        (("list", "--context", "nowhere"), 2, "NOT_FOUND"),
        (("pool", "status", "--name", "other"), 4, "POOL_NOT_RUNNING"),
    ],
)
def test_an_error_is_one_line_and_a_code(
    user: Terminal, argv: tuple[str, ...], code: int, reason: str
) -> None:
    done = user.run(*argv, "-o", "json")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"error: {reason}: ")
    assert done.stderr.count("\n") == 1


def test_nobody_who_reads_is_no_failure(user: Terminal) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [PROGRAM, "list"], env=user.environ, stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_up_after_all_was_killed(stranger: Terminal) -> None:
    assert stranger.run("pool", "up", "--no-listener").returncode == 0
    supervisor = LocalProcesses().supervisor_of(stranger.pools / "local")
    assert supervisor is not None
    held = family(supervisor.pid)
    for process in held:
        process.kill()
    eventually(lambda: still_running(held) == 0 or None, "all has ended")
    again = stranger.run("pool", "up", "--no-listener")
    assert (again.returncode, again.stderr) == (0, "")
    assert stranger.run("pool", "down").returncode == 0


def test_two_ups_at_once_bring_up_one_pool(stranger: Terminal) -> None:
    both = [stranger.start("pool", "up", "-o", "json") for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    try:
        assert [process.returncode for process in both] == [0, 0], said
        assert '"started": true' in said[0][0] + said[1][0]
        assert '"started": false' in said[0][0] + said[1][0]
    finally:
        assert stranger.run("pool", "down").returncode == 0
    assert nothing_runs(stranger)


def test_a_wrong_setting_is_said_and_nothing_is_left(stranger: Terminal) -> None:
    config = stranger.home / "pool.toml"
    config.write_text("[manager]\nno_such_key = 1\n")
    done = stranger.run("pool", "up", "--config", "pool.toml")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: CONFIG: {config}:2:1: [manager] has no 'no_such_key'")
    assert nothing_runs(stranger)


def test_a_state_dir_that_cannot_be_is_said(stranger: Terminal) -> None:
    (stranger.home / "file").write_text("")
    done = stranger.run("pool", "up", "--state-dir", "file/pool")
    assert done.returncode == 2
    assert done.stderr.startswith("error: STATE_DIR: ")


def test_in_the_foreground_it_ends_with_the_command(stranger: Terminal) -> None:
    process = stranger.start("pool", "up", "--foreground", "-o", "json")
    assert process.stdout is not None
    assert '"started": true' in process.stdout.readline()
    held = family(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert nothing_runs(stranger)
    assert still_running(held) == 0


def test_a_listener_of_its_own(stranger: Terminal) -> None:
    up = stranger.run("pool", "up", "--no-listener")
    assert "eais pool listener" in up.stdout, up.stderr
    listener = stranger.start("pool", "listener")
    try:

        def joined() -> list[object] | None:
            return stranger.data("devices")["devices"] or None

        eventually(joined, "a device")
        listener.send_signal(signal.SIGINT)
        listener.communicate(timeout=30)
    finally:
        listener.kill()
        assert stranger.run("pool", "down").returncode == 0


@pytest.mark.parametrize("argv", [("--help",), ("attach", "--help"), ("pool", "up", "--help")])
def test_help_brings_in_nothing_heavy(stranger: Terminal, argv: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *argv], env=stranger.environ, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert sorted(set(done.stderr.splitlines()) & set(HEAVY)) == []


def test_version_brings_in_neither_grpc_nor_numpy(stranger: Terminal) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "version"],
        env=stranger.environ,
        capture_output=True,
        text=True,
    )
    assert sorted(set(done.stderr.splitlines()) & {"grpc", "numpy", "cryptography"}) == []
