"""A front-end beside anybody's pins: at the lowest and at the newest of each range it works.

Two environments of their own, which use a pool of the project's environment. Slow, and they need
the package index: `make test-guest`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from packaging.requirements import Requirement

from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_client.testing import value_models as models
from eais_client.testing.conformance import own_models
from tests.system.stack import embedded_pool, op

pytestmark = [pytest.mark.slow, pytest.mark.guest]

ROOT = Path(__file__).resolve().parents[2]
UV = [str(Path(sys.executable).parent / "uv"), "--no-config", "--quiet"]
TOOLS = ("pytest", "hypothesis", "ml_dtypes", "packaging")
# What the unit tests compare with, at the locked versions: no part of a front-end.
ORACLES = ("onnx", "onnxruntime")
# They need a Python that has no EAIS, and take this project's for it.
NOT_HERE = "not without_eais"
# The lowest typer beside the newest click, which is none of a front-end's own.
OLD_TYPER = "ignore:'click.utils.get_:DeprecationWarning"


@dataclass(frozen=True)
class Guest:
    """An environment that has a front-end, and what is in it."""

    resolution: str
    python: Path

    def versions(self) -> dict[str, str]:
        """All that is installed, by its name."""
        listed = json.loads(self.uv("list", "--format", "json"))
        return {each["name"].lower(): each["version"] for each in listed}

    def uv(self, *args: str) -> str:
        """What `uv pip` says about this environment."""
        command = [*UV, "pip", args[0], "-p", str(self.python), *args[1:]]
        return run(command, ROOT)


def run(command: list[str], cwd: Path, **environ: str) -> str:
    """What a program printed; AssertionError with all of it if it failed."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("EAIS_")}
    done = subprocess.run(
        command, cwd=cwd, env={**kept, **environ}, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
    return done.stdout


def python_of(resolution: str) -> str:
    """The newest Python that is here for the newest packages, else the one that runs this."""
    names = ["python3.13", "python3.12"] if resolution == "highest" else ["python3.11"]
    for found in filter(None, map(shutil.which, names)):
        try:
            subprocess.run([found, "-c", "import ssl"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return found
    return sys.executable


@pytest.fixture(scope="module", params=["lowest-direct", "highest"])
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Guest:
    folder = tmp_path_factory.mktemp(request.param)
    run([*UV, "venv", "-p", python_of(request.param), str(folder / "venv")], ROOT)
    made = Guest(request.param, folder / "venv/bin/python")
    made.uv("install", "--resolution", request.param, str(ROOT))
    return made


def requirements() -> list[Requirement]:
    """What a front-end needs, as it is declared."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(text) for text in project["dependencies"]]


def locked(name: str) -> str:
    """The locked version of a package, as a requirement."""
    found = re.search(rf"^{name}==\S+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert found is not None
    return found[0]


def lowest(requirement: Requirement) -> str:
    """Where its range begins."""
    return next(each.version for each in requirement.specifier if each.operator == ">=")


def test_the_ranges_are_as_wide_as_they_should_be() -> None:
    ranges = {each.name: each.specifier for each in requirements()}
    for name, versions in {
        "numpy": ["1.26.0", "2.0.0", "2.9"],
        "grpcio": ["1.62.0", "1.85.1"],
        "protobuf": ["4.25.0", "5.29", "6.33", "7.36.2"],
    }.items():
        assert [each for each in versions if each not in ranges[name]] == []


def test_what_is_installed_is_what_its_range_says_and_fits(guest: Guest) -> None:
    versions = guest.versions()
    guest.uv("check")
    for each in requirements():
        assert each.specifier.contains(versions[each.name]), each
        if guest.resolution == "lowest-direct":
            assert versions[each.name].startswith(lowest(each)), each
    assert "onnxruntime" not in versions


PROGRAM = """
import json, sys
import numpy as np
import eais as ort

def plain(value):
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.tolist()]
    return [type(value).__name__, value]

for model, feeds in json.load(open(sys.argv[1])):
    with ort.InferenceSession(model, providers=["CPUExecutionProvider"]) as session:
        (name,) = [each.name for each in session.get_inputs()]
        for dtype, value in feeds:
            answers = session.run(None, {name: np.array(value, dtype)})
            print(json.dumps([plain(answer) for answer in answers]))
try:
    ort.InferenceSession(b"garbage")
except ort.errors.ModelRejected as error:
    print(json.dumps(error.reason))
"""


def asked(folder: Path) -> list[tuple[str, list[tuple[str, Any]]]]:
    """Models, and what to ask them."""
    made = {"strings": models.identity(models.STRING, None), "maps": models.zipped(["a", "ç"])}
    for name, model in made.items():
        (folder / f"{name}.onnx").write_bytes(model)
    large = np.ones((3, 2)).tolist()
    return [
        (str(own_models()["mul_1"]), [("float32", large)]),
        (str(folder / "strings.onnx"), [("object", ["a", "", "ü"]), ("object", [])]),
        (str(folder / "maps.onnx"), [("float32", [[0.5, 0.25]]), ("float32", [[1, 2], [3, 4]])]),
    ]


def expected(model: str, dtype: str, value: Any) -> list[Any]:
    """What the program prints of one call, by onnxruntime in this process."""
    session = onnxruntime.InferenceSession(model)
    answers = session.run(None, {session.get_inputs()[0].name: np.array(value, dtype)})
    return [
        [str(each.dtype), each.tolist()]
        if isinstance(each, np.ndarray)
        else [type(each).__name__, each]
        for each in answers
    ]


def test_it_uses_a_pool_of_another_environment(guest: Guest, tmp_path: Path) -> None:
    questions = asked(tmp_path)
    (tmp_path / "questions.json").write_text(json.dumps(questions))
    (tmp_path / "program.py").write_text(PROGRAM)
    with embedded_pool(tmp_path / "pool") as stack:
        request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
        instance = stack.ask(verbs.POOL_ATTACH, request).instance.id
        environ = {"EAIS_CONFIG_DIR": str(stack.config), "EAIS_INSTANCE": instance}
        command = [str(guest.python), "program.py", "questions.json"]
        printed = run(command, tmp_path, **environ).splitlines()
        described = run(
            [str(guest.python.parent / "eais"), "describe", instance, "-o", "json"],
            tmp_path,
            **environ,
        )
    wanted = [expected(m, dtype, value) for m, feeds in questions for dtype, value in feeds]
    assert [json.loads(line) for line in printed] == [*wanted, "MODEL_PARSE"]
    assert instance in described


def test_the_clients_unit_tests_pass_there(guest: Guest, tmp_path: Path) -> None:
    pins = [f"{name}=={version}" for name, version in guest.versions().items() if name != "eais"]
    (tmp_path / "pins.txt").write_text("\n".join(pins))
    extras = f"eais[server,pool,loadtest] @ {ROOT.as_uri()}"
    guest.uv("install", "-c", str(tmp_path / "pins.txt"), *TOOLS, extras)
    guest.uv("check")
    # Their own ranges are no matter of ours.
    guest.uv("install", "--no-deps", *map(locked, ORACLES))
    options = ["-q", "-x", "-p", "no:cacheprovider", "-k", NOT_HERE, "-W", OLD_TYPER]
    command = [str(guest.python), "-m", "pytest", *options, "tests/unit/client"]
    run(command, ROOT, PYTHONDONTWRITEBYTECODE="1")
