"""What a front-end gets from `pip install .`, in an environment that held nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import import_time

ROOT = Path(__file__).resolve().parents[2]


def pip(python: Path, *args: str) -> str:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def front_end(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the core of EAIS in it, at the locked versions."""
    folder = tmp_path_factory.mktemp("front-end")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    versions = re.sub(
        r" \\\n(\s+--hash=\S+( \\\n)?)+", "", (ROOT / "requirements.lock").read_text()
    )
    (folder / "constraints.txt").write_text(versions)
    python = folder / "venv" / "bin" / "python"
    pip(python, "install", "-q", "-c", str(folder / "constraints.txt"), str(ROOT))
    return python


@pytest.mark.slow
def test_a_front_end_gets_no_runtime(front_end: Path) -> None:
    names = {
        package["name"].lower() for package in json.loads(pip(front_end, "list", "--format=json"))
    }
    assert {"eais", "grpcio", "numpy", "typer"} <= names
    assert names.isdisjoint({"onnxruntime", "sqlalchemy", "uvloop", "onnx", "pytest"})


@pytest.mark.slow
def test_the_session_class_is_there_without_a_runtime(front_end: Path) -> None:
    _, onnxruntime, modules = import_time.measure(str(front_end))
    assert not onnxruntime
    assert modules > 0


@pytest.mark.slow
def test_the_command_runs_without_the_extras(front_end: Path) -> None:
    command = [str(front_end.parent / "eais"), "version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "0.1.0" in done.stdout
