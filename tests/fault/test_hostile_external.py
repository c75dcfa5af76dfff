"""Models whose tensors lie where nothing of theirs lies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import eais
from eais.errors import EaisError
from eais.rpc.v1 import pool_pb2
from tests.fault.hostile_models import (
    W,
    add,
    external,
    in_constant,
    in_function,
    in_sparse,
    in_subgraph,
    refused,
)
from tests.system.raw import open_session, refusal
from tests.system.stack import Stack
from tests.unit.server.runtime import models

REFUSED, BOUNDS = "EXTERNAL_DATA_REFUSED", "EXTERNAL_DATA_BOUNDS"
PLACES = {
    "initializer": add,
    "constant": in_constant,
    "subgraph": in_subgraph,
    "sparse": in_sparse,
    "function": in_function,
}
SECRET = b"12345678"


def refused_at(stack: Stack, at: pool_pb2.Instance, location: str, place: str) -> None:
    """Whoever checks nothing is refused by the worker, before the runtime looks."""
    error = refused(stack, at, PLACES[place](external(location)), REFUSED, {"w": W})
    assert not location or location not in error.message


def refused_locally(model: Path) -> str:
    """What our client says, having sent nothing; onnxruntime's `Fail` with its text's begin."""
    error = refusal(eais.InferenceSession, model)
    assert error.reason == REFUSED
    assert type(error).__name__ == "Fail"
    assert "External data path validation failed for initializer: w" in error.message
    return error.message


def model_at(folder: Path, location: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes(add(external(location)))
    return path


@pytest.mark.hostile("external-parent")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("location", ["../../etc/passwd", "a/../../b", ".."])
def test_above_the_models_folder(
    stack: Stack,
    instance: pool_pb2.Instance,
    client_home: Path,
    tmp_path: Path,
    location: str,
    place: str,
) -> None:
    refused_at(stack, instance, location, place)
    refused_locally(model_at(tmp_path / "m", location))
    error = refusal_of_manifest(stack, instance, location)
    assert error.reason == "NAME"


def refusal_of_manifest(stack: Stack, at: pool_pb2.Instance, location: str) -> EaisError:
    return refusal(open_session, stack, at, add(external(location)), {location: W})


@pytest.mark.hostile("external-absolute")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("location", ["/etc/passwd", "//etc/passwd", "/"])
def test_an_absolute_path(
    stack: Stack,
    instance: pool_pb2.Instance,
    client_home: Path,
    tmp_path: Path,
    location: str,
    place: str,
) -> None:
    refused_at(stack, instance, location, place)
    refused_locally(model_at(tmp_path / "m", location))
    assert refusal_of_manifest(stack, instance, location).reason == "NAME"


@pytest.mark.hostile("external-cwd")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("location", ["secret.bin", "model.onnx", "./w", "control", ""])
def test_a_file_of_the_current_directory(
    stack: Stack,
    instance: pool_pb2.Instance,
    client_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    location: str,
    place: str,
) -> None:
    """The worker's directory, or the program's: onnxruntime reads there for a model of bytes."""
    refused_at(stack, instance, location, place)
    (tmp_path / "secret.bin").write_bytes(SECRET)
    monkeypatch.chdir(tmp_path)
    error = refusal(eais.InferenceSession, PLACES[place](external(location)))
    assert error.reason == REFUSED
    assert type(error).__name__ == "Fail"


def link(at: Path, secret: Path) -> None:
    at.symlink_to(secret)


def link_of_folder(at: Path, secret: Path) -> None:
    at.parent.rmdir()
    at.parent.symlink_to(secret.parent)


@pytest.mark.hostile("external-symlink")
@pytest.mark.parametrize(
    ("location", "make"), [("w", link), ("d/secret", link_of_folder)], ids=["file", "folder"]
)
def test_a_link_that_leads_out(
    stack: Stack,
    client_home: Path,
    instance: pool_pb2.Instance,
    tmp_path: Path,
    location: str,
    make: Callable[[Path, Path], None],
) -> None:
    """Only a caller can make links; a worker's directory is filled by the listener alone."""
    secret = tmp_path / "out" / "secret"
    secret.parent.mkdir()
    secret.write_bytes(SECRET)
    model = model_at(tmp_path / "m", location)
    at = tmp_path / "m" / location
    at.parent.mkdir(exist_ok=True)
    make(at, secret)
    assert "escapes model directory" in refused_locally(model)


@pytest.mark.hostile("external-hardlink")
@pytest.mark.parametrize("location", ["w", "d/w"])
def test_a_second_name_of_a_file(
    stack: Stack, client_home: Path, instance: pool_pb2.Instance, tmp_path: Path, location: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    model = model_at(tmp_path / "m", location)
    at = tmp_path / "m" / location
    at.parent.mkdir(exist_ok=True)
    os.link(secret, at)
    assert "hard link" in refused_locally(model)


@pytest.mark.hostile("external-proc")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("file", ["self/environ", "self/mem", "self/fd/0", "1/environ"])
def test_what_the_kernel_says_of_a_process(
    stack: Stack,
    instance: pool_pb2.Instance,
    client_home: Path,
    tmp_path: Path,
    file: str,
    place: str,
) -> None:
    for location in (f"/proc/{file}", f"../../../../../../../../proc/{file}"):
        refused_at(stack, instance, location, place)
        refused_locally(model_at(tmp_path / "m", location))
    model = model_at(tmp_path / "linked", "w")
    (model.parent / "w").symlink_to(f"/proc/{file}")
    refused_locally(model)


@pytest.mark.hostile("external-memory-marker")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("marker", ["_ORT_MEM_ADDR_", "_ORT_NATIVE_ENDIAN_MEM_ADDR_"])
def test_an_address_in_memory(
    stack: Stack,
    instance: pool_pb2.Instance,
    client_home: Path,
    tmp_path: Path,
    marker: str,
    place: str,
) -> None:
    location = f"*/{marker}/*"
    model = PLACES[place](external(location, offset="4096", length="8"))
    refused(stack, instance, model, REFUSED)
    refused(stack, instance, model, REFUSED, {location: W})  # as a file that was sent
    refused_locally(model_at(tmp_path / "m", location))


RANGES: dict[str, dict[str, str]] = {
    "offset negative": {"offset": "-1"},
    "length negative": {"length": "-8"},
    "offset 2^63": {"offset": str(1 << 63)},
    "length 2^63": {"offset": "0", "length": str(1 << 63)},
    "both near 2^63": {"offset": str((1 << 63) - 1), "length": str((1 << 63) - 1)},
    "past the end": {"offset": "4", "length": "8"},
    "past the end, no length": {"offset": "4"},
    "at the end": {"offset": "8", "length": "1"},
    "no number": {"length": "8x"},
    "other digits": {"length": "\u0668"},
    "empty": {"offset": ""},
    "unknown key": {"basepath": "/"},
    "dunder": {"__class__": "x"},
    "dunder of python": {"__dict__": "x"},
}


@pytest.mark.hostile("external-bounds")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("case", RANGES)
def test_a_range_that_is_none(
    stack: Stack, instance: pool_pb2.Instance, case: str, place: str
) -> None:
    refused(stack, instance, PLACES[place](external("w", **RANGES[case])), BOUNDS, {"w": W})


def test_the_same_model_in_order_is_opened(stack: Stack, instance: pool_pb2.Instance) -> None:
    """So that the rows above are refused for what they say."""
    for place in PLACES:
        model = PLACES[place](external("w", offset="0", length="8"))
        assert open_session(stack, instance, model, {"w": W}).id
    assert open_session(stack, instance, models.relu(), {"d/🙂": W, "-rf": W, "CON": W}).id
