"""The user's model file changes under the program: said by name, never a dead program."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import eais
from eais.channel import CHUNK_BYTES
from eais.errors import UsageError
from eais_client.model_source import HASH_BYTES, read_model
from eais_client.testing import FakeWire, fake_frontend, fake_instance
from eais_client.testing.conformance import own_models
from eais_client.testing.fake_tools import FakeTools
from tests.unit.client.ort_host import OrtHost
from tests.unit.client.test_model_source import external, never

SIZE = 3 * CHUNK_BYTES + 11


def cut(path: Path) -> None:
    os.truncate(path, CHUNK_BYTES + 5)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def remove(path: Path) -> None:
    path.unlink()


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(2 * CHUNK_BYTES)
        file.write(b"other")
    os.utime(path, ns=(1, 1))


def replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(os.urandom(SIZE))
    other.replace(path)


def turn_into_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES = [cut, empty, remove, overwrite, replace, turn_into_a_folder]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_before_it_is_sent(model: Path, change: Callable[[Path], None]) -> None:
    source = read_model(model, never)
    change(model)
    with pytest.raises(UsageError, match=r"m\.onnx") as caught:
        list(source.files[0].pieces(0))
    assert caught.value.reason == "MODEL_CHANGED"
    assert str(model.parent) not in str(caught.value)


@pytest.mark.parametrize("change", [cut, empty, overwrite])
def test_a_file_that_changes_while_it_is_sent(model: Path, change: Callable[[Path], None]) -> None:
    source = read_model(model, never)
    pieces = source.files[0].pieces(0)
    next(pieces)
    change(model)
    with pytest.raises(UsageError) as caught:
        list(pieces)
    assert caught.value.reason == "MODEL_CHANGED"


def test_a_file_that_was_only_touched_or_moved_away_while_it_is_sent_is_the_same(
    model: Path,
) -> None:
    source, data = read_model(model, never), model.read_bytes()
    os.utime(model, ns=(1, 1))
    pieces = source.files[0].pieces(0)
    sent = [next(pieces)[1]]
    model.unlink()
    sent += [piece for _offset, piece in pieces]
    assert b"".join(sent) == data


@pytest.mark.parametrize(("part", "at"), [("m.onnx", 1), ("w.bin", 2), ("w.bin", 3)])
@pytest.mark.parametrize("to", [0, 10, 40 << 20])
def test_a_file_that_changes_while_it_is_named_kills_nobody(
    tmp_path: Path, part: str, at: int, to: int
) -> None:
    path = external(tmp_path, "w.bin")
    (tmp_path / "w.bin").write_bytes(os.urandom(2 * HASH_BYTES))
    checks = []

    def check() -> None:
        checks.append(1)
        if len(checks) == at:
            os.truncate(tmp_path / part, to)

    with pytest.raises(UsageError, match=part) as caught:
        read_model(path, check)
    assert caught.value.reason == "MODEL_CHANGED"


def test_the_name_of_the_change_reaches_who_opens_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gRPC tells nobody what a request's iterator raised; the opening does."""
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    path = tmp_path / "m.onnx"
    path.write_bytes(own_models()["mul_1"].read_bytes() + b"\x82\x7d\xfa\xff\x7f" + bytes(0x1FFFFA))
    wire = FakeWire(OrtHost(), fake_instance())
    frontend = fake_frontend(wire, FakeTools())
    with eais.on_upload(lambda done, total: cut(path)), pytest.raises(UsageError) as caught:
        eais.InferenceSession(path, frontend=frontend)
    frontend.close()
    assert caught.value.reason == "MODEL_CHANGED"
    assert wire.said.count("open") == 1
