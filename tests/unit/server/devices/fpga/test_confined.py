"""A worker at isolation level 2 reaches its region by the socket that it was given."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eais_server.devices.fpga.boards import SimulatedBoard
from eais_server.isolation import probe_level
from eais_server.process import worker_environment
from tests.unit.server.devices.fpga.rig import DATASETS, model_image

PROGRAM = Path(__file__).with_name("confined_worker.py")


@pytest.mark.skipif(probe_level().level < 2, reason=f"this host is level 1: {probe_level().reason}")
def test_a_confined_worker_runs_its_role(board: SimulatedBoard, tmp_path: Path) -> None:
    board.management.load(0, model_image("mul_1"))
    own = tmp_path / "own"
    own.mkdir()
    with board.connect(0, "confined") as sock:
        child = subprocess.Popen(
            [sys.executable, "-I", str(PROGRAM), str(sock.fileno()), str(own), str(os.getpid())],
            cwd=own,
            env=worker_environment(os.environ),
            pass_fds=(sock.fileno(),),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with child:
            assert child.stdout is not None
            assert child.stdout.readline() == "2\n"
            shutil.copy(DATASETS / "mul_1.onnx", own / "model.onnx")
            said, _ = child.communicate("\n")
    assert said == "[[0.0, 2.0], [6.0, 12.0], [20.0, 30.0]]\n"
