"""A real worker process that measures a model, in place of serving one."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from eais.rpc.v1 import listener_pb2, supervision_pb2
from eais_server.devices.driver import ValueSpec
from eais_server.parity.inputs import batch_of, takes_batches
from tests.unit.server.runtime import models
from tests.unit.server.worker.child import WorkerChild, worker_child

ADD = helper.make_node("Add", ["x", "x"], ["y"])


def doubles(rows: Any) -> bytes:
    """y = x + x, for so many rows of four."""
    return models.model(
        ADD, inputs=[models.info("x", dims=(rows, 4))], outputs=[models.info("y", dims=(rows, 4))]
    )


@contextlib.contextmanager
def measuring(root: Path, model: bytes, **changes: Any) -> Iterator[WorkerChild]:
    """A worker that was told to measure `model`."""
    with worker_child(root) as child:
        child.heard("spare")
        folder = root / "work" / "model"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(model)
        file = listener_pb2.ModelFile(size=len(model), sha256=hashlib.sha256(model).digest())
        runtime = supervision_pb2.Runtime(driver="cpu", name="onnxruntime", precision="fp32")
        fields: dict[str, Any] = {
            "tenant": "acme",
            "spec": listener_pb2.SessionSpec(files=[file]),
            "folder": "model",
            "device": "cpu0",
            "milli": 1000,
            "threads": 1,
            "cores": sorted(os.sched_getaffinity(0))[:1],
            "runtime": runtime,
        }
        child.tell(measure=supervision_pb2.Measure(**(fields | changes)))
        yield child


def timed(child: WorkerChild, number: int, batch: int, runs: int = 3) -> supervision_pb2.BatchTimed:
    ask = supervision_pb2.TimeBatch(number=number, batch=batch, runs=runs, within_ms=60_000)
    child.tell(time_batch=ask)
    answer: supervision_pb2.BatchTimed = child.heard("batch_timed")
    assert answer.number == number
    return answer


def test_batches_of_a_model_are_timed(tmp_path: Path) -> None:
    with measuring(tmp_path, doubles("n")) as child:
        assert not child.heard("measurable").HasField("error")
        for number, batch in enumerate((1, 8)):
            answer = timed(child, number, batch)
            assert len(answer.seconds) == 3
            assert all(each > 0 for each in answer.seconds)
        # It has no port, and nothing that could be served.
        child.tell(drain=supervision_pb2.Drain())
        assert child.exit_code() == 0


def test_a_model_of_one_row_takes_no_batch_of_eight(tmp_path: Path) -> None:
    with measuring(tmp_path, doubles(1)) as child:
        assert not child.heard("measurable").HasField("error")
        refused = timed(child, 1, 8)
        assert (refused.error.reason, list(refused.seconds)) == ("INPUT_SHAPE", [])
        assert len(timed(child, 2, 1, runs=1).seconds) == 1


@pytest.mark.parametrize(
    ("model", "changes", "reason"),
    [
        (b"no model", {}, "MODEL_PARSE"),
        (doubles("n"), {"runtime": supervision_pb2.Runtime(driver="none")}, "BUG"),
        (
            doubles("n"),
            {"runtime": supervision_pb2.Runtime(driver="x", name="y", precision="fp32")},
            "DEVICE_LOST",
        ),
    ],
)
def test_what_cannot_be_measured_is_said(
    tmp_path: Path, model: bytes, changes: dict[str, Any], reason: str
) -> None:
    with measuring(tmp_path, model, **changes) as child:
        assert child.heard("measurable").error.reason == reason
        assert timed(child, 1, 1).error.reason == "SESSION_UNKNOWN"


def test_a_batch_is_made_up_where_the_model_leaves_it_open() -> None:
    x = ValueSpec("x", "tensor(float)", ("n", 3, None))
    fixed = ValueSpec("k", "tensor(int64)", (2,))
    made = batch_of([x], 5, 8)
    assert made is not None
    assert made["x"].shape == (8, 3, 5)
    assert [takes_batches(each) for each in ([x], [x, fixed], [])] == [True, False, False]
    one = batch_of([x, fixed], 5, 1)
    assert one is not None
    assert [each.shape for each in one.values()] == [(1, 3, 5), (2,)]
    assert np.array_equal(one["k"], [1, 1])
    assert batch_of([ValueSpec("x", "tensor(float)", ("n", 1 << 20))], 1, 1 << 10) is None


def test_integers_stay_what_they_are() -> None:
    made = batch_of([ValueSpec("i", "tensor(int64)", ("n",))], 1, 4)
    assert made is not None
    assert made["i"].dtype == np.int64
