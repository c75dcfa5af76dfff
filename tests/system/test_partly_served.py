"""An instance whose workers can't all have a model: it is served by those that can."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import eais
from benchmarks.faults.processes import descendants
from tests.system.stack import eventually
from tests.system.team import Team, team_at
from tests.system.terminal import Terminal
from tests.system.test_boards import SETTINGS

MODEL = Path(ort.__file__).parent / "datasets" / "mul_1.onnx"
FEED = {"X": np.full((3, 2), 3.0, np.float32)}
SIM, BOARD = "sim-fpga0", "fpga0"
TITLE = "eais-worker "


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """With a board that has no role for any model, beside a device that takes them all."""
    root = tmp_path_factory.mktemp("partly")
    (root / "images").mkdir(0o700)
    words = ["-m", "eais_server.devices.fpga.sign", "new-key", f"{root}/operator.pem"]
    subprocess.run([sys.executable, *words], cwd=root, check=True, capture_output=True)
    settings, asked = SETTINGS.format(root=root), "board=1,fpga=1"
    with team_at(root, "127.0.0.97", settings, "--simulate", asked, tenants=("acme",)) as made:
        yield made


@pytest.fixture(scope="module")
def joined(team: Team) -> Terminal:
    return team.user("ada", "acme")


@pytest.fixture
def ada(joined: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A user, who is this process's too."""
    for name in ("HOME", "EAIS_CONFIG_DIR", "XDG_CONFIG_HOME"):
        if name in joined.environ:
            monkeypatch.setenv(name, joined.environ[name])
        else:
            monkeypatch.delenv(name, raising=False)
    return joined


@pytest.fixture(scope="module")
def right() -> bytes:
    here: Any = ort.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    return bytes(here.run(None, FEED)[0].tobytes())


def at(user: Terminal, name: str) -> dict[str, dict[str, Any]]:
    """The instance's one session, at each device."""
    [session] = user.data("describe", name)["sessions"]
    return {each["device"]: each for each in session["workers"]}


def test_it_is_open_where_it_can_be_and_called_there_alone(
    team: Team, ada: Terminal, right: bytes
) -> None:
    made = ada.data("attach", "--type", "fpga.2")
    name = str(made["id"])
    assert {worker["device"] for worker in made["workers"]} == {SIM, BOARD}
    with eais.InferenceSession(str(MODEL)) as session:
        for _ in range(20):
            assert session.run(None, FEED)[0].tobytes() == right
            assert session.last_call is not None
            assert session.last_call.attempts == 1
        found = at(ada, name)
        assert found[SIM]["runtime"] == "onnxruntime"
        assert (found[BOARD]["runtime"], found[BOARD]["reason"]) == (None, "IMAGE_MISSING")
        said = ada.run("describe", name).stdout
        assert f"refused on {BOARD} (fpga, simulated)\n      IMAGE_MISSING: " in said
        # Calls wait for the one that has it; the other is asked again when it is back.
        supervisor = int(team.operator.data("pool", "status")["pid"])
        for worker in [d for d in descendants(supervisor) if d.title.startswith(TITLE + name)]:
            os.kill(worker.pid, signal.SIGKILL)
            for _ in range(20):
                assert session.run(None, FEED)[0].tobytes() == right
        eventually(lambda: again(ada, name), "both are back, and it is refused again")
        assert session.run(None, FEED)[0].tobytes() == right
    ada.data("detach", name)


def again(user: Terminal, name: str) -> bool:
    workers = user.data("describe", name)["workers"]
    if any(worker["incarnation"] < 2 or not worker["serving"] for worker in workers):
        return False
    return bool(at(user, name)[BOARD]["reason"] == "IMAGE_MISSING")


def test_a_resize_to_where_it_cant_be_changes_nothing(ada: Terminal, right: bytes) -> None:
    name = str(ada.data("attach", "--type", "cpu")["id"])
    taken = str(ada.data("create", "fpga.7-8")["id"])  # more than a board's half, less than both
    ada.data("attach", taken)
    with eais.InferenceSession(str(MODEL), provider_options={"instance": name}) as session:
        assert session.run(None, FEED)[0].tobytes() == right
        refused = ada.run("resize", name, "fpga")
        assert refused.returncode != 0
        assert refused.stderr.startswith("error: IMAGE_MISSING: "), refused.stderr
        described = ada.data("describe", name)
        assert (described["type"], described["state"]) == ("cpu", "IN_USE")
        assert session.run(None, FEED)[0].tobytes() == right
        ada.data("detach", taken)
        ada.data("delete", taken)
        # One of the two that come can have it: that is enough.
        assert ada.data("resize", name, "fpga.2")["type"] == "fpga.2"
        for _ in range(20):
            assert session.run(None, FEED)[0].tobytes() == right
        assert at(ada, name)[BOARD]["reason"] == "IMAGE_MISSING"
    ada.data("detach", name)
