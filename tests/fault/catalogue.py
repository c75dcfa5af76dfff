"""The rows of docs/hostile-inputs.md and the tests that are marked with their names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "hostile-inputs.md"
_ROW = re.compile(r"^\| `([a-z0-9-]+)` \|", re.MULTILINE)


def documented() -> list[str]:
    """The names in the page's tables, in order."""
    return _ROW.findall(PAGE.read_text())


def marked() -> list[tuple[str, str]]:
    """(row, file::function) of each test that is marked `hostile(row)`."""
    return [found for file in sorted(HERE.glob("test_*.py")) for found in _marked_in(file)]


def _marked_in(file: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                name = _row_of(decorator)
                if name is not None:
                    yield name, f"{file.name}::{node.name}"


def _row_of(decorator: ast.expr) -> str | None:
    if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func) != "pytest.mark.hostile":
        return None
    [argument] = decorator.args
    assert isinstance(argument, ast.Constant), "a row is marked with its name as it is"
    return str(argument.value)
