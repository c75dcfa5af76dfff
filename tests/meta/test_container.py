"""The container file and the example with three hosts name what is there."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = (ROOT / "Containerfile").read_text().replace("\\\n", " ")
EXAMPLE = ROOT / "examples" / "three-hosts"
TARGETS = ("frontend", "manager", "listener")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
EAIS = str(Path(sys.executable).parent / "eais")


def instructions(kind: str, text: str = FILE) -> list[str]:
    return re.findall(rf"^{kind} (.*)$", text, re.MULTILINE)


def stages() -> dict[str, str]:
    """The text of each stage, with that of the stage that it begins from."""
    found: dict[str, str] = {}
    for text in re.split(r"^(?=FROM )", FILE, flags=re.MULTILINE)[1:]:
        first = re.match(r"FROM (\S+) AS (\S+)", text)
        assert first, text.splitlines()[0]
        found[first[2]] = found.get(first[1], "") + text
    return found


def copied() -> list[str]:
    """What the build takes from the checkout."""
    lines = [line.split() for line in instructions("COPY") if "--from" not in line]
    return [source for *sources, _ in lines for source in sources]


def commands_of_the_example() -> list[str]:
    compose = (EXAMPLE / "compose.yaml").read_text()
    lists = re.findall(r"command: \[(.*)\]", compose)
    typed = re.findall(r"\beais ((?:\w|\\\n).*)", (EXAMPLE / "README.md").read_text())
    return [line.replace(",", "").removeprefix("eais ") for line in lists] + [
        re.split(r"[<>`]|, ", line)[0] for line in typed if not line.startswith("run ")
    ]


def help_of(words: list[str]) -> str:
    """The help of the command that begins the words; "" if none does."""
    verbs = list(itertools.takewhile(re.compile(r"[a-z][a-z-]*").fullmatch, words))
    while verbs:
        done = subprocess.run([EAIS, *verbs, "--help"], capture_output=True, text=True, timeout=60)
        if done.returncode == 0:
            return done.stdout
        verbs.pop()  # it was an argument
    return ""


def assert_is_a_command(words: list[str]) -> None:
    """There is such a command, and it has each option that is used."""
    said = help_of(words)
    assert said, f"no command: {words}"
    options = [word for word in words if word.startswith("--")]
    assert [option for option in options if option not in said] == [], words


def test_there_is_an_image_for_each_part() -> None:
    assert [name for name in stages() if name not in ("wheel", "base")] == list(TARGETS)
    compose = (EXAMPLE / "compose.yaml").read_text()
    assert re.findall(r"target: (\w+)", compose) == ["manager", "listener", "frontend"]
    assert set(re.findall(r"profiles: \[(\w+)\]", compose)) == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_installs_an_extra_that_exists_and_runs_as_nobody_special(target: str) -> None:
    text = stages()[target]
    extras = SETTINGS["project"]["optional-dependencies"]
    assert set(re.findall(r"\.whl\)\[(\w+)\]", text)) <= set(extras)
    assert instructions("USER", text) == ["eais"]
    assert instructions("VOLUME", text) == ["/var/lib/eais"]
    [command] = instructions("CMD", text)
    program, *words = json.loads(command)
    assert program in SETTINGS["project"]["scripts"]
    assert_is_a_command(words)


def test_the_listeners_image_has_the_locale_that_onnxruntime_looks_for() -> None:
    assert "locale-gen" in stages()["listener"]
    assert "en_US.UTF-8" in stages()["listener"]


def test_the_build_has_all_that_it_copies_and_a_wheel_comes_of_it(tmp_path: Path) -> None:
    kept = (ROOT / ".containerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied()} <= set(kept)
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel] = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    packages = {"eais", "eais_client", "eais_server", "eais_pool"}
    assert packages <= {name.split("/")[0] for name in names}
    assert any(name.startswith("eais/systemd/") for name in names)


def test_the_examples_commands_exist() -> None:
    commands = commands_of_the_example()
    assert len(commands) > 8
    for command in commands:
        assert_is_a_command(shlex.split(command.replace("\\\n", " ")))


def test_the_examples_links_lead_somewhere() -> None:
    for link, anchor in re.findall(r"\]\(([^)#]+)#?([^)]*)\)", (EXAMPLE / "README.md").read_text()):
        page = EXAMPLE / link
        headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings}


def test_the_examples_addresses_are_set() -> None:
    named = set(re.findall(r"\$\{(\w+)\}", (EXAMPLE / "compose.yaml").read_text()))
    assert named <= {line.split("=")[0] for line in (EXAMPLE / ".env").read_text().splitlines()}
