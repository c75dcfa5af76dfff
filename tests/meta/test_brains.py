"""The list of brains in pyproject.toml, which import-linter keeps from I/O, is the true one."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARENTS = (ROOT, ROOT / "client", ROOT / "server", ROOT / "pool")
PACKAGES = ("eais", "eais_client", "eais_server", "eais_pool")


def modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for parent, package in zip(PARENTS, PACKAGES, strict=True):
        for path in (parent / package).rglob("*.py"):
            parts = path.relative_to(parent).with_suffix("").parts
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


def says_brain(path: Path) -> bool:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return re.search(r"\bBrain\b", docstring) is not None


def listed() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (brains,) = (c for c in settings["contracts"] if c["id"] == "brains")
    names: list[str] = brains["source_modules"]
    return names


def test_each_listed_brain_exists() -> None:
    assert [name for name in listed() if name not in modules()] == []


def test_each_module_that_says_it_is_a_brain_is_listed() -> None:
    brains = {name for name, path in modules().items() if says_brain(path)}
    inside = {name for name in brains if any(name.startswith(f"{top}.") for top in listed())}
    missing = sorted(brains - set(listed()) - inside)
    assert not missing, f"list in pyproject.toml, contract brains: {missing}"


def test_the_list_is_sorted_and_names_each_once() -> None:
    assert listed() == sorted(set(listed()))
