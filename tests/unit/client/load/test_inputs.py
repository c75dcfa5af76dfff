"""What a model is called with: made up as it is said, or read; what doesn't fit is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eais.errors import UsageError
from eais_client.load.inputs import DTYPES, InputSpec, check_names, files_in, inputs_of
from eais_client.signature import NodeArg, Signature


def signature(*inputs: NodeArg) -> Signature:
    return Signature(inputs, (), ())


def one(kind: str = "tensor(float)", *shape: Any) -> Signature:
    return signature(NodeArg("x", list(shape), kind))


def refusal(made: Signature, spec: InputSpec) -> UsageError:
    with pytest.raises(UsageError) as caught:
        inputs_of("m.onnx", made, spec)
    return caught.value


@pytest.mark.parametrize("kind", [*DTYPES, "tensor(string)"])
def test_every_type_is_made_up_as_the_model_says(kind: str) -> None:
    found = inputs_of("m", one(kind, 2, 3), InputSpec(variants=3))
    assert len(found) == 3
    for each in found:
        assert each["x"].shape == (2, 3)
        assert each["x"].dtype == DTYPES.get(kind, np.object_)
    assert any(list(each["x"].flat) != list(found[0]["x"].flat) for each in found)


def test_the_same_seed_makes_up_the_same() -> None:
    made = one("tensor(double)", 4)
    first, again, other = (
        inputs_of("m", made, InputSpec(seed=seed))[0]["x"].tolist() for seed in (7, 7, 8)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("kind", "bounds", "least", "most"),
    [
        ("tensor(float)", (-2.0, 5.0), -2.0, 5.0),
        ("tensor(uint8)", (-10.0, 3.5), 0, 3),
        ("tensor(int64)", (-3.0, -3.0), -3, -3),
        ("tensor(bool)", (0.0, 1.0), False, True),
        ("tensor(int32)", None, 0, 100),
        ("tensor(float16)", None, 0.0, 1.0),
    ],
)
def test_values_are_of_their_range(
    kind: str, bounds: tuple[float, float] | None, least: float, most: float
) -> None:
    ranges = {"x": bounds} if bounds else {}
    [found] = inputs_of("m", one(kind, 4096), InputSpec(ranges=ranges, variants=1))
    assert least <= found["x"].min() <= found["x"].max() <= most
    assert found["x"].min() <= (least + most) / 2 <= found["x"].max()


def test_an_open_first_axis_is_a_batch_of_one() -> None:
    [found] = inputs_of("m", one("tensor(float)", "N", 3), InputSpec(variants=1))
    assert found["x"].shape == (1, 3)


def test_a_shape_that_is_said_is_taken() -> None:
    spec = InputSpec(shapes={"x": (5, 3, 7)}, variants=1)
    [found] = inputs_of("m", one("tensor(float)", None, 3, "w"), spec)
    assert found["x"].shape == (5, 3, 7)


@pytest.mark.parametrize(
    ("made", "spec", "named"),
    [
        (one("tensor(float)", 1, "h", 3), InputSpec(), "'x' is open: 1,h,3"),
        (one("tensor(float)", 1, 3), InputSpec(shapes={"x": (1, 4)}), "--shape x=1,4: m.onnx has"),
        (one("tensor(float)", 1, 3), InputSpec(shapes={"x": (3,)}), "of shape 1,3"),
        (one("tensor(bfloat16)", 1), InputSpec(), "tensor(bfloat16), which can't be made up"),
        (one("tensor(uint8)", 1), InputSpec(ranges={"x": (300.0, 400.0)}), "holds no such value"),
        (one("tensor(int8)", 1), InputSpec(ranges={"x": (0.2, 0.8)}), "holds no such value"),
        (one("tensor(float16)", 1), InputSpec(ranges={"x": (0.0, 1e6)}), "no more than 65504"),
        (one("tensor(string)", 1), InputSpec(ranges={"x": (0.0, 1.0)}), "strings have no range"),
        (one("tensor(float)", 1 << 20, 1 << 20), InputSpec(), "need 7.04e+04 GB"),
    ],
)
def test_what_cannot_be_made_up_is_named(made: Signature, spec: InputSpec, named: str) -> None:
    error = refusal(made, spec)
    assert error.reason == "ARGUMENT"
    assert named in error.message


def test_how_an_open_shape_is_said_stands_in_the_hint() -> None:
    assert refusal(one("tensor(float)", 1, "h", 3), InputSpec()).hint == "say it: --shape x=1,…,3"


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (InputSpec(shapes={"y": (1,)}), "--shape y: no model has such an input"),
        (InputSpec(ranges={"y": (0.0, 1.0)}), "--range y: no model has such an input"),
        (InputSpec(ranges={"x": (0.0, 1.0)}, files=Path("f")), "--inputs has real arrays already"),
    ],
)
def test_names_that_no_model_has_are_refused(spec: InputSpec, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        check_names({"m": one("tensor(float)", 1)}, spec)


def test_arrays_of_files_are_variants_in_the_order_of_names(tmp_path: Path) -> None:
    for name, value in (("b", 2.0), ("a", 1.0)):
        np.savez(tmp_path / f"{name}.npz", x=np.array([value], np.float32), more=np.zeros(9))
    found = inputs_of("m", one("tensor(float)", 1), InputSpec(files=tmp_path))
    assert [each["x"].tolist() for each in found] == [[1.0], [2.0]]
    assert [list(each) for each in found] == [["x"], ["x"]]


def test_strings_come_from_a_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=np.array(["a", "bc"]))
    [found] = inputs_of("m", one("tensor(string)", 2), InputSpec(files=tmp_path / "s.npz"))
    assert found["x"].dtype == np.object_
    assert found["x"].tolist() == ["a", "bc"]


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        ({"y": np.zeros(2, np.float32)}, "no array 'x'"),
        ({"x": np.zeros(2, np.float64)}, "'x' is float64 of shape 2: m.onnx has"),
        ({"x": np.zeros((2, 1), np.float32)}, "of shape 2,1"),
        ({"x": np.array([None, 1], object)}, "no .npz of arrays"),
    ],
)
def test_a_file_that_does_not_fit_is_named(
    tmp_path: Path, arrays: dict[str, Any], named: str
) -> None:
    np.savez(tmp_path / "f.npz", allow_pickle=True, **arrays)
    error = refusal(one("tensor(float)", 2), InputSpec(files=tmp_path / "f.npz"))
    assert error.reason == "ARGUMENT"
    assert "f.npz" in error.message
    assert named in error.message


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 but nothing behind it"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f.npz").write_bytes(content)
    error = refusal(one("tensor(float)", 2), InputSpec(files=tmp_path / "f.npz"))
    assert "no .npz of arrays" in error.message


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    with (tmp_path / "f.npz").open("wb") as file:
        np.save(file, np.zeros(2, np.float32))
    error = refusal(one("tensor(float)", 2), InputSpec(files=tmp_path / "f.npz"))
    assert "a single array, without a name" in error.message


def test_a_place_without_files_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no \.npz file is in this folder"):
        files_in(tmp_path)
    with pytest.raises(UsageError, match="there is no such file or folder"):
        files_in(tmp_path / "none")
