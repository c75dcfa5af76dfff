"""What a front-end gets from `pip install .`, in an environment that held nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import import_time

BIN = Path(sys.executable).parent
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


IMPORT_ALL = """
import importlib, pkgutil, sys, eais, eais_client
for package in (eais, eais_client):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        # The demo is a program of its own: it says which extra it needs. Health and metrics are
        # answered by servers, and conformance is checked beside onnxruntime: they have theirs.
        servers = ("rpc.health", "telemetry.exposition", "telemetry.pages")
        of_extras = (".demo", "conformance_values", "value_models", *servers, *sys.argv[1:])
        if not module.name.endswith("__main__") and not any(x in module.name for x in of_extras):
            importlib.import_module(module.name)
            print(module.name)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "without"), [("", ("eais_client.load", "eais_client.cli.load_")), ("[loadtest]", ())]
)
def test_every_module_of_a_front_end_loads_on_the_lowest_versions(
    tmp_path: Path, extra: str, without: tuple[str, ...]
) -> None:
    uv = [str(BIN / "uv"), "--no-config", "-q"]
    python = tmp_path / "bin" / "python"
    subprocess.run([*uv, "venv", "-p", sys.executable, str(tmp_path)], check=True)
    lowest = ["--resolution", "lowest-direct", "-p", str(python), f"{ROOT}{extra}"]
    subprocess.run([*uv, "pip", "install", *lowest], check=True)
    done = subprocess.run([str(python), "-c", IMPORT_ALL, *without], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "eais.rpc.v1.worker_pb2" in done.stdout
