"""The public face: `import eais as ort` is cheap, complete, and says what it has."""

from __future__ import annotations

import subprocess
import sys

import pytest

import eais

LIGHT = """
import sys
import eais
assert callable(eais.InferenceSession)
from eais.deadline import Deadline
import eais.deadline
assert eais.deadline.__name__ == "deadline" and not hasattr(eais.deadline, "Deadline")
import eais.aio
assert eais.aio.__name__ == "eais.aio" and "InferenceSession" in dir(eais.aio)
heavy = {"numpy", "grpc", "google.protobuf", "cryptography", "asyncio", "onnxruntime", "typer"}
print(sorted(heavy & set(sys.modules)))
"""


def test_naming_the_session_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)


@pytest.mark.parametrize("name", eais.__all__)
def test_every_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(eais, name) is not None
    assert name in dir(eais)


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'eais' has no attribute 'nope'"):
        eais.nope  # noqa: B018
    with pytest.raises(AttributeError, match=r"module 'eais\.aio' has no attribute 'nope'"):
        eais.aio.nope  # noqa: B018
    assert eais.get_available_providers() == ["CPUExecutionProvider"]
    assert eais.__version__
