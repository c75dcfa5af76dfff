"""Each planted bug makes the tests fail that it should; without it they pass."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.fault.planted import BUGS, Bug

ROOT = Path(__file__).parents[2]
PARTS = ("eais", "client", "server", "pool", "tests", "proto", "docs", "tools", "pyproject.toml")
FOLDERS = ("client", "server", "pool")
PASSED, FAILED = 0, 1


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the product and its tests; each test leaves it as it was."""
    copy = tmp_path_factory.mktemp("tree")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, copy / part, ignore=ignored)
        else:
            shutil.copy(source, copy / part)
    return copy


def run(tree: Path, arguments: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS` on the copy's packages, wherever the originals are installed."""
    first = os.pathsep.join([str(tree), *(str(tree / folder) for folder in FOLDERS)])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": first, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def pytest_on(tree: Path, tests: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """Those tests, to the first that fails."""
    return run(tree, ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests])


def test_it_is_the_copy_that_is_tested(tree: Path) -> None:
    packages = "eais, eais_client, eais_server, eais_pool"
    shown = run(tree, ["-c", f"import {packages}\nfor p in ({packages}): print(p.__file__)"])
    assert shown.returncode == 0, shown.stderr
    assert all(Path(line).is_relative_to(tree) for line in shown.stdout.split())


def test_without_a_bug_they_pass(tree: Path) -> None:
    tests = sorted({test for bug in BUGS for test in bug.tests})
    done = pytest_on(tree, tests)
    assert done.returncode == PASSED, done.stdout


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.replace(" ", "-"))
def test_a_planted_bug_is_caught(tree: Path, bug: Bug) -> None:
    file = tree / bug.file
    sound = file.read_text()
    assert sound.count(bug.old) == 1, f"{bug.file} has changed: say anew where this bug would be"
    file.write_text(sound.replace(bug.old, bug.new))
    try:
        done = pytest_on(tree, bug.tests)
    finally:
        file.write_text(sound)
    assert done.returncode == FAILED, f"nobody noticed: {bug.name}\n{done.stdout[-3000:]}"
