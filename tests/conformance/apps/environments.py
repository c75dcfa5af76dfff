"""Virtual environments: one for each program, with its own needs and this project's front-end."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.conformance.apps.programs import Program

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Environments:
    """Where the environments are, and the wheel that goes into each of them."""

    folder: Path
    wheel: Path

    @classmethod
    def make(cls, folder: Path) -> Environments:
        """Build the wheel of this checkout into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.whl"):
            old.unlink()
        _call(sys.executable, "-m", "build", "--no-isolation", "-w", "-o", str(folder), str(ROOT))
        [wheel] = folder.glob("*.whl")
        return cls(folder, wheel)

    def python(self, program: Program) -> str:
        """The interpreter of the program's environment, which is made if it isn't there.

        Its onnxruntime is of this environment's version: the pool's workers have that one.
        """
        place = self.folder / program.name
        python = str(place / "bin" / "python")
        own = [*program.requirements, f"onnxruntime=={version('onnxruntime')}"]
        if _changed(place / "requirements.stamp", "\n".join(own)):
            _call(sys.executable, "-m", "venv", "--clear", str(place))
            _pip(python, *own)
            (place / "requirements.stamp").write_text("\n".join(own))
        digest = hashlib.sha256(self.wheel.read_bytes()).hexdigest()
        if _changed(place / "wheel.stamp", digest):
            _pip(python, str(self.wheel))
            _pip(python, "--force-reinstall", "--no-deps", str(self.wheel))
            (place / "wheel.stamp").write_text(digest)
        return python


def _changed(stamp: Path, text: str) -> bool:
    return not stamp.exists() or stamp.read_text() != text


def _pip(python: str, *what: str) -> None:
    _call(python, "-m", "pip", "--disable-pip-version-check", "install", "-q", *what)


def _call(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{_shown(command)} ended with {done.returncode}:\n{done.stdout}")


def _shown(command: Sequence[str]) -> str:
    return " ".join(command)
