"""What is wrong with this machine: ports, settings, folders, twins, streams."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eais_client.cli.processes import LocalProcesses
from tests.fault.machine import Machine, can_mount, descriptors, in_own_mounts
from tests.system.stack import eventually
from tests.system.terminal import PROGRAM

IN_USE = "Address already in use"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A user who has no pool."""
    return Machine(tmp_path)


@pytest.fixture(scope="module")
def at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A user whose pool is up, with its state in `home`/s."""
    made = Machine(tmp_path_factory.mktemp("home"))
    up = made.eais("pool", "up", "--cpu-cores", "2", "--state-dir", "s")
    assert up.code == 0, up
    yield made
    assert made.eais("pool", "down").code == 0


def nothing_runs(machine: Machine, state: str = "s") -> bool:
    return LocalProcesses().supervisor_of(machine.home / state) is None


def exists(file: Path, what: str) -> None:
    eventually(lambda: file.exists() or None, what)


def settings(machine: Machine, text: str) -> str:
    file = machine.home / "pool.toml"
    file.write_text(text)
    return str(file)


# port

_BOTH = ("user_port", "management_port")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program has, at all addresses."""
    with socket.create_server(("0.0.0.0", 0)) as held:
        yield int(held.getsockname()[1])


@pytest.mark.hostile("port")
@pytest.mark.parametrize(
    ("table", "key"),
    [
        *((table, key) for table in ("manager", "listener") for key in _BOTH),
        ("manager", "enrolment_port"),
    ],
)
def test_port(machine: Machine, taken: int, table: str, key: str) -> None:
    for port in ("70000", "-1"):
        file = settings(machine, f"[{table}]\n{key} = {port}\n")
        said = machine.program(table, "--config", file)
        said.refuses("PORT", f"{file}:2:1: [{table}] {key} = {port}: must be 1 to 65535")
    file = settings(machine, f"[{table}]\n{key} = {taken}\n")
    said = machine.eais("pool", "up", "--state-dir", "s", "--config", file)
    said.refuses("PORT", f"{key} = {taken}: can't be bound at 127.", IN_USE)
    assert nothing_runs(machine)
    for number in (0, 65536, 10**30):
        context = f'current = "x"\n[contexts.x]\npool = "x-1"\nmanager = "127.64.0.1:{number}"\n'
        config = machine.home / ".config" / "eais"
        config.mkdir(parents=True, exist_ok=True)
        (config / "config.toml").write_text(context)
        machine.eais("list").refuses("PORT", "config.toml:4:1: manager: ", "a port is 1 to 65535")


# config-file


def bad_settings() -> dict[str, tuple[str | bytes, str]]:
    """What a file of settings may hold, and what is said of it after its name."""
    return {
        "unknown key": ("[manager]\n\n  leaf_life = 1\n", ":3:3: [manager] has no 'leaf_life'"),
        "unknown table": ("[managr]\ntick_s = 1\n", ":1:1: the file has no 'managr'; known: "),
        "quota": ("[quota]\ngpus = 1\n", ":2:1: [quota] has no 'gpus'"),
        "a tenant's": ("[quota.tenants.a]\ncpu = -1\n", ":2:1: cpu = '-1': must be devices"),
        "wrong type": ("[manager]\ntick_s = 'soon'\n", ":2:1: tick_s = 'soon' is not float"),
        "no fraction": ("[manager]\njournal_rows = 1.5\n", ":2:1: journal_rows = 1.5 is not int"),
        "no number": ("[manager]\ntick_s = nan\n", ":2:1: tick_s = nan is not float"),
        "out of range": ("[manager]\nleaf_life_h = 99\n", ":2:1: [manager] leaf_life_h = 99"),
        "no address": ("[manager]\nbind = 'h'\n", ":2:1: [manager] bind = 'h': must be an IPv4"),
        "all addresses": (
            "[manager]\nbind = '0.0.0.0'\n",
            ":2:1: [manager] bind = 0.0.0.0: nobody can be told to come there",
        ),
        "no table": ("manager = 7\n", ":1:1: manager must be a table"),
        "no TOML": ("tick_s: 1\n", ":1:7: Expected '='"),
        "torn": ("[manager]\ntick_s = \n", ":2:10: Invalid value"),
        "twice": ("[manager]\n[manager]\n", ":2:9: Cannot declare"),
        "no text": (b"[manager]\n\xff\xfe = 1\n", ": 'utf-8' codec can't decode"),
        "NUL": ("[manager]\n\0 = 1\n", ":2:1: Invalid"),
        "huge": ("# padding\n" * 10_000, ": it is larger than 65536 bytes"),
        "long line": ("x = '" + "y" * 5_000 + "'\n", ": it has a line of more than 2048"),
        "nested": ("x = " + "[\n" * 5_000, ": it is nested too deeply"),
        "references": (
            "a = 1\n" + "".join(f"a{n} = a{n - 1}\n" for n in range(9)),
            ":2:6: Invalid",
        ),
    }


@pytest.mark.hostile("config-file")
@pytest.mark.parametrize("what", bad_settings())
def test_config_file(machine: Machine, what: str) -> None:
    content, says = bad_settings()[what]
    file = machine.home / "pool.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    machine.program("manager", "--config", str(file)).refuses("CONFIG", f"{file}{says}")
    if what in ("quota", "no TOML", "unknown key"):
        machine.eais("pool", "up", "--config", str(file)).refuses("CONFIG", f"{file}{says}")
        assert nothing_runs(machine, ".local/state/eais/pools/local")
    own = machine.home / ".config" / "eais" / "config.toml"
    own.parent.mkdir(parents=True, exist_ok=True)
    file.replace(own)
    if says[:4] not in (":1:1", ":2:1", ":3:3"):  # those are right, or the user's own, in this file
        machine.eais("context", "list").refuses("CONFIG", f"{own}{says}")


# state-dir


def file_in_its_place(machine: Machine) -> str:
    (machine.home / "s").write_text("")
    return "directory"


def below_a_file(machine: Machine) -> str:
    (machine.home / "s").symlink_to(machine.home / "file" / "s")
    (machine.home / "file").write_text("")
    return "s"


def read_only(machine: Machine) -> str:
    (machine.home / "s").mkdir(mode=0o500)
    return "Permission denied"


def below_read_only(machine: Machine) -> str:
    (machine.home / "ro").mkdir()
    (machine.home / "s").symlink_to("ro/s")
    (machine.home / "ro").chmod(0o500)
    return "s"


def open_to_others(machine: Machine) -> str:
    (machine.home / "s").mkdir()
    (machine.home / "s").chmod(0o777)
    return "is open to other users: chmod 700 it"


def anothers(machine: Machine) -> str:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    (machine.home / "s").mkdir()
    os.chown(machine.home / "s", 65534, 65534)
    (machine.home / "s").chmod(0o777)
    return "belongs to another user"


def a_link(machine: Machine) -> str:
    (machine.home / "real").mkdir(mode=0o700)
    (machine.home / "s").symlink_to("real")
    return "s is "


def mounted(options: str) -> Callable[[Machine], list[str]]:
    def made(machine: Machine) -> list[str]:
        if can_mount():
            pytest.skip(f"no file system can be mounted here: {can_mount()}")
        (machine.home / "s").mkdir(mode=0o700)
        return in_own_mounts(f"mode=700,{options}", machine.home / "s")

    return made


def refusing(make: object) -> tuple[str, ...]:
    """Which programs can't begin there either."""
    if make in (open_to_others, anothers, a_link):
        return ("supervisor", "manager")  # the listener's own folder below would be its own
    if isinstance(make, tuple) and "space" in make[1]:
        return ("manager",)  # the supervisor starts the others until there is room
    return ("supervisor", "manager", "listener")


@pytest.mark.hostile("state-dir")
@pytest.mark.parametrize(
    "make",
    [
        file_in_its_place,
        below_a_file,
        read_only,
        below_read_only,
        open_to_others,
        anothers,
        a_link,
        pytest.param((mounted("ro"), "Read-only file system"), id="read_only_file_system"),
        pytest.param((mounted("size=16k"), "No space left on device"), id="full"),
    ],
)
def test_state_dir(
    machine: Machine,
    make: Callable[[Machine], str] | tuple[Callable[[Machine], list[str]], str],
) -> None:
    within, says = (make[0](machine), make[1]) if isinstance(make, tuple) else ([], make(machine))
    said = machine.eais("pool", "up", "--state-dir", "s", within=within)
    said.refuses("STATE_DIR", f"{machine.home}/", says)
    assert nothing_runs(machine)
    for name in ("supervisor", "manager", "listener"):
        if name in refusing(make):
            said = machine.program(name, within=within)
            said.refuses("STATE_DIR", f"{machine.home}/s", says)
    assert machine.eais("pool", "status", "--state-dir", "s").code == 4


# second-instance


@pytest.mark.hostile("second-instance")
@pytest.mark.parametrize("name", ["supervisor", "manager", "listener"])
def test_second_instance(at_home: Machine, name: str) -> None:
    said = at_home.program(name)
    said.refuses("LOCKED")
    assert not any(word.isdigit() for word in said.err.split()), said
    assert at_home.eais("pool", "up").code == 0
    if name == "listener":
        at_home.eais("pool", "listener").refuses("LOCKED", "another listener")
    # What a process left that was killed, and whose number is another's now, holds nobody up.
    other = Machine(at_home.home / name)
    (other.home / "s").mkdir(parents=True, mode=0o700)
    (other.home / "s" / "supervisor.lock").write_text(str(os.getpid()))
    assert nothing_runs(other)
    own = other.start(name)
    try:
        ready = {"supervisor": "ready.json", "manager": "ready.json", "listener": "listener/lock"}
        exists(other.home / "s" / ready[name], f"{name} has begun")
        other.program(name).refuses("LOCKED")
        own.kill()
        own.wait(20)
        if name != "supervisor":  # whose programs hold their own until they have seen its end
            assert eventually(lambda: starts(other, name), f"another {name} begins")
    finally:
        own.kill()
        own.wait(20)


def starts(machine: Machine, name: str) -> bool | None:
    """Whether a program is let begin; it is ended then."""
    made = machine.start(name)
    try:
        made.wait(1.0)
    except subprocess.TimeoutExpired:
        return True
    finally:
        made.kill()
        made.wait(20)
    return None


# closed-stdout

STREAMS = {
    "closed": ">&-",
    "all closed": "<&- >&- 2>&-",
    "full": ">/dev/full",
    "all full": ">/dev/full 2>/dev/full",
}
COMMANDS = {
    "--help": 0,
    "pool up --help": 0,
    "--version": 0,
    "version": 0,
    "list": 0,
    "list -o json": 0,
    "devices -o yaml": 0,
    "pool status": 0,
    "pool up --cpu-cores 1": 0,
    "context show": 0,
    "describe ei-0000000000000000": 2,
    "nosuch": 2,
    "attach --type cpu.999": 2,
}


@pytest.mark.hostile("closed-stdout")
@pytest.mark.parametrize("command", [*COMMANDS, "pool up --foreground", "manager", "listener"])
def test_closed_stdout(at_home: Machine, machine: Machine, command: str) -> None:
    if command in COMMANDS:
        for streams in STREAMS:
            check_command(at_home, command, streams)
        check_unread(at_home, command)
    elif command == "pool up --foreground":
        check_foreground(machine)
    else:
        check_program(at_home, machine, command)


def check_command(machine: Machine, command: str, streams: str) -> None:
    said = machine.eais(*command.split(), shell=STREAMS[streams])
    code = COMMANDS[command]
    # Who asked for an answer that couldn't be written is told so.
    wanted = 2 if "full" in streams else code
    assert (said.code, said.out) == (wanted, ""), (streams, said)
    if streams == "full" and code == 0:
        said.refuses("STATE_DIR", "standard output: No space left on device")
    elif streams.startswith("all") or code == 0:
        assert "rror" not in said.err, (streams, said)
    else:
        assert said.err.count("\n") == 1, (streams, said)


def check_unread(machine: Machine, command: str) -> None:
    """Nobody reads on: no failure, whatever the answer was."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [PROGRAM, *command.split()],
        env=machine.terminal.environ,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(write)
    assert done.returncode == COMMANDS[command], done
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def check_foreground(machine: Machine) -> None:
    """Its answer goes nowhere; it stays, and ends when it is told to."""
    running = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {PROGRAM} pool up --foreground --state-dir s <&- >&- 2>&-"],
        env=machine.terminal.environ,
        cwd=machine.home,
    )
    try:
        eventually(lambda: not nothing_runs(machine) or None, "the pool runs")
        exists(machine.home / "s" / "ready.json", "the manager serves")
        running.send_signal(signal.SIGTERM)
        # Whether it had already taken its signals can't be seen from here.
        assert running.wait(30) in (0, -signal.SIGTERM)
    finally:
        running.kill()
        running.wait(20)
    eventually(lambda: nothing_runs(machine) or None, "nothing is left")


def check_program(at_home: Machine, machine: Machine, name: str) -> None:
    """Nothing of its own is opened in the streams' place, and its end is its own."""
    running = machine.start(name, shell="<&- >&- 2>&-")
    lock = {"manager": "manager/journal.sqlite", "listener": "listener/lock"}
    try:
        exists(machine.home / "s" / lock[name], f"{name} has begun")
        assert set(descriptors(running.pid).values()) == {"/dev/null"}
        unsaid = at_home.program(name, shell="2>&-")
        assert (unsaid.code, unsaid.out, unsaid.err) == (2, "", "")
        if name == "manager":
            exists(machine.home / "s" / "ready.json", "it serves")
            running.terminate()
            assert running.wait(30) == 0
    finally:
        running.kill()
        running.wait(20)
    full = at_home.program(name, shell=">/dev/full 2>/dev/full")
    assert (full.code, full.err) == (2, "")
