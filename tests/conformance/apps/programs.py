"""The programs of a folder: what each of them needs, and what it prints.

The folder has `README.md`, with a table whose first column names a program and whose second
what pip installs for it; `jobs/NAME_job.py`; and `data/`, which jobs find by `APPS_DATA`.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RUN_S = 1200.0
_ROW = re.compile(r"^\|\s*(\w+)\s*\|\s*`([^`]+)`\s*\|", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Program:
    """One unchanged program: its name, its script, and what pip installs for it."""

    name: str
    script: Path
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program printed, how it ended, and how long it took in seconds."""

    stdout: bytes
    stderr: bytes
    code: int
    seconds: float


def programs_in(folder: Path) -> list[Program]:
    """The programs of `folder`, by name; ValueError if a job is in no row of the table."""
    needs = {
        name: tuple(text.split()) for name, text in rows_of((folder / "README.md").read_text())
    }
    scripts = {path.name.removesuffix("_job.py"): path for path in folder.glob("jobs/*_job.py")}
    if unknown := sorted(scripts.keys() - needs.keys()):
        raise ValueError(f"README.md doesn't say what {', '.join(unknown)} needs")
    return [Program(name, path, needs[name]) for name, path in sorted(scripts.items())]


def rows_of(text: str) -> list[tuple[str, str]]:
    """(program, what to install) of each row of the table."""
    return [(found[1], found[2]) for found in _ROW.finditer(text)]


def run(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Ran:
    """Run a program to its end, with an empty standard input."""
    began = time.monotonic()
    done = subprocess.run(
        command,
        env={**environ, "APPS_DATA": str(folder / "data"), "PYTHONHASHSEED": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=RUN_S,
    )
    return Ran(done.stdout, done.stderr, done.returncode, time.monotonic() - began)


def plain_environ() -> dict[str, str]:
    """This process's variables without EAIS's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("EAIS_")}
