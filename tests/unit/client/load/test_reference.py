"""Right answers: someone's files, or a process that runs the model; how that one may end."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from eais.errors import EaisError, RemoteError, UsageError
from eais_client.load.checking import Prepared, read_prepared, write_prepared
from eais_client.load.reference import add_answers, given_answers
from eais_client.signature import NodeArg, Signature

SIGNATURE = Signature(
    (NodeArg("x", [2], "tensor(float)"),),
    (NodeArg("y", [2], "tensor(float)"), NodeArg("n", [], "tensor(int64)")),
    (),
)


def save(file: Path, **arrays: object) -> None:
    file.parent.mkdir(exist_ok=True)
    np.savez(file, allow_pickle=False, **{name: np.asarray(each) for name, each in arrays.items()})


def test_answers_are_those_to_the_inputs_of_the_same_name(tmp_path: Path) -> None:
    asked, right = tmp_path / "asked", tmp_path / "right"
    for number, name in enumerate(("b", "a")):
        save(asked / f"{name}.npz", x=np.zeros(2, np.float32))
        save(right / f"{name}.npz", n=np.int64(number), y=np.full(2, number, np.float32))
    save(right / "more.npz", y=np.zeros(1))
    found = given_answers(right, asked, "m", SIGNATURE)
    assert [[each.tolist() for each in one] for one in found] == [[[1.0, 1.0], 1], [[0.0, 0.0], 0]]


@pytest.mark.parametrize(
    ("answer", "reason", "named"),
    [
        (None, "NOT_FOUND", "no a.npz is there"),
        ({"y": np.zeros(2, np.float32)}, "ARGUMENT", "no array 'n'"),
        ({"y": np.zeros(3, np.float32), "n": np.int64(1)}, "ARGUMENT", "of shape 3"),
    ],
)
def test_answers_that_are_missing_or_do_not_fit_are_named(
    tmp_path: Path, answer: dict[str, object] | None, reason: str, named: str
) -> None:
    save(tmp_path / "asked" / "a.npz", x=np.zeros(2, np.float32))
    if answer is not None:
        save(tmp_path / "right" / "a.npz", **answer)
    with pytest.raises(UsageError) as caught:
        given_answers(tmp_path / "right", tmp_path / "asked", "m", SIGNATURE)
    assert caught.value.reason == reason
    assert named in caught.value.message


def test_answers_to_inputs_that_are_made_up_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="answers to inputs in files, and there are none"):
        given_answers(tmp_path, None, "m", SIGNATURE)


def dying(folder: Path, how: str) -> dict[str, str]:
    """An environment in which every Python begins by doing that."""
    (folder / "sitecustomize.py").write_text(f"import os, sys\n{how}\n")
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("os.kill(os.getpid(), 11)", "was killed by SIGSEGV"),
        ("sys.stderr.write('no memory left\\n'); os._exit(7)", "ended with 7: no memory left"),
    ],
)
@pytest.mark.skipif(not sys.executable, reason="there is no Python to start")
def test_a_model_that_ends_its_process_costs_that_alone(
    tmp_path: Path, how: str, said: str
) -> None:
    with pytest.raises(RemoteError) as caught:
        add_answers("m.onnx", tmp_path, dying(tmp_path, how))
    assert caught.value.reason == "PROCESS_FAILED"
    assert f"m.onnx: the process that ran it for reference answers {said}" in caught.value.message
    assert caught.value.hint == "check none: --check 0"


def test_what_the_process_says_is_wrong_is_raised_with_the_model(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    write_prepared(tmp_path / "prepared", Prepared(({"x": np.zeros(2, np.float32)},)))
    with pytest.raises(EaisError) as caught:
        add_answers(str(tmp_path / "m.onnx"), tmp_path / "prepared")
    assert caught.value.reason != "PROCESS_FAILED"
    assert "m.onnx: " in caught.value.message


def doubling() -> bytes:
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in "xy")
    node = onnx.helper.make_node("Add", ["x", "x"], ["y"])
    graph = onnx.helper.make_graph([node], "doubling", [x], [y])
    opsets = [onnx.helper.make_opsetid("", 17)]
    made = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bytes(made.SerializeToString())


def test_a_model_is_asked_for_the_answer_to_each_variant(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(doubling())
    feeds = tuple({"x": np.full(4, each, np.float32)} for each in (1.0, 2.0))
    write_prepared(tmp_path / "prepared", Prepared(feeds))
    add_answers(str(tmp_path / "m.onnx"), tmp_path / "prepared")
    answers = read_prepared(tmp_path / "prepared").answers
    assert answers is not None
    assert [[each.tolist() for each in one] for one in answers] == [[[2.0] * 4], [[4.0] * 4]]
