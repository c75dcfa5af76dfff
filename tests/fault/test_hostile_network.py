"""What is wrong with a machine's network, and with what its network agent is given."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from eais.net.plan import KERNEL_DRIVERS
from eais_pool.authority import Authority
from tests.fault.machine import Machine, Said

POOL = "pool-0a0b0c0d"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A user whom a pool's CA is known to, and who has no privileges."""
    authority = Authority.create(tmp_path / "ca", POOL, datetime.now(UTC))
    (tmp_path / "ca.pem").write_bytes(authority.ca_pem)
    return Machine(tmp_path)


def agent(machine: Machine, *options: str, trust: str = "ca.pem") -> Said:
    given = ["--trust", trust, "--socket", "net.sock", "--state-dir", "net"]
    said = machine.eais("net", "agent", *given, *options)
    assert not (machine.home / "net.sock").exists(), "nobody is served"
    return said


@pytest.mark.hostile("network-agent")
@pytest.mark.parametrize(
    "address", ["10.0.0.0/8", "300.1.1.1", "eth0", "::1", "127.0.0.1", "0.0.0.0", "224.0.0.1", "\n"]
)
def test_an_underlay_that_no_machine_is_at(machine: Machine, address: str) -> None:
    agent(machine, "--underlay", address).refuses("ADDRESS", "--underlay", "IPv4 address")


@pytest.mark.parametrize("name", ["nobody-is-called-so", "", "-1", "99999999999999999999"])
def test_a_user_that_is_none(machine: Machine, name: str) -> None:
    agent(machine, f"--user={name}").refuses("CONFIG", "--user", "no such user")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "CERT_MISSING"),
        ("no certificate", "CERT_MISSING"),
        ("-----BEGIN CERTIFICATE-----\n", "CERT_UNREADABLE"),
    ],
)
def test_a_trusted_file_without_a_certificate(machine: Machine, text: str, reason: str) -> None:
    (machine.home / "other.pem").write_text(text)
    agent(machine, trust="other.pem").refuses(reason, "other.pem", code=3)


def test_a_trusted_file_that_is_not_there(machine: Machine) -> None:
    agent(machine, trust="gone.pem").refuses("CONFIG", "gone.pem", "No such file")


def test_a_state_folder_that_others_may_reach(machine: Machine) -> None:
    (machine.home / "net").mkdir(mode=0o755)
    agent(machine).refuses("STATE_DIR", "net")


def test_no_privilege_to_make_interfaces(machine: Machine) -> None:
    agent(machine).refuses("NETDEV")


@pytest.mark.hostile("network-privileges")
def test_what_lacks_is_said_of_each_driver(machine: Machine) -> None:
    said = machine.eais("net", "check")
    assert (said.code, said.err) == (1, "")
    assert said.out.startswith("This machine can do no driver.\n")
    for driver in KERNEL_DRIVERS:
        begin = f"  no    {driver} "
        (line,) = (line for line in said.out.splitlines() if line.startswith(begin))
        assert "CAP_NET_ADMIN" in line or "pyroute2" in line


def test_no_agent_at_all(machine: Machine) -> None:
    for path in ("gone.sock", "ca.pem", "."):
        said = machine.eais("net", "status", "--socket", path)
        said.refuses("NET_AGENT", path)
