from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-proto.lock")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]


def entries(lock: str) -> list[str]:
    """One string for each requirement, its hashes included."""
    return re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())


def locked(lock: str) -> dict[str, list[str]]:
    """Versions by name: several where they differ by Python."""
    found: dict[str, list[str]] = {}
    for entry in entries(lock):
        requirement = Requirement(re.split(r"\\\n", entry)[0].strip())
        (pin,) = requirement.specifier
        found.setdefault(canonicalize_name(requirement.name), []).append(pin.version)
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_each_entry_is_exact_and_hashed(lock: str) -> None:
    faulty = [e for e in entries(lock) if "==" not in e or "--hash=sha256:" not in e]
    assert faulty == []


@pytest.mark.parametrize("lock", LOCKS)
def test_no_host_and_no_folder_is_named(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert not re.search(r"://|@ |--index|--find-links|--extra|-e ", text)


def direct() -> list[Requirement]:
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    wanted = [Requirement(line) for lines in lists for line in lines]
    return [requirement for requirement in wanted if requirement.name != "eais"]


@pytest.mark.parametrize("wanted", direct(), ids=str)
def test_what_the_project_asks_for_is_locked_within_its_range(wanted: Requirement) -> None:
    versions = locked("requirements.lock")[canonicalize_name(wanted.name)]
    assert all(wanted.specifier.contains(version) for version in versions)


def test_the_compiler_is_the_old_one() -> None:
    groups = SETTINGS["dependency-groups"]["proto"]
    assert f"grpcio-tools=={locked('requirements-proto.lock')['grpcio-tools'][0]}" in groups


def test_each_direct_dependency_is_defended() -> None:
    page = (ROOT / "docs" / "adr" / "0001-dependencies.md").read_text()
    assert sorted({r.name for r in direct() if r.name not in page}) == []
