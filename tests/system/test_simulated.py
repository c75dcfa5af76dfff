"""Simulated devices on the real stack: attached, shared by tenants, and never taken for real."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from eais_server.devices.sim import FAULTS_FILE
from tests.system.team import SETTINGS, Team, team_at
from tests.system.terminal import Terminal

MODEL = Path(ort.__file__).parent / "datasets" / "sigmoid.onnx"
ASKED = "gpu=1,npu=1,fpga=1"
ASK = """
import sys, numpy, eais
with eais.InferenceSession(sys.argv[1]) as session:
    [value] = session.get_inputs()
    feed = {value.name: numpy.random.default_rng(1).standard_normal(value.shape, numpy.float32)}
    [answer] = session.run([session.get_outputs()[0].name], feed)
sys.stdout.write(answer.tobytes().hex())
"""


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    root, tenants = tmp_path_factory.mktemp("simulated"), ("acme", "globex")
    with team_at(root, "127.0.0.88", SETTINGS, "--simulate", ASKED, tenants=tenants) as made:
        yield made


@pytest.fixture(scope="module")
def ada(team: Team) -> Terminal:
    return team.user("ada", "acme")


@pytest.fixture(scope="module")
def bob(team: Team) -> Terminal:
    return team.user("bob", "globex")


@pytest.fixture(scope="module")
def right() -> str:
    """What onnxruntime answers in this process, in hex."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
    [value] = session.get_inputs()
    feed = {value.name: np.random.default_rng(1).standard_normal(value.shape, np.float32)}
    answer: Any = session.run([session.get_outputs()[0].name], feed)[0]
    return str(answer.tobytes().hex())


@contextmanager
def attached(user: Terminal, kind: str) -> Iterator[dict[str, Any]]:
    made = user.data("attach", "--type", kind)
    try:
        yield made
    finally:
        assert user.data("detach", str(made["id"]))["state"] == "DELETED"


def answer(user: Terminal) -> str:
    """What the user's one instance answers, in hex."""
    command = [sys.executable, "-c", ASK, str(MODEL)]
    done = subprocess.run(command, env=user.environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def devices(team: Team) -> dict[str, Any]:
    return {each["id"]: each for each in team.operator.data("devices")["devices"]}


@pytest.mark.parametrize("kind", ["gpu.1-8", "npu", "fpga"])
def test_each_kind_answers_as_the_cpu_does(ada: Terminal, right: str, kind: str) -> None:
    with attached(ada, kind) as made:
        assert (made["type"], made["tolerance"]) == (kind, "fp32")
        [worker] = made["workers"]
        assert worker["simulated"] is True
        assert worker["device"] == f"sim-{worker['kind']}0"
        assert answer(ada) == right


def test_describe_says_what_its_sessions_run_on(ada: Terminal, right: str) -> None:
    """They stay when their program has ended, for a while."""
    with attached(ada, "gpu.1-8") as made:
        name = str(made["id"])
        assert ada.data("describe", name)["sessions"] == []
        assert "Sessions:   none" in ada.run("describe", name).stdout
        assert answer(ada) == right
        [session] = ada.data("describe", name)["sessions"]
        assert session["model_sha256"] == sha256(MODEL.read_bytes()).hexdigest()
        [at] = session["workers"]
        assert (at["device"], at["kind"], at["simulated"]) == ("sim-gpu0", "gpu", True)
        assert (at["runtime"], at["precision"]) == ("onnxruntime", "fp32")
        said = ada.run("describe", name).stdout
        assert "    Worker 1:  onnxruntime/fp32 on sim-gpu0 (gpu, simulated)\n" in said
        assert max(map(len, said.splitlines())) <= 80
    stopped = ada.data("create", "cpu")
    assert ada.data("describe", str(stopped["id"]))["sessions"] is None
    ada.data("delete", str(stopped["id"]))


def test_its_workers_see_that_they_can_answer(team: Team, ada: Terminal) -> None:
    """The canary runs on the device, too."""
    with attached(ada, "gpu") as made:
        answer(ada)
    log = (team.operator.pools / "local" / "listener.log").read_text()
    own = [line for line in log.splitlines() if f"instance={made['id']}" in line]
    assert [line for line in own if " ERROR " in line] == []


def test_it_says_that_it_is_simulated_wherever_it_is_shown(team: Team, ada: Terminal) -> None:
    said = ada.run("attach", "--type", "gpu.3-8")
    name = said.stdout.split()[0]
    try:
        assert "   simulated   " in said.stdout
        assert "gpu.3-8 (simulated)" in ada.run("list").stdout
        assert "sim-gpu0 (gpu, simulated)" in ada.run("describe", name).stdout
        [row] = [
            line for line in team.operator.run("devices").stdout.splitlines() if "gpu0" in line
        ]
        assert "Simulated GPU" in row
        assert row.split()[-5:] == ["5/8", "3/8", "cooperative", "ok", "simulated"]
        top = team.operator.data("top")
        assert {each["id"]: each["simulated"] for each in top["devices"]} == {
            "cpu0": False,
            "sim-gpu0": True,
            "sim-npu0": True,
            "sim-fpga0": True,
        }
    finally:
        ada.run("detach", name)


def test_two_tenants_side_by_side_and_one_too_many(
    team: Team, ada: Terminal, bob: Terminal, right: str
) -> None:
    with attached(ada, "gpu.1-2") as hers, attached(bob, "gpu.3-8") as his:
        assert answer(ada) == answer(bob) == right
        gpu = devices(team)["sim-gpu0"]
        assert (gpu["free_milli"], gpu["health"]) == (125, "ok")
        assert {(s["tenant"], s["instance"], s["milli"]) for s in gpu["shares"]} == {
            ("acme", hers["id"], 500),
            ("globex", his["id"], 375),
        }
        refused = bob.run("attach", "--type", "gpu.1-4")
        assert refused.returncode == 4
        assert refused.stderr == "error: NO_DEVICE: no back-end has room for gpu.1-4 now\n"
    assert devices(team)["sim-gpu0"]["free_milli"] == 1000


def test_who_is_no_operator_is_not_shown_the_pools_devices(ada: Terminal) -> None:
    refused = ada.run("devices")
    assert refused.returncode == 3
    assert refused.stderr.startswith("error: ")


def test_a_fault_that_a_test_asks_for(team: Team, ada: Terminal, right: str) -> None:
    file = team.operator.pools / "local" / "listener" / FAULTS_FILE
    file.write_text("sim-fpga0 vanish 0\n")
    try:
        refused = ada.run("attach", "--type", "fpga")
        assert refused.returncode == 5
        assert refused.stderr == "error: DEVICE_LOST: sim-fpga0 has vanished\n"
    finally:
        file.unlink()
    assert team.operator.run("host", "uncordon", "local", "sim-fpga0").returncode == 0
    with attached(ada, "fpga"):
        assert answer(ada) == right
