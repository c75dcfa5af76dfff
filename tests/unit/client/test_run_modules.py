"""The package that stands in for onnxruntime, in Pythons that have the real one and not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eais_client.run.environment import Settings, environ_below
from eais_client.run.names import MODULES, REAL_FIRST
from tests.bare_python import bare_python

WITH, WITHOUT = "with", "without"
BOTH = pytest.mark.parametrize("which", [WITH, WITHOUT])
BELOW = environ_below(os.environ, Settings())


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Interpreters with and without onnxruntime."""
    bare = bare_python(tmp_path_factory.mktemp("bare"), without="onnxruntime")
    return {WITH: sys.executable, WITHOUT: str(bare)}


def run(python: str, code: str, *flags: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environ = {**BELOW, "PYTHONPATH": f"{BELOW['PYTHONPATH']}:{path}"} if path else BELOW
    command = [python, *flags, "-c", code]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)


def said(python: str, code: str, *flags: str, path: str = "") -> Any:
    """What `code` prints, which is JSON; nothing may be said beside it."""
    done = run(python, "import json\n" + code, *flags, path=path)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@BOTH
def test_every_name_of_the_table_is_there(pythons: dict[str, str], which: str) -> None:
    names = {module: sorted(names) for module, names in MODULES.items() if module not in REAL_FIRST}
    code = f"""
import importlib
names = {names!r}
made = {{m: [n for n in names[m] if hasattr(importlib.import_module(m), n)] for m in names}}
print(json.dumps(made))"""
    assert said(pythons[which], code) == names


def test_no_name_of_the_real_one_is_unknown(pythons: dict[str, str]) -> None:
    """Each public name of the real package stands in, is refused, or comes from it."""
    code = """
from eais_client.run import names
from eais_client.run.real import real_onnxruntime
import types
real = real_onnxruntime()
ours = {*names.MODULES[names.ROOT], *names.REAL_ONLY}
left = [n for n in vars(real) if n[0] != "_" and n not in ours
        and not isinstance(getattr(real, n), types.ModuleType)]
print(json.dumps(sorted(left)))"""
    assert set(said(pythons[WITH], code)) <= {
        *("OrtEpAssignedNode", "OrtEpAssignedSubgraph", "OrtEpContextData"),
        *("OrtEpContextDataBuffer", "cuda_version", "import_capi_exception", "package_name"),
        *("print_debug_info", "version"),
    }


def test_without_the_real_one_its_names_say_what_to_install(pythons: dict[str, str]) -> None:
    code = """
found = []
for line in ("import onnxruntime; onnxruntime.OrtValue", "from onnxruntime import SparseTensor",
             "import onnxruntime.quantization", "from onnxruntime import transformers"):
    try:
        exec(line)
    except (AttributeError, ImportError) as error:
        found.append([type(error).__name__, str(error).replace("eais run: onnxruntime.", "")])
print(json.dumps(found))"""
    rest = "is onnxruntime's own, which isn't installed in this environment"
    assert said(pythons[WITHOUT], code) == [
        ["AttributeError", f"OrtValue {rest} (pip install onnxruntime)"],
        ["ModuleNotFoundError", f"SparseTensor {rest} (pip install onnxruntime)"],
        ["ModuleNotFoundError", f"quantization {rest} (pip install onnxruntime)"],
        ["ModuleNotFoundError", f"transformers {rest} (pip install onnxruntime)"],
    ]


@BOTH
def test_a_name_that_nobody_has_is_an_attribute_error(pythons: dict[str, str], which: str) -> None:
    code = "import onnxruntime; print(json.dumps(hasattr(onnxruntime, 'no_such_name')))"
    assert said(pythons[which], code) is False


def test_what_doesnt_stand_in_comes_from_the_real_one(pythons: dict[str, str]) -> None:
    code = """
import sys
import onnxruntime, eais
before = onnxruntime.InferenceSession
value = onnxruntime.OrtValue.ortvalue_from_numpy(__import__("numpy").ones(3))
import onnxruntime.capi.onnxruntime_validation as validation
print(json.dumps([value.shape(), onnxruntime.InferenceSession is before is eais.InferenceSession,
    sys.modules["onnxruntime"] is onnxruntime, validation.__file__.endswith("validation.py")]))"""
    assert said(pythons[WITH], code) == [[3], True, True, True]


def test_what_would_run_here_is_refused(pythons: dict[str, str]) -> None:
    code = "from onnxruntime.capi import _pybind_state as C; C.InferenceSession"
    done = run(pythons[WITH], code)
    assert "would run the model in this process: use onnxruntime.InferenceSession" in done.stderr


@BOTH
def test_versions_are_told_as_programs_ask_for_them(pythons: dict[str, str], which: str) -> None:
    code = """
import importlib.metadata as metadata, importlib.util
import onnxruntime
print(json.dumps([onnxruntime.__version__ == metadata.version("onnxruntime"),
    importlib.util.find_spec("onnxruntime.capi") is not None]))"""
    assert said(pythons[which], code) == [True, True]


def test_nothing_is_loaded_before_it_is_needed(pythons: dict[str, str]) -> None:
    code = """
import sys
eais = [name for name in sys.modules if name.startswith("eais")]
import onnxruntime
heavy = [n for n in ("grpc", "numpy", "google.protobuf", "cryptography") if n in sys.modules]
print(json.dumps([eais, heavy]))"""
    assert said(pythons[WITHOUT], code) == [[], []]


@BOTH
def test_exceptions_are_those_that_our_sessions_raise(pythons: dict[str, str], which: str) -> None:
    code = """
from onnxruntime.capi.onnxruntime_pybind11_state import NoSuchFile
from eais_client.ort_errors import ort_error
print(json.dumps(isinstance(ort_error("NOT_FOUND", "NoSuchFile", "x"), NoSuchFile)))"""
    assert said(pythons[which], code) is True


def test_the_backend_interface_is_there_without_onnx(tmp_path: Path) -> None:
    bare = bare_python(tmp_path, without="onnx")
    code = """
import onnxruntime.backend as backend
print(json.dumps([backend.supports_device("CPU"), backend.supports_device("CUDA")]))"""
    assert said(str(bare), code) == [True, False]


@pytest.mark.parametrize("name", ["sitecustomize", "usercustomize"])
def test_the_environments_own_hooks_run(pythons: dict[str, str], tmp_path: Path, name: str) -> None:
    text = "import sys, onnxruntime; sys.told = onnxruntime.get_build_info()"
    (tmp_path / f"{name}.py").write_text(text)
    code = f"import sys, {name}; print(json.dumps([sys.told, {name}.__file__]))"
    told, file = said(pythons[WITHOUT], code, path=str(tmp_path))
    assert told.startswith("EAIS")
    assert file == str(tmp_path / f"{name}.py")


def test_a_hook_of_the_environment_that_fails_is_pythons_to_tell(
    pythons: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise RuntimeError('theirs')")
    done = run(
        pythons[WITH], "import onnxruntime; print(len(onnxruntime.__all__) > 9)", path=str(tmp_path)
    )
    assert done.stdout == "True\n"
    assert "theirs" in done.stderr


def test_the_program_doesnt_see_our_folder_on_its_path(pythons: dict[str, str]) -> None:
    code = "import sys; print(json.dumps([place for place in sys.path if 'eais_client' in place]))"
    assert said(pythons[WITHOUT], code) == []


def test_what_was_imported_before_the_hook_is_told_and_used(
    pythons: dict[str, str], tmp_path: Path
) -> None:
    python = bare_python(tmp_path, without="_virtualenv")
    [packages] = tmp_path.glob("lib/python*/site-packages")
    (packages / "early.pth").write_text("import onnxruntime\n")
    code = """
import onnxruntime, eais
from eais_client.run.real import real_onnxruntime
print(onnxruntime.InferenceSession is eais.InferenceSession, onnxruntime.OrtValue.__name__,
    hasattr(real_onnxruntime(), "InferenceSession"))"""
    done = run(str(python), code)
    assert done.stdout == "True OrtValue True\n"
    [line] = done.stderr.splitlines()
    assert line.startswith("eais run: onnxruntime was imported while Python started")


def test_our_own_programs_have_the_real_one(pythons: dict[str, str]) -> None:
    code = """
import os, sys
from eais_client.run.environment import leave_run
leave_run()
import onnxruntime
print(json.dumps([hasattr(onnxruntime, "OrtEpDevice"), onnxruntime.__name__,
    onnxruntime.InferenceSession.__module__, os.environ.get("PYTHONPATH")]))"""
    real = "onnxruntime.capi.onnxruntime_inference_collection"
    assert said(pythons[WITH], code) == [True, "onnxruntime", real, os.environ.get("PYTHONPATH")]


def test_a_python_without_eais_fails_at_the_import_and_names_itself(tmp_path: Path) -> None:
    bare = bare_python(tmp_path, without="_eais")
    done = run(str(bare), "print('runs', flush=True); import onnxruntime")
    assert done.stdout == "runs\n"
    last = done.stderr.splitlines()[-1]
    assert last == (
        f"ImportError: eais run: onnxruntime can't be replaced in {bare}: "
        f"No module named 'eais_client' ({bare} -m pip install eais)"
    )


def test_the_hook_is_written_for_old_pythons() -> None:
    """No syntax in it is newer than 3.5: other interpreters of a machine come by too."""
    code = "import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 5))"
    hook = Path(BELOW["PYTHONPATH"].split(":")[0]) / "sitecustomize.py"
    subprocess.run([sys.executable, "-c", code, str(hook)], check=True, timeout=60)
