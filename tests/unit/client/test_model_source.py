"""Models by path and by bytes: digests, external data, and what can't be read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from eais.channel import CHUNK_BYTES
from eais.errors import DeadlineExceeded, EaisError
from eais_client.model_source import HASH_BYTES, read_model
from eais_client.testing.conformance import mistake, oracle
from tests.unit.server.runtime import models


def never() -> None:
    """A deadline that doesn't pass."""


def external(folder: Path, *locations: str) -> Path:
    """A model whose weights lie in `locations`; those files hold b"1234"."""
    tensors = []
    for number, location in enumerate(locations):
        tensor = TensorProto(name=f"W{number}", data_type=1, dims=[1])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        tensors.append(tensor)
    graph = helper.make_graph([], "g", [], [], tensors)
    path = folder / "m.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_a_path_and_its_bytes_have_one_digest(tmp_path: Path) -> None:
    data = os.urandom(HASH_BYTES + 17)
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    by_path, by_bytes = read_model(path, never), read_model(data, never)
    assert by_path.files[0].sha256 == by_bytes.files[0].sha256 == sha(data)
    assert (by_path.path, by_bytes.path) == (str(path), None)
    assert read_model(str(path), never).messages() == by_bytes.messages()


@pytest.mark.parametrize("offset", [0, 5, CHUNK_BYTES, 2 * CHUNK_BYTES + 3, 2 * CHUNK_BYTES + 9])
def test_pieces_go_on_from_where_they_ended(tmp_path: Path, offset: int) -> None:
    data = os.urandom(2 * CHUNK_BYTES + 3)
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    for source in (read_model(path, never), read_model(data, never)):
        pieces = list(source.files[0].pieces(offset))
        assert b"".join(piece for _offset, piece in pieces) == data[offset:]
        assert pieces[0][0] == offset
        assert max(len(piece) for _offset, piece in pieces) <= CHUNK_BYTES


def test_an_empty_model_has_one_empty_piece(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    for source in (read_model(tmp_path / "m.onnx", never), read_model(b"", never)):
        assert list(source.files[0].pieces(0)) == [(0, b"")]
        assert source.files[0].size == 0


def test_external_data_is_found_beside_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = external(tmp_path, "b.bin", "sub/a.bin", "b.bin")
    (tmp_path / "sub").mkdir()
    for name in ("b.bin", "sub/a.bin"):
        (tmp_path / name).write_bytes(b"1234")
    source = read_model(path, never)
    assert [(f.location, f.size) for f in source.files] == [
        ("", path.stat().st_size),
        ("b.bin", 4),
        ("sub/a.bin", 4),
    ]
    monkeypatch.chdir(tmp_path)
    relative = read_model("m.onnx", never)
    assert relative.messages() == source.messages()
    monkeypatch.chdir("/")  # the model is read again from where it was
    assert b"".join(piece for _o, piece in relative.files[0].pieces(0)) == path.read_bytes()
    assert relative.file(sha(b"1234")) is relative.files[1]
    assert relative.file(sha(b"")) is None


def test_links_within_the_models_folder_are_followed(tmp_path: Path) -> None:
    """Also as a cache lays a model out: a folder of links to files that lie side by side."""
    files, shown = tmp_path / "files", tmp_path / "shown"
    files.mkdir()
    shown.mkdir()
    (shown / "m.onnx").symlink_to(external(files, "w.bin"))
    (files / "1234").write_bytes(b"1234")
    (files / "w.bin").symlink_to("1234")
    (shown / "w.bin").symlink_to("../files/1234")
    for folder in (files, shown):
        read = read_model(folder / "m.onnx", never).files[1]
        assert (read.sha256, read.path) == (sha(b"1234"), files / "1234")


def linked_out(folder: Path, secret: Path) -> None:
    (folder / "w.bin").symlink_to(secret)


def folder_linked_out(folder: Path, secret: Path) -> None:
    (folder / "w.bin").symlink_to(secret.parent)


LEADS_OUT: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "link": ("w.bin", linked_out),
    "folder's link": ("w.bin/secret", folder_linked_out),
    "process": ("w.bin", lambda folder, _: (folder / "w.bin").symlink_to("/proc/self/environ")),
}


@pytest.mark.parametrize("case", LEADS_OUT)
def test_a_link_that_leads_out_is_refused_as_onnxruntime_does(tmp_path: Path, case: str) -> None:
    location, make = LEADS_OUT[case]
    folder = tmp_path / "m"
    folder.mkdir()
    secret = tmp_path / "out" / "secret"
    secret.parent.mkdir()
    secret.write_bytes(b"12345678")
    make(folder, secret)
    path = folder / "m.onnx"
    path.write_bytes(models.external(location))
    kind, text = mistake(lambda: oracle(path))
    assert mistake(lambda: read_model(path, never)) == (kind, text)


def hard_linked(path: Path) -> None:
    path.with_name("other").write_bytes(b"1234")
    os.link(path.with_name("other"), path)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (hard_linked, "hard link"),
        (os.mkfifo, "no regular file"),
        (lambda path: path.symlink_to(path.name), "links"),
        (lambda path: path.mkdir(), "Is a directory"),
    ],
    ids=["hard link", "pipe", "endless", "folder"],
)
def test_what_may_be_another_file_is_refused(
    tmp_path: Path, make: Callable[[Path], None], why: str
) -> None:
    path = external(tmp_path, "w.bin")
    make(tmp_path / "w.bin")
    with pytest.raises(EaisError, match=why) as caught:
        read_model(path, never)
    assert caught.value.reason == "EXTERNAL_DATA_REFUSED"
    assert type(caught.value).__name__ == "Fail"


@pytest.mark.parametrize("location", ["../w", "/etc/passwd", "a/../w", "./w", "a//w", "a\\w", ""])
def test_a_model_names_only_what_lies_below_it(tmp_path: Path, location: str) -> None:
    path = external(tmp_path, location)
    with pytest.raises(EaisError) as caught:
        read_model(path, never)
    assert caught.value.reason == "EXTERNAL_DATA_REFUSED"
    assert type(caught.value).__name__ == "Fail"


def test_missing_external_data_is_named_as_onnxruntime_does(tmp_path: Path) -> None:
    array = np.zeros(4, np.float32)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "W"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [4])],
        [helper.make_tensor_value_info("y", 1, [4])],
        [helper.make_tensor("W", 1, [4], array.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path / "m.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "w.bin").unlink()
    kind, text = mistake(lambda: oracle(path))
    begin, _place, end = text.partition("tensorprotoutils.cc:")
    assert mistake(lambda: read_model(path, never)) == (kind, begin + end.split(" ", 2)[2])


def test_bytes_with_external_data_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EaisError, match="give its path") as caught:
        read_model(external(tmp_path, "w.bin").read_bytes(), never)
    assert caught.value.reason == "EXTERNAL_DATA_REFUSED"


@pytest.mark.parametrize("what", ["", "nowhere/m.onnx", "m.onnx/m.onnx", ".", 5, None, bytearray()])
def test_what_cannot_be_read_is_told_in_onnxruntimes_words(
    tmp_path: Path, what: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").write_bytes(b"x")
    expected = mistake(lambda: oracle(what))
    got = mistake(lambda: read_model(what, never))
    assert got[0] == expected[0]
    if what != "":  # whose text is pybind's, with addresses
        assert got[1] == expected[1]


@pytest.mark.parametrize("parts", [0, 1])
def test_a_deadline_that_passes_while_files_are_read_is_no_fault_of_theirs(
    tmp_path: Path, parts: int
) -> None:
    path = external(tmp_path, "w.bin")
    (tmp_path / "w.bin").write_bytes(b"1234")
    left = iter(range(parts))

    def check() -> None:
        if next(left, None) is None:
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "late")

    with pytest.raises(DeadlineExceeded, match="late"):
        read_model(path, check)


def test_the_deadline_ends_the_digest(tmp_path: Path) -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "late")

    with pytest.raises(DeadlineExceeded):
        read_model(bytes(3 * HASH_BYTES), check)
    assert len(calls) == 2
