"""A team's first day, as docs/operations.md tells it: two hosts, two tenants, one operator.

Each prompt of the page is a user with a home of their own. 127.0.77.N stands for 10.0.0.N, and
`scp` copies between the homes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.overload.model import model
from eais_client.cli.processes import LocalProcesses
from tests.console import INSTANCE, Step, fits, steps_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
PLACES = ("pools/local", "listener")
SCP = """#!/bin/sh
# scp -q FILE WHO:
cp "$2" "$HOME/../${3%:}/"
"""
USED_TOKEN = Step(
    "eais join 10.0.0.1 --context again < ../ada/ada.token; echo $?",
    ["error: TOKEN: ...", "..."],
    "bob",
)
"""What Bob would do who found Ada's token."""


class Team:
    """Users with a home each, who type what the page says."""

    def __init__(self, root: Path, users: set[str]) -> None:
        self._root = root
        self._instances: dict[str, str] = {}
        # What a user said that holds for the shell from then on.
        self._kept = dict.fromkeys(users, "")
        for user in users:
            self.home(user).mkdir(mode=0o700)
            (self.home(user) / "model.onnx").write_bytes(model())
        tools = root / "bin"
        tools.mkdir()
        (tools / "scp").write_text(SCP)
        (tools / "scp").chmod(0o755)
        self._path = f"{tools}:{Path(sys.executable).parent}:/usr/bin:/bin"

    def home(self, user: str) -> Path:
        return self._root / user

    def type(self, step: Step) -> None:
        """Do a step as its user; it must do well, and say what the page shows."""
        command = INSTANCE.sub(lambda found: self._instances.get(found[0], found[0]), step.command)
        command = command.replace("10.0.0.", "127.0.77.")
        done = subprocess.run(
            ["bash", "-c", self._kept[step.who] + command],
            env={"HOME": str(self.home(step.who)), "PATH": self._path},
            cwd=self.home(step.who),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
        )
        if command.startswith("umask "):
            self._kept[step.who] += command + "\n"
        said = f"{step.who}$ {command}\n{done.stdout}"
        assert done.returncode == 0, said
        self._learn(step.shown, done.stdout.splitlines())
        shown = [self._named(line) for line in step.shown]
        assert fits(shown, done.stdout.splitlines()), f"shown: {shown}\nsaid: {said}"
        if "..." not in shown:  # then all is shown that is said
            assert self._in_order(shown) == self._in_order(done.stdout.splitlines()), said

    def _learn(self, shown: list[str], said: list[str]) -> None:
        """What the page calls `ei-7f3a` has another name here."""
        lines = zip(shown[:1], said[:1], strict=False)
        for page, real in ((INSTANCE.match(a), INSTANCE.match(b)) for a, b in lines):
            if page and real:
                self._instances.setdefault(page[0], real[0])

    def _named(self, line: str) -> str:
        return INSTANCE.sub(lambda found: self._instances.get(found[0], found[0]), line)

    def _in_order(self, lines: list[str]) -> list[str]:
        """The instances that are named and known: `fits` takes one for another."""
        found = INSTANCE.findall("\n".join(lines))
        return [name for name in found if name in self._instances.values()]

    def end(self) -> None:
        """End what is still up."""
        for place in self._root.glob("*/.local/state/eais"):
            for folder in (place / name for name in PLACES):
                left = LocalProcesses().supervisor_of(folder)
                if left is not None:
                    left.terminate()
                    assert left.wait(30)


@pytest.fixture
def steps() -> list[Step]:
    return steps_of(PAGE, "console team")


@pytest.fixture
def team(tmp_path: Path, steps: list[Step]) -> Iterator[Team]:
    made = Team(tmp_path, {step.who for step in steps})
    yield made
    made.end()


def test_a_teams_first_day(team: Team, steps: list[Step]) -> None:
    assert {step.who for step in steps} == {"host-1", "host-2", "ada", "bob"}
    for step in steps:
        if step.command == "eais listener down":
            team.type(USED_TOKEN)
        team.type(step)


def test_the_page_names_no_other_address_than_those_of_its_hosts(steps: list[Step]) -> None:
    commands = "\n".join(step.command for step in steps)
    assert set(re.findall(r"\d+\.\d+\.\d+\.\d+", commands)) == {"10.0.0.1", "10.0.0.2"}
