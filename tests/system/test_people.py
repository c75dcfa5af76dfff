"""Users and operators of several machines: tokens, joining, tenants, and what a doctor says.

Each has a home of their own, which is all that a machine is to EAIS; the pool is at an address.
"""

from __future__ import annotations

import json
import os
import pty
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eais import tls
from eais.identity import Identity
from eais_client.testing.conformance import own_models
from tests.system.team import Team, team_at
from tests.system.terminal import PROGRAM, Terminal

ADDRESS = "127.0.0.77"
WAIT_S = 60.0


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A pool with two tenants."""
    root = tmp_path_factory.mktemp("people")
    with team_at(root, ADDRESS, tenants=("acme", "globex")) as made:
        yield made


def problems(user: Terminal, *argv: str) -> list[tuple[str, str]]:
    """What the doctor finds: checks and reasons."""
    done = user.run("doctor", *argv, "-o", "json")
    assert done.stderr == ""
    data = json.loads(done.stdout)
    found = [(each["check"], each["reason"]) for each in data["checks"] if each["reason"]]
    assert (done.returncode == 0) is data["ok"] is (not found)
    return found


def test_a_tenant_sees_its_own_and_an_operator_everybodys(team: Team) -> None:
    ada, bob = team.user("ada", "acme"), team.user("bob", "globex")
    attached = [str(user.data("attach", "--type", "cpu.1")["id"]) for user in (ada, bob)]
    for user, own in ((ada, attached[0]), (bob, attached[1])):
        listed = user.data("list")["instances"]
        assert [one["id"] for one in listed] == [own]
    assert bob.run("describe", attached[0]).stderr.startswith("error: NOT_FOUND: ")
    everybodys = team.operator.data("list", "--all-tenants")["instances"]
    assert {(one["tenant"], one["id"], one["host"]) for one in everybodys} == {
        ("acme", attached[0], "local"),
        ("globex", attached[1], "local"),
    }
    refused = ada.run("list", "--all-tenants")
    assert (refused.returncode, refused.stdout) == (3, "")
    ended = team.operator.data("force-detach", attached[1], "--yes")
    assert ended["state"] in ("BINDABLE", "DELETED")
    assert problems(ada) == []
    assert problems(bob) == [("instance", "NOT_ATTACHED")]
    ada.run("detach", attached[0])


def test_a_token_works_once_and_for_its_purpose(team: Team) -> None:
    where, token = team.token("frontend", "--tenant", "acme", "--name", "eve")
    wrong = team.machine("wrong").run("join", where, "--as", "operator", stdin=token)
    assert (wrong.returncode, wrong.stdout) == (3, "")
    assert wrong.stderr.startswith("error: TOKEN: ")
    where, token = team.token("frontend", "--tenant", "acme", "--name", "eve")
    first = team.machine("first").run("join", where, stdin=token)
    assert first.returncode == 0, first.stderr
    thief = team.machine("thief")
    second = thief.run("join", where, stdin=token)
    assert (second.returncode, second.stderr.split(":")[1].strip()) == (3, "TOKEN")
    assert token not in first.stdout + first.stderr + second.stderr
    assert not (thief.home / ".config/eais/config.toml").exists()


def test_a_context_of_another_pool_is_no_reason_to_lose_a_token(team: Team) -> None:
    user = team.machine("carol")
    config = user.home / ".config/eais/config.toml"
    config.parent.mkdir(parents=True, mode=0o700)
    config.write_text('[contexts.team]\npool = "other-0001"\nmanager = "10.0.0.9:1"\n')
    where, token = team.token("frontend", "--tenant", "acme", "--name", "carol")
    refused = user.run("join", where, "--context", "team", stdin=token)
    assert (refused.returncode, refused.stderr[:18]) == (2, "error: NAME_TAKEN:")
    assert "the token wasn't used" in refused.stderr
    assert user.run("join", where, stdin=token).returncode == 0


def test_an_operator_on_another_machine(team: Team) -> None:
    user = team.user("olga", "acme")
    assert user.run("host", "list").returncode == 3
    where, token = team.token("operator", "--name", "olga")
    joined = user.run("join", where, "--as", "operator", "-o", "json", stdin=token)
    assert json.loads(joined.stdout)["context"] == team.pool
    assert [host["host"] for host in user.data("host", "list")["hosts"]] == ["local"]
    assert user.run("tenant", "quota", "acme", "instances=0").returncode == 0
    refused = user.run("attach", "--type", "cpu.1")
    assert refused.stderr.startswith("error: QUOTA: ")
    assert problems(user) == [("instance", "NOT_ATTACHED"), ("quota", "QUOTA")]
    assert user.run("tenant", "quota", "acme", "instances=default").returncode == 0
    assert user.run("create", "cpu.1").returncode == 0


def test_cordon_by_hand(team: Team) -> None:
    assert team.operator.data("host", "cordon", "local")["cordoned"] is True
    user = team.user("cora", "acme")
    assert user.run("attach", "--type", "cpu.1").stderr.startswith("error: NO_DEVICE: ")
    assert team.operator.data("host", "uncordon", "local")["cordoned"] is False


def ended(team: Team, user: Terminal, identity: Identity) -> tls.Bundle:
    """Have the user's leaf be one that ended yesterday."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    bundle = team.authority.bundle(identity, yesterday)
    tls.save_bundle(team.identity(user), bundle)
    return bundle


def test_a_machine_that_was_off_for_a_day_goes_on(team: Team) -> None:
    user = team.user("dora", "globex")
    identity = Identity.frontend(team.pool, "globex", "dora")
    before = ended(team, user, identity)
    assert user.data("list") == {"instances": []}
    after = tls.load_bundle(team.identity(user))
    assert after.identity == before.identity
    assert after.not_after > datetime.now(UTC)


PROGRAM_TEXT = """
import sys, numpy as np, eais
session = eais.InferenceSession(sys.argv[1])
print(session.run(None, {"X": np.ones((3, 2), np.float32)})[0].shape)
"""


def test_a_program_on_a_machine_that_was_off_for_a_day_goes_on(team: Team) -> None:
    user = team.user("dan", "globex")
    attached = str(user.data("attach", "--type", "cpu.1")["id"])
    model = own_models()["mul_1"]
    ended(team, user, Identity.frontend(team.pool, "globex", "dan"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM_TEXT, str(model)],
        env=user.environ,
        cwd=user.home,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    assert (done.returncode, done.stdout) == (0, "(3, 2)\n"), done.stderr
    assert user.data("detach", attached)["state"] == "DELETED"


def test_an_enrolment_is_good_for_nothing_else(team: Team) -> None:
    user = team.user("eddy", "globex")
    enrolment = team.identity(user).with_name("frontend-enrolment.pem")
    team.identity(user).write_bytes(enrolment.read_bytes())
    refused = user.run("list")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith("error: CERT_IDENTITY: ")
    assert problems(user) == [("certificate", "CERT_IDENTITY")]


def test_a_token_that_is_typed_isnt_shown(team: Team) -> None:
    user = team.machine("tilda")
    where, token = team.token("frontend", "--tenant", "acme", "--name", "tilda")
    shown, code = typed(user, ["join", where], f"{token}\n", "Token (not shown): ")
    assert code == 0, shown
    assert token not in shown
    assert "joined pool" in shown


def typed(user: Terminal, argv: list[str], text: str, prompt: str) -> tuple[str, int]:
    """What a terminal shows of a command to which `text` is typed at its prompt; its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(PROGRAM, [PROGRAM, *argv], user.environ)
    shown = ""
    while True:
        ready, _, _ = select.select([terminal], [], [], WAIT_S)
        assert ready, f"it stands still after {shown!r}"
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the terminal's other end is closed
            part = b""
        if not part:
            break
        shown += part.decode()
        if prompt and prompt in shown:
            os.write(terminal, text.encode())
            prompt = ""
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return shown, os.waitstatus_to_exitcode(status)


def keep_mode(team: Team, user: Terminal) -> None:
    team.identity(user).chmod(0o644)


def away(team: Team, user: Terminal) -> None:
    config = user.home / ".config/eais/config.toml"
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port = probe.getsockname()[1]
    lines = [
        f'manager = "{ADDRESS}:{port}"' if line.startswith("manager") else line
        for line in config.read_text().splitlines()
    ]
    config.write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [(keep_mode, ("certificate", "KEY_MODE")), (away, ("address", "POOL_UNREACHABLE"))],
)
def test_what_a_doctor_says(
    team: Team, spoil: Callable[[Team, Terminal], None], cause: tuple[str, str]
) -> None:
    user = team.user(f"sick-{cause[1].lower().replace('_', '-')}", "acme")
    spoil(team, user)
    assert problems(user) == [cause]


def test_a_doctor_of_a_pool_without_landlock(tmp_path: Path) -> None:
    user = Terminal(tmp_path)
    config = tmp_path / "pool.toml"
    config.write_text("[listener]\ncpu_cores = 1\nisolation = 1\n")
    user.data("pool", "up", "--config", str(config))
    try:
        user.data("attach", "--type", "cpu.1")
        assert problems(user) == [("isolation", "ISOLATION_UNAVAILABLE")]
    finally:
        assert user.run("pool", "down").returncode == 0
    assert problems(user) == [("pool", "POOL_NOT_RUNNING")]


def test_a_doctor_of_a_pool_whose_port_is_taken(tmp_path: Path) -> None:
    user = Terminal(tmp_path)
    config = tmp_path / "pool.toml"
    assert user.run("pool", "up").returncode == 0
    assert user.run("pool", "down").returncode == 0
    with socket.socket() as other:
        other.bind(("", 0))  # whichever address the pool has
        other.listen()
        config.write_text(f"[manager]\nuser_port = {other.getsockname()[1]}\n")
        up = user.run("pool", "up", "--config", str(config))
        assert up.stderr.startswith("error: PORT: ")
        assert problems(user) == [("pool", "PORT")]


def test_a_drain_moves_what_is_attached(team: Team) -> None:
    with team.host("host-2", "127.0.0.78", cores=2):
        drained_and_stuck(team)


def drained_and_stuck(team: Team) -> None:
    user = team.user("frida", "acme")
    assert team.operator.run("host", "cordon", "host-2").returncode == 0
    attached = user.data("attach", "--type", "cpu.1")
    assert attached["host"] == "local"
    assert team.operator.run("host", "uncordon", "host-2").returncode == 0
    drained = team.operator.run("drain", "local", timeout_s=WAIT_S)
    assert (drained.returncode, drained.stdout.split()[7]) == (0, "drained"), drained.stderr
    hosts = {host["host"]: host for host in team.operator.data("host", "list")["hosts"]}
    assert (hosts["local"]["instances"], hosts["host-2"]["instances"]) == (0, 1)
    moved = user.data("describe", str(attached["id"]))
    assert (moved["host"], moved["workers"][0]["address"].split(":")[0]) == (
        "host-2",
        "127.0.0.78",
    )
    assert problems(user) == []
    stuck = team.operator.run("drain", "host-2", "--timeout", "1")
    assert stuck.returncode == 5
    assert f"stuck: {attached['id']}: " in stuck.stderr
    for host in ("local", "host-2"):
        assert team.operator.data("host", "uncordon", host)["draining"] is False
    user.run("detach", str(attached["id"]))
