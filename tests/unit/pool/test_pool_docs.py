"""docs/pool.md names what there is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "pool.md").read_text()


def rows(heading: str) -> list[list[str]]:
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_parts_are_modules() -> None:
    named = [name for row in rows("Parts") for name in re.findall(r"`([\w/]+)`", row[0])]
    package = ROOT / "pool" / "eais_pool"
    lacking = [n for n in named if not (package / f"{n}.py").exists() | (package / n).is_dir()]
    assert lacking == []
