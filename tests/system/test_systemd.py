"""The shipped units: what systemd says of them, and what their programs say to systemd."""

from __future__ import annotations

import configparser
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

import eais
from eais import files, tls
from eais.identity import Identity
from eais.net.asking import DEFAULT_SOCKET, TIMEOUT_S
from eais_pool.authority import Authority
from tests.system.stack import eventually

UNITS = Path(eais.__file__).parent / "systemd"
NAMES = ("eais-manager", "eais-listener", "eais-host")
PYTHON = "/opt/eais/bin/python"
WATCHDOG_S = 2.0
WAIT_S = 60.0


def service(name: str) -> configparser.SectionProxy:
    """A unit's [Service]."""
    parsed = configparser.ConfigParser(interpolation=None, strict=True)
    # Keys of systemd are spelt with capitals.
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read(UNITS / f"{name}.service")
    return parsed["Service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd isn't installed")
def test_systemd_has_nothing_to_say_against_them(tmp_path: Path) -> None:
    units = [tmp_path / f"{name}.service" for name in (*NAMES, "eais-net")]
    for unit in units:
        # Its only objection would be that nothing is installed at that place here.
        text = (UNITS / unit.name).read_text().replace(PYTHON, "/bin/true")
        unit.write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *map(str, units)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_what_each_unit_must_say(name: str) -> None:
    found = service(name)
    assert found["Type"] == "notify"
    assert (found["Restart"], found["RestartSec"]) == ("always", "50ms")
    assert float(found["WatchdogSec"]) == 10
    assert float(found["TimeoutStopSec"]) > 3
    assert found["KillMode"] == "mixed"
    assert found["User"] == "eais"


def test_what_the_network_agents_unit_must_say() -> None:
    found = service("eais-net")
    assert (found["Type"], found["Restart"], found["User"]) == ("notify", "always", "eais")
    assert float(found["WatchdogSec"]) > 2 * TIMEOUT_S, "one answer may take as long as that"
    # What it has made outlives it: interfaces, and the processes and sockets that some of them are.
    assert found["KillMode"] == "process"
    assert found["RuntimeDirectory"].split() == ["eais", "wireguard"]
    assert (found["RuntimeDirectoryPreserve"], found["RuntimeDirectoryMode"]) == ("yes", "0755")
    assert found["AmbientCapabilities"] == found["CapabilityBoundingSet"] == "CAP_NET_ADMIN"
    assert found["DeviceAllow"] == "/dev/net/tun rw"
    assert Path("/run", found["RuntimeDirectory"].split()[0], "net.sock") == DEFAULT_SOCKET


@dataclass
class Unit:
    """A unit's program, started as systemd would, and what it says."""

    process: subprocess.Popen[bytes]
    line: socket.socket

    def said(self) -> str:
        """The next word."""
        return self.line.recv(4096).decode()


class State:
    """What systemd makes directories for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "var" / "eais").mkdir(parents=True, mode=0o700)
        (root / "etc" / "eais").mkdir(parents=True)
        (root / "etc" / "eais" / "pool.toml").write_text("[listener]\ncpu_cores = 2\n")

    @contextmanager
    def start(self, name: str) -> Iterator[Unit]:
        """Run a unit's ExecStart until the end of the block, then end it as systemd does."""
        address = str(self.root / f"{name}.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.bind(address)
            line.settimeout(WAIT_S)
            with (self.root / f"{name}.log").open("wb") as log:
                process = subprocess.Popen(
                    self.command(name), env=self.environ(address), stdout=log, stderr=log
                )
            try:
                yield Unit(process, line)
            finally:
                process.terminate()
                process.wait(WAIT_S)
                Path(address).unlink()

    def command(self, name: str) -> list[str]:
        """Its command line, with this interpreter and these directories."""
        line = service(name)["ExecStart"].replace(PYTHON, shlex.quote(sys.executable))
        places = {"%S": "var", "%E": "etc"}
        for mark, folder in places.items():
            line = line.replace(mark, shlex.quote(str(self.root / folder)))
        return shlex.split(line)

    def join(self, name: str, address: str) -> Path:
        """Make this machine a host of the pool here, as joining does; where it says so."""
        pool, directory = self.root / "var" / "eais", self.root / "var" / "eais" / "listener"
        ready = json.loads((pool / "ready.json").read_text())
        authority = Authority.load(pool / "ca")
        who = Identity.listener(ready["pool"], name)
        tls.save_bundle(directory / "identity.pem", authority.bundle(who, datetime.now(UTC)))
        file = directory / "joined.json"
        files.replace_file(file, json.dumps({**ready, "address": address}).encode())
        return file

    @staticmethod
    def environ(address: str) -> dict[str, str]:
        """As systemd makes one."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EAIS_")}
        said = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}
        return {**kept, **said}


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path)


def test_their_programs_say_that_they_serve_move_and_end(state: State) -> None:
    with state.start("eais-manager") as manager, state.start("eais-listener") as listener:
        for unit in (manager, listener):
            assert unit.said() == "READY=1"
            assert [unit.said() for _ in range(3)] == ["WATCHDOG=1"] * 3
        for unit in (listener, manager):
            unit.process.send_signal(signal.SIGTERM)
            assert unit.process.wait(WAIT_S) == 0
            while (last := unit.said()) == "WATCHDOG=1":
                continue
            assert last == "STOPPING=1"


def test_a_host_of_its_own_serves_for_a_manager_elsewhere(state: State) -> None:
    with state.start("eais-manager") as manager:
        assert manager.said() == "READY=1"
        joined = state.join("h2", "127.0.0.91")
        with state.start("eais-host") as host:
            assert host.said() == "READY=1"

            def taken() -> bool | None:
                status = joined.with_name("status.json")
                return (status.exists() and json.loads(status.read_text())["joined"]) or None

            assert eventually(taken, "the pool has taken it")


def test_a_host_of_its_own_is_not_started_before_it_joined() -> None:
    text = (UNITS / "eais-host.service").read_text()
    condition = "%S/eais/listener/joined.json"
    assert f"ConditionPathExists={condition}\n" in text
    assert f"--pool-file {condition} " in service("eais-host")["ExecStart"]


def test_the_listener_serves_before_there_is_a_manager(state: State) -> None:
    with state.start("eais-manager") as manager, state.start("eais-listener") as listener:
        assert listener.said() == "READY=1"
        assert manager.said() == "READY=1"
    with state.start("eais-listener") as listener:
        assert [listener.said() for _ in range(2)] == ["READY=1", "WATCHDOG=1"]
