"""Which input was wrong, and how."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eais.value import RawTensor
from eais_server.devices.driver import ModelInfo, SessionSignature, ValueSpec
from eais_server.runtime.inputs import about

GOOD = np.ones((3, 2), np.float32)
INPUTS = (ValueSpec("a", "tensor(float)", ("n", 2)), ValueSpec("b", "tensor(float)", (3, 2)))
SIGNATURE = SessionSignature(INPUTS, (), (), ModelInfo("", "", "", "", "", 0, {}), ())


@pytest.mark.parametrize(
    ("reason", "feed", "want"),
    [
        ("INPUT_MISSING", {"a": GOOD}, ("b", "nothing", "tensor(float)")),
        ("INPUT_MISSING", {"a": None, "b": GOOD}, ("a", "nothing", "tensor(float)")),
        ("INPUT_UNKNOWN", {"a": GOOD, "b": GOOD, "c": GOOD}, ("c", "c", "a, b")),
        ("INPUT_DTYPE", {"a": GOOD, "b": GOOD.astype(int)}, ("b", "tensor(int64)", "float")),
        ("INPUT_DTYPE", {"a": RawTensor(16, GOOD)}, ("a", "tensor(bfloat16)", "float")),
        ("INPUT_DTYPE", {"a": RawTensor(99, GOOD)}, ("a", "tensor(99)", "float")),
        ("INPUT_DTYPE", {"a": {1: 2.0}}, ("a", "map", "float")),
        ("INPUT_DTYPE", {"a": np.array(["x"], object)}, ("a", "tensor(string)", "float")),
        ("INPUT_RANK", {"a": GOOD[0]}, ("a", "[2]", "['n', 2]")),
        ("INPUT_RANK", {"a": GOOD, "b": [GOOD]}, ("b", "[1, 3, 2]", "[3, 2]")),
        ("INPUT_SHAPE", {"a": GOOD[:1], "b": GOOD[:1]}, ("b", "[1, 2]", "[3, 2]")),
        ("INPUT_SHAPE", {"a": RawTensor(16, GOOD.T), "b": GOOD}, ("a", "[2, 3]", "['n', 2]")),
    ],
)
def test_the_first_input_that_is_wrong_is_named(
    reason: str, feed: dict[str, Any], want: tuple[str, str, str]
) -> None:
    found = about(reason, feed, SIGNATURE)
    name, got, wanted = want
    assert (found["input"], found["got"]) == (name, got)
    assert wanted in found["want"]


@pytest.mark.parametrize("reason", ["INPUT_DTYPE", "INPUT_SHAPE", "RUN_FAILED"])
def test_nothing_is_said_of_what_fits(reason: str) -> None:
    assert about(reason, {"a": GOOD, "b": GOOD, "c": GOOD}, SIGNATURE) == {}


def test_what_callers_chose_is_shown_in_part() -> None:
    found = about("INPUT_UNKNOWN", {"a": GOOD, "b": GOOD, "x" * 999: GOOD}, SIGNATURE)
    assert found["input"] == "x" * 200
