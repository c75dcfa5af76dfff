"""A real worker process whose simulated device fails."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from eais.rpc.v1 import supervision_pb2
from tests.unit.server.runtime import models
from tests.unit.server.worker.child import WAIT_S, WorkerChild, worker_child

X = np.arange(6, dtype=np.float32).reshape(3, 2)


def adopt(child: WorkerChild, fault: str, runs: int) -> None:
    """A watched share of a simulated GPU."""
    words = {"kind": "gpu", "fault": fault, "runs": str(runs)}
    told = child.adopt(
        drivers=["sim"],
        device="sim-gpu0",
        cores=[],
        memory_bytes=1 << 30,
        words=words,
        watched=True,
    )
    assert not told.HasField("error")


def ends(child: WorkerChild) -> None:
    child.process.send_signal(signal.SIGKILL)
    child.process.wait(WAIT_S)


@pytest.mark.parametrize("fault", ["vanish", "garbage"])
def test_what_a_failed_device_was_to_answer_is_not_answered(tmp_path: Path, fault: str) -> None:
    with worker_child(tmp_path) as child:
        child.heard("spare")
        adopt(child, fault, 0)
        if fault == "vanish":
            session = child.ask_to_load(models.dataset("mul_1"))
            failed = child.heard("load_failed")
            assert (failed.session, failed.error.reason) == (session, "DEVICE_LOST")
        child.serve()
        error = child.heard("device_lost")
        assert error.reason == "DEVICE_LOST"
        # It speaks on, and does nothing else.
        assert child.process.poll() is None
        ends(child)


def test_a_wrong_known_answer_ends_a_worker_whose_device_is_watched(tmp_path: Path) -> None:
    with worker_child(tmp_path) as child:
        child.heard("spare")
        adopt(child, "corrupt", 0)
        child.serve()
        assert "the known answer is [41.0, 91.0]" in child.heard("device_lost").message
        ends(child)


def test_a_spare_checks_a_device(tmp_path: Path) -> None:
    with worker_child(tmp_path) as child:
        child.heard("spare")
        words = {"kind": "gpu", "fault": "garbage", "runs": "0"}
        check = supervision_pb2.Check(
            device="sim-gpu0", milli=125, memory_bytes=1 << 30, drivers=["sim"], words=words
        )
        child.tell(check=check)
        checked = child.heard("checked")
        assert "check pattern" in checked.error.message
        ends(child)
