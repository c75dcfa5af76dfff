"""A device vanishes, hangs or gives wrong bits under live calls: nothing is lost, nothing wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

import eais
from eais_server.devices.sim import FAULTS_FILE
from tests.system.stack import eventually
from tests.system.team import SETTINGS, Team, team_at
from tests.system.terminal import Terminal
from tests.system.test_resizing import MODEL, Callers

# Opens a session and calls it.
CALL = """
import sys, numpy, eais
session = eais.InferenceSession(sys.argv[1])
session.run(None, {i.name: numpy.zeros([d if type(d) is int else 1 for d in i.shape], "float32")
                   for i in session.get_inputs()})
"""
GPUS = ("sim-gpu0", "sim-gpu1")


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    root = tmp_path_factory.mktemp("health")
    with team_at(root, "127.0.0.91", SETTINGS, "--simulate", "gpu=2", tenants=("acme",)) as made:
        yield made


@pytest.fixture(scope="module")
def joined(team: Team) -> Terminal:
    return team.user("ada", "acme")


@pytest.fixture
def ada(joined: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A user, who is this process's too."""
    for name in ("HOME", "EAIS_CONFIG_DIR", "XDG_CONFIG_HOME"):
        if name in joined.environ:
            monkeypatch.setenv(name, joined.environ[name])
        else:
            monkeypatch.delenv(name, raising=False)
    return joined


@pytest.fixture(autouse=True)
def mended(team: Team) -> Iterator[None]:
    """Faults are over after each test, and the devices healthy."""
    yield
    faults(team)
    for name in GPUS:
        assert team.operator.run("host", "uncordon", "local", name).returncode == 0


def faults(team: Team, *lines: str) -> None:
    """What the devices pretend for shares that are granted from now on."""
    file = team.operator.pools / "local" / "listener" / FAULTS_FILE
    file.write_text("".join(f"{line}\n" for line in lines))


def health(team: Team, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = team.operator.data("devices")["devices"]
    [device] = [each for each in found if each["id"] == name]
    return device


def is_bad(team: Team, name: str) -> None:
    """Wait until it is."""
    eventually(lambda: health(team, name)["health"] == "bad" or None, f"{name} is bad", 60.0)


def attached(team: Team, user: Terminal, fault: str, after: int) -> str:
    """An instance whose device will have the fault after so many runs, and for checks at once."""
    faults(team, f"{GPUS[0]} {fault} {after}")
    made = user.data("attach", "--type", "gpu.1-2")
    faults(team, f"{GPUS[0]} {fault} 0")
    return str(made["id"])


def moved(user: Terminal, name: str) -> dict[str, Any]:
    """Its one worker, once that serves on the other device."""

    def found() -> dict[str, Any] | None:
        listed: list[dict[str, Any]] = user.data("describe", name)["workers"]
        there = [each for each in listed if each["device"] == GPUS[1] and each["serving"]]
        return there[0] if len(listed) == 1 and there else None

    return eventually(found, f"{name} serves on {GPUS[1]} alone", 60.0)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("vanish", "has vanished"),
        ("garbage", "check pattern"),
        ("hang", "a known answer didn't come within 10 s"),
    ],
)
def test_under_live_calls_nothing_is_lost_or_wrong(
    team: Team, ada: Terminal, fault: str, words: str
) -> None:
    name = attached(team, ada, fault, 60)
    with eais.InferenceSession(str(MODEL)) as session, Callers(session) as callers:
        callers.some(40)
        worker = moved(ada, name)
        callers.some(100)
    assert not callers.faults
    # No number is used twice: it moved once, and nothing died there.
    assert (worker["n"], worker["incarnation"]) == (2, 1)
    bad, other = health(team, GPUS[0]), health(team, GPUS[1])
    assert (bad["health"], bad["free_milli"], other["health"]) == ("bad", 1000, "ok")
    assert words in bad["health_reason"]
    assert "sim-gpu0 is bad (" in ada.run("explain", name).stdout
    again = ada.data("attach", "--type", "gpu.1-2")
    assert [each["device"] for each in again["workers"]] == [GPUS[1]]
    ada.data("detach", str(again["id"]))
    ada.data("detach", name)


def test_wrong_answers_that_no_pattern_shows_are_found_by_the_known_one(
    team: Team, ada: Terminal
) -> None:
    name = attached(team, ada, "corrupt", 0)
    moved(ada, name)
    bad = health(team, GPUS[0])
    assert bad["health_reason"].startswith("the known answer is [41.0, 91.0], not [[")
    with eais.InferenceSession(str(MODEL)) as session, Callers(session) as callers:
        callers.some(40)
    assert not callers.faults
    ada.data("detach", name)


def none_left(user: Terminal, name: str) -> None:
    """Whoever can't wait is told that the device failed, that no other is free, and what to do."""
    said = user.data("describe", name)
    assert (said["state"], said["reason"]) == ("IN_USE", "DEVICE_LOST")
    assert said["detail"] == "sim-gpu0 failed (sim-gpu0 has vanished), and no other device is free"
    assert f"DEVICE_LOST: {said['detail']}\n" in user.run("describe", name).stdout
    hasty = Terminal(user.home, {**user.more, "EAIS_UNAVAILABLE_TIMEOUT_S": "1"})
    run = hasty.run("run", "--", sys.executable, "-c", CALL, str(MODEL))
    assert f"DEVICE_LOST: {name}: {said['detail']}\n(it goes on once" in run.stderr


def test_with_no_other_device_calls_wait_for_the_operator(team: Team, ada: Terminal) -> None:
    name = attached(team, ada, "vanish", 60)
    faults(team, *(f"{each} vanish 0" for each in GPUS))
    with eais.InferenceSession(str(MODEL)) as session, Callers(session) as callers:
        callers.some(40)
        for each in GPUS:
            is_bad(team, each)
        none_left(ada, name)
        faults(team)
        refused = team.operator.run("host", "uncordon", "local", "sim-gpu9")
        assert refused.stderr.startswith("error: NOT_FOUND: ")
        assert team.operator.run("host", "uncordon", "local", GPUS[1]).returncode == 0
        moved(ada, name)
        callers.some(100)
    assert not callers.faults
    ada.data("detach", name)


def test_a_device_that_has_vanished_when_it_is_granted(team: Team, ada: Terminal) -> None:
    faults(team, f"{GPUS[0]} vanish 0")
    refused = ada.run("attach", "--type", "gpu")
    assert refused.stderr == "error: DEVICE_LOST: sim-gpu0 has vanished\n"
    is_bad(team, GPUS[0])
    made = ada.data("attach", "--type", "gpu")
    assert [each["device"] for each in made["workers"]] == [GPUS[1]]
    ada.data("detach", str(made["id"]))
