from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais.errors import EaisError
from eais_server.store import ManifestFile, ManifestLimits, check_manifest

LIMITS = ManifestLimits(model_max_bytes=1000, max_files=10)
MODEL = ManifestFile("", b"m" * 32, 10)


def data(location: str, size: int = 1) -> ManifestFile:
    return ManifestFile(location, hashlib.sha256(location.encode("utf8", "replace")).digest(), size)


def refusal(*files: ManifestFile, limits: ManifestLimits = LIMITS) -> EaisError:
    with pytest.raises(EaisError) as caught:
        check_manifest(files, limits)
    assert len(caught.value.message.encode()) <= 512
    return caught.value


@pytest.mark.parametrize(
    "location",
    ["w", "model.onnx.data", "a/b/c.bin", "onnx::MatMul_1", "layer 1", "é", "...", "m/model.onnx"],
)
def test_ordinary_locations_are_taken(location: str) -> None:
    check_manifest([MODEL, data(location)], LIMITS)


@pytest.mark.parametrize(
    "location",
    [
        "",
        "/etc/passwd",
        "../x",
        "../../etc/passwd",
        "a/../b",
        "a/..",
        ".",
        "..",
        "./w",
        "a//b",
        "a/",
        "/",
        "a\0b",
        "a\nb",
        "a\x7f",
        "a\x85b",
        "a\\b",
        "..\\x",
        "x" * 256,
        "é" * 128,
        "/".join(["x" * 200] * 6),
        "\ud800",
        "model.onnx",
        "model.onnx/w",
    ],
)
def test_other_locations_are_refused_by_name(location: str) -> None:
    assert refusal(MODEL, data(location)).reason == "NAME"


def test_a_location_that_names_memory_is_refused() -> None:
    assert refusal(MODEL, data("*/_ORT_MEM_ADDR_/*")).reason == "EXTERNAL_DATA_REFUSED"


def test_a_location_is_there_once() -> None:
    assert "twice" in refusal(MODEL, data("w"), data("w")).message


@pytest.mark.parametrize("other", ["a!", "a-b", "a.b", "b"])
def test_a_location_is_file_or_folder(other: str) -> None:
    error = refusal(MODEL, data("a"), data(other), data("a/b"))
    assert (error.reason, "below" in error.message) == ("NAME", True)


def test_names_that_only_begin_alike_do_not_clash() -> None:
    check_manifest([MODEL, data("a"), data("ab"), data("a.b/c"), data("a.b/d")], LIMITS)


def test_the_model_comes_first() -> None:
    assert refusal().reason == "MALFORMED_MESSAGE"
    assert refusal(data("w"), MODEL).reason == "MALFORMED_MESSAGE"


@pytest.mark.parametrize("sha256", [b"", b"x" * 31, b"x" * 33])
def test_a_digest_is_32_bytes(sha256: bytes) -> None:
    assert refusal(ManifestFile("", sha256, 1)).reason == "MALFORMED_MESSAGE"


def test_a_size_is_not_negative() -> None:
    assert refusal(MODEL, data("w", -1)).reason == "MALFORMED_MESSAGE"


def test_one_digest_has_one_size() -> None:
    assert refusal(MODEL, ManifestFile("w", MODEL.sha256, 11)).reason == "MALFORMED_MESSAGE"
    check_manifest([MODEL, ManifestFile("w", MODEL.sha256, 10)], LIMITS)


def test_all_files_together_stay_within_the_limit() -> None:
    check_manifest([MODEL, data("a", 990)], LIMITS)
    error = refusal(MODEL, data("a", 500), data("b", 491))
    assert error.reason == "MODEL_TOO_LARGE"
    assert error.metadata == {"limit": "1000", "got": "1001"}


def test_by_default_a_model_above_two_gib_is_refused() -> None:
    error = refusal(ManifestFile("", b"m" * 32, (2 << 30) + 1), limits=ManifestLimits())
    assert error.metadata == {"limit": str(2 << 30), "got": str((2 << 30) + 1)}
    check_manifest([ManifestFile("", b"m" * 32, 2 << 30)], ManifestLimits())


def test_there_are_not_too_many_files() -> None:
    error = refusal(MODEL, *(data(f"w{n}") for n in range(10)))
    assert (error.reason, error.metadata["got"]) == ("MODEL_TOO_LARGE", "11")


@given(st.lists(st.text(alphabet="ab./\\\0", max_size=8), max_size=6))
def test_what_is_taken_makes_a_tree_below_its_folder(locations: list[str]) -> None:
    try:
        check_manifest([MODEL, *(data(location) for location in locations)], LIMITS)
    except EaisError:
        return
    paths = [("model.onnx",), *(tuple(location.split("/")) for location in locations)]
    folders = {path[:end] for path in paths for end in range(1, len(path))}
    assert len(set(paths)) == len(paths)
    assert not folders & set(paths)
    assert not any(part in ("", ".", "..") for path in paths for part in path)
