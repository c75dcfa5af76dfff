"""Every command in the docs is run, and says what the docs show.

How output is compared is said in CONTRIBUTING.md.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from eais_client.cli.processes import LocalProcesses
from tests.console import INSTANCE, Step, fits, steps_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@dataclass
class Shell:
    """A user who types what a page says, command by command, in one home."""

    home: Path
    instances: dict[str, str] = field(default_factory=dict)
    variables: list[str] = field(default_factory=list)

    def run(self, step: Step) -> None:
        command = INSTANCE.sub(lambda m: self.instances.get(m[0], m[0]), step.command)
        done = subprocess.run(
            ["bash", "-c", "\n".join([*self.variables, command])],
            env={"HOME": str(self.home), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        said = done.stdout.splitlines()
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        assert fits(step.shown, said), f"$ {command}\nshown: {step.shown}\nsaid:  {said}"
        self.learn(step, said)

    def learn(self, step: Step, said: list[str]) -> None:
        """What the page calls `ei-7f3a` has another name here; variables stay set."""
        names = [[INSTANCE.search(line) for line in lines[:1]] for lines in (step.shown, said)]
        if all(names) and all(found[0] for found in names):
            shown, real = (str(found[0][0]) for found in names if found[0])
            self.instances.setdefault(shown, real)
        if re.fullmatch(r"[A-Z]+=\S.*", step.command):
            self.variables.append(step.command)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    yield made
    pools = tmp_path / ".local/state/eais/pools"
    for folder in pools.iterdir() if pools.exists() else ():
        left = LocalProcesses().supervisor_of(folder)
        if left is not None:
            left.terminate()
            assert left.wait(30)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_the_page_does_what_it_shows(page: Path, shell: Shell) -> None:
    for step in steps_of(page):
        if step.command.startswith("make "):
            assert step.command.split()[1] in make_targets()
        else:
            shell.run(step)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_what_is_made_from_the_code_is_fresh() -> None:
    command = [sys.executable, str(ROOT / "tools" / "gen_docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("shown", "said", "fit"),
    [
        (["a", "...", "z"], ["a", "z"], True),
        (["a", "...", "z"], ["a", "b", "c", "z"], True),
        (["a", "..."], ["b"], False),
        ([], ["x"], False),
        (["a"], [], False),
        ([], [], True),
        (["ei-7f3a  IN_USE   127.0.0.1:1"], ["ei-0123 IN_USE 127.64.1.2:345"], True),
        (["ei-7f3a  IN_USE"], ["ei-7f3a  BOUND"], False),
        (["took...fine"], ["took 3 ms, fine"], True),
        (["a.c"], ["abc"], False),
    ],
)
def test_how_output_is_compared(shown: list[str], said: list[str], fit: bool) -> None:
    assert fits(shown, said) is fit
