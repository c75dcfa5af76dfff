"""`eais listener up`, `down`, `status`: this machine as a host of a pool elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eais import tls
from eais.errors import EaisError, make_error
from eais.identity import Identity, Role
from eais.join_token import JoinToken
from eais.joining import Joined, Plane
from eais_client.cli.local_pool import check_installed
from eais_client.cli.testing import FakeOutside, FakeProcess, Said
from eais_pool.authority import Authority

POOL, AT, HERE = "pool-0a0b0c0d", "127.0.0.1:7443", "127.0.0.2"
TOKEN = JoinToken(b"c" * 32, b"s" * 20).text
HOUR, DAYS_30 = timedelta(hours=1), timedelta(days=30)


@dataclass
class Office:
    """A pool that takes tokens: whoever joins becomes listener `name`."""

    authority: Authority
    name: str = "h2"
    refusal: EaisError | None = None
    leaf_life: timedelta = HOUR
    enrolment_life: timedelta = DAYS_30
    asked: list[tuple[str, str, Role]] = field(default_factory=list)

    def join(
        self, address: str, token: str, purpose: Role, *, check_pool: Callable[[str], None]
    ) -> Joined:
        check_pool(self.authority.pool)
        self.asked.append((address, token, purpose))
        if self.refusal is not None:
            raise self.refusal
        who, plane = Identity.listener(self.authority.pool, self.name), Plane("127.0.0.1", 4001)
        return Joined(
            self.bundle(who, self.leaf_life),
            self.bundle(who.enrolment, self.enrolment_life),
            self.authority.pool,
            Plane("127.0.0.1", 4000),
            plane,
            f"manager.{self.authority.pool}.internal",
        )

    def bundle(self, who: Identity, life: timedelta) -> tls.Bundle:
        """One that lives so long; one that has ended if that is nothing."""
        now = datetime.now(UTC)
        return self.authority.bundle(who, now if life else now - 2 * HOUR, life or HOUR)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("pool") / "ca", POOL, datetime.now(UTC))


@pytest.fixture
def office(authority: Authority) -> Office:
    return Office(authority)


@pytest.fixture
def machine(nowhere: FakeOutside, office: Office) -> FakeOutside:
    """A machine with a token, whose listener comes up and is taken by the pool."""
    nowhere.typed = f"{TOKEN}\n"
    nowhere.join = office.join
    that_says(nowhere, joined=True)
    return nowhere


def state(machine: FakeOutside) -> Path:
    return machine.home / ".local/state/eais/listener"


def that_says(machine: FakeOutside, **said: Any) -> None:
    """The listener that is started next says so of itself."""

    def say(process: FakeProcess) -> None:
        status = {"user_port": 4100, "management_port": 4101, "instances": ["ei-1"], **said}
        (state(machine) / "status.json").write_text(json.dumps(status))

    machine.processes.on_spawn = say


def up(machine: FakeOutside, *more: str) -> Said:
    return machine.run("listener", "up", *more)


def first_up(machine: FakeOutside, *more: str) -> Said:
    return up(machine, "--pool", AT, "--address", HERE, *more)


def test_the_first_time_it_joins_with_the_token(machine: FakeOutside, office: Office) -> None:
    said = first_up(machine, "-o", "json")
    assert said.code == 0, said.err
    assert office.asked == [(AT, TOKEN, Role.LISTENER)]
    for name in ("identity.pem", "enrolment.pem", "joined.json"):
        assert (state(machine) / name).stat().st_mode & 0o777 == 0o600
    joined = json.loads((state(machine) / "joined.json").read_text())
    assert (joined["pool"], joined["host"], joined["address"]) == (POOL, "h2", HERE)
    assert joined["management"] == {
        "address": "127.0.0.1",
        "port": 4001,
        "server_name": f"manager.{POOL}.internal",
    }
    [(command, _)] = machine.processes.spawned
    assert command[1:] == [
        *("-m", "eais_server.listener.supervisor", "--state-dir", str(state(machine))),
    ]
    assert (said.data["host"], said.data["joined"], said.data["started"]) == ("h2", True, True)
    assert said.data["instances"] == ["ei-1"]


def test_the_token_is_written_nowhere(machine: FakeOutside) -> None:
    said = first_up(machine)
    secret = TOKEN.rpartition(".")[2]
    files = [path for path in machine.home.rglob("*") if path.is_file()]
    assert not [path for path in files if secret in path.read_text()]
    assert secret not in said.out + said.err


def test_after_that_it_needs_nothing(machine: FakeOutside, office: Office) -> None:
    first_up(machine)
    machine.run("listener", "down")
    machine.typed = ""
    said = up(machine)
    assert said.code == 0, said.err
    assert len(office.asked) == 1
    assert said.out.startswith(f"host h2 of pool {POOL}\n")


def test_up_again_is_harmless_and_says_what_has_no_effect(machine: FakeOutside) -> None:
    first_up(machine)
    said = up(machine, "--cpu-cores", "2", "--simulate", "gpu=1", "-o", "json")
    assert (said.code, said.data["started"]) == (0, False)
    assert said.err == "note: the listener was up already; no effect: --cpu-cores, --simulate\n"
    assert len(machine.processes.spawned) == 1


def test_another_address_is_taken_at_the_next_start(machine: FakeOutside, office: Office) -> None:
    first_up(machine)
    machine.run("listener", "down")
    assert up(machine, "--address", "127.0.0.3").code == 0
    assert json.loads((state(machine) / "joined.json").read_text())["address"] == "127.0.0.3"
    assert len(office.asked) == 1


@pytest.mark.parametrize("more", [(), ("--pool", AT), ("--address", HERE)])
def test_a_machine_that_never_joined_is_told_what_to_say(
    machine: FakeOutside, office: Office, more: tuple[str, ...]
) -> None:
    said = up(machine, *more)
    assert said.code == 2
    assert said.err.startswith("error: ARGUMENT: this machine is no host of a pool yet")
    assert "eais token create --for listener" in said.err
    assert office.asked == []


@pytest.mark.parametrize(
    ("pool", "address", "text"),
    [
        (AT, "192.0.2.77", "192.0.2.77 isn't an address of this machine"),
        (AT, "0.0.0.0", "nobody can be told to come there"),
        (AT, "back-end.example", "is no address of a machine"),
        ("10.1.2.3", HERE, "the pool at 10.1.2.3 is reached from others"),
        ("pool.example:7443", "::1", "the pool at pool.example:7443 is reached from others"),
    ],
)
def test_an_address_that_will_not_do_costs_no_token(
    machine: FakeOutside, office: Office, pool: str, address: str, text: str
) -> None:
    said = up(machine, "--pool", pool, "--address", address)
    assert said.code == 2
    assert said.err.startswith("error: ADDRESS: ")
    assert text in said.err
    assert office.asked == []


def test_a_token_of_another_host_is_refused_and_nothing_is_kept(
    machine: FakeOutside, office: Office
) -> None:
    said = first_up(machine, "--name", "h3")
    assert said.code == 2
    assert said.err.startswith("error: NAME: the token is for host 'h2', and this is 'h3'")
    assert not list(machine.home.rglob("*.pem"))
    assert not machine.processes.spawned


def test_a_name_that_no_host_has_is_refused(machine: FakeOutside) -> None:
    assert first_up(machine, "--name", "../h2").err.startswith("error: NAME: ")


def test_a_pool_that_refuses_is_heard(machine: FakeOutside, office: Office) -> None:
    office.refusal = make_error("TOKEN", "the pool doesn't take this token")
    said = first_up(machine)
    assert (said.code, said.err) == (3, "error: TOKEN: the pool doesn't take this token\n")
    assert not machine.processes.spawned


def test_a_member_of_one_pool_is_not_another_ones(machine: FakeOutside, office: Office) -> None:
    first_up(machine)
    machine.run("listener", "down")
    said = up(machine, "--pool", "127.0.0.9")
    assert said.err.startswith("error: WRONG_STATE: this host is in pool")
    office.authority = Authority.create(machine.home / "other", "pool-other", datetime.now(UTC))
    said = first_up(machine, "--join-again")
    assert said.err.startswith(f"error: WRONG_STATE: this host is in pool {POOL}, and the token")
    assert len(office.asked) == 1


def test_it_joins_again_when_both_certificates_have_ended(
    machine: FakeOutside, office: Office
) -> None:
    office.leaf_life = office.enrolment_life = timedelta(0)
    first_up(machine)
    shown = machine.run("listener", "status")
    assert "no certificate of this host is of use any more; join again" in shown.err
    machine.run("listener", "down")
    office.leaf_life, office.enrolment_life = HOUR, DAYS_30
    assert up(machine).code == 0
    assert [address for address, _, _ in office.asked] == [AT, AT]
    assert machine.run("listener", "status").err == ""


def test_a_name_that_is_anothers_ends_it(machine: FakeOutside) -> None:
    fault = {"reason": "NAME_TAKEN", "text": "another listener is host 'h2'", "hint": "end one"}
    that_says(machine, joined=False, fault=fault)
    said = first_up(machine)
    assert (said.code, said.err) == (
        2,
        "error: NAME_TAKEN: another listener is host 'h2' (end one)\n",
    )
    assert machine.run("listener", "status").code == 4


def test_a_pool_that_is_away_is_waited_for_by_the_listener(machine: FakeOutside) -> None:
    fault = {"reason": "POOL_UNREACHABLE", "text": "nobody answers", "hint": ""}
    that_says(machine, joined=False, fault=fault)
    said = first_up(machine, "-o", "json")
    assert said.code == 0
    assert (said.data["joined"], said.data["fault"]) == (False, "POOL_UNREACHABLE")
    assert "not joined: POOL_UNREACHABLE: nobody answers" in machine.run("listener", "status").out


def test_one_that_does_not_stay_up_is_stopped_and_its_error_is_the_error(
    machine: FakeOutside,
) -> None:
    def fail(process: FakeProcess) -> None:
        folder = state(machine)
        (folder / "supervisor.log").write_text("Z eais-supervisor listener ended with 2\n")
        (folder / "listener.log").write_text("error: PORT: user_port = 80: can't be bound\n")

    machine.processes.on_spawn = fail
    said = first_up(machine)
    assert (said.code, said.err) == (2, "error: PORT: user_port = 80: can't be bound\n")
    assert machine.processes.supervisor is not None
    assert machine.processes.supervisor.ended


def test_without_start_it_only_joins(machine: FakeOutside) -> None:
    said = first_up(machine, "--no-start")
    assert (said.code, said.out) == (0, f"host h2 of pool {POOL}, at {HERE}: not started\n")
    assert not machine.processes.spawned


def test_names_have_states_of_their_own(machine: FakeOutside, office: Office) -> None:
    office.name = "h7"
    place = machine.home / ".local/state/eais/listeners/h7"
    assert first_up(machine, "--name", "h7", "--no-start").code == 0
    assert (place / "joined.json").exists()
    assert machine.run("listener", "status").code == 4


def test_down_and_status_of_what_does_not_run(machine: FakeOutside) -> None:
    assert machine.run("listener", "down").out == "listener was not running\n"
    said = machine.run("listener", "status")
    assert said.code == 4
    assert said.err.startswith("error: POOL_NOT_RUNNING: no listener runs on this machine")


def test_a_damaged_membership_is_said(machine: FakeOutside) -> None:
    first_up(machine)
    machine.run("listener", "down")
    (state(machine) / "joined.json").write_text("{")
    said = up(machine)
    assert said.err.startswith("error: STATE_DIR: ")
    assert "eais listener up --join-again" in said.err


def test_what_a_listener_needs_is_installed_here() -> None:
    check_installed("listener")
