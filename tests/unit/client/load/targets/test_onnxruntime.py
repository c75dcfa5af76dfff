"""onnxruntime in process as a target."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from eais.errors import EaisError, UsageError
from eais_client.load.brain.plan import ModelLoad
from eais_client.load.target import TargetKind, TargetSpec
from eais_client.load.targets.onnxruntime import OnnxruntimeTarget
from eais_client.testing.conformance import own_models

MUL = ModelLoad("mul", str(own_models()["mul_1"]))
X = np.ones((3, 2), np.float32)


def target(**settings: str) -> OnnxruntimeTarget:
    return OnnxruntimeTarget(TargetSpec(TargetKind.ONNXRUNTIME, "here", settings=settings))


def test_all_of_a_calls_time_is_its_run() -> None:
    with closing(target(threads="1")) as made:
        caller = made.open(MUL, 1.0)
        assert caller.last_split() is None
        (blocking,) = caller.call({"X": X}, 1.0)

        async def awaited() -> float:
            (answer,) = await caller.call_async({"X": X}, 1.0)
            np.testing.assert_array_equal(answer, blocking)
            split = caller.last_split()
            assert split is not None
            return split.compute_s

        assert asyncio.run(awaited()) > 0
        split = caller.last_split()
        assert split is not None
        assert (split.queue_s, split.wire_s, split.batch_size) == (0, 0, 1)
        about = made.about()
    assert (about["threads"], about["provider"]) == ("1", "CPUExecutionProvider")


def test_what_it_says_of_a_call_is_the_calls_failure() -> None:
    with closing(target()) as made:
        caller = made.open(MUL, 1.0)
        with pytest.raises(EaisError, match="invalid dimensions for input: X") as failed:
            caller.call({"X": np.ones((7, 7), np.float32)}, 1.0)
    assert failed.value.reason == "RUN_FAILED"


def test_a_model_that_is_none_is_said_to_be_so(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with closing(target()) as made:
        with pytest.raises(EaisError) as invalid:
            made.open(ModelLoad("broken", str(broken)), 1.0)
        with pytest.raises(EaisError) as missing:
            made.open(ModelLoad("gone", str(tmp_path / "gone.onnx")), 1.0)
    assert (invalid.value.reason, missing.value.reason) == ("MODEL_INVALID", "NOT_FOUND")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("threads", "many", "threads=many: not a number of threads"),
        ("threads", "-1", "threads=-1"),
        ("provider", "MagicProvider", "has no such execution provider here"),
    ],
)
def test_settings_that_are_none_are_said_to_be_so(key: str, value: str, said: str) -> None:
    with closing(target(**{key: value})) as made, pytest.raises(UsageError, match=said):
        made.open(MUL, 1.0)
