"""An instance moves from kind to kind while programs call it: nothing is lost, nothing wrong."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import eais
from benchmarks.faults.processes import titled
from tests.system.stack import eventually
from tests.system.team import SETTINGS, Team, team_at
from tests.system.terminal import Terminal

MODEL = Path(ort.__file__).parent / "datasets" / "mul_1.onnx"
ASKED = "gpu=1,npu=1,fpga=1"
CALLERS = 4


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    root = tmp_path_factory.mktemp("resizing")
    with team_at(root, "127.0.0.89", SETTINGS, "--simulate", ASKED, tenants=("acme",)) as made:
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


class Callers:
    """Threads that call one session until they are told to stop."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.calls = 0
        self.faults: list[str] = []
        self.answered = threading.Semaphore(0)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(n,)) for n in range(CALLERS)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def some(self, count: int) -> None:
        """Wait for so many more answers."""
        for _ in range(count):
            assert self.answered.acquire(timeout=60), "no answers"

    def _call(self, first: int) -> None:
        here: Any = ort.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
        number = float(first)
        while not self._over.is_set():
            feed = {"X": np.full((3, 2), number, np.float32)}
            try:
                (answer,) = self.session.run(None, feed)
                if answer.tobytes() != here.run(None, feed)[0].tobytes():
                    self.faults.append(f"wrong: {answer}")
            except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
                self.faults.append(repr(error))
            self.answered.release()
            number += CALLERS


def workers(user: Terminal, name: str, count: int) -> list[dict[str, Any]]:
    """The instance's workers, once there are so many."""

    def found() -> list[dict[str, Any]] | None:
        listed: list[dict[str, Any]] = user.data("describe", name)["workers"]
        return listed if len(listed) == count else None

    return eventually(found, f"{name} has {count} workers")


def test_from_kind_to_kind_under_live_calls(ada: Terminal) -> None:
    made = ada.data("attach", "--type", "cpu")
    name = str(made["id"])
    with eais.InferenceSession(str(MODEL)) as session, Callers(session) as callers:
        callers.some(50)
        for wanted, kind in (
            ("gpu.1-2", "gpu"),
            ("fpga", "fpga"),
            ("npu.1-8", "npu"),
            ("cpu.2", "cpu"),
            ("cpu", "cpu"),
        ):
            found = ada.data("resize", name, wanted)
            assert (found["type"], found["state"]) == (wanted, "IN_USE")
            assert kind in {worker["kind"] for worker in found["workers"]}
            callers.some(50)
        assert not callers.faults
    # The last of the old workers is on its way out; what was left behind would be here.
    assert [w["share_milli"] for w in workers(ada, name, 1)] == [1000]
    assert ada.data("detach", name)["state"] == "DELETED"


def test_what_its_host_has_not_is_refused_and_the_instance_serves_on(ada: Terminal) -> None:
    name = str(ada.data("attach", "--type", "cpu")["id"])
    with eais.InferenceSession(str(MODEL)) as session, Callers(session) as callers:
        callers.some(10)
        for wanted, reason in (("gpu.2", "ARGUMENT"), ("cpux", "TYPE_UNKNOWN")):
            refused = ada.run("resize", name, wanted)
            assert refused.returncode == 2
            assert refused.stderr.startswith(f"error: {reason}: ")
        callers.some(10)
        assert not callers.faults
    assert ada.data("describe", name)["type"] == "cpu"
    ada.data("detach", name)


def resized(user: Terminal, name: str) -> dict[str, Any] | None:
    """The instance once it is of that type; asked for again if it isn't."""
    done = user.run("resize", name, "gpu.1-4", "-o", "json")
    return dict(json.loads(done.stdout)) if done.returncode == 0 else None


@pytest.mark.parametrize("victim", ["eais-listener", "eais-manager"])
def test_who_dies_amid_it_goes_on_with_it(team: Team, ada: Terminal, victim: str) -> None:
    supervisor = int(team.operator.data("pool", "status")["pid"])
    name = str(ada.data("attach", "--type", "cpu")["id"])
    with eais.InferenceSession(str(MODEL)) as session, Callers(session) as callers:
        callers.some(20)
        resize = ada.start("resize", name, "gpu.1-4", "-o", "json")
        found = eventually(lambda: titled(supervisor, victim), f"there is {victim}")
        os.kill(found.pid, signal.SIGKILL)
        _, err = resize.communicate(timeout=120)
        # Before it was begun nothing was done: who asks before the back-end is back is told so.
        assert resize.returncode == 0 or err.startswith("error: HOST_UNREACHABLE: "), err
        made = eventually(lambda: resized(ada, name), "it is resized")
        assert made["type"] == "gpu.1-4"
        callers.some(20)
        assert not callers.faults
    assert [worker["kind"] for worker in workers(ada, name, 1)] == ["gpu"]
    ada.data("detach", name)
